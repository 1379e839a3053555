"""Walking recipients and suppressions: a bounded stretch a statement, so that nothing is held up.

There is no index on addresses or states: random inserts would ruin the taking in of mail. What
fits is looked for by id, some thousand rows a step; the caller repeats steps as long as it likes.
"""

import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import apsw

from shared.domain import State
from shared.store.stretch import Stretch, stretch_down, stretch_up

ROOM = 20_000
"""Recipients one statement looks at: some ten milliseconds."""
BATCHES = 1_000
"""Batches of a topic that one statement looks at: they may lie far apart on a cold disk."""
FEW = 20_000
"""As many recipients as are read off another table at once instead of being looked for."""
LOOKS = 2_000
"""Of these as many are read a step."""
MOST_TOLD = 1000
"""Refusals and events of one recipient that are told, the newest."""
NEWEST = 2**63 - 1

Ask = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]


class Wanted(NamedTuple):
    """Which recipients: of a topic, in a state, that had an event of these bits, of an address."""

    topic: int | None = None
    state: State | None = None
    seen: int = 0
    email: str | None = None


class Recipient(NamedTuple):
    """One recipient's mail; a cancelled one is Stopped before its row says so. Times in ms."""

    id: int
    topic: str | None
    email: str
    state: int
    code: str | None
    detail: str | None
    attempts: int
    urgent: int
    message_id: str | None
    accepted_at: int
    scheduled_at: int | None
    expires_at: int | None
    sent_at: int | None
    feedback: int
    seen: int
    opens: int
    flags: int


class Page(NamedTuple):
    """What one step found, in order; `next` is where the next one begins, None at the end."""

    recipients: list[Recipient]
    next: int | None


class Refusal(NamedTuple):
    """A call that did not end in acceptance, or what was decided about a mail."""

    at: int
    attempt: int
    verdict: str
    code: str
    detail: str


class Result(NamedTuple):
    """One event of a recipient."""

    kind: int
    at: int
    subtype: str | None
    detail: str | None


class Place(NamedTuple):
    """What a recipient's topic, batch and place in the queue tell. Times in ms."""

    subject: str | None
    cancelled_at: int | None
    paused_at: int | None
    due_at: int
    is_retry: int
    unknown_since: int | None
    unknown_cancelled: int | None
    opened_at: int | None
    opened_last_at: int | None


class Story(NamedTuple):
    """All that is known of one recipient's mail."""

    recipient: Recipient
    place: Place
    refusals: list[Refusal]
    results: list[Result]


class Suppressed(NamedTuple):
    """An address that is not mailed; `reason` is bounce, complaint or the caller's word."""

    email: str
    reason: str
    source: str
    detail: str
    created_at: int


class Listing:
    """Questions about recipients one by one; each is a few short statements."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def down(self, wanted: Wanted, before: int, limit: int) -> Page:
        """Take one step down from an id, which is not included: newest first."""
        few = self._few(wanted)
        if few is not None:
            below = sorted((one for one in few if one < before), reverse=True)
            return self._page(wanted, *_cut(below, LOOKS, None), limit)
        newest = self._ask("newest_below", (before,))
        if not newest:
            return Page([], None)
        top, batch = newest[0]
        room = _room(wanted, limit)
        stretch: Stretch | None = Stretch(max(1, top - room + 1), top)
        if wanted.topic is not None:
            batches = self._ask("batches_down", (wanted.topic, batch, min(BATCHES, room)))
            stretch = stretch_down(batches, top, room)
        if stretch is None:
            return Page([], None)
        found = self._fitting(wanted, stretch)
        return self._page(wanted, *_cut(found[::-1], limit, stretch.low), limit)

    def up(self, wanted: Wanted, after: int, upto: int, limit: int) -> Page:
        """Take one step up a topic, to an id that is included: oldest first."""
        few = self._few(wanted)
        if few is not None:
            above = sorted(one for one in few if after < one <= upto)
            return self._page(wanted, *_cut(above, LOOKS, None), limit)
        oldest = self._ask("oldest_above", (after,))
        if not oldest:
            return Page([], None)
        bottom, batch = oldest[0]
        room = _room(wanted, limit)
        batches = self._ask("batches_up", (wanted.topic, batch, min(BATCHES, room)))
        stretch = stretch_up(batches, bottom, min(upto, NEWEST - 1), room)
        if stretch is None:
            return Page([], None)
        found = self._fitting(wanted, stretch, limit + 1)
        return self._page(wanted, *_cut(found, limit, stretch.high), limit)

    def newest(self) -> int:
        """Answer the newest recipient's id, 0 if there is none."""
        rows = self._ask("newest_below", (NEWEST,))
        return int(rows[0][0]) if rows else 0

    def story(self, recipient: int) -> Story | None:
        """Tell all that is known of one recipient's mail."""
        found = self._recipients(Wanted(), [recipient])
        places = self._ask("story", (recipient,))
        if not found or not places:
            return None
        refusals = self._ask("refusals", (recipient, MOST_TOLD))
        results = self._ask("results", (recipient, MOST_TOLD))
        return Story(
            found[0],
            Place(*places[0]),
            [Refusal(*row) for row in refusals],
            [Result(*row) for row in results],
        )

    def suppressions(self, after: str, limit: int) -> list[Suppressed]:
        """List addresses that are not mailed, in their order, after one."""
        return [Suppressed(*row) for row in self._ask("suppressions", (after, limit))]

    def suppression(self, email: str) -> Suppressed | None:
        """Tell whether and why an address is not mailed."""
        rows = self._ask("suppression", (email.lower(),))
        return Suppressed(*rows[0]) if rows else None

    def _few(self, wanted: Wanted) -> list[int] | None:
        """Answer who may fit where another table knows them all, None where none does."""
        if wanted.state is State.PROCESSED:
            # As many as the senders hold: a few thousand at most.
            return [one for row in self._ask("leased", ()) for one in _unpack(row[0])]
        if wanted.state is State.UNKNOWN:
            rows = self._ask("unknowns", (FEW + 1,))
        elif wanted.state is State.FAILED and wanted.topic is not None:
            rows = self._ask("failures_of", (wanted.topic, FEW + 1))
        else:
            return None
        return None if len(rows) > FEW else [row[0] for row in rows]

    def _fitting(self, wanted: Wanted, stretch: Stretch, most: int = ROOM) -> list[int]:
        """Answer who fits in a stretch, oldest first."""
        values = (stretch.low, stretch.high, wanted.state, wanted.seen, wanted.email)
        if wanted.topic is None:
            rows = self._ask("fitting", values)
        else:
            batches = (wanted.topic, stretch.first, stretch.last, most)
            rows = self._ask("fitting_in_topic", values + batches)
        return [row[0] for row in rows]

    def _page(self, wanted: Wanted, found: list[int], end: int | None, limit: int) -> Page:
        by_id = {row.id: row for row in self._recipients(wanted, found)}
        rows = [by_id[one] for one in found if one in by_id]
        return Page(rows, end) if len(rows) <= limit else Page(rows[:limit], rows[limit - 1].id)

    def _recipients(self, wanted: Wanted, recipients: Sequence[int]) -> list[Recipient]:
        if not recipients:
            return []
        ids = apsw.carray(array.array("q", recipients))
        values = (ids, wanted.state, wanted.seen, wanted.email, wanted.topic)
        return [Recipient(*row) for row in self._ask("recipients", values)]


def _room(wanted: Wanted, limit: int) -> int:
    """Answer how many recipients to look at: where every one fits, no more than are wanted."""
    is_plain = wanted.state is None and not wanted.seen and wanted.email is None
    return limit if is_plain else ROOM


def _cut(found: list[int], most: int, end: int | None) -> tuple[list[int], int | None]:
    """Answer the first so many, and where to go on: behind them, or at the end of the step."""
    return (found, end) if len(found) <= most else (found[:most], found[most - 1])


def _unpack(blob: bytes) -> Iterable[int]:
    recipients = array.array("q")
    recipients.frombytes(blob)
    return recipients
