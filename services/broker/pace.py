"""When the next call may start: evenly paced slots under a sliding log of what was granted."""

import math
from collections import deque

from shared.domain import MAX_RECIPIENTS_PER_CALL

WINDOW_S = 1.0621
"""Span in which at most R recipients are granted.

A call starts up to 12 ms after its slot and reaches SES up to 50 ms later, so the calls of one
second at SES have slots within 1.062 s. The last 0.1 ms swallows rounding.
"""

SHARE = 0.94
"""Part of R that slots are paced at: the highest that leaves the log room to breathe."""

LAG_S = 0.05
"""How far slots may fall behind their pace and still catch up, while demand waits.

It makes good what a late tick, a full log or a permit that came back cost.
"""

CHUNKS_PER_SECOND = 80
"""Calls are at most R/80 recipients: with bigger ones R is no near multiple of a call."""


def chunk_at(rate: float) -> int:
    """Answer how many recipients a call may have at this rate."""
    return max(1, min(MAX_RECIPIENTS_PER_CALL, int(rate / CHUNKS_PER_SECOND)))


def limit_at(rate: float) -> int:
    """Answer how many recipients a window may have; below 1/s it is one, paced further apart."""
    return max(1, int(rate))


class Slot:
    """A granted start as the log keeps it; `recipients` is 0 once it no longer counts."""

    __slots__ = ("at", "recipients")

    def __init__(self, at: float, recipients: int) -> None:
        self.at = at
        self.recipients = recipients


class Pace:
    """The slots at one rate; all times are monotonic seconds.

    Slots never go back in time. The pace alone would do for calls that start when they should;
    the log holds whatever came before: another rate, mixed sizes, permits given back.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._limit = limit_at(rate)
        self._seconds_each = 1.0 / (SHARE * rate)
        self._next = -math.inf
        self._last = -math.inf
        self._log: deque[Slot] = deque()
        self._logged = 0

    def change(self, rate: float, now: float) -> None:
        """Go on at another rate; what is left of the current wait shrinks or grows with it.

        It grows to one recipient's at the most: what was granted ahead at a high rate is paid for
        at that rate, and the log sees to the second that follows.
        """
        wait, former = self._next - now, self.rate
        self.rate = rate
        self._limit = limit_at(rate)
        self._seconds_each = 1.0 / (SHARE * rate)
        if wait > 0:
            self._next = now + min(wait * former / rate, max(wait, self._seconds_each))

    def rest(self, now: float) -> None:
        """Say that nobody waited until now: idle time is not saved up for a burst."""
        self._next = max(self._next, now)

    def earliest(self, now: float, recipients: int) -> float:
        """Answer when a call of so many may start; never (inf) if it is larger than a window."""
        if recipients > self._limit:
            return math.inf
        at = max(now, self._last)
        self._forget(at - WINDOW_S)
        at = max(at, self._next)
        excess = self._logged + recipients - self._limit
        if excess <= 0:
            return at
        for slot in self._log:
            excess -= slot.recipients
            if excess <= 0:
                break
        return max(at, slot.at + WINDOW_S)

    def take(self, at: float, recipients: int) -> Slot:
        """Use up the slot that `earliest` answered."""
        self._next = max(self._next, at - LAG_S) + recipients * self._seconds_each
        self._last = at
        self._logged += recipients
        slot = Slot(at, recipients)
        self._log.append(slot)
        return slot

    def give_back(self, slot: Slot) -> int:
        """Take a slot out of the log and the pace that surely was not used; answer its worth.

        A slot older than the window holds nobody up any more and is worth nothing.
        """
        worth = slot.recipients
        slot.recipients = 0
        self._logged -= worth
        self._next -= worth * self._seconds_each
        return worth

    def started(self, since: float, until: float) -> int:
        """Count the recipients whose slots lie in this span, at most the last second."""
        return sum(slot.recipients for slot in self._log if since < slot.at <= until)

    def _forget(self, before: float) -> None:
        while self._log and self._log[0].at <= before:
            slot = self._log.popleft()
            self._logged -= slot.recipients
            slot.recipients = 0
