"""Slots: even, never more than R in any second at SES, never a burst for idle time."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.broker.pace import WINDOW_S, Pace, chunk_at, limit_at

RATES = [0.3, 1, 1.9, 2, 5, 14, 24, 100, 333, 500, 2000, 4049, 100_000]
AHEAD = 0.04

steps = st.lists(
    st.tuples(
        st.floats(0, 0.3),
        st.integers(1, 50),
        st.sampled_from(["used", "used", "used", "returned"]),
    ),
    min_size=1,
    max_size=120,
)


def take(pace: Pace, now: float, recipients: int) -> float:
    at = pace.earliest(now, recipients)
    pace.take(at, recipients)
    return at


@given(rate=st.sampled_from(RATES), steps=steps)
def test_no_second_at_ses_has_more_than_r(rate, steps, worst_second):
    """Whatever is asked, granted late, and given back."""
    pace, now, used, returned = Pace(rate), 100.0, [], []
    pace.rest(now)
    for gap, recipients, fate in steps:
        now += gap if gap > 0.1 else gap / 50
        for slot in [slot for slot in returned if slot.at + 0.03 <= now]:
            pace.give_back(slot)
            returned.remove(slot)
        at = pace.earliest(now, recipients)
        if at > now + AHEAD:
            continue
        slot = pace.take(at, recipients)
        if fate == "used":
            used.append((at, recipients))
        else:
            returned.append(slot)
    assert worst_second(used) <= limit_at(rate)


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 0.2), st.sampled_from([0.5, 1, 7, 24, 500])), max_size=150
    )
)
def test_a_changed_rate_holds_from_the_next_slot_on(steps):
    """Of a window that ends with a slot, the limit at the time of granting is kept."""
    pace, now, granted = Pace(24.0), 100.0, []
    for gap, rate in steps:
        now += gap
        if rate != pace.rate and gap > 0.15:
            pace.change(rate, now)
        at = pace.earliest(now, 1)
        if at <= now + AHEAD:
            pace.take(at, 1)
            granted.append(at)
            assert sum(at - 1.062 < other <= at for other in granted) <= limit_at(pace.rate)


@given(rate=st.sampled_from(RATES), asks=st.lists(st.integers(1, 60), max_size=80))
def test_slots_never_go_back_and_never_lie_in_the_past(rate, asks):
    pace, last = Pace(rate), 100.0
    for recipients in asks:
        at = pace.earliest(100.0, recipients)
        if at != math.inf:
            pace.take(at, recipients)
            assert at >= last
            last = at


def test_slots_are_even_at_094_r():
    pace = Pace(24.0)
    pace.rest(100.0)
    slots = [take(pace, 100.0, 1) for _ in range(20)]
    gaps = [b - a for a, b in itertools.pairwise(slots)]
    # The first few make use of the lag that is allowed for late ticks.
    assert gaps[3:] == pytest.approx([1 / (0.94 * 24)] * 16)


def test_a_call_of_many_pays_for_as_many_slots():
    pace = Pace(100.0)
    pace.rest(100.0)
    take(pace, 100.0, 10)
    assert pace.earliest(100.0, 1) == pytest.approx(100.0 + 10 / 94)


def test_idle_time_is_not_saved_up():
    """An hour of silence buys one start at once, no more."""
    pace = Pace(10.0)
    take(pace, 100.0, 1)
    pace.rest(3700.0)
    assert take(pace, 3700.0, 1) == 3700.0
    assert pace.earliest(3700.0, 1) == pytest.approx(3700.0 + 1 / 9.4)


def test_a_short_delay_of_our_own_is_made_good():
    """A tick 30 ms late costs nothing, while demand waits; a second late costs that second."""
    pace = Pace(100.0)
    pace.rest(100.0)
    take(pace, 100.0, 1)
    burst = sum(take(pace, 100.03, 1) == 100.03 for _ in range(10))
    assert burst == 2
    long_after = [take(pace, 102.0, 1) for _ in range(20)]
    assert long_after.count(102.0) <= 0.05 * 94 + 1


def test_a_returned_slot_is_granted_again_once():
    pace = Pace(5.0)
    pace.rest(100.0)
    slot = pace.take(pace.earliest(100.0, 1), 1)
    assert pace.give_back(slot) == 1
    assert pace.give_back(slot) == 0
    assert [take(pace, 100.02, 1), pace.earliest(100.02, 1)] == pytest.approx(
        [100.02, 100.0 + 1 / 4.7]
    )


def test_a_slot_older_than_the_window_is_worth_nothing():
    pace = Pace(5.0)
    slot = pace.take(pace.earliest(100.0, 1), 1)
    take(pace, 102.0, 1)
    assert pace.give_back(slot) == 0


def test_a_call_larger_than_a_window_never_starts():
    assert Pace(24.0).earliest(100.0, 25) == math.inf
    assert Pace(24.0).earliest(100.0, 24) == 100.0
    assert Pace(0.5).earliest(100.0, 2) == math.inf


def test_below_one_a_second_single_mails_go_further_apart():
    pace = Pace(0.1)
    pace.rest(100.0)
    first, second, third = (take(pace, 100.0, 1) for _ in range(3))
    assert second - first == pytest.approx(1 / 0.094)
    assert third - second == pytest.approx(1 / 0.094)


def test_a_lowered_rate_does_not_wait_for_what_was_granted_ahead():
    """Slots lie 40 ms ahead; at 2000/s those are 75 mails, which at 1/s would take 80 seconds."""
    pace = Pace(2000.0)
    pace.rest(100.0)
    while pace.earliest(100.0, 25) <= 100.04:
        last = take(pace, 100.0, 25)
    pace.change(1.0, 100.0)
    assert pace.earliest(100.0, 1) == pytest.approx(last + WINDOW_S)


def test_a_raised_rate_does_not_wait_out_the_old_one():
    """At one mail in a hundred seconds, raised to 24/s, the next goes after about a second."""
    pace = Pace(0.01)
    pace.rest(100.0)
    take(pace, 100.0, 1)
    pace.change(24.0, 100.5)
    assert pace.earliest(100.5, 1) < 100.6


@pytest.mark.parametrize(
    ("rate", "chunk"), [(0.5, 1), (1, 1), (79, 1), (160, 2), (333, 4), (4000, 50), (100_000, 50)]
)
def test_a_call_is_at_most_an_eightieth_of_r(rate, chunk):
    assert chunk_at(rate) == chunk


def test_recipients_started_in_a_span_are_counted():
    pace = Pace(100.0)
    for at in (100.0, 100.5, 100.9):
        pace.take(at, 3)
    assert pace.started(100.2, 101.2) == 6
