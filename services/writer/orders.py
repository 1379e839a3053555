"""Orders: each is carried out once, however often it is said, and always answered."""

import msgspec
from msgspec.structs import replace

from services.writer import single, steering, suppressions
from services.writer.account import Account
from services.writer.book import Book
from shared import protocol as p
from shared.wire import Letter

_answers: msgspec.msgpack.Decoder[p.Ordered] = msgspec.msgpack.Decoder(p.Ordered)


def carry_out(book: Book, message: p.Order, account: Account) -> Letter:
    """Do what an order says, or say why not; a repeat gets the same answer."""
    former = _answered(book, message.order)
    if former is not None:
        return Letter(message.reply_to, former)
    answer = _carry_out(book, message, account)
    # A refusal changed nothing: said again, the order is judged as things stand then.
    if not isinstance(answer, p.OrderRefused):
        values = (message.order, msgspec.msgpack.encode(answer), book.now.ms)
        book.store.run("add_answered", values)
    return Letter(message.reply_to, answer)


def _answered(book: Book, order: str) -> p.Ordered | None:
    """Answer a repeat: the same order again, or another one of the same idempotency key.

    Orders with a key are numbered "KEY:BODY:NONCE", of hashes: another body is another wish.
    """
    row = book.store.row("answered", (order,))
    if row is not None:
        return _answers.decode(row[0])
    key, _, rest = order.partition(":")
    row = book.store.row("answered_by_key", (key,)) if rest else None
    if row is None:
        return None
    former = _answers.decode(row[0])
    if former.order.split(":")[1] != rest.partition(":")[0]:
        return p.OrderRefused(order, "idempotency_mismatch")
    if isinstance(former, p.OrderDone):
        return replace(former, order=order, replayed=True)
    return replace(former, order=order)


def _carry_out(book: Book, message: p.Order, account: Account) -> p.Ordered:
    match message:
        case p.CancelTopic():
            return steering.cancel(book, message)
        case p.PauseTopic() | p.ResumeTopic() | p.RescheduleTopic() | p.RetryFailed():
            return steering.steer(book, message)
        case _:
            return _carry_out_rest(book, message, account)


def _carry_out_rest(book: Book, message: p.Order, account: Account) -> p.Ordered:
    match message:
        case p.CancelMail():
            return single.cancel(book, message)
        case p.ResolveMail():
            return single.resolve(book, message)
        case p.SetRate():
            return account.set_rate(message)
        case p.ResumeBulk():
            return account.resume_bulk(message, book.now)
        case p.Suppress():
            return suppressions.add(book, message)
        case p.Unsuppress():
            return suppressions.remove(book, message)
        case _:
            raise TypeError(f"the writer takes no order {type(message).__name__}")
