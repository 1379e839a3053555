"""Storing submissions: content, batches, recipients and the caller's key in one transaction."""

from collections.abc import Sequence

import msgspec

from services.writer.book import Book
from services.writer.intake import Intake
from shared.domain import RecipientId, SubmissionId
from shared.protocol import LookUp, NotStored, Stored, Submit
from shared.store.write import Row, texts
from shared.wire import Letter


def submit(book: Book, messages: Sequence[Submit]) -> list[Letter]:
    """Store submissions, or say why not; a repeat gets the same answer."""
    known = _answered(book, [message.submission for message in messages])
    intake = Intake(book, [mail for message in messages for mail in message.mails])
    letters: list[Letter] = []
    fresh: list[Row] = []
    for message in messages:
        answer = known.get(message.submission) or _replayed(book, message, known)
        if answer is None:
            answer = _take_in(book, message, intake)
            if isinstance(answer, Stored):
                known[message.submission] = answer
                fresh.append((message.submission, msgspec.msgpack.encode(answer), book.now.ms))
        letters.append(Letter(message.reply_to, answer))
    intake.write()
    book.store.many("add_answered", fresh)
    return letters


def look_up(book: Book, message: LookUp) -> Letter:
    """Say whether a submission is stored; what is not will never be, for it came before."""
    stored = _answered(book, [message.submission]).get(message.submission)
    return Letter(message.reply_to, stored or NotStored(message.submission, "absent"))


def _answered(book: Book, submissions: Sequence[SubmissionId]) -> dict[str, Stored]:
    rows = book.store.rows("answered_these", (texts(submissions),))
    return {row[0]: msgspec.msgpack.decode(row[1], type=Stored) for row in rows}


def _replayed(book: Book, message: Submit, known: dict[str, Stored]) -> Stored | NotStored | None:
    if message.idempotency is None:
        return None
    row = book.store.row("idempotency", (message.idempotency.key,))
    if row is None:
        return None
    body, original = row
    if body != message.idempotency.body:
        return NotStored(message.submission, "idempotency_mismatch")
    stored = known.get(original) or _answered(book, [original]).get(original)
    if stored is None:
        return None
    return msgspec.structs.replace(stored, submission=message.submission, replayed=True)


def _take_in(book: Book, message: Submit, intake: Intake) -> Stored | NotStored:
    if book.now.mono > message.deadline:
        return NotStored(message.submission, "late")
    kept = [intake.keep(message, mail) for mail in message.mails]
    count = sum(len(mail.emails) for mail in message.mails)
    suppressed = sum(number for _, number in kept)
    if message.idempotency is not None:
        key, body = message.idempotency.key, message.idempotency.body
        book.store.run("add_idempotency", (key, body, message.submission, book.now.ms))
    tally = message.tally
    return Stored(
        submission=message.submission,
        original=message.submission,
        total=count + tally.errors + tally.duplicates,
        success=count - suppressed,
        suppressed=suppressed,
        duration_ms=max(0, round((book.now.mono - message.began_mono) * 1000)),
        scheduled_at=message.scheduled_at,
        tally=tally,
        firsts=tuple(RecipientId(first) for first, _ in kept),
    )
