"""Outcomes: what SES answered becomes states, retries, history and the account's state."""

import zlib
from collections.abc import Collection, Mapping, Sequence

from services.writer import moves
from services.writer.account import Account
from services.writer.book import Book, Lease, Standing
from services.writer.events import adopt_orphans
from shared.backoff import MAX_ATTEMPTS, retry_delay
from shared.domain import Cause, State, Verdict, move
from shared.protocol import Answer, Outcome, RecordOutcomes
from shared.store.write import ids

THROTTLED_WAIT_MS = 1000
"""The rate is halved meanwhile; at once would only be refused again."""

UNREACHED_WAIT_MS = 2000
"""SES could not be reached; the account's hold spaces the tries out further."""


def record(book: Book, message: RecordOutcomes, account: Account) -> None:
    """Apply each job's outcome; one that was applied before changes nothing."""
    rows = book.store.rows("leases", (ids(outcome.job for outcome in message.outcomes),))
    leases = {row[0]: moves.lease_of(row) for row in rows}
    plain = _plain(book, message.outcomes, leases)
    _accept(book, plain, leases)
    for outcome in message.outcomes:
        lease = leases.pop(outcome.job, None)
        if plain.get(outcome.job) is outcome:
            account.judge(outcome.answers, outcome.job, book.now)
        elif lease is not None:
            _apply(book, outcome, lease, account)
        else:
            _apply_late(book, outcome)
    adopt_orphans(book, (answer for outcome in message.outcomes for answer in outcome.answers))


def _plain(
    book: Book, outcomes: Sequence[Outcome], leases: Mapping[int, Lease]
) -> dict[int, Outcome]:
    """Find the jobs that SES accepted whole, all of whose mail is still in hand.

    They are nearly all. Nothing that is said of others touches them: a recipient in hand is in one
    job only.
    """
    leased = [who for lease in leases.values() for who in lease.recipients]
    in_hand = {row[0] for row in book.store.rows("leased", (ids(leased),))}
    return {
        outcome.job: outcome
        for outcome in outcomes
        if outcome.job in leases
        and all(answer.verdict is Verdict.ACCEPTED for answer in outcome.answers)
        and in_hand.issuperset(leases[outcome.job].recipients)
        and sorted(leases[outcome.job].recipients)
        == sorted(answer.recipient for answer in outcome.answers)
    }


def _accept(book: Book, plain: Mapping[int, Outcome], leases: Mapping[int, Lease]) -> None:
    """Write down that SES accepted these jobs whole."""
    new = move(State.PROCESSED, Cause.ACCEPTED)
    rows = []
    for job, outcome in plain.items():
        topic = leases[job].topic
        book.move(topic, State.PROCESSED, new, len(outcome.answers))
        for answer in outcome.answers:
            rows.append((answer.at, answer.message_id or None, answer.recipient))
            book.send(topic, answer.at)
    book.store.many("set_sent", rows)
    book.store.run("drop_leases", (ids(plain),))


def _apply(book: Book, outcome: Outcome, lease: Lease, account: Account) -> None:
    answers = {answer.recipient: answer for answer in outcome.answers}
    standing = moves.standings(book, lease.recipients)
    for who in standing.values():
        answer = answers.get(who.recipient)
        if answer is None:
            _put_back(book, who, lease, book.now.ms)
        else:
            _answered(book, who, lease, answer)
    account.judge(outcome.answers, lease.job, book.now)
    book.store.run("drop_leases", (ids([lease.job]),))


def _apply_late(book: Book, outcome: Outcome) -> None:
    """Take what still tells something new: the lease ran out before the answer came.

    An acceptance is true at any time. Anything else matters only to a recipient that this very
    job left unknown; a repeat of an outcome finds none.
    """
    late = {answer.recipient: answer for answer in outcome.answers}
    for recipient, who in moves.standings(book, late).items():
        answer = late[who.recipient]
        if answer.verdict is Verdict.ACCEPTED:
            _accepted(book, who, answer)
        elif who.state is State.UNKNOWN:
            row = book.store.row("unknown_job", (recipient,))
            if row is not None and row[0] == outcome.job and answer.verdict is not Verdict.UNKNOWN:
                lease = Lease(outcome.job, who.batch, who.topic, who.urgent, [], None, row[1])
                _refused(book, who, lease, answer)
    _put_back_late(book, outcome, late)


def _put_back_late(book: Book, outcome: Outcome, named: Collection[int]) -> None:
    """Whom a late outcome does not name was surely not sent."""
    rows = book.store.rows("unknown_of", (outcome.job,))
    unknown: dict[int, int] = {row[0]: row[1] for row in rows if row[0] not in named}
    for recipient, who in moves.standings(book, unknown).items():
        lease = Lease(outcome.job, who.batch, who.topic, who.urgent, [], None, unknown[recipient])
        _put_back(book, who, lease, book.now.ms)


def _answered(book: Book, who: Standing, lease: Lease, answer: Answer) -> None:
    if answer.verdict is Verdict.ACCEPTED:
        _accepted(book, who, answer)
        return
    if who.state is not State.PROCESSED:
        return  # an event was faster: it is sent
    if answer.verdict is Verdict.UNKNOWN:
        _remember(book, who, answer)
        moves.to_unknown(book, who, lease, answer)
    else:
        _refused(book, who, lease, answer)


def _accepted(book: Book, who: Standing, answer: Answer) -> None:
    if who.state is not State.SENT:
        moves.to_sent(book, who, Cause.ACCEPTED, answer.at, answer.message_id)
    elif who.message_id is None:
        book.store.run("set_message_id", (answer.message_id, who.recipient))
    elif who.message_id != answer.message_id:
        book.store.run("set_flag", (moves.DUPLICATE_SUSPECTED, who.recipient))


def _refused(book: Book, who: Standing, lease: Lease, answer: Answer) -> None:
    """SES surely does not have it: for good, for now, or not this mail's fault."""
    _remember(book, who, answer)
    match answer.verdict:
        case Verdict.PERMANENT:
            moves.to_failed(book, who, Cause.REFUSED, answer)
        case Verdict.FOR_NOW:
            _refused_for_now(book, who, lease, answer)
        case Verdict.THROTTLED:
            _put_back(book, who, lease, book.now.ms + THROTTLED_WAIT_MS)
        case Verdict.NOT_SENT:
            _put_back(book, who, lease, book.now.ms + UNREACHED_WAIT_MS)
        case _:
            _put_back(book, who, lease, book.now.ms)


def _refused_for_now(book: Book, who: Standing, lease: Lease, answer: Answer) -> None:
    book.store.run("count_refusal", (who.recipient,))
    refusals = who.refusals + 1
    if refusals >= MAX_ATTEMPTS and who.state is State.PROCESSED:
        moves.to_failed(book, who, Cause.EXHAUSTED, answer)
        return
    # The jitter is the recipient's own, so that a repeat decides the same.
    jitter = (zlib.crc32(b"%d" % who.recipient) % 1000) / 1000
    delay = retry_delay(refusals, jitter)
    _put_back(book, who, lease, book.now.ms + int(delay * 1000))


def _put_back(book: Book, who: Standing, lease: Lease, due_at: int) -> None:
    if who.state not in {State.PROCESSED, State.UNKNOWN}:
        return
    if lease.cancelled:
        moves.to_stopped(book, who, Cause.CANCELLED)
    else:
        moves.to_queue(book, who, Cause.GIVEN_BACK, due_at)


def _remember(book: Book, who: Standing, answer: Answer) -> None:
    values = (
        who.recipient,
        answer.at,
        who.attempts,
        answer.verdict.value,
        answer.code,
        answer.detail,
    )
    book.store.run("add_refusal", values)
