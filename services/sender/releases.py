"""Addresses to be taken off SES's own suppression list: one call at a time, at a gentle pace; pure.

An order is begun once, however often it is said; said again when it is done, it gets the same
answer for a while. It costs nothing to lose one: what is not on SES's list counts as taken off.
"""

import math
from typing import NamedTuple

from shared.protocol import ReleaseAtSes, ReleasedAtSes, Unreleased
from shared.wire import Letter

GAP_S = 0.1
"""SES gives no number for this call; ten a second leave room for whoever else calls."""

THROTTLED_S = 1.0
TRIES = 5
KEEP_S = 600.0


class Release(NamedTuple):
    """One call to be made."""

    order: str
    email: str


class Ended(NamedTuple):
    """How the call ended; no error: SES does not hold the address (any more).

    `again` where SES only wants fewer calls, `concerns_all` where no other address would fare
    better (credentials, permission, no way to SES).
    """

    error: str = ""
    again: bool = False
    concerns_all: bool = False


class Task:
    """An order that is being carried out."""

    def __init__(self, message: ReleaseAtSes) -> None:
        self.message = message
        self.left = list(dict.fromkeys(message.emails))[::-1]
        self.released = 0
        self.refused: list[Unreleased] = []
        self.tries = 0


class Releases:
    """The orders of a sender, first come, first served; times are monotonic seconds."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self._tasks: dict[str, Task] = {}
        self._done: dict[str, tuple[float, ReleasedAtSes]] = {}
        self._begin_at = -math.inf
        self._is_calling = False

    def take(self, message: ReleaseAtSes, now: float) -> None:
        """Take an order, or answer again one that is done."""
        self._forget(now - KEEP_S)
        if message.order in self._done:
            self.letters.append(Letter(message.reply_to, self._done[message.order][1]))
        elif message.order not in self._tasks:
            self._tasks[message.order] = Task(message)
            self._close_finished(now)

    def next_at(self) -> float:
        """Answer when a call is to be made; never, while one is under way or nothing is asked."""
        return self._begin_at if self._tasks and not self._is_calling else math.inf

    def begin(self, now: float) -> Release | None:
        """Answer a call that must be made now; it counts as under way until `ended`."""
        if now < self.next_at():
            return None
        self._is_calling = True
        self._begin_at = now + GAP_S
        order, task = next(iter(self._tasks.items()))
        return Release(order, task.left[-1])

    def ended(self, release: Release, ended: Ended, now: float) -> None:
        """Take the end of a call."""
        self._is_calling = False
        task = self._tasks[release.order]
        task.tries += 1
        if ended.again and task.tries < TRIES:
            self._begin_at = now + THROTTLED_S
            return
        task.tries = 0
        spoken_for = task.left[::-1] if ended.concerns_all or ended.again else [release.email]
        del task.left[len(task.left) - len(spoken_for) :]
        if ended.error:
            task.refused += [Unreleased(email, ended.error) for email in spoken_for]
        else:
            task.released += 1
        self._close_finished(now)

    def _close_finished(self, now: float) -> None:
        for order, task in list(self._tasks.items()):
            if not task.left:
                del self._tasks[order]
                answer = ReleasedAtSes(order, task.released, tuple(task.refused))
                self._done[order] = (now, answer)
                self.letters.append(Letter(task.message.reply_to, answer))

    def _forget(self, before: float) -> None:
        for order in [order for order, (at, _) in self._done.items() if at < before]:
            del self._done[order]
