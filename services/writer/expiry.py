"""Expiry: what has not left by then is stopped, also while its topic is paused or all is held.

Claims pass over it and gates refuse it at once; its rows and the counters follow here.
"""

from collections import defaultdict
from itertools import groupby
from operator import itemgetter

from services.writer import claims, moves
from services.writer.book import Book
from services.writer.moves import Batch
from shared.domain import Cause, State
from shared.store.write import Store

STEP_ROWS = 2000
"""Rows one step touches: a few milliseconds, so that no gate waits long."""


def is_due(store: Store, now_ms: int) -> bool:
    """Tell whether anything waits that has expired."""
    return store.row("has_expired", (now_ms,)) is not None


def step(book: Book) -> bool:
    """Stop some of what has expired, the longest expired first; False if nothing has."""
    topics: set[int] = set()
    room = STEP_ROWS - _stop_batches(book, STEP_ROWS, topics)
    if room > 0:
        room -= _stop_retries(book, room, topics)
    for topic in topics:
        for urgent in (0, 1):
            claims.settle_work(book, topic, urgent)
    return room < STEP_ROWS


def _stop_batches(book: Book, room: int, topics: set[int]) -> int:
    left = room
    rows = book.store.rows("expired_batches", (book.now.ms, room))
    for (topic, is_cancelled), group in groupby(rows, itemgetter(3, 4)):
        if left <= 0:
            break
        cause = _cause(is_cancelled)
        batches = [Batch(*row[:3]) for row in group]
        looked, stopped = moves.stop_waiting(book, batches, cause, left)
        left -= looked
        _count(book, topic, cause, stopped)
        topics.add(topic)
    return room - left


def _stop_retries(book: Book, room: int, topics: set[int]) -> int:
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for recipient, topic, is_cancelled in book.store.rows("expired_retries", (book.now.ms, room)):
        groups[topic, is_cancelled].append(recipient)
    for (topic, is_cancelled), recipients in groups.items():
        cause = _cause(is_cancelled)
        _count(book, topic, cause, moves.stop_retries(book, recipients, cause))
        topics.add(topic)
    return sum(map(len, groups.values()))


def _cause(is_cancelled: int) -> Cause:
    return Cause.CANCELLED if is_cancelled else Cause.EXPIRED


def _count(book: Book, topic: int, cause: Cause, stopped: int) -> None:
    if cause is Cause.EXPIRED:  # the counters of what is cancelled moved with the order
        book.move(topic, State.CREATED, State.STOPPED, stopped)
