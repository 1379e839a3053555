"""Scheduled mail leaves at its time: never before, in order, and without a poll between."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tests.system.stack import until


def arrivals(stack) -> list[tuple[float, str]]:
    """Answer (Unix time, address) of what arrived, in order.

    The ledger stamps with the monotonic clock; both clocks are read side by side here.
    """
    wall_minus_mono = time.time() - time.monotonic()
    rows = stack.ledger()
    return sorted((row["arrival_ns"] / 1e9 + wall_minus_mono, row["address"]) for row in rows)


def test_each_second_s_mail_leaves_after_its_time_and_before_the_next_second_s(stack):
    base = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    due = {}
    for second in range(6):
        at = base + timedelta(seconds=second)
        emails = [f"s{second}-{n}@example.com" for n in range(20)]
        answer = stack.post(emails, topic=f"t{second}", scheduled_at=at.isoformat())
        assert answer.status_code == 200, answer.text
        assert answer.json()["scheduled"] is True
        due |= dict.fromkeys(emails, at.timestamp())
    until("all have left", lambda: len(stack.ledger()) == 120)
    arrived = arrivals(stack)
    assert all(at >= due[address] - 0.005 for at, address in arrived)
    # Looking every few seconds only would let the seconds run into one another.
    assert all(due[one] <= due[next_] for (_, one), (_, next_) in pairwise(arrived))


def test_a_schedule_survives_a_restart_of_everything(stack):
    at = datetime.now(UTC) + timedelta(seconds=18)
    stack.post(["a@example.com"], scheduled_at=at.isoformat())
    stack.stop()
    assert stack.sql("SELECT status FROM email_request") == [("Created",)]
    assert stack.ledger() == []
    stack.start()
    stack.wait_counts({"Sent": 1})
    assert arrivals(stack)[0][0] >= at.timestamp() - 0.005
