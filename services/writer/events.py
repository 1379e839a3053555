"""Events: what SES says of a mail, counted exactly once, in any order, even before our write."""

from collections.abc import Iterable

import msgspec

from services.writer import moves
from services.writer.book import Book, Standing
from shared.domain import LATTICE_FLOOR, Cause, Feedback, RecipientId, State, Verdict
from shared.protocol import Answer, Event, EventPost, Opened, RecordOpens


def record(book: Book, posts: Iterable[EventPost]) -> None:
    """Apply the events of verified posts."""
    for post in posts:
        if post.note:
            _keep_orphan(book, "", post.note.encode())
        for event in post.events:
            who = _find(book, event)
            if who is None:
                _keep_orphan(book, event.message_id, msgspec.msgpack.encode(event))
            else:
                _apply(book, who, event)


def record_opens(book: Book, message: RecordOpens) -> None:
    """Count hits of our own pixel; a numbered batch that is in already changes nothing."""
    row = book.store.row("applied", ("opens",))
    if row is not None and message.epoch == row[0] and message.seq <= row[1]:
        return
    for opened in message.opens:
        _open(book, opened)
    book.store.run("set_applied", ("opens", message.epoch, message.seq))


def adopt_orphans(book: Book, answers: Iterable[Answer]) -> None:
    """Apply events without tags that came before SES's answer told us its id."""
    if book.store.row("has_orphan") is None:
        return
    for answer in answers:
        if answer.verdict is not Verdict.ACCEPTED:
            continue
        for orphan, blob in book.store.rows("orphans_of", (answer.message_id,)):
            event = msgspec.msgpack.decode(blob, type=Event)
            who = _find(book, event)
            if who is not None:
                book.store.run("drop_orphan", (orphan,))
                _apply(book, who, event)


def _find(book: Book, event: Event) -> Standing | None:
    """Find the recipient by our tag, else by SES's id; the address must be its own."""
    if event.recipient is not None:
        candidates = [event.recipient]
    elif event.message_id:
        rows = book.store.rows("recipient_by_message_id", (event.message_id,))
        candidates = [RecipientId(row[0]) for row in rows]
    else:
        candidates = []
    for who in moves.standings(book, candidates).values():
        if who.email.lower() == event.email.lower():
            return who
    return None


def _keep_orphan(book: Book, message_id: str, blob: bytes) -> None:
    book.store.run("add_orphan", (message_id, blob, book.now.ms))


def _apply(book: Book, who: Standing, event: Event) -> None:
    store = book.store
    is_first = store.row("has_result", (who.recipient, event.kind)) is None
    values = (who.recipient, event.kind, event.at, event.subtype or None, event.detail or None)
    if not store.run("add_result", values):
        return  # SNS said it before
    _prove(book, who, event)
    if event.kind is Feedback.OPEN:
        _open(book, Opened(who.recipient, event.at), who)
    elif is_first:
        book.result(who.topic, event.kind)
    if event.kind >= LATTICE_FLOOR:
        _raise_feedback(book, who, event)


def _prove(book: Book, who: Standing, event: Event) -> None:
    """Any event of ours proves that SES has the mail, whatever we thought of it."""
    if who.state is not State.SENT:
        moves.to_sent(book, who, Cause.PROVEN, event.sent_at, event.message_id)
    elif who.message_id is None and event.message_id:
        book.store.run("set_message_id", (event.message_id, who.recipient))
    elif event.message_id and event.message_id != who.message_id:
        # Two ids, one recipient: a resend left although the first copy had arrived.
        book.store.run("set_flag", (moves.DUPLICATE_SUSPECTED, who.recipient))
    if who.flags & moves.MAYBE_DUPLICATE and 0 < event.attempt < who.attempts:
        book.store.run("set_flag", (moves.DUPLICATE_SUSPECTED, who.recipient))


def _raise_feedback(book: Book, who: Standing, event: Event) -> None:
    if who.feedback == 0:
        book.hear(who.sent_at if who.state is State.SENT and who.sent_at else event.sent_at)
    if event.kind > who.feedback:
        book.store.run("set_feedback", (event.kind, who.recipient))


def _open(book: Book, opened: Opened, who: Standing | None = None) -> None:
    """Count an open: once per recipient, and in total."""
    if who is None:
        who = moves.standings(book, [opened.recipient]).get(opened.recipient)
        if who is None:
            return
    if book.store.row("opened", (who.recipient,)) is None:
        book.result(who.topic, Feedback.OPEN)
    book.store.run("add_opening", (who.recipient, opened.at))
