"""What a sender has in hand, seen through Rooms that name no jobs."""

import pytest

from services.scheduler.room import Bench
from shared.protocol import Room


def room(seq: int, held: int, jobs: int = 10, size: int = 50, draining: bool = False) -> Room:
    return Room("sender-0", 7, seq, jobs, size, held, draining)


def test_capacity_less_what_is_in_hand_is_free():
    assert Bench(room(1, held=3), 100.0).free(100.0) == 7


def test_jobs_on_the_way_take_room_until_a_later_room_counts_them_in():
    bench = Bench(room(1, held=0), 100.0)
    bench.give(2, 100.0, urgent=False)
    assert bench.jobs(100.0) == 2
    bench.hear(room(2, held=0), 100.005)
    assert bench.jobs(100.005) == 2
    bench.hear(room(3, held=2), 100.02)
    assert bench.jobs(100.02) == 2


def test_urgent_jobs_are_those_that_wait_and_those_on_their_way():
    bench = Bench(Room("sender-0", 7, 1, 10, 50, 5, urgent=1), 100.0)
    bench.give(2, 100.0, urgent=True)
    bench.give(3, 100.0, urgent=False)
    assert (bench.urgent(100.0), bench.jobs(100.0)) == (3, 10)
    bench.hear(Room("sender-0", 7, 2, 10, 50, 10, urgent=2), 100.02)
    assert bench.urgent(100.02) == 2


def test_jobs_lost_on_the_way_free_their_room():
    bench = Bench(room(1, held=0), 100.0)
    bench.give(2, 100.0, urgent=False)
    bench.hear(room(2, held=0), 100.5)
    assert bench.jobs(100.5) == 0


def test_a_sender_that_says_nothing_more_is_taken_at_its_last_word():
    """Its Room came just after the job went out and did not change again."""
    bench = Bench(room(1, held=0), 100.0)
    bench.give(1, 100.0, urgent=False)
    bench.hear(room(2, held=1), 100.005)
    assert bench.settles_at() == pytest.approx(100.3)
    assert bench.jobs(100.29) == 2
    assert bench.jobs(100.31) == 1


def test_an_older_room_changes_nothing():
    bench = Bench(room(5, held=3), 100.0)
    bench.hear(room(4, held=0), 100.1)
    assert bench.jobs(100.1) == 3


def test_more_in_hand_than_fits_is_less_than_no_room():
    assert Bench(room(1, held=12), 100.0).free(100.0) == -2


@pytest.mark.parametrize(
    ("words", "later", "is_open"),
    [
        (room(1, 0), 1.0, True),
        (room(1, 0), 1.3, False),
        (room(1, 0, draining=True), 0.0, False),
        (room(1, 0, size=0), 0.0, False),
        (room(1, 0, jobs=0), 0.0, False),
    ],
)
def test_a_sender_is_open_while_it_speaks_and_takes_work(words, later, is_open):
    assert Bench(words, 100.0).is_open(100.0 + later) is is_open


def test_nothing_on_the_way_never_settles():
    assert Bench(room(1, held=0), 100.0).settles_at() == float("inf")
