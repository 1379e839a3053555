"""Never over the rate, judged on the arrival times that SES's side recorded."""

from collections.abc import Iterator

import pytest

from tests.system.stack import Stack, until


def worst_window(stamps: list[float], seconds: float = 1.0) -> int:
    stamps = sorted(stamps)
    worst = first = 0
    for last, stamp in enumerate(stamps):
        while stamps[first] <= stamp - seconds:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


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


@pytest.mark.parametrize(("rate", "mails"), [(14, 100), (100, 600), (500, 3000)])
def test_no_second_sees_more_than_the_rate(eventless, rate, mails):
    before = len(eventless.ledger())
    told = eventless.http.patch("/v1/account", json={"max_send_per_second": rate})
    assert told.json()["rate"]["in_force"] == rate
    eventless.post([f"u{n}@example.com" for n in range(mails)], f"at-{rate}")
    until("all have arrived", lambda: len(eventless.ledger()) == before + mails)
    stamps = [row["arrival_ns"] / 1e9 for row in eventless.ledger()[before:]]
    assert worst_window(stamps) <= rate


def test_throttling_by_ses_loses_nothing_and_fails_nothing(make_stack):
    stack = make_stack(SIMULATOR_RATE="60", MAX_SEND_PER_SECOND="200").start()
    stack.connect_events()
    stack.faults(account={"max_send_rate": 200})
    stack.post([f"u{n}@example.com" for n in range(300)])
    stack.wait_counts({"Sent": 300}, seconds=120)
    assert set(stack.accepted().values()) == {1}
