"""How much each sender has in hand, and how much more it may get.

How much is right, a sender knows best, for it knows the rate in force and which of its calls are
in the air: its Room leaves 0.25 s of its part of R to wait there, beside the calls in the air.
"""

import math
from collections import deque
from typing import NamedTuple

from shared.protocol import Room

EXPIRES_S = 1.2
"""Room is said again every second; a sender silent for longer is dead or stalled."""

UNDER_WAY_S = 0.01
"""A job is counted in by the Room that is heard so long after it was sent, or later.

A Room knows no job ids, so the border is a guess. A job wrongly taken for counted in is one job
too many in a sender that can hold it; one counted twice is free again with the next Room.
"""

SETTLED_S = 0.3
"""A sender whose Room does not change says nothing; a job that old is counted in, or lost."""


class Sent(NamedTuple):
    """Jobs that went to a sender at a time."""

    at: float
    jobs: int
    urgent: int


class Bench:
    """The place of one sender in one epoch: its newest Room and what it was sent since."""

    def __init__(self, room: Room, now: float) -> None:
        self.sender = room.sender
        self.epoch = room.epoch
        self._room = room
        self._heard = now
        self._under_way: deque[Sent] = deque()

    def hear(self, room: Room, now: float) -> None:
        """Take the newest Room; jobs sent before it are in it."""
        if room.seq < self._room.seq:
            return
        self._room = room
        self._heard = now
        self._settle(now - UNDER_WAY_S)

    def give(self, jobs: int, now: float, *, urgent: bool) -> None:
        """Note jobs as sent."""
        self._under_way.append(Sent(now, jobs, jobs if urgent else 0))

    def is_silent(self, now: float) -> bool:
        """Tell whether its Room has expired."""
        return now - self._heard > EXPIRES_S

    def is_open(self, now: float) -> bool:
        """Tell whether the sender is alive and takes work."""
        room = self._room
        return not self.is_silent(now) and not room.draining and room.jobs > 0 and room.size > 0

    @property
    def size(self) -> int:
        """The most recipients that one of its jobs may have."""
        return self._room.size

    def jobs(self, now: float) -> int:
        """Count the jobs in its hands or on the way to it."""
        self._settle(now - SETTLED_S)
        return self._room.held + sum(sent.jobs for sent in self._under_way)

    def urgent(self, now: float) -> int:
        """Count the urgent jobs that wait in its hands or are on the way to it."""
        self._settle(now - SETTLED_S)
        return self._room.urgent + sum(sent.urgent for sent in self._under_way)

    def free(self, now: float) -> int:
        """Answer how many more jobs fit; less than none if it was given more than fits."""
        return self._room.jobs - self.jobs(now)

    def settles_at(self) -> float:
        """Answer when the oldest job on the way counts as arrived (inf: none is)."""
        return self._under_way[0].at + SETTLED_S if self._under_way else math.inf

    def _settle(self, before: float) -> None:
        while self._under_way and self._under_way[0].at <= before:
            self._under_way.popleft()
