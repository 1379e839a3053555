"""Never over the rate, judged on the arrival times that SES's side recorded."""

import pytest

from tests.system.stack import until


def worst_window(stamps: list[float], seconds: float = 1.0) -> int:
    stamps = sorted(stamps)
    worst = first = 0
    for last, stamp in enumerate(stamps):
        while stamps[first] <= stamp - seconds:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


@pytest.mark.parametrize(("rate", "mails"), [(14, 100), (100, 600), (500, 3000)])
def test_no_second_sees_more_than_the_rate(make_stack, rate, mails):
    stack = make_stack(SIMULATOR_RATE="5000", MAX_SEND_PER_SECOND=str(rate)).start()
    # Without events: their posts, made on this machine too, would hold up the stamps of arrival.
    stack.client("sesv2").create_configuration_set(ConfigurationSetName="bulk")
    stack.post([f"u{n}@example.com" for n in range(mails)])
    until("all have arrived", lambda: len(stack.ledger()) == mails)
    assert worst_window([row["arrival_ns"] / 1e9 for row in stack.ledger()]) <= rate


def test_throttling_by_ses_loses_nothing_and_fails_nothing(make_stack):
    stack = make_stack(SIMULATOR_RATE="60", MAX_SEND_PER_SECOND="200").start()
    stack.connect_events()
    stack.faults(account={"max_send_rate": 200})
    stack.post([f"u{n}@example.com" for n in range(300)])
    stack.wait_counts({"Sent": 300}, seconds=120)
    assert set(stack.accepted().values()) == {1}
