"""Scheduled mail leaves at its time: never before, and without a poll between."""

import time
from datetime import UTC, datetime, timedelta

from tests.system.stack import until


def test_nothing_leaves_before_its_time_and_everything_leaves_after_it(stack):
    base = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    due = {}
    for second in range(5):
        at = base + timedelta(seconds=second)
        emails = [f"s{second}-{n}@example.com" for n in range(20)]
        answer = stack.post(emails, topic=f"t{second}", scheduled_at=at.isoformat())
        assert answer.status_code == 200, answer.text
        assert answer.json()["scheduled"] is True
        due |= dict.fromkeys(emails, at.timestamp())
    until("all have left", lambda: len(stack.ledger()) == 100)
    # The ledger stamps with the monotonic clock; both clocks are read side by side here.
    wall_minus_mono = time.time() - time.monotonic()
    for row in stack.ledger():
        assert row["arrival_ns"] / 1e9 + wall_minus_mono >= due[row["address"]] - 0.005


def test_a_schedule_survives_a_restart_of_everything(stack):
    at = datetime.now(UTC) + timedelta(seconds=6)
    stack.post(["a@example.com"], scheduled_at=at.isoformat())
    stack.stop()
    stack.start()
    assert stack.counts() == {"Created": 1} or datetime.now(UTC) > at
    stack.wait_counts({"Sent": 1})
