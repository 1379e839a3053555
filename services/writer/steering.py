"""Steering a topic: one row, obeyed at once by claims and gates; the rows follow in small steps.

The first step is made with the order, so that for an ordinary topic it is the last one too. Of two
orders that cannot both hold, the later one does.
"""

from typing import TypeAlias

from services.writer import moves, sweeps
from services.writer.book import Book, Standing
from shared.domain import Cause, State
from shared.protocol import (
    CancelTopic,
    OrderDone,
    Ordered,
    OrderRefused,
    PauseTopic,
    RescheduleTopic,
    ResumeTopic,
    RetryFailed,
    TopicCancelled,
)
from shared.store.write import ids

TopicOrder: TypeAlias = PauseTopic | ResumeTopic | RescheduleTopic | RetryFailed


def cancel(book: Book, message: CancelTopic) -> TopicCancelled:
    """Stop what was accepted for a topic before now, the Failed that are being retried included."""
    topic = _topic(book, message.topic)
    if topic is None:
        return TopicCancelled(message.order, 0, 0)
    stopped, in_flight = _stop_leases(book, topic)
    waiting = _created(book, topic)
    book.store.run("cancel_topic", (topic, _newest_batch(book), book.now.ms))
    book.store.run("mark_unknown_cancelled", (topic,))
    _out_of_work(book, topic)
    book.move(topic, State.CREATED, State.STOPPED, waiting)
    sweeps.stop_cancelled(book, topic)
    return TopicCancelled(message.order, stopped + waiting, in_flight)


def steer(book: Book, message: TopicOrder) -> Ordered:
    """Pause, resume, reschedule a topic or retry its Failed; one never heard of is refused."""
    topic = _topic(book, message.topic)
    if topic is None:
        return OrderRefused(message.order, "no_such_topic")
    match message:
        case PauseTopic():
            return _pause(book, topic, message)
        case ResumeTopic():
            return _resume(book, topic, message)
        case RescheduleTopic():
            return _reschedule(book, topic, message)
        case RetryFailed():
            return _retry_failed(book, topic, message)


def _pause(book: Book, topic: int, message: PauseTopic) -> OrderDone:
    """Let nothing of a topic go until it is resumed; a topic that is paused gets a new reason."""
    book.store.run("pause_topic", (topic, book.now.ms, message.reason))
    waiting, in_flight = _recall(book, topic)
    return OrderDone(message.order, waiting, in_flight)


def _resume(book: Book, topic: int, message: ResumeTopic) -> OrderDone:
    """Let a paused topic go on."""
    book.store.run("resume_topic", (topic,))
    sweeps.wake(book, topic)
    return OrderDone(message.order, _created(book, topic))


def _reschedule(book: Book, topic: int, message: RescheduleTopic) -> OrderDone:
    """Give what has not left another due time."""
    due_at = book.now.ms if message.due_at is None else message.due_at
    values = (topic, _newest_batch(book), due_at, int(message.due_at is not None))
    book.store.run("redate_topic", values)
    waiting, in_flight = _recall(book, topic)
    sweeps.redate(book, topic)
    return OrderDone(message.order, waiting, in_flight)


def _retry_failed(book: Book, topic: int, message: RetryFailed) -> OrderDone:
    """Put the Failed recipients back into the queue; who fails from now on is not among them."""
    row = book.store.row("failed_count", (topic,))
    book.store.run("retry_topic", (topic,))
    sweeps.retry(book, topic)
    return OrderDone(message.order, int(row[0]) if row else 0)


def _topic(book: Book, name: str) -> int | None:
    row = book.store.row("topic_by_name", (name,))
    return None if row is None else int(row[0])


def _created(book: Book, topic: int) -> int:
    """Answer how many wait by the counters, which know nothing yet of this very order."""
    row = book.store.row("created_count", (topic,))
    return int(row[0]) if row else 0


def _newest_batch(book: Book) -> int:
    row = book.store.row("sequence", ("batch",))
    return int(row[0]) if row else 0


def _out_of_work(book: Book, topic: int) -> None:
    for urgent in (0, 1):
        book.store.run("drop_work", (topic, urgent))


def _recall(book: Book, topic: int) -> tuple[int, int]:
    """Take a topic out of work, and what is not through the gate away from the senders.

    Answers how many recipients wait then, and how many are through the gate.
    """
    _out_of_work(book, topic)
    waiting, in_flight = _created(book, topic), 0
    for row in book.store.rows("topic_leases", (topic,)):
        lease = moves.lease_of(row)
        if lease.gated_at is None:
            waiting += moves.give_back(book, lease)
        else:
            in_flight += len(_processed(book, lease.recipients))
    return waiting, in_flight


def _stop_leases(book: Book, topic: int) -> tuple[int, int]:
    """Stop jobs that are not through the gate; count the recipients of those that are."""
    stopped = in_flight = 0
    for row in book.store.rows("topic_leases", (topic,)):
        lease = moves.lease_of(row)
        leased = _processed(book, lease.recipients)
        if lease.gated_at is not None:
            book.store.run("mark_cancelled", (ids([lease.job]),))
            in_flight += len(leased)
            continue
        for who in leased:
            moves.to_stopped(book, who, Cause.CANCELLED)
        book.store.run("drop_leases", (ids([lease.job]),))
        stopped += len(leased)
    return stopped, in_flight


def _processed(book: Book, recipients: list[int]) -> list[Standing]:
    found = moves.standings(book, recipients).values()
    return [who for who in found if who.state is State.PROCESSED]
