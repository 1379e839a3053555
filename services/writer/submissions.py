"""Storing submissions: content, batches, recipients and the caller's key in one transaction."""

import hashlib
import json
from typing import NamedTuple

import msgspec

from services.writer import suppressions
from services.writer.book import Book
from shared.domain import NO_TOPIC, RecipientId, State, SubmissionId
from shared.protocol import LookUp, Mail, NotStored, Stored, Submit
from shared.store.write import ids, texts
from shared.wire import Letter


class Kept(NamedTuple):
    """A mail as it was stored: its first recipient, and how many of them are not mailed."""

    first: RecipientId
    suppressed: int


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
    kept = [_store_mail(book, message, mail) for mail in message.mails]
    count = sum(len(mail.emails) for mail in message.mails)
    suppressed = sum(mail.suppressed for mail in kept)
    tally = message.tally
    stored = Stored(
        submission=message.submission,
        original=message.submission,
        total=count + tally.errors + tally.duplicates,
        success=count - suppressed,
        suppressed=suppressed,
        duration_ms=max(0, round((book.now.mono - message.began_mono) * 1000)),
        scheduled_at=message.scheduled_at,
        tally=tally,
        firsts=tuple(mail.first for mail in kept),
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


def _store_mail(book: Book, message: Submit, mail: Mail) -> Kept:
    """Store a mail's recipients under ids without a gap, those that are not mailed included."""
    store = book.store
    topic, urgent = _topic(book, mail.topic), int(mail.urgent)
    due_at = message.accepted_at if message.scheduled_at is None else message.scheduled_at
    row = store.row("sequence", ("recipient",))
    first = (row[0] if row else 0) + 1
    last = first + len(mail.emails) - 1
    listed = suppressions.listed(book, mail.emails)
    found = [first + n for n, email in enumerate(mail.emails) if email in listed] if listed else []
    waiting = len(mail.emails) - len(found)
    values = (
        topic,
        urgent,
        _content(book, mail),
        json.dumps(mail.headers) if mail.headers else "",
        due_at,
        int(message.scheduled_at is not None),
        message.expires_at,
        message.accepted_at,
        first,
        first if waiting else last + 1,
        last,
    )
    stored = store.insert("add_recipients", (store.insert("add_batch", values), texts(mail.emails)))
    assert stored == last, "recipient ids of a batch are contiguous"
    if found:
        store.run("suppress_these", (ids(found),))
        book.accept(topic, len(found), State.SUPPRESSED)
    if waiting:
        book.accept(topic, waiting)
        book.wait(topic, urgent, due_at)
    return Kept(RecipientId(first), len(found))


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
