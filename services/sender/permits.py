"""Which permits are wanted, which were granted, which will not be used; pure.

Demand is a level: the whole list of wanted asks, in order, so a lost Demand is mended by the
next. A lost Permit shows in two ways: the broker serves a lane in order, so an ask that was passed
over has been granted and lost; and the last ask of a lane has waited unreasonably long. Either
gets a new number, and the old one is listed as unused, as is every permit that came too late or
for nothing, so that the broker can count it as free.
"""

import heapq
import math
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from services.sender.level import Level
from shared.domain import MAX_RECIPIENTS_PER_CALL, JobId
from shared.protocol import Ask, Permit

UNUSED_FOR_S = 1.0
"""How long an unused ask is listed: four levels, of which one arrives."""


MOST_AT_ONCE = 64
"""Permits wanted or at hand: if all are for the same moment, the last call must not be late."""


class Wish(NamedTuple):
    """One permit wanted for a job."""

    ask: Ask
    job: JobId
    urgent: bool
    since: float


class Grant(NamedTuple):
    """A permit at hand: it may be used from `not_before` on, by a call of `recipients`."""

    not_before: float
    job: JobId
    recipients: int
    ask: int


class Listing(NamedTuple):
    """What a Demand says."""

    urgent: tuple[Ask, ...]
    bulk: tuple[Ask, ...]
    unused: tuple[int, ...]


MOST_RECIPIENTS_IN_AIR = 5_000
"""Of one sender: 5,000 mails/s at an answer a second; bounds the memory of calls of 50."""


class Air(NamedTuple):
    """How many more calls may start, urgent ones and bulk ones."""

    urgent: int
    bulk: int


def air(share: int, in_air: int) -> Air:
    """Answer how many more calls may start beside those in the air.

    Where there is a choice one place is left to urgent mail, so that it can leave although SES
    keeps every bulk call waiting. Three places or fewer are all needed to keep up the rate while
    SES takes a second to answer.
    """
    free = share - in_air
    return Air(free, free - 1 if share > 3 else free)


def within(room: Air, recipients: int, size: int) -> Air:
    """Leave as many calls as keep the recipients in the air, so many now, within bounds.

    One more is left to urgent mail here too.
    """
    left = max(0, MOST_RECIPIENTS_IN_AIR - recipients) // max(1, size)
    return Air(min(room.urgent, left + 1), min(room.bulk, left))


class Permits:
    """The asks of one sender, at most one for a job; each lane is in order of asking."""

    def __init__(self) -> None:
        self._number = 0
        self._lanes: dict[bool, dict[int, Wish]] = {True: {}, False: {}}
        self._granted: dict[int, Grant] = {}
        self._due: list[tuple[float, int]] = []
        self._asks: dict[JobId, int] = {}
        self._unused: dict[int, float] = {}
        self._change = 0
        self._level = Level(every=0.25, gap=0.01, value=0)
        self._limit = 0

    @property
    def granted(self) -> int:
        """How many permits are at hand and not used yet."""
        return len(self._granted)

    def has(self, job: JobId) -> bool:
        """Tell whether a permit for the job is wanted or at hand."""
        return job in self._asks

    def want(self, job: JobId, recipients: int, now: float, *, urgent: bool) -> None:
        """Ask for a permit for a job that has none."""
        self._number += 1
        self._lanes[urgent][self._number] = Wish(Ask(self._number, recipients), job, urgent, now)
        self._asks[job] = self._number
        self._change += 1

    def withdraw(self, job: JobId, now: float) -> None:
        """Want none for this job any more, whether it is granted or not."""
        ask = self._asks.pop(job, None)
        if ask is None:
            return
        if self._granted.pop(ask, None) is None:
            for lane in self._lanes.values():
                lane.pop(ask, None)
        self.void(ask, now)

    def void(self, ask: int, now: float) -> None:
        """List an ask as unused for a while."""
        self._unused[ask] = now + UNUSED_FOR_S
        self._change += 1

    def take(
        self, permits: Iterable[Permit], now: float, most: int = MAX_RECIPIENTS_PER_CALL
    ) -> None:
        """Take the permits of one frame, and ask anew where one must have been lost before.

        So too where an ask is for more than `most` recipients: the rate has fallen since, and the
        broker may have none for so many.
        """
        newest = {True: 0, False: 0}
        for permit in permits:
            wish = self._wished(permit.ask)
            if wish is None:
                # A repeat of a permit at hand is not a second one.
                if permit.ask not in self._granted:
                    self.void(permit.ask, now)
                continue
            grant = Grant(permit.not_before, wish.job, wish.ask.recipients, permit.ask)
            self._granted[permit.ask] = grant
            heapq.heappush(self._due, (permit.not_before, permit.ask))
            newest[wish.urgent] = max(newest[wish.urgent], permit.ask)
            self._change += 1
        for urgent, lane in self._lanes.items():
            self._ask_anew(
                [
                    wish
                    for ask, wish in lane.items()
                    if ask < newest[urgent] or wish.ask.recipients > most
                ],
                now,
                most,
            )

    def _wished(self, ask: int) -> Wish | None:
        return self._lanes[True].pop(ask, None) or self._lanes[False].pop(ask, None)

    def ask_anew_since(self, since: float, most: int, now: float) -> None:
        """Ask anew for what has waited since before this time, for at most so many recipients."""
        for lane in self._lanes.values():
            self._ask_anew([wish for wish in lane.values() if wish.since <= since], now, most)

    def _ask_anew(
        self, wishes: list[Wish], now: float, most: int = MAX_RECIPIENTS_PER_CALL
    ) -> None:
        for wish in wishes:
            self.withdraw(wish.job, now)
            self.want(wish.job, min(wish.ask.recipients, most), now, urgent=wish.urgent)

    def pop_due(self, now: float) -> Grant | None:
        """Answer the next permit whose time has come, and forget its ask."""
        if self.next_due() > now:
            return None
        grant = self._granted.pop(heapq.heappop(self._due)[1])
        del self._asks[grant.job]
        self._change += 1
        return grant

    def next_due(self) -> float:
        """Answer when the first permit at hand may be used."""
        while self._due and self._due[0][1] not in self._granted:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else math.inf

    def listing(self, room: Air, now: float) -> Listing | None:
        """Answer the level if it must be said now; `room` is how many more calls may start."""
        urgent, bulk = self._lanes[True], self._lanes[False]
        limit = max(0, min(room.urgent, MOST_AT_ONCE) - len(self._granted))
        if limit != self._limit and len(urgent) + len(bulk) > min(limit, self._limit):
            self._change += 1
        self._limit = limit
        for ask in [ask for ask, until in self._unused.items() if until <= now]:
            del self._unused[ask]
            self._change += 1
        if self.next_listing() > now or not self._level.is_due(self._change, now):
            return None
        asks = [wish.ask for wish in urgent.values()][:limit]
        left = max(0, limit - len(asks) - (room.urgent - room.bulk))
        others = (wish.ask for wish in islice(bulk.values(), left))
        return Listing(tuple(asks), tuple(others), tuple(self._unused))

    def next_listing(self) -> float:
        """Answer when the level must be said next; never, once it said that nothing is wanted."""
        if self._change == self._level.value and not self._asks and not self._unused:
            return math.inf
        return self._level.next_at(self._change)
