"""One job's asks at the gate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.gate import GOOD_FOR_S, GateAsks
from shared.domain import RecipientId

SEVEN = (RecipientId(7),)


def test_a_gate_is_good_for_a_second_from_the_moment_it_was_asked_for():
    gate = GateAsks()
    assert gate.wants_ask(10.0)
    gate.asked(10.0)
    assert not gate.is_open(10.0)
    assert gate.opened(SEVEN) == 10.0
    assert gate.is_open(10.99)
    assert not gate.is_open(11.0)


def test_a_gate_that_grows_old_is_asked_for_again_and_stays_good_meanwhile():
    gate = GateAsks()
    gate.asked(10.0)
    gate.opened(SEVEN)
    assert not gate.wants_ask(10.59)
    assert gate.wants_ask(10.61)
    gate.asked(10.61)
    assert gate.is_open(10.99)
    gate.opened(SEVEN)
    assert gate.is_open(11.5)
    assert not gate.is_lost(20.0)


def test_an_ask_without_an_answer_is_repeated_and_counts_from_the_first():
    gate = GateAsks()
    gate.asked(10.0)
    assert not gate.wants_ask(10.4)
    assert gate.wants_ask(10.5)
    gate.asked(10.5)
    assert gate.opened(SEVEN) == 10.0
    assert gate.is_open(10.9)
    assert not gate.is_open(11.0)


def test_after_a_repeat_the_job_goes_in_time_or_goes_back():
    gate = GateAsks()
    gate.asked(10.0)
    gate.asked(10.5)
    gate.opened(SEVEN)
    assert gate.opened(SEVEN) is None
    assert not gate.wants_ask(10.7)
    assert not gate.is_lost(10.9)
    assert gate.is_lost(11.0)


def test_without_any_answer_the_job_goes_back_after_a_second():
    gate = GateAsks()
    gate.asked(10.0)
    gate.asked(10.5)
    assert not gate.wants_ask(11.0)
    assert not gate.is_lost(10.99)
    assert gate.is_lost(11.0)


@pytest.mark.against("K14")
def test_k14_a_process_that_stood_still_when_it_was_time_to_repeat_gives_the_job_back():
    gate = GateAsks()
    gate.asked(10.0)
    assert not gate.is_lost(10.99)
    assert not gate.wants_ask(13.0)
    assert gate.is_lost(13.0)


@given(st.lists(st.tuples(st.floats(0.001, 2.0), st.floats(0.0, 3.0), st.booleans()), max_size=30))
def test_no_answer_ever_counts_for_longer_than_its_own_ask_allows(steps):
    """Answers arrive late, in order, or never; an open gate rests on an ask of the last second."""
    gate, now, under_way, newest_answered = GateAsks(), 100.0, [], 0.0
    for wait, delay, is_lost in steps:
        now += wait
        while under_way and under_way[0][1] <= now:
            asked, _, lost = under_way.pop(0)
            if not lost:
                newest_answered = max(newest_answered, asked)
                gate.opened(SEVEN)
        if gate.is_open(now):
            assert now - newest_answered < GOOD_FOR_S
        if gate.is_lost(now):
            return
        if gate.wants_ask(now):
            gate.asked(now)
            arrives = max([now + delay, *(one[1] for one in under_way)])
            under_way.append((now, arrives, is_lost))
