"""Moving recipients between states: rows, queue, counters and history change together."""

from collections.abc import Iterable

from services.writer.book import Book, Lease, Standing, unpack
from shared.domain import Cause, RecipientId, State, move
from shared.protocol import Answer
from shared.store.write import Row, ids

MAYBE_DUPLICATE = 1
DUPLICATE_SUSPECTED = 2

_REASONS = {
    Cause.CANCELLED: "cancelled",
    Cause.EXPIRED: "expired",
    Cause.LISTED: "suppressed",
}


def standings(book: Book, recipients: Iterable[int]) -> dict[int, Standing]:
    """Read where recipients stand; a cancelled batch counts as stopped before its rows say so."""
    found = {}
    for row in book.store.rows("standing", (ids(recipients),)):
        state = State.STOPPED if row[12] and row[1] == State.CREATED else State(row[1])
        found[row[0]] = Standing(row[0], state, *row[2:12])
    return found


def lease_of(row: Row) -> Lease:
    """Turn a row of the lease table into a Lease."""
    job, batch, topic, urgent, blob, gated_at, cancelled = row[:7]
    return Lease(job, batch, topic, urgent, unpack(blob), gated_at, cancelled)


def to_sent(book: Book, who: Standing, cause: Cause, at: int, message_id: str) -> None:
    """SES has it: by its own answer, or proven by an event."""
    new = move(who.state, cause)
    book.store.run("set_sent", (at, message_id or None, who.recipient))
    _leave(book, who.state, who.recipient)
    book.move(who.topic, who.state, new)
    book.send(who.topic, at)


def to_queue(book: Book, who: Standing, cause: Cause, due_at: int) -> None:
    """Back to the queue for another turn at that time."""
    new = move(who.state, cause)
    book.store.run("set_state", (new, None, None, who.recipient))
    _leave(book, who.state, who.recipient)
    book.store.run("add_retry", (who.recipient, who.topic, who.urgent, due_at))
    book.move(who.topic, who.state, new)
    book.wait(who.topic, who.urgent, due_at)


def to_failed(book: Book, who: Standing, cause: Cause, answer: Answer) -> None:
    """Final, with SES's code and words."""
    new = move(who.state, cause)
    book.store.run("set_state", (new, answer.code, answer.detail, who.recipient))
    _leave(book, who.state, who.recipient)
    book.move(who.topic, who.state, new)


def to_stopped(book: Book, who: Standing, cause: Cause) -> None:
    """Final: cancelled, expired or suppressed."""
    new = move(who.state, cause)
    book.store.run("set_state", (new, _REASONS[cause], None, who.recipient))
    _leave(book, who.state, who.recipient)
    book.move(who.topic, who.state, new)


def to_unknown(book: Book, who: Standing, lease: Lease, answer: Answer | None = None) -> None:
    """SES may have it: evidence, or the operator, will tell."""
    new = move(who.state, Cause.LOST)
    code, detail = (answer.code, answer.detail) if answer else ("lost", "the sender died")
    book.store.run("set_state", (new, code, detail, who.recipient))
    # The attempt began at the gate; an event since then is of this attempt.
    since = lease.gated_at or book.now.ms
    book.store.run("add_unknown", (who.recipient, lease.job, since, lease.cancelled))
    book.move(who.topic, who.state, new)


def give_back(book: Book, lease: Lease) -> None:
    """Take a job from its sender: surely not sent without an attempt, unknown with one."""
    for who in standings(book, lease.recipients).values():
        if who.state is not State.PROCESSED:
            continue
        if lease.gated_at is not None:
            to_unknown(book, who, lease)
        elif lease.cancelled:
            to_stopped(book, who, Cause.CANCELLED)
        else:
            to_queue(book, who, Cause.GIVEN_BACK, book.now.ms)
    book.store.run("drop_leases", (ids([lease.job]),))


def _leave(book: Book, old: State, recipient: RecipientId) -> None:
    """Take a recipient out of the table that belonged to its old state."""
    if old is State.CREATED:
        book.store.run("drop_retries", (ids([recipient]),))
    elif old is State.UNKNOWN:
        book.store.run("drop_unknowns", (ids([recipient]),))
