"""Orders over one recipient's mail."""

from services.writer.book import Book
from shared.protocol import CancelMail, Ordered, ResolveMail


def cancel(book: Book, message: CancelMail) -> Ordered:
    """Do not send this mail."""
    raise NotImplementedError


def resolve(book: Book, message: ResolveMail) -> Ordered:
    """Settle an Unknown mail by hand."""
    raise NotImplementedError
