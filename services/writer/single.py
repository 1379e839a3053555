"""Orders over one recipient's mail."""

from services.writer import moves
from services.writer.book import Book, Standing, pack
from shared.domain import Cause, RecipientId, State
from shared.protocol import CancelMail, OrderDone, Ordered, OrderRefused, ResolveMail
from shared.store.write import ids


def cancel(book: Book, message: CancelMail) -> Ordered:
    """Do not send this mail, if it is not too late; one that is Unknown is not sent again."""
    who = _standing(book, message.recipient)
    if who is None:
        return OrderRefused(message.order, "no_such_message")
    match who.state:
        case State.PROCESSED if not _leave_job(book, who):
            return OrderRefused(message.order, "in_flight", who.state)
        case State.CREATED | State.PROCESSED:
            return OrderDone(message.order, 1, state=moves.to_stopped(book, who, Cause.CANCELLED))
        case State.UNKNOWN:
            return _keep_unknown(book, who, message)
        case _:
            return _cancel_ended(book, who, message)


def _cancel_ended(book: Book, who: Standing, message: CancelMail) -> Ordered:
    """Answer a repeat, refuse what is over; a Failed mail about to be tried again is not over."""
    if who.state is State.STOPPED:
        return OrderDone(message.order, state=who.state)
    if who.state is State.FAILED and book.store.row("retry_ordered", (who.recipient,)):
        moves.note(book, who, "retried", "told to try the failed ones again")
        state = moves.to_queue(book, who, Cause.RETRIED, book.now.ms)
        # Not by its standing: behind the sweep of a cancel it would look stopped already.
        if state is State.CREATED:
            state = moves.to_stopped(book, who._replace(state=state), Cause.CANCELLED)
        return OrderDone(message.order, 1, state=state)
    return OrderRefused(message.order, "final", who.state)


def resolve(book: Book, message: ResolveMail) -> Ordered:
    """Settle an Unknown mail by hand: take it for sent, or send it again."""
    who = _standing(book, message.recipient)
    if who is None:
        return OrderRefused(message.order, "no_such_message")
    row = book.store.row("unknown_since", (who.recipient,))
    if who.state is not State.UNKNOWN or row is None:
        return OrderRefused(message.order, "not_unknown", who.state)
    since, is_cancelled = row
    if not message.resend:
        moves.note(book, who, "resolved_sent", "told to take it for sent")
        state = moves.to_sent(book, who, Cause.ASSUMED_SENT, since, "")
    elif is_cancelled:
        return OrderRefused(message.order, "cancelled", who.state)
    else:
        book.store.run("drop_suspicion", (who.recipient,))
        state = moves.resend(book, who, "told to send it again")
    return OrderDone(message.order, 1, state=state)


def _standing(book: Book, recipient: RecipientId) -> Standing | None:
    return moves.standings(book, [recipient]).get(recipient)


def _leave_job(book: Book, who: Standing) -> bool:
    """Take a recipient out of its job; False if that is through the gate."""
    for row in book.store.rows("topic_leases", (who.topic,)):
        lease = moves.lease_of(row)
        if who.recipient in lease.recipients:
            if lease.gated_at is not None:
                return False
            left = [other for other in lease.recipients if other != who.recipient]
            if left:
                book.store.run("set_recipients", (pack(left), lease.job))
            else:
                book.store.run("drop_leases", (ids([lease.job]),))
            return True
    return False


def _keep_unknown(book: Book, who: Standing, message: CancelMail) -> OrderDone:
    row = book.store.row("unknown_since", (who.recipient,))
    is_new = row is not None and not row[1]
    if is_new:
        book.store.run("cancel_unknown", (who.recipient,))
        moves.note(book, who, "cancelled", "not to be sent again; SES may have it already")
    return OrderDone(message.order, int(is_new), state=who.state)
