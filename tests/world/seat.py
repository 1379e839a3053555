"""A process of the world: what runs in it, its mail, when it wakes; it dies, stops and wakes."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from shared import crash
from shared import protocol as p
from shared.actor import Actor

if TYPE_CHECKING:
    from tests.world.world import World

STARTING_S = 0.4
"""A process that was killed is back after this."""

TURN_S = {"writer": 0.003}
"""A turn takes so long before its letters leave: the writer waits for the disk."""

MOST_FRAMES = 1000


class Killed(BaseException):
    """SIGKILL in the midst of a turn."""


class Trigger:
    """Kills whoever passes a crash point for the n-th time, once."""

    def __init__(self, passages: int) -> None:
        self._left = passages

    def passed(self, _about: object = None) -> None:
        """Count a passage; the last one is the end of the process that passes."""
        self._left -= 1
        if self._left == 0:
            raise Killed


def arm(name: str, passages: int = 1) -> None:
    """Have the process that passes this point of shared/crash.py die there."""
    assert name in crash.POINTS, name
    crash._armed[name] = Trigger(passages)


class Seat:
    """One process; `make` starts what runs in it, `end` lets go of what the kernel would close."""

    def __init__(
        self, world: "World", name: str, make: Callable[[], Actor], end: Callable[[], None]
    ) -> None:
        self.name = name
        self.life = 0
        self.actor: Actor | None = None
        self.mail: list[p.Message] = []
        self.backlog: list[p.Message] = []
        self.stopped_until = 0.0
        self.kills = 0
        self._wakes_at = math.inf
        self._world = world
        self._make = make
        self._end = end

    def begin(self) -> None:
        """Start the process; of what was sent to it meanwhile a part comes through."""
        self.life += 1
        self.stopped_until = 0.0
        self.mail, self.backlog = self.backlog, []
        self.actor = self._make()
        self._wakes_at = math.inf
        self.wake(self._world.time)

    def kill(self, back_after: float = STARTING_S) -> None:
        """SIGKILL; supervisord starts it anew."""
        if self.actor is None:
            return
        self.kills += 1
        self.actor = None
        self._end()
        self._world.at(self._world.time + back_after, self.begin)

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later: mail piles up, clocks go on."""
        self.stopped_until = self._world.time + seconds

    def is_awake(self, life: int) -> bool:
        """Tell whether this life of it is there and not stopped."""
        return self.is_life(life) and self._world.time >= self.stopped_until

    def is_life(self, life: int) -> bool:
        """Tell whether this life of it is not over."""
        return self.actor is not None and self.life == life

    def take(self, message: p.Message) -> None:
        """Get a frame; one for a dead process waits in its sender's socket, or was lost with it."""
        if self.actor is not None:
            self.mail.append(message)
            self.wake(self._world.time + self._world.lateness() / 4)
        elif self._world.dice.random() < 0.5:
            self.backlog.append(message)

    def wake(self, at: float) -> None:
        """Have a turn then, unless there is one before."""
        if at < self._wakes_at:
            self._wakes_at = at
            self._world.at(at, lambda: self._turn(at))

    def _turn(self, meant: float) -> None:
        if self.actor is None or meant != self._wakes_at:
            return
        self._wakes_at = math.inf
        world = self._world
        if world.time < self.stopped_until:
            self.wake(self.stopped_until)
            return
        now, life = world.now, self.life
        mail, self.mail = self.mail[:MOST_FRAMES], self.mail[MOST_FRAMES:]
        try:
            letters = [x for message in mail for x in self.actor.receive(message, now)]
            letters += self.actor.settle(now)
            if now.mono >= self.actor.next_tick(now):
                letters += self.actor.tick(now)
        except Killed:
            self.kill()
            return
        takes = TURN_S.get(self.name, 0.0001) if mail else 0.0001
        world.at(world.time + takes, lambda: world.post(self, life, letters))
        next_at = world.time if self.mail else self.actor.next_tick(now) + world.lateness()
        self.wake(max(world.time + takes + 1e-4, next_at))
