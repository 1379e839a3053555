"""What follows an order in small steps: the rows of cancelled topics, new due times, retries.

What is left to do stands in the topic's row, so that a restart goes on where it was.
"""

from services.writer import claims, expiry, moves
from services.writer.book import Book
from services.writer.expiry import STEP_ROWS
from services.writer.moves import Batch
from shared import crash
from shared.domain import Cause, State
from shared.store.write import ids

HEAVY = 2
"""A row that is redated or put back is as much work as so many that are stopped."""


class Sweeps:
    """Takes the sweeps in turn, and the topics of each: none waits for the end of another."""

    def __init__(self) -> None:
        self._steps = (
            ("unswept", stop_cancelled),
            ("redating", redate),
            ("retrying", retry),
        )
        self._after = [0] * len(self._steps)
        self._turn = 0

    def step(self, book: Book) -> bool:
        """Make one step of a few milliseconds; False if nothing is left to do."""
        for _ in range(len(self._steps) + 1):
            self._turn = (self._turn + 1) % (len(self._steps) + 1)
            if expiry.step(book) if self._turn == len(self._steps) else self._sweep(book):
                return True
        return False

    def _sweep(self, book: Book) -> bool:
        name, step = self._steps[self._turn]
        row = book.store.row(name, (self._after[self._turn],)) or book.store.row(name, (0,))
        if row is None:
            return False
        self._after[self._turn] = row[0]
        step(book, row[0])
        crash.point("writer.sweeping")
        return True


def stop_cancelled(book: Book, topic: int) -> None:
    """Write 'stopped' into some rows of a cancelled topic.

    The counters moved with the order itself; only the rows are behind.
    """
    cutoff, *_ = _orders(book, topic)
    rows = book.store.rows("cancelled_batches", (topic, cutoff, STEP_ROWS))
    done, _ = moves.stop_waiting(book, (Batch(*row) for row in rows), Cause.CANCELLED, STEP_ROWS)
    if done < STEP_ROWS:
        rows = book.store.rows("cancelled_retries", (topic, cutoff, STEP_ROWS - done))
        moves.stop_retries(book, [row[0] for row in rows], Cause.CANCELLED)
        done += len(rows)
    if done < STEP_ROWS:
        book.store.run("set_swept", (cutoff, topic))
        for urgent in (0, 1):
            claims.settle_work(book, topic, urgent)


def redate(book: Book, topic: int) -> None:
    """Give some of a topic's waiting mail its new due time; at the end it may be claimed again."""
    _, upto, due_at, is_scheduled, _ = _orders(book, topic)
    room = STEP_ROWS // HEAVY
    for urgent in (1, 0):
        for name in ("redate_sooner", "redate_later"):
            values = (topic, urgent, upto, due_at, is_scheduled, room)
            room -= book.store.run(name, values)
            room -= book.store.run(f"{name}_retries", (*values[:4], room))
    if room > 0:
        book.store.run("set_redated", (topic,))
        wake(book, topic)


def retry(book: Book, topic: int) -> None:
    """Put some of a topic's Failed recipients back into the queue, if nothing is in the way.

    What of it is cancelled is stopped first: a row put back would look like one of those.
    """
    cutoff, *_, upto = _orders(book, topic)
    if cutoff:
        return
    room = STEP_ROWS // HEAVY
    found = [row[0] for row in book.store.rows("failures", (topic, upto, room))]
    if found:
        book.store.run("note_retried", (ids(found), book.now.ms))
        back = book.store.run("requeue_these", (ids(found),))
        book.store.run("add_retries", (ids(found), book.now.ms))
        book.store.run("drop_failures", (ids(found),))
        book.move(topic, State.FAILED, State.CREATED, back)
        wake(book, topic)
    if len(found) < room:
        book.store.run("set_retried", (topic,))


def wake(book: Book, topic: int) -> None:
    """Put a topic into work as its waiting mail asks for, unless it is paused or being redated."""
    for urgent in (0, 1):
        due_at = claims.next_due(book, topic, urgent)
        if due_at is not None:
            book.wait(topic, urgent, due_at)


def _orders(book: Book, topic: int) -> tuple[int, int, int, int, int]:
    row = book.store.row("topic_orders", (topic,))
    assert row is not None, "topics are for ever"
    cutoff, redate_upto, redate_due, redate_scheduled, retry_upto = row
    return cutoff, redate_upto, redate_due, redate_scheduled, retry_upto
