"""What follows an order in small steps: the rows of cancelled topics, and the like."""

from services.writer.book import Book
from shared.store.write import ids

STEP_ROWS = 2000
"""Rows one step touches: a few milliseconds, so that no gate waits long."""


def sweep(book: Book) -> bool:
    """Write 'stopped' into some rows of cancelled topics; True while more are left.

    The counters moved with the order itself; only the rows are behind.
    """
    for topic, cutoff in book.store.rows("unswept"):
        done = _sweep_batches(book, topic, cutoff) + _sweep_retries(book, topic, cutoff)
        if not done:
            book.store.run("set_swept", (cutoff, topic))
        return True
    return False


def _sweep_batches(book: Book, topic: int, cutoff: int) -> int:
    rows = 0
    for batch, first, last in book.store.rows("cancelled_batches", (topic, cutoff, STEP_ROWS)):
        end = min(last, first + STEP_ROWS - rows - 1)
        book.store.run("stop_stretch", (first, end))
        book.store.run("move_cursor", (end + 1, batch))
        rows += end - first + 1
        if rows >= STEP_ROWS:
            break
    return rows


def _sweep_retries(book: Book, topic: int, cutoff: int) -> int:
    rows = book.store.rows("cancelled_retries", (topic, cutoff, STEP_ROWS))
    found = [row[0] for row in rows]
    book.store.run("stop_these", (ids(found),))
    book.store.run("drop_retries", (ids(found),))
    return len(found)
