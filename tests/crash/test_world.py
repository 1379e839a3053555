"""A seeded walk through the whole pipeline: whatever dies, stops or is lost, the oracle is content.

One process, virtual time: the actors are the product's, the world around them is tests/world.
"""

import random
from collections.abc import Callable

import pytest

from services.sender.hand import Call
from shared import crash
from tests.world import amazon
from tests.world.amazon import Fate
from tests.world.building import make_world
from tests.world.seat import arm
from tests.world.world import World

POINTS = [
    name
    for name in crash.POINTS
    if not name.startswith(("api.", "results.")) and name != "writer.sweeping"
]
TROUBLES_S = 40.0

__all__ = ["make_world"]


def some_of_everything(dice: random.Random) -> Callable[[Call], Fate]:
    """Lose, refuse and throttle a little, as a bad day at SES does."""

    def script(call: Call) -> Fate:
        luck = dice.random()
        if luck < 0.01:
            return amazon.lose(amazon.TIMEOUT, 20.0)(call)
        if luck < 0.02:
            return amazon.refuse(amazon.ERROR)(call)
        if luck < 0.04:
            return amazon.refuse(amazon.REFUSED, arrives=False)(call)
        if luck < 0.05:
            return amazon.refuse(amazon.THROTTLED)(call)
        return Fate(tuple(dice.random() > 0.01 for _ in call.addressees))

    return script


def walk(world: World, seed: str) -> None:
    """Post, cancel and pause; kill, stop, drop and cut off, at times that the seed says."""
    dice = random.Random(seed)

    def when() -> float:
        return dice.uniform(1.0, TROUBLES_S)

    world.loses = 0.06
    for number in range(8):
        urgent = number == 7
        topic, many, at = f"t{number}", 20 if urgent else 220, when() / 2
        world.after(at, lambda t=topic, n=many, u=urgent: world.callers.post(t, n, urgent=u))
        if number in {1, 3, 4}:
            # Jobs are on their way to senders that do not look yet when the cancel comes.
            cancel = at + dice.uniform(0.7, 2.0)
            for seat in world.senders:
                world.after(cancel - 0.3, lambda seat=seat: seat.stop(0.8))
            world.after(cancel, lambda topic=topic: world.callers.cancel(topic))
    pause = when()
    world.after(pause, lambda: world.callers.pause("t2"))
    world.after(pause + 20.0, lambda: world.callers.resume("t2"))
    for seat in world.seats.values():
        world.after(when(), seat.kill)
        world.after(when(), lambda seat=seat: seat.stop(dice.uniform(0.05, 3.0)))
    for point in dice.sample(POINTS, 5):
        world.after(when(), lambda point=point: arm(point, dice.randint(1, 5)))
    world.after(when(), lambda: world.senders[0].stop(70.0))
    outage = when()
    world.ses.script = some_of_everything(dice)
    bad = dice.choice([amazon.refuse(amazon.ERROR), amazon.lose(amazon.ERROR)])
    world.after(outage, lambda: setattr(world.ses, "script", bad))
    world.after(outage + 8.0, lambda: setattr(world.ses, "script", some_of_everything(dice)))
    deaf = when()
    world.after(deaf, lambda: setattr(world.sns, "is_up", False))
    world.after(deaf + 10.0, lambda: setattr(world.sns, "is_up", True))
    world.after(2.0 * TROUBLES_S, lambda: setattr(world.ses, "script", amazon.all_well))
    world.after(2.0 * TROUBLES_S, lambda: setattr(world, "loses", 0.0))
    world.run(2.0 * TROUBLES_S)


@pytest.mark.against("K2", "K14")
@pytest.mark.parametrize("seed", ["1", "2", "4", "5", "8"])
def test_a_walk_through_all_troubles(make_world, seed):
    world = make_world(seed)
    walk(world, seed)
    world.rest(2400.0)
    assert world.judge() == []
    assert sum(seat.kills for seat in world.seats.values()) >= 5
