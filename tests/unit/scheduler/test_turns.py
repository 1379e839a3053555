"""Fair turns between topics, and between the lanes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.backlog import Line
from services.scheduler.lanes import Lanes
from services.scheduler.turns import Turns


def test_those_who_wait_share_alike():
    turns: Turns[str] = Turns()
    turns.line_up(["a", "b", "c"])
    assert turns.pick(["a", "b", "c"], 9, 10) == {"a": 3, "b": 3, "c": 3}


def test_a_remainder_is_made_good_next_time():
    turns: Turns[str] = Turns()
    turns.line_up(["a", "b"])
    assert turns.pick(["a", "b"], 1, 10) == {"a": 1}
    assert turns.pick(["a", "b"], 1, 10) == {"b": 1}


def test_jobs_of_one_recipient_get_more_turns_than_jobs_of_fifty():
    """Both were charged for 50; what did not come is taken back."""
    turns: Turns[str] = Turns()
    had = Counter[str]()
    for _ in range(510):
        turns.line_up(["small", "large"])
        [key] = turns.pick(["small", "large"], 1, 50)
        taken = {"small": 1, "large": 50}[key]
        turns.charge(key, taken - 50)
        had[key] += taken
    assert abs(had["small"] - had["large"]) <= 50


def test_a_newcomer_is_level_with_the_one_that_had_least():
    turns: Turns[str] = Turns()
    turns.line_up(["old"])
    turns.pick(["old"], 1000, 50)
    turns.line_up(["old", "new"])
    assert turns.pick(["old", "new"], 10, 50) == {"old": 5, "new": 5}


def test_idleness_earns_nothing():
    turns: Turns[str] = Turns()
    turns.line_up(["a", "b"])
    turns.line_up(["a"])
    turns.pick(["a"], 100, 50)
    turns.line_up(["a", "b"])
    assert turns.pick(["a", "b"], 10, 50) == {"a": 5, "b": 5}


def test_nobody_waiting_gets_nothing():
    turns: Turns[str] = Turns()
    turns.line_up([])
    assert turns.pick([], 5, 50) == {}
    assert turns.pick([], 0, 50) == {}


def test_one_who_left_is_not_charged():
    turns: Turns[str] = Turns()
    turns.line_up(["a"])
    turns.charge("gone", 7)
    turns.line_up(["a", "gone"])
    assert turns.pick(["a", "gone"], 2, 1) == {"a": 1, "gone": 1}


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 50)), min_size=1, max_size=60))
def test_no_topic_is_ever_more_than_a_job_behind(rounds):
    turns: Turns[int] = Turns()
    keys = [1, 2, 3]
    had = Counter(dict.fromkeys(keys, 0))
    for jobs, size in rounds:
        turns.line_up(keys)
        for key, count in turns.pick(keys, jobs, size).items():
            had[key] += count * size
    assert max(had.values()) - min(had.values()) <= 50


URGENT = Line(1, urgent=True)
BULK = Line(2, urgent=False)
OTHER = Line(3, urgent=False)


def test_urgent_comes_first():
    lanes = Lanes(0.9)
    lanes.line_up([BULK])
    lanes.deal([BULK], 100, 50)
    lanes.line_up([BULK, URGENT])
    assert lanes.deal([BULK, URGENT], 1, 50) == {URGENT: 1}


def test_bulk_keeps_a_tenth():
    lanes = Lanes(0.9)
    lanes.line_up([BULK, URGENT])
    assert lanes.deal([BULK, URGENT], 1000, 1) == {URGENT: 900, BULK: 100}


def test_topics_share_their_lane():
    lanes = Lanes(0.9)
    lanes.line_up([BULK, OTHER, URGENT])
    assert lanes.deal([BULK, OTHER, URGENT], 1000, 1) == {URGENT: 900, BULK: 50, OTHER: 50}


def test_what_a_line_did_not_get_is_settled_in_both():
    lanes = Lanes(0.9)
    lanes.line_up([BULK, OTHER, URGENT])
    lanes.deal([BULK, OTHER], 2, 50)
    lanes.settle(BULK, 49)
    assert lanes.deal([BULK, OTHER], 1, 50) == {BULK: 1}
