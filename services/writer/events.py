"""Events: what SES says of a mail, counted exactly once, in any order, even before our write."""

from collections.abc import Iterable, Sequence

import msgspec

from services.writer import moves, reputation, suppressions
from services.writer.book import Book, Standing
from shared.domain import LATTICE_FLOOR, SEEN_BITS, Cause, Feedback, RecipientId, State, Verdict
from shared.protocol import Answer, Event, EventPost, RecordOpens
from shared.store.write import Row


def record(book: Book, posts: Iterable[EventPost]) -> None:
    """Apply the events of verified posts: those that only add to a mail's story at once."""
    events: list[Event] = []
    for post in posts:
        if post.note:
            _keep_orphan(book, "", post.note.encode())
        events += post.events
    for event in _record_plain(book, events):
        who = _find(book, event)
        if who is None:
            _keep_orphan(book, event.message_id, msgspec.msgpack.encode(event))
        else:
            _apply(book, who, event)


def _record_plain(book: Book, events: Sequence[Event]) -> list[Event]:
    """Write what is plain; answer the rest, and all that is said of a mail after its first event.

    They are to be looked at one by one, as things stand by then.
    """
    named = [event.recipient for event in events if event.recipient is not None]
    found = moves.standings(book, named)
    plain: list[tuple[Standing, Event]] = []
    rest = []
    for event in events:
        who = None if event.recipient is None else found.pop(event.recipient, None)
        if who is not None and _is_plain(who, event):
            plain.append((who, event))
        else:
            rest.append(event)
    book.store.many("add_result", [_result(who, event) for who, event in plain])
    feedback = [(event.kind, SEEN_BITS[event.kind], who.recipient) for who, event in plain]
    book.store.many("set_feedback", feedback)
    for who, event in plain:
        book.result(who.topic, event.kind)
        if who.feedback == 0:
            book.hear(who.sent_at or event.sent_at)
    return rest


def _is_plain(who: Standing, event: Event) -> bool:
    """Tell whether an event is the first of its kind, of a mail known to be sent, and no harm."""
    return (
        who.state is State.SENT
        and event.kind >= LATTICE_FLOOR
        and not SEEN_BITS[event.kind] & who.seen
        and not reputation.harm(event.kind, event.subtype)
        and not who.flags & moves.MAYBE_DUPLICATE
        and event.message_id == who.message_id
        and event.email.lower() == who.email.lower()
    )


def record_opens(book: Book, message: RecordOpens) -> None:
    """Count hits of our own pixel; a numbered batch that is in already changes nothing."""
    row = book.store.row("applied", ("opens",))
    if row is not None and message.epoch == row[0] and message.seq <= row[1]:
        return
    for opened in message.opens:
        who = moves.standings(book, [opened.recipient]).get(opened.recipient)
        if who is not None:
            book.store.run("add_opening", (who.recipient, opened.at))
            _see(book, who, Feedback.OPEN)
    book.store.run("set_applied", ("opens", message.epoch, message.seq))


def adopt_orphans(book: Book, answers: Iterable[Answer]) -> None:
    """Apply events without tags that came before SES's answer told us its id."""
    if book.store.row("has_orphan") is None:
        return
    for answer in answers:
        if answer.verdict is Verdict.ACCEPTED:
            _adopt(book, answer.message_id)


def _adopt(book: Book, message_id: str) -> None:
    for orphan, blob in book.store.rows("orphans_of", (message_id,)):
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
    if not book.store.run("add_result", _result(who, event)):
        return  # SNS said it before
    _prove(book, who, event)
    sent_at = who.sent_at if who.state is State.SENT and who.sent_at else event.sent_at
    if event.kind is Feedback.OPEN:
        book.store.run("add_opening", (who.recipient, event.at))
    elif event.kind >= LATTICE_FLOOR and who.feedback == 0:
        book.hear(sent_at)
    harm = reputation.harm(event.kind, event.subtype) & ~who.seen
    if harm:
        _harm(book, who, event, harm, sent_at)
    _see(book, who, event.kind, harm)
    if event.message_id and who.message_id is None:
        # It told us SES's id: what came without a tag before it may be of this mail.
        _adopt(book, event.message_id)


def _result(who: Standing, event: Event) -> Row:
    return who.recipient, event.kind, event.at, event.subtype or None, event.detail or None


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


def _harm(book: Book, who: Standing, event: Event, harm: int, sent_at: int) -> None:
    """List the address, and count what SES counts; each once in a mail's life."""
    if reputation.is_simulated(who.email):
        return
    if harm & (reputation.BOUNCED | reputation.COMPLAINED):
        suppressions.note_event(book, who, event)
    bounced = int(harm & reputation.BOUNCE_COUNTED > 0)
    complained = int(harm & reputation.COMPLAINT_COUNTED > 0)
    if bounced or complained:
        book.harm(sent_at, bounced, complained)


def _see(book: Book, who: Standing, kind: Feedback, harm: int = 0) -> None:
    """Note what a mail met with, and count its recipient under a kind that is new to it.

    The bits outlive the events themselves, so that a late repeat counts nothing twice.
    """
    feedback = kind if kind >= LATTICE_FLOOR else 0
    news = (SEEN_BITS[kind] | harm) & ~who.seen
    if news & SEEN_BITS[kind]:
        book.result(who.topic, kind)
    if news or feedback > who.feedback:
        book.store.run("set_feedback", (feedback, news, who.recipient))
