"""Moving recipients between states: rows, queue, counters and history change together."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.writer import suspects
from services.writer.book import Book, Lease, Standing, unpack
from services.writer.suspects import QUIET_MS, Fate
from shared import log
from shared.domain import Cause, RecipientId, State, move
from shared.protocol import Answer
from shared.store.write import Row, ids

MAYBE_DUPLICATE = 1
DUPLICATE_SUSPECTED = 2


class Ending(NamedTuple):
    """How a mail ends that was not sent: the code in its row, the sentence in its history."""

    code: str
    detail: str


ENDINGS = {
    Cause.CANCELLED: Ending("cancelled", "cancelled before it was sent"),
    Cause.EXPIRED: Ending("expired", "not sent before its expires_at"),
    Cause.LISTED: Ending("suppressed", "its address is on the suppression list"),
}


QUARANTINED = Ending(
    suspects.CODE,
    f"senders died {suspects.QUARANTINE_AT} times with this mail in hand, the last times while no"
    " other was to blame; SES does not have it, as far as can be known, and it goes out again only"
    ' if told to: "retry failed"',
)


class Batch(NamedTuple):
    """What is left to be claimed of a batch: recipients first..last."""

    batch: int
    first: int
    last: int


def standings(book: Book, recipients: Iterable[int]) -> dict[int, Standing]:
    """Read where recipients stand; a cancelled batch counts as stopped before its rows say so."""
    found = {}
    for row in book.store.rows("standing", (ids(recipients),)):
        *values, is_cancelled = row
        state = State.STOPPED if is_cancelled and row[1] == State.CREATED else State(row[1])
        found[row[0]] = Standing(row[0], state, *values[2:])
    return found


def lease_of(row: Row) -> Lease:
    """Turn a row of the lease table into a Lease."""
    job, batch, topic, urgent, blob, gated_at, cancelled = row[:7]
    return Lease(job, batch, topic, urgent, unpack(blob), gated_at, cancelled)


def to_sent(book: Book, who: Standing, cause: Cause, at: int, message_id: str) -> State:
    """SES has it: by its own answer, or proven by an event."""
    new = move(who.state, cause)
    book.store.run("set_sent", (at, message_id or None, who.recipient))
    _leave(book, who.state, who.recipient)
    book.move(who.topic, who.state, new)
    book.send(who.topic, at)
    return new


def to_queue(book: Book, who: Standing, cause: Cause, due_at: int) -> State:
    """Back to the queue for another turn at that time, or its topic's; what has expired stops.

    Answers the state it is in now.
    """
    new = move(who.state, cause)
    if who.expires_at is not None and who.expires_at <= book.now.ms:
        return _end(book, who, Cause.EXPIRED, move(new, Cause.EXPIRED))
    due_at = max(due_at, who.not_before)
    book.store.run("set_state", (new, None, None, who.recipient))
    _leave(book, who.state, who.recipient)
    values = (who.recipient, who.topic, who.urgent, due_at, who.expires_at)
    book.store.run("add_retry", values)
    book.move(who.topic, who.state, new)
    book.wait(who.topic, who.urgent, due_at)
    return new


def resend(book: Book, who: Standing, detail: str) -> State:
    """Send an Unknown mail again: SES has not got it, for the reason in `detail`."""
    state = to_queue(book, who, Cause.ABSENT, book.now.ms)
    if state is State.CREATED:
        book.store.run("set_flag", (MAYBE_DUPLICATE, who.recipient))
        note(book, who, "resent", detail)
    return state


def to_failed(book: Book, who: Standing, cause: Cause, answer: Answer) -> None:
    """Final, with SES's code and words."""
    _fail(book, who, move(who.state, cause), Ending(answer.code, answer.detail))


def quarantine(book: Book, who: Standing, cause: Cause) -> State:
    """Final: it would be sent again, for that cause, and has killed every sender that had it."""
    new = move(move(who.state, cause), Cause.EXHAUSTED)
    _fail(book, who, new, QUARANTINED)
    if cause is Cause.ABSENT:
        # Whoever has it tried again sends what SES may have had, as far as proof can err.
        book.store.run("set_flag", (MAYBE_DUPLICATE, who.recipient))
    note(book, who, *QUARANTINED)
    # Told to try it again, it begins anew.
    book.store.run("drop_suspicion", (who.recipient,))
    log.get("writer").error("a mail kills senders and is put away", recipient=who.recipient)
    return new


def to_stopped(book: Book, who: Standing, cause: Cause) -> State:
    """Final: cancelled or expired (Stopped), or listed (Suppressed)."""
    return _end(book, who, cause, move(who.state, cause))


def note(book: Book, who: Standing, word: str, detail: str) -> None:
    """Write into a recipient's history what was decided about it."""
    book.store.run("add_note", (who.recipient, book.now.ms, who.attempts, word, detail))


def stop_waiting(book: Book, batches: Iterable[Batch], cause: Cause, room: int) -> tuple[int, int]:
    """Write into the rows of batches, `room` at most, that they will not be sent.

    Answers how many rows it looked at, those of the batches included, and how many recipients
    waited; the counters are the caller's.
    """
    rows: list[int] = []
    closed: list[int] = []
    for batch, first, last in batches:
        left = room - len(rows) - len(closed)
        if left <= 0:
            break
        rows += range(first, min(last + 1, first + left))
        if last - first < left:
            closed.append(batch)
        else:
            book.store.run("move_cursor", (first + left, batch))
    stopped = book.store.run("stop_these", (ENDINGS[cause].code, ids(rows)))
    book.store.run("close_batches", (ids(closed),))
    return len(rows) + len(closed), stopped


def stop_retries(book: Book, recipients: Sequence[int], cause: Cause) -> int:
    """Write into the rows of recipients that wait for another turn that they will not be sent.

    Answers how many waited; the counters are the caller's.
    """
    stopped = book.store.run("stop_these", (ENDINGS[cause].code, ids(recipients)))
    book.store.run("drop_retries", (ids(recipients),))
    return stopped


def to_unknown(book: Book, who: Standing, lease: Lease, answer: Answer | None = None) -> None:
    """SES may have it: evidence, or the operator, will tell."""
    new = move(who.state, Cause.LOST)
    code, detail = (answer.code, answer.detail) if answer else ("lost", "the sender died")
    book.store.run("set_state", (new, code, detail, who.recipient))
    # The attempt began at the gate; an event since then is of this attempt.
    since = lease.gated_at or book.now.ms
    book.store.run("add_unknown", (who.recipient, lease.job, since, lease.cancelled))
    book.move(who.topic, who.state, new)


def give_back(book: Book, lease: Lease, fates: Mapping[int, Fate] | None = None) -> int:
    """Take a job from its sender: surely not sent without an attempt, unknown with one.

    `fates` are of a sender that died. Answers how many of its recipients wait in the queue again.
    """
    fates = fates or {}
    waiting = 0
    for who in standings(book, lease.recipients).values():
        if who.state is not State.PROCESSED:
            continue
        if lease.gated_at is not None:
            to_unknown(book, who, lease)
        elif lease.cancelled:
            to_stopped(book, who, Cause.CANCELLED)
        else:
            fate = fates.get(who.recipient, Fate.AT_ONCE)
            waiting += _to_turn(book, who, fate) is State.CREATED
    book.store.run("drop_leases", (ids([lease.job]),))
    return waiting


def _to_turn(book: Book, who: Standing, fate: Fate) -> State:
    if fate is Fate.QUARANTINE:
        return quarantine(book, who, Cause.GIVEN_BACK)
    pause = QUIET_MS if fate is Fate.LATER else 0
    return to_queue(book, who, Cause.GIVEN_BACK, book.now.ms + pause)


def _fail(book: Book, who: Standing, new: State, ending: Ending) -> None:
    book.store.run("set_state", (new, *ending, who.recipient))
    _leave(book, who.state, who.recipient)
    book.store.run("add_failure", (who.recipient, who.topic))
    book.move(who.topic, who.state, new)


def _end(book: Book, who: Standing, cause: Cause, new: State) -> State:
    ending = ENDINGS[cause]
    book.store.run("set_state", (new, ending.code, None, who.recipient))
    _leave(book, who.state, who.recipient)
    note(book, who, ending.code, ending.detail)
    book.move(who.topic, who.state, new)
    return new


def _leave(book: Book, old: State, recipient: RecipientId) -> None:
    """Take a recipient out of the table that belonged to its old state."""
    if old in {State.CREATED, State.STOPPED}:  # Stopped: cancelled, and the sweep is on its way
        book.store.run("drop_retries", (ids([recipient]),))
    elif old is State.UNKNOWN:
        book.store.run("drop_unknowns", (ids([recipient]),))
    elif old is State.FAILED:
        book.store.run("drop_failures", (ids([recipient]),))
