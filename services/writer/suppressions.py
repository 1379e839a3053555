"""The suppression list: who is not mailed any more."""

from services.writer.book import Book
from shared.protocol import Ordered, Suppress, Unsuppress


def add(book: Book, message: Suppress) -> Ordered:
    """Put addresses on the list."""
    raise NotImplementedError


def remove(book: Book, message: Unsuppress) -> Ordered:
    """Take addresses off the list."""
    raise NotImplementedError
