"""Never over the rate, judged on the arrival times that SES's side recorded, refused calls too."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.benches.oracle import worst_second
from tests.system.stack import Stack, until

HEARD_NS = 300_000_000
"""So long after an order is answered permits of the rate before it may still arrive."""


@pytest.fixture(scope="module")
def eventless(tmp_path_factory) -> Iterator[Stack]:
    """Answer an installation that all rates are tried on.

    Without events: their posts, made on this machine too, would hold up the stamps of arrival.
    """
    stack = Stack(tmp_path_factory.mktemp("stack"), SIMULATOR_RATE="5000")
    try:
        stack.start()
        stack.client("sesv2").create_configuration_set(ConfigurationSetName="bulk")
        yield stack
    finally:
        stack.close()


class Sending:
    """Some mail on its way at a rate; `rows` are its arrivals at SES."""

    def __init__(self, stack: Stack, rate: int, mails: int, topic: str) -> None:
        self.stack = stack
        self.mails = mails
        self._before = stack.summary()["recipients"]
        set_rate(stack, rate)
        stack.post([f"u{n}@example.com" for n in range(mails)], topic)

    def arrived(self) -> int:
        return self.stack.summary()["recipients"] - self._before

    def wait(self, mails: int | None = None) -> None:
        wanted = mails or self.mails
        until(f"{wanted} have arrived", lambda: self.arrived() >= wanted)

    def rows(self) -> list[dict[str, Any]]:
        return self.stack.ledger()[self._before :]

    def stamps(self) -> list[int]:
        return [row["arrival_ns"] for row in self.rows()]


def set_rate(stack: Stack, rate: int) -> None:
    told = stack.http.patch("/v1/account", json={"max_send_per_second": rate})
    assert told.json()["rate"]["api"] == rate


def test_no_second_sees_more_than_the_rate(eventless):
    sending = Sending(eventless, 24, 120, "at-24")
    sending.wait()
    assert worst_second(sending.stamps()) <= 24
    assert len(sending.rows()) == 120


@pytest.mark.against("K12")
def test_k12_a_broker_killed_again_and_again_under_full_load(eventless):
    """About every three seconds: it starts, waits until old permits are over, and grants 100."""
    sending = Sending(eventless, 100, 400, "at-100")
    brokers = set()
    for kills in (1, 2, 3):
        sending.wait(kills * 100)
        brokers.add(eventless.kill("broker"))
    sending.wait()
    assert len(brokers) == 3
    assert worst_second(sending.stamps()) <= 100
    assert len(sending.rows()) == 400


def test_a_sender_stopped_for_three_seconds_with_bulk_permits_in_hand(eventless):
    sending = Sending(eventless, 500, 4000, "at-500")
    sending.wait(1000)
    stopped = eventless.kill("sender-0", signal.SIGSTOP)
    sending.wait(2500)
    assert eventless.kill("sender-0", signal.SIGCONT) == stopped
    sending.wait()
    assert worst_second(sending.stamps()) <= 500
    assert len(sending.rows()) == 4000
    assert any(row["api"] == "bulk" for row in sending.rows())


@pytest.mark.against("E1")
def test_e1_refused_by_ses_and_then_lowered_live(eventless):
    """One call in three is refused for a while, then R goes down; what was refused counts too."""
    sending = Sending(eventless, 150, 900, "at-150")
    sending.wait(150)
    eventless.faults(rules=[{"do": "throttle", "match": {"every_nth": 3, "until_s": 1.5}}])
    sending.wait(300)
    set_rate(eventless, 40)
    lowered = len(sending.rows())
    sending.wait(lowered + 40)
    eventless.http.delete("/v1/topics/at-150")
    rows = sending.rows()
    eventless.faults()
    eventless.kill("broker")  # the next one knows nothing of the refusals
    assert any(row["verdict"] != "accepted" for row in rows)
    assert worst_second(row["arrival_ns"] for row in rows) <= 150
    since = rows[lowered - 1]["arrival_ns"] + HEARD_NS
    slowly = [row["arrival_ns"] for row in rows if row["arrival_ns"] > since]
    assert worst_second(slowly) <= 40
    assert "Failed" not in eventless.counts("at-150")


def test_throttling_by_ses_loses_nothing_and_fails_nothing(make_stack):
    stack = make_stack(SIMULATOR_RATE="60", MAX_SEND_PER_SECOND="200").start()
    stack.connect_events()
    stack.faults(account={"max_send_rate": 200})
    stack.post([f"u{n}@example.com" for n in range(300)])
    stack.wait_counts({"Sent": 300}, seconds=120)
    assert set(stack.accepted().values()) == {1}
