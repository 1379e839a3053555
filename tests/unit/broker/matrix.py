"""Every rate, number of senders and fault of the matrix, and the judge of what was started.

`python -m tests.unit.broker.matrix` prints, per fault and R, the worst second and the use.
"""

import itertools
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from services.sender.reply import Ending, NoReply, Reply
from tests.unit.broker.world import World, heaviest

RATES = [1, 2, 14, 24, 100, 500, 2000]
WORKERS = [1, 2, 8]
NETWORK_S = 0.05
"""What the way to SES may take, more or less: promised for."""

UNDER_WAY_S = 0.12
"""A permit of a former rate may lie ahead, and its call be late and on its way, for so long."""

SETTLED_S = 3.0
SPAN_S = 10.0
LEAST_USE = 0.93
HOUR_S = 3600.0

Fault = Callable[[World, float], None]
"""Breaks things for so many seconds, and leaves them whole."""


# ── what goes wrong ──


def steady(world: World, seconds: float) -> None:
    world.run(seconds)


def idle(world: World, seconds: float) -> None:
    """Five silent seconds, then everybody wants everything: the trap of every token bucket."""
    world.has_mail = False
    world.run(5.0)
    world.has_mail = True
    world.run(seconds / 2)


def senders_killed(world: World, seconds: float) -> None:
    for _ in range(int(seconds / 0.5)):
        world.run(0.5 * world.dice.uniform(0.2, 1.8))
        victim = world.dice.choice(world.senders)
        if victim.actor is not None:
            victim.kill(world.dice.uniform(0.0, 0.6))
    world.run(0.6)


def senders_stopped(world: World, seconds: float) -> None:
    """SIGSTOP for 0.3 to 3 s, permits in hand, mail piling up."""
    for _ in range(int(seconds / 0.5)):
        world.dice.choice(world.senders).stop(world.dice.choice([0.3, 0.9, 3.0]))
        world.run(0.5)
    world.run(3.0)


def broker_killed(world: World, seconds: float) -> None:
    """Every three seconds, and now and then again while it starts; each knows nothing."""
    for _ in range(max(2, int(seconds / 3.0))):
        for pause in (3.0, 0.2):
            world.run(pause)
            if world.broker.actor is not None:
                world.broker.kill(world.dice.choice([0.0, 0.3]))
    world.run(0.6)


def broker_stopped(world: World, seconds: float) -> None:
    for _ in range(int(seconds / 1.0)):
        world.broker.stop(world.dice.choice([0.02, 0.1, 0.9]))
        world.run(1.0)


def all_restarted(world: World, seconds: float) -> None:
    for _ in range(max(2, int(seconds / 2.0))):
        world.run(2.0)
        for seat in (world.broker, *world.senders):
            seat.kill(world.dice.choice([0.0, 0.3, 0.5]))
    world.run(0.6)


def throttled(world: World, seconds: float) -> None:
    """SES answers three calls in ten with 429."""
    throttle = Reply(429, "TooManyRequestsException", "Maximum sending rate exceeded.")
    _answers(world, seconds, 0.05, throttle)


def timeouts(world: World, seconds: float) -> None:
    """SES keeps three calls in ten for 20 s and never answers them."""
    _answers(world, seconds, 20.0, NoReply(left=True, detail="TimeoutError"))


def _answers(world: World, seconds: float, takes: float, bad: Ending) -> None:
    well = world.ending

    def ending() -> tuple[float, Ending | None]:
        if world.dice.random() < 0.3:
            world.refused += 1
            return takes, bad
        return well()

    world.ending = ending
    world.run(seconds)
    world.ending = well


def mixed(world: World, seconds: float) -> None:
    """Jobs of 1 to 50, whatever the chunk, and urgent ones in between."""
    well = world.size
    world.size = lambda most: world.dice.choice([1, 2, 50, max(1, most // 2), most, most])
    world.urgent = 0.2
    world.run(seconds)
    world.size, world.urgent = well, 0.0


def rate_changed(world: World, seconds: float) -> None:
    well = world.rate
    for rate in (well * 0.3, well * 1.5, well * 0.1, well * 0.75, 2000.0):
        world.change_rate(max(1.0, rate))
        world.run(seconds / 5.0)
    world.change_rate(well)


def clock_set(world: World, seconds: float) -> None:
    for step in (HOUR_S, -HOUR_S, 1.0, 0.0):
        world.step = step
        world.run(seconds / 4.0)


def frames_lost(world: World, seconds: float) -> None:
    """A tenth is lost, the others come up to 300 ms late, in order."""
    world.loses, world.delays = 0.1, 0.3
    world.run(seconds)
    world.loses = world.delays = 0.0


def everything(world: World, seconds: float) -> None:
    """All at once."""
    world.loses, world.delays = 0.05, 0.05
    for _ in range(int(seconds / 0.25)):
        seat = world.dice.choice([world.broker, *world.senders])
        if seat.actor is not None and world.dice.random() < 0.3:
            seat.kill(world.dice.uniform(0.0, 0.4))
        elif world.dice.random() < 0.3:
            seat.stop(world.dice.uniform(0.01, 1.0))
        world.has_mail = world.dice.random() < 0.9
        world.run(0.25)
    world.loses, world.delays, world.has_mail = 0.0, 0.0, True
    world.run(1.0)


FAULTS: list[Fault] = [
    steady,
    idle,
    senders_killed,
    senders_stopped,
    broker_killed,
    broker_stopped,
    all_restarted,
    throttled,
    timeouts,
    mixed,
    rate_changed,
    clock_set,
    frames_lost,
    everything,
]
USE_NOT_PROMISED = {timeouts}
"""Calls that hang for 20 s fill what may be in the air: 2 R."""


# ── what came of it ──


class Finding(NamedTuple):
    """One run: the fullest second by starts, the fullest at SES, the use after the fault.

    `worst` and `at_ses` are shares of R, that of the time where it changed; `used` is the share of
    R used in the ten seconds that begin three after the fault. `starts` counts calls, `largest` is
    the most recipients of one.
    """

    worst: float
    at_ses: float
    used: float
    starts: int
    largest: int
    most_in_air: int


def run(rate: float, workers: int, fault: Fault) -> tuple[World, Finding]:
    """Run one case: two seconds and a half of peace, the fault, and what is left of it."""
    lane = "bulk" if fault is mixed else "auto"
    world = World(rate, workers, f"{rate} {workers} {fault.__name__}", lane)
    world.run(2.5)
    fault(world, 6.0 if rate <= 24 else 4.0)
    over = world.time + SETTLED_S
    world.run(SETTLED_S + (SPAN_S if promises_use(fault) else 0.0))
    return world, judge(world, over)


def promises_use(fault: Fault) -> bool:
    """Tell whether R is used again three seconds after this."""
    return fault not in USE_NOT_PROMISED


def judge(world: World, since: float) -> Finding:
    """Judge what was started; the use from then on, if that is what is left."""
    return Finding(
        worst=worst_share(world, 1.0),
        # Whatever arrives within a second was started within 1.05 s, and some network makes it so.
        at_ses=worst_share(world, 1.0 + NETWORK_S),
        used=use(world, since, world.time) if world.time > since else 1.0,
        starts=len(world.starts),
        largest=max(one.recipients for one in world.starts),
        most_in_air=world.most_in_air,
    )


def worst_share(world: World, span: float) -> float:
    """Answer the fullest span's share of the R of its time: the highest of those in force."""
    if len({rate for _, rate in world.in_force}) == 1:
        return heaviest(world.starts, span) / world.in_force[0][1]
    ends = [at for at, _ in world.in_force[1:]] + [float("inf")]
    stretches = [(a, b, r) for (a, r), b in zip(world.in_force, ends, strict=True)]
    worst = 0.0
    for rate in {rate for _, rate in world.in_force}:
        # The windows in which no higher rate was in force, nor any permit of one under way.
        higher = [(a, b) for a, b, other in stretches if other > rate]
        for since, until in gaps(higher, UNDER_WAY_S):
            inside = [one for one in world.starts if since < one.at <= until]
            worst = max(worst, heaviest(inside, span) / rate)
    return worst


def gaps(spans: Iterable[tuple[float, float]], linger: float) -> Iterator[tuple[float, float]]:
    """Answer the stretches outside these spans, each taken as so much longer."""
    since = float("-inf")
    for begin, end in spans:
        yield since, begin
        since = end + linger
    yield since, float("inf")


def use(world: World, since: float, until: float) -> float:
    """Answer the share of what R allowed that was used.

    A second holds whole recipients only: at 1.7/s it is one. One call more or less is chance: the
    one that the span's end cuts off is counted in.
    """
    ends = [at for at, _ in world.in_force[1:]] + [until]
    due = sum(
        max(1, int(rate)) * max(0.0, min(end, until) - max(begin, since))
        for (begin, rate), end in zip(world.in_force, ends, strict=True)
    )
    spent = [one.recipients for one in world.starts if since <= one.at < until]
    return (sum(spent) + max(spent, default=0)) / due


HEAD = """\
% of R, the worst of 1, 2 and 8 senders: fullest second of starts / fullest second at SES, the
network taking 0 to 50 ms / least use of the ten seconds that begin three after the fault
"""


def main() -> None:
    """Print the table; arguments name the faults, none means all."""
    wanted = [fault for fault in FAULTS if not sys.argv[1:] or fault.__name__ in sys.argv[1:]]
    sys.stdout.write(HEAD)
    sys.stdout.write(f"{'R':16}" + "".join(f"{rate:>14}" for rate in RATES) + "\n")
    for fault in wanted:
        found: dict[float, list[Finding]] = defaultdict(list)
        for rate, workers in itertools.product(RATES, WORKERS):
            found[rate].append(run(rate, workers, fault)[1])
        cells = []
        for rate in RATES:
            worst, at_ses = (100 * max(f[n] for f in found[rate]) for n in (0, 1))
            used = f"{100 * min(f.used for f in found[rate]):.0f}" if promises_use(fault) else "-"
            cells.append(f"{math.ceil(worst - 1e-9)}/{math.ceil(at_ses - 1e-9)}/{used}")
        sys.stdout.write(f"{fault.__name__:16}" + "".join(f"{cell:>14}" for cell in cells) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
