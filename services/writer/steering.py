"""Steering a topic: one row, obeyed at once by claims and gates; the rows follow in small steps."""

from services.writer import moves
from services.writer.book import Book
from shared.domain import Cause, State
from shared.protocol import (
    CancelTopic,
    Ordered,
    PauseTopic,
    RescheduleTopic,
    ResumeTopic,
    RetryFailed,
    TopicCancelled,
)
from shared.store.write import ids


def cancel(book: Book, message: CancelTopic) -> TopicCancelled:
    """Stop what was accepted for a topic before now."""
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


def pause(book: Book, message: PauseTopic) -> Ordered:
    """Let nothing of a topic go until it is resumed."""
    raise NotImplementedError


def resume(book: Book, message: ResumeTopic) -> Ordered:
    """Let a paused topic go on."""
    raise NotImplementedError


def reschedule(book: Book, message: RescheduleTopic) -> Ordered:
    """Give what has not left another due time."""
    raise NotImplementedError


def retry_failed(book: Book, message: RetryFailed) -> Ordered:
    """Put the Failed recipients back into the queue."""
    raise NotImplementedError
