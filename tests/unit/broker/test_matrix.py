"""The rate is kept by broker and senders, whatever is broken (P3), in virtual time.

`python -m tests.unit.broker.matrix` prints what is only judged here, with all numbers of senders.
"""

import itertools
import math

import pytest

from services.broker import actor as broker_actor
from services.sender import hand
from tests.unit.broker import matrix
from tests.unit.broker.matrix import FAULTS, LEAST_USE, RATES, WORKERS, run
from tests.unit.broker.world import Start, World, heaviest

NUMBERS = {
    matrix.broker_killed: "K12",
    matrix.all_restarted: "K13",
    matrix.throttled: "E1",
    matrix.clock_set: "C1",
}


def cases():
    """Give every rate under every fault; the dear ones with one number of senders, in turn."""
    for number, fault in enumerate(FAULTS):
        marks = [pytest.mark.against(NUMBERS[fault])] if fault in NUMBERS else []
        for turn, rate in enumerate(RATES, start=number):
            for workers in WORKERS if rate <= 24 else [WORKERS[turn % 3]]:
                name = f"{fault.__name__}-{rate}-{workers}"
                yield pytest.param(rate, workers, fault, marks=marks, id=name)


@pytest.mark.parametrize(("rate", "workers", "fault"), list(cases()))
def test_never_over_the_rate_and_soon_at_it_again(rate, workers, fault):
    _, found = run(rate, workers, fault)
    assert found.worst <= 1.0
    assert found.at_ses <= 1.0
    assert found.used >= LEAST_USE


@pytest.mark.against("C1")
@pytest.mark.parametrize(("rate", "workers"), [(1, 2), (24, 8), (500, 2)])
def test_c1_calls_start_at_the_same_moments_whatever_the_wall_clock_does(rate, workers):
    starts = []
    for fault in (matrix.clock_set, matrix.steady):
        world = World(rate, workers, "one seed for both")
        fault(world, 4.0)
        starts.append(world.starts)
    assert len(starts[0]) >= 2
    assert starts[0] == starts[1]


@pytest.mark.against("E1")
@pytest.mark.parametrize("rate", [14, 100, 2000])
def test_e1_refusals_halve_the_rate_again_and_again_and_it_climbs_back(rate):
    """Three in ten are refused for five seconds; what was halved comes back by a twentieth."""
    world = World(rate, 2, f"refusing {rate}")
    world.run(3.0)
    matrix.throttled(world, 5.0)
    rates = [told for _, told in world.in_force]
    lowest = min(rates)
    assert world.refused >= 2
    assert lowest <= rate / 4
    assert all(b in (max(1.0, a / 2), rate) or a < b for a, b in itertools.pairwise(rates))
    world.run(10.5)
    assert world.in_force[-1][1] == pytest.approx(lowest + 0.05 * rate, rel=0.01)
    assert matrix.worst_share(world, 1.05) <= 1.0


@pytest.mark.parametrize(("rate", "workers"), [(1, 1), (1, 8), (2, 2), (14, 8)])
def test_calls_without_an_answer_fill_what_may_be_in_the_air_and_no_more(rate, workers):
    """2 R in all; where there are more senders than that, each has one."""
    world, found = run(rate, workers, matrix.timeouts)
    assert world.refused
    assert found.most_in_air <= max(2 * rate, workers)


def test_calls_of_fifty_are_among_those_of_mixed_size():
    assert run(2000, 2, matrix.mixed)[1].largest == 50
    assert run(24, 2, matrix.mixed)[1].largest == 1


# ── the judge itself, and what it must find ──


@pytest.mark.parametrize(
    ("rate", "worst"), [(1, 11), (2, 13), (5, 19), (10, 29), (14, 46), (24, 75), (50, 145)]
)
def test_the_bucket_of_the_ancestor_is_found_out(rate, worst):
    """Full at first, a tenth more every 100 ms, and R anew each second: idle, then a backlog."""
    world = World(rate, 1, "")
    world.starts = [Start(0.99, rate)]
    for tick in range(10, 60):
        world.starts.append(Start(tick / 10, rate if tick % 10 == 0 else math.ceil(rate / 10)))
    assert heaviest(world.starts, 1.0) == worst
    assert matrix.worst_share(world, 1.0) == worst / rate > 2


def test_a_second_over_the_rate_of_its_own_time_is_found_out():
    world = World(8, 1, "")
    world.in_force = [(0.0, 8), (5.0, 2), (8.0, 8)]
    world.starts = [Start(n / 8, 1) for n in range(40)] + [Start(6.5, 1), Start(7.0, 1)]
    assert matrix.worst_share(world, 1.0) == 1.0
    world.starts.append(Start(6.9, 1))
    assert matrix.worst_share(world, 1.0) == 1.5


def test_a_broker_that_does_not_wait_at_its_start_is_found_out(monkeypatch):
    monkeypatch.setattr(broker_actor, "SETTLING_S", 0.0)
    assert run(1, 2, matrix.broker_killed)[1].worst >= 2.0


def test_a_broker_that_starts_full_is_found_out(monkeypatch):
    monkeypatch.setattr(broker_actor.Pace, "rest", lambda pace, now: None)
    monkeypatch.setattr("services.broker.pace.LAG_S", 1.0)
    monkeypatch.setattr("services.broker.pace.WINDOW_S", 0.5)
    assert run(24, 2, matrix.broker_killed)[1].worst > 1.2


def test_permits_used_when_they_are_stale_are_found_out(monkeypatch):
    monkeypatch.setattr(hand, "LATE_S", math.inf)
    monkeypatch.setattr(hand, "START_WITHIN_S", math.inf)
    assert run(100, 2, matrix.senders_stopped)[1].at_ses > 1.0
