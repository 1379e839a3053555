"""What SES refuses halves the rate; it climbs back by a twentieth in ten seconds."""

import pytest

from services.broker.throttle import Slowdown


def test_nothing_slows_down_by_itself():
    assert Slowdown().rate(24.0, 1e6) == 24.0


@pytest.mark.against("E1")
def test_a_refusal_halves_and_ten_seconds_give_a_twentieth_back():
    slow = Slowdown().throttled(1000.0)
    rates = [slow.rate(100.0, 1000.0 + after) for after in (0, 9.9, 10, 20, 99.9, 100, 500)]
    assert rates == pytest.approx([50, 50, 55, 60, 95, 100, 100])


def test_the_refusals_of_one_second_count_once():
    slow = Slowdown().throttled(1000.0)
    assert slow.throttled(1000.9) == slow
    assert slow.throttled(1001.0).rate(100.0, 1001.0) == 25.0


def test_a_refusal_on_the_way_up_halves_what_was_reached():
    slow = Slowdown().throttled(1000.0).throttled(1040.0)
    assert slow.rate(100.0, 1040.0) == pytest.approx(35.0)


def test_one_a_second_is_always_tried():
    slow = Slowdown()
    for second in range(60):
        slow = slow.throttled(1000.0 + second)
    assert slow.rate(24.0, 1060.0) == 1.0
    assert slow.rate(0.2, 1060.0) == 0.2
    assert slow.rate(24.0, 1060.0 + 201.0) == 24.0
