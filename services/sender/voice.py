"""What a sender says of itself: its levels, and the facts that nobody acknowledges; pure.

How the levels stay right when frames are lost: Room, Demand and Holding say how things are, never
what changed, and are said again within a second whatever happens. Room says how many jobs this
process would hold in all and how many it holds; a lost Assign is therefore room that is still free
in the next Room, and a job that was leased but never arrived is missing from the next Holding, by
which the writer takes it back. Demand lists every permit wanted; what a lost Permits frame granted
is asked for under a new number, the old one listed as unused.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from services.sender.lane import MOST_IN_AIR
from services.sender.level import Level
from services.sender.permits import Air, Permits
from shared.domain import JobId
from shared.protocol import AccountRead, BulkRefused, Demand, Hello, Holding, Room
from shared.wire import Letter

HELLO_AGAIN_S = 0.5


class Terms(NamedTuple):
    """Who this sender is, what was set for it, and how many calls its way to SES takes at once."""

    name: str
    epoch: int
    workers: int = 1
    lane: str = "auto"
    our_from: str = ""
    most_in_air: int = MOST_IN_AIR


class Capacity(NamedTuple):
    """How many jobs this sender would hold in all, of what size, and how many it holds.

    `urgent` is how many wait that are urgent.
    """

    jobs: int
    size: int
    held: int
    draining: bool
    urgent: int


class Voice:
    """The timing and the numbers of what is said."""

    def __init__(self, terms: Terms) -> None:
        self.account: AccountRead | None = None
        self._terms = terms
        self._hello = Level(every=HELLO_AGAIN_S, gap=0.0)
        self._room = Level(every=0.3, gap=0.02)
        self._holding = Level(every=1.0, gap=0.0)
        self._account = Level(every=10.0, gap=0.0)
        self._refusal = Level(every=60.0, gap=0.0)
        self._room_seq = 0
        self._demand_seq = 0

    def greeting(self, begun: tuple[JobId, ...] | None, now: float) -> Iterator[Letter]:
        """Say that a new epoch began, until the writer welcomes it."""
        if self._hello.is_due(None, now):
            yield Letter("writer", Hello(self._terms.name, self._terms.epoch, begun))

    def levels(self, capacity: Capacity, held: Iterable[JobId], now: float) -> Iterator[Letter]:
        """Say the room and the jobs in hand where it is time."""
        name, epoch = self._terms.name, self._terms.epoch
        if self._room.is_due(capacity, now):
            self._room_seq += 1
            yield Letter("scheduler", Room(name, epoch, self._room_seq, *capacity))
        if self._holding.is_due(None, now):
            yield Letter("writer", Holding(name, epoch, tuple(held)))

    def facts(self, refusal: str, now: float) -> Iterator[Letter]:
        """Say again what GetAccount answered, and why bulk calls are refused, if they are."""
        if self.account is not None and self._account.is_due(self.account, now):
            yield Letter("writer", self.account)
        if refusal and self._refusal.is_due(refusal, now):
            yield Letter("writer", BulkRefused(self._terms.name, refusal))

    def demand(self, permits: Permits, room: Air, now: float) -> Iterator[Letter]:
        """Say which permits are wanted where it is time; `room` is how many calls may start."""
        listing = permits.listing(room, now)
        if listing is not None:
            self._demand_seq += 1
            name, epoch = self._terms.name, self._terms.epoch
            yield Letter("broker", Demand(name, epoch, self._demand_seq, *listing))

    def next_greeting(self) -> float:
        """Answer when to say hello again."""
        return self._hello.next_at(None)

    def next_levels(self, capacity: Capacity, refusal: str) -> float:
        """Answer when a level or a fact must be said next."""
        return min(
            self._room.next_at(capacity),
            self._holding.next_at(None),
            self._account.next_at(self.account) if self.account else math.inf,
            self._refusal.next_at(refusal) if refusal else math.inf,
        )
