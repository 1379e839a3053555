"""Orders over a whole topic: one row, obeyed at once; the rows follow in small steps."""

import msgspec

from services.writer import moves
from services.writer.book import Book
from shared.domain import Cause, State
from shared.protocol import CancelTopic, TopicCancelled
from shared.store.write import ids
from shared.wire import Letter

STEP_ROWS = 2000
"""Rows one sweep step touches: a few milliseconds, so that no gate waits long."""


def cancel(book: Book, message: CancelTopic) -> Letter:
    """Stop what was accepted for a topic before now; a repeat gets the same answer."""
    row = book.store.row("answered", (message.order,))
    if row is not None:
        answer = msgspec.msgpack.decode(row[0], type=TopicCancelled)
    else:
        answer = _cancel(book, message)
        values = (message.order, msgspec.msgpack.encode(answer), book.now.ms)
        book.store.run("add_answered", values)
    return Letter(message.reply_to, answer)


def _cancel(book: Book, message: CancelTopic) -> TopicCancelled:
    row = book.store.row("topic_by_name", (message.topic,))
    if row is None:
        return TopicCancelled(message.order, 0, 0)
    topic = int(row[0])
    stopped, in_flight = _recall(book, topic)
    waiting = book.store.row("created_count", (topic,))
    newest = book.store.row("sequence", ("batch",))
    book.store.run("cancel_topic", (newest[0] if newest else 0, topic))
    book.store.run("mark_unknown_cancelled", (topic,))
    for urgent in (0, 1):
        book.store.run("drop_work", (topic, urgent))
    count = int(waiting[0]) if waiting else 0
    book.move(topic, State.CREATED, State.STOPPED, count)
    return TopicCancelled(message.order, stopped + count, in_flight)


def _recall(book: Book, topic: int) -> tuple[int, int]:
    """Stop jobs that are not through the gate; count the recipients of those that are."""
    stopped = in_flight = 0
    for row in book.store.rows("topic_leases", (topic,)):
        lease = moves.lease_of(row)
        leased = [
            who
            for who in moves.standings(book, lease.recipients).values()
            if who.state is State.PROCESSED
        ]
        if lease.gated_at is not None:
            book.store.run("mark_cancelled", (ids([lease.job]),))
            in_flight += len(leased)
            continue
        for who in leased:
            moves.to_stopped(book, who, Cause.CANCELLED)
        book.store.run("drop_leases", (ids([lease.job]),))
        stopped += len(leased)
    return stopped, in_flight


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
