"""Orders: each is carried out once, however often it is said, and always answered."""

import msgspec

from services.writer import single, steering, suppressions
from services.writer.account import Account
from services.writer.book import Book
from shared import protocol as p
from shared.wire import Letter

_answers: msgspec.msgpack.Decoder[p.Ordered] = msgspec.msgpack.Decoder(p.Ordered)


def carry_out(book: Book, message: p.Order, account: Account) -> Letter:
    """Do what an order says, or say why not; a repeat gets the same answer."""
    row = book.store.row("answered", (message.order,))
    if row is not None:
        return Letter(message.reply_to, _answers.decode(row[0]))
    answer = _carry_out(book, message, account)
    # A refusal changed nothing: said again, the order is judged as things stand then.
    if not isinstance(answer, p.OrderRefused):
        values = (message.order, msgspec.msgpack.encode(answer), book.now.ms)
        book.store.run("add_answered", values)
    return Letter(message.reply_to, answer)


def _carry_out(book: Book, message: p.Order, account: Account) -> p.Ordered:
    match message:
        case p.CancelTopic():
            return steering.cancel(book, message)
        case p.PauseTopic():
            return steering.pause(book, message)
        case p.ResumeTopic():
            return steering.resume(book, message)
        case p.RescheduleTopic():
            return steering.reschedule(book, message)
        case p.RetryFailed():
            return steering.retry_failed(book, message)
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
            return account.resume_bulk(message)
        case p.Suppress():
            return suppressions.add(book, message)
        case p.Unsuppress():
            return suppressions.remove(book, message)
        case _:
            raise TypeError(f"the writer takes no order {type(message).__name__}")
