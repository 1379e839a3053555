"""Storing submissions: content, batches, recipients and the caller's key in one transaction."""

import hashlib
import json

import msgspec

from services.writer.book import Book
from shared.domain import NO_TOPIC, SubmissionId
from shared.protocol import LookUp, Mail, NotStored, Stored, Submit
from shared.store.write import texts
from shared.wire import Letter


def submit(book: Book, message: Submit) -> Letter:
    """Store a submission, or say why not; a repeat gets the same answer."""
    return Letter(message.reply_to, _submit(book, message))


def look_up(book: Book, message: LookUp) -> Letter:
    """Say whether a submission is stored; what is not will never be, for it came before."""
    stored = _answered(book, message.submission)
    return Letter(message.reply_to, stored or NotStored(message.submission, "absent"))


def _submit(book: Book, message: Submit) -> Stored | NotStored:
    repeated = _answered(book, message.submission) or _replayed(book, message)
    if repeated is not None:
        return repeated
    if book.now.mono > message.deadline:
        return NotStored(message.submission, "late")
    count = sum([_store_mail(book, message, mail) for mail in message.mails])
    tally = message.tally
    stored = Stored(
        submission=message.submission,
        original=message.submission,
        total=count + tally.errors + tally.duplicates,
        success=count,
        suppressed=0,
        duration_ms=max(0, round((book.now.mono - message.began_mono) * 1000)),
        scheduled_at=message.scheduled_at,
        tally=tally,
    )
    _remember(book, message, stored)
    return stored


def _answered(book: Book, submission: SubmissionId) -> Stored | None:
    row = book.store.row("answered", (submission,))
    return msgspec.msgpack.decode(row[0], type=Stored) if row else None


def _replayed(book: Book, message: Submit) -> Stored | NotStored | None:
    if message.idempotency is None:
        return None
    row = book.store.row("idempotency", (message.idempotency.key,))
    if row is None:
        return None
    body, original = row
    if body != message.idempotency.body:
        return NotStored(message.submission, "idempotency_mismatch")
    stored = _answered(book, original)
    if stored is None:
        return None
    return msgspec.structs.replace(stored, submission=message.submission, replayed=True)


def _remember(book: Book, message: Submit, stored: Stored) -> None:
    answer = msgspec.msgpack.encode(stored)
    book.store.run("add_answered", (message.submission, answer, book.now.ms))
    if message.idempotency is not None:
        key, body = message.idempotency.key, message.idempotency.body
        book.store.run("add_idempotency", (key, body, message.submission, book.now.ms))


def _store_mail(book: Book, message: Submit, mail: Mail) -> int:
    store = book.store
    topic = _topic(book, mail.topic)
    due_at = message.accepted_at if message.scheduled_at is None else message.scheduled_at
    row = store.row("sequence", ("recipient",))
    first = (row[0] if row else 0) + 1
    last = first + len(mail.emails) - 1
    batch = store.insert(
        "add_batch",
        (
            topic,
            0,
            _content(book, mail),
            json.dumps(mail.headers) if mail.headers else "",
            due_at,
            int(message.scheduled_at is not None),
            message.accepted_at,
            first,
            last,
        ),
    )
    stored = store.insert("add_recipients", (batch, texts(mail.emails)))
    assert stored == last, "recipient ids of a batch are contiguous"
    book.accept(topic, len(mail.emails))
    book.wait(topic, 0, due_at)
    return len(mail.emails)


def _topic(book: Book, name: str | None) -> int:
    if name is None:
        return NO_TOPIC
    row = book.store.row("topic_by_name", (name,))
    if row is not None:
        return int(row[0])
    return book.store.insert("add_topic", (name, book.now.ms))


def _content(book: Book, mail: Mail) -> int:
    subject, html = mail.subject.encode(), mail.content.encode()
    # The length keeps the two apart: ("ab", "c") is not ("a", "bc").
    digest = hashlib.sha256(b"%d\0%s%s" % (len(subject), subject, html)).digest()
    row = book.store.row("content_by_digest", (digest,))
    if row is not None:
        return int(row[0])
    return book.store.insert("add_content", (digest, mail.subject, mail.content, book.now.ms))
