"""Retention: what is kept for a time only, deleted in small steps that hold up nothing.

Single events go by their own age, recipients by the age of whatever happened to them last.
Counters, results by topic, suppressions and the hours of sending are kept for ever. A walk visits
what is old from its beginning every few hours: what was not ripe, or came late, is found by the
next one. Its place is in memory; a step that was undone is made good by the next walk too.
"""

import math
from collections import Counter
from typing import NamedTuple, Protocol

from services.writer.book import Book
from shared import log
from shared.clock import Now
from shared.domain import State
from shared.store.write import Row, Store, ids

DAY_MS = 86_400_000
WALK_EVERY_S = 6 * 3600.0
STEP_EVERY_S = 0.05
BUSY_WAIT_S = 1.0
"""A step waits for a turn without mail, but no longer than this."""

EVENTS_OF = 1000
"""Recipients whose events one step looks through: three events each are a few milliseconds."""

STEP_RECIPIENTS = 400
STEP_BATCHES = 100
"""Recipients and batches one step looks through: a few milliseconds, so that no gate waits."""

SHRINK_PAGES = 200
SPARE_PAGES = 2_000
"""Free pages (4 KB) that stay: new rows take them."""

SPARE_SHARE = 0.2
"""Only a file of which more than this is free is made smaller: else it would only grow again."""

LOOK_EVERY_S = 60.0


class Keep(NamedTuple):
    """How long recipients and single events are kept, in milliseconds; 0 is for ever."""

    recipients_ms: int = 0
    events_ms: int = 0


class Walk(Protocol):
    """One way through all that may be old."""

    gone: int
    what: str

    def step(self, book: Book) -> bool:
        """Look through a little; True while there is more."""


class EventWalk:
    """Deletes old events, in the order of recipients: an event is not older than its recipient."""

    what = "events"

    def __init__(self, keep_ms: int) -> None:
        self.gone = 0
        self._keep_ms = keep_ms
        self._place = 0

    def step(self, book: Book) -> bool:
        """Look through the events of the next recipients of whom there are any."""
        cutoff = book.now.ms - self._keep_ms
        row = book.store.row("next_event", (self._place,))
        if row is None or row[0] is None:
            return False
        first = int(row[0])
        accepted = book.store.row("accepted_at", (first,))
        if accepted is not None and accepted[0] >= cutoff:
            return False  # and those behind it came later still
        self._place = first + EVENTS_OF
        self.gone += book.store.run("drop_events", (first, self._place - 1, cutoff))
        return True


class Place(NamedTuple):
    """Where a walk through batches goes on: at this recipient of this batch."""

    due_at: int = -(2**62)
    batch: int = 0
    recipient: int = 0


class RecipientWalk:
    """Deletes recipients that have long been final, their batches, and contents nobody uses."""

    what = "recipients"

    def __init__(self, keep_ms: int) -> None:
        self.gone = 0
        self._keep_ms = keep_ms
        self._place = Place()

    def step(self, book: Book) -> bool:
        """Look through the next recipients, of one batch or of many."""
        cutoff = book.now.ms - self._keep_ms
        batches = _old_batches(book.store, self._place, cutoff)
        leased = {row[0] for row in book.store.rows("leased_batches")} if batches else set()
        visited: list[Row] = []
        found: list[tuple[int, int, int]] = []
        room = STEP_RECIPIENTS
        for row in batches:
            if room <= 0:
                break
            due_at, batch, topic, _, first, last, is_settled = row
            begin = max(first, self._place.recipient) if batch == self._place.batch else first
            is_ready = is_settled and batch not in leased
            end = min(last, begin + room - 1) if is_ready else last
            self._place = Place(due_at, batch, end + 1) if end < last else Place(due_at, batch + 1)
            if is_ready:
                final = book.store.rows("final_recipients", (begin, end, cutoff))
                found += [(topic, recipient, state) for recipient, state in final]
                visited.append(row)
                room -= end - begin + 1
        self.gone += len(found)
        _forget(book.store, found)
        _forget_batches(book.store, visited)
        return bool(batches)


def _old_batches(store: Store, place: Place, cutoff: int) -> list[Row]:
    """Answer the next batches that were due before a time."""
    due_at, batch, _ = place
    rows = store.rows("batches_due_at", (due_at, batch, cutoff, STEP_BATCHES))
    rows += store.rows("batches_due_after", (due_at, cutoff, STEP_BATCHES - len(rows)))
    return store.rows("batches", (ids(row[0] for row in rows),)) if rows else []


def _forget(store: Store, found: list[tuple[int, int, int]]) -> None:
    """Delete recipients, given as (topic, id, state), and all that is kept of them."""
    if not found:
        return
    gone = [recipient for _, recipient, _ in found]
    for name in ("results", "openings", "refusals", "recipients"):
        store.run(f"forget_{name}", (ids(gone),))
    store.run("drop_failures", (ids(gone),))
    failed = Counter(topic for topic, _, state in found if state == State.FAILED)
    for topic, count in Counter(topic for topic, _, _ in found).items():
        store.run("count_forgotten", (count, failed[topic], topic))


def _forget_batches(store: Store, batches: list[Row]) -> None:
    """Delete the batches of whom nobody is left, then the contents that no batch uses."""
    contents = []
    for _, batch, _, content, first, last, _ in batches:
        if store.row("any_recipient", (first, last)) is None:
            store.run("forget_batch", (batch,))
            contents.append(content)
    if contents:
        _forget_contents(store, contents)


def _forget_contents(store: Store, contents: list[int]) -> None:
    """Delete unused contents, not the newest: senders know texts by ids, none may come twice."""
    spared = store.row("spared_content")
    if spared is not None:
        store.run("drop_spared")
        contents = [*spared, *contents]
    for content in dict.fromkeys(contents):
        if not store.run("forget_content", (content,)) and store.row("is_spare", (content,)):
            store.run("spare_content", (content,))


class Retention:
    """Walks through what may be old, a step now and then, and gives free pages back."""

    def __init__(self, keep: Keep) -> None:
        self.next_at = -math.inf
        self._keep = keep
        self._walks: list[Walk] = []
        self._walk_at = -math.inf
        self._is_shrinking = False

    def is_due(self, now: Now, *, is_idle: bool) -> bool:
        """Tell whether to take a step; while mail comes in every turn it waits a while."""
        return now.mono >= self.next_at + (0.0 if is_idle else BUSY_WAIT_S)

    def step(self, book: Book) -> None:
        """Take one step, in a transaction of its own of a few milliseconds."""
        now = book.now.mono
        if not self._walks and now >= self._walk_at:
            self._begin(book, now)
        is_walking = bool(self._walks)
        if is_walking:
            self._walk(book)
        else:
            self._shrink(book.store)
        is_busy = is_walking or self._is_shrinking
        self.next_at = now + (STEP_EVERY_S if is_busy else LOOK_EVERY_S)

    def _begin(self, book: Book, now: float) -> None:
        self._walk_at = now + WALK_EVERY_S
        keep = self._keep
        if keep.recipients_ms:
            self._walks.append(RecipientWalk(keep.recipients_ms))
            _forget_contents(book.store, [])
        if keep.events_ms:
            self._walks.append(EventWalk(keep.events_ms))

    def _walk(self, book: Book) -> None:
        walk = self._walks[0]
        if walk.step(book):
            return
        self._walks.pop(0)
        if walk.gone:
            log.get("writer").info("deleted for their age", **{walk.what: walk.gone})

    def _shrink(self, store: Store) -> None:
        """Give pages back while far more are free than new rows will soon take."""
        if not store.can_shrink:
            return
        free, pages = store.pages()
        if self._is_shrinking:
            store.shrink(min(SHRINK_PAGES, free - SPARE_PAGES))
            free -= SHRINK_PAGES
        self._is_shrinking = free > SPARE_PAGES and (
            self._is_shrinking or free > SPARE_SHARE * pages
        )


def age(store: Store, now: Now, keep: Keep) -> None:
    """Forget what is kept for a fixed time, a few rows at once."""
    for name in ("age_answered", "age_idempotency"):
        store.run(name, (now.ms - DAY_MS,))
    store.run("age_minutes", ((now.ms - 2 * DAY_MS) // 60_000,))
    store.run("age_orphans")
    if keep.events_ms:
        store.run("age_old_orphans", (now.ms - keep.events_ms,))
