"""The suppression list: who is not mailed any more. Its addresses are in lower case."""

from collections import defaultdict
from collections.abc import Sequence

from services.writer.book import Book, Standing
from shared.protocol import Event, OrderDone, Suppress, Unsuppress
from shared.store.write import ids, texts


def listed(book: Book, emails: Sequence[str]) -> set[str]:
    """Answer which of these addresses, spelled as given, are on the list."""
    if not emails:
        return set()
    rows = book.store.rows("listed", (texts([email.lower() for email in emails]),))
    found = {row[0] for row in rows}
    return {email for email in emails if email.lower() in found} if found else found


def blocked(book: Book, recipients: Sequence[int]) -> list[int]:
    """Answer which recipients have an address that is on the list."""
    return [row[0] for row in book.store.rows("blocked", (ids(recipients),))]


def add(book: Book, message: Suppress) -> OrderDone:
    """Put addresses on the list; `changed` counts those that were not on it."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in message.entries:
        groups[entry.reason, entry.detail].append(entry.email.lower())
    added = 0
    for (reason, detail), emails in groups.items():
        values = (texts(emails), reason, detail, book.now.ms)
        added += book.store.run("add_suppressions", values)
    return OrderDone(message.order, added)


def remove(book: Book, message: Unsuppress) -> OrderDone:
    """Take addresses off the list; `changed` counts those that were on it."""
    emails = [email.lower() for email in message.emails]
    removed = book.store.run("drop_suppressions", (texts(emails),)) if emails else 0
    return OrderDone(message.order, removed)


def note_event(book: Book, who: Standing, event: Event) -> None:
    """List an address for its bounce or complaint; one that is on the list stays as it is.

    The caller sees to it that an event is told once in a mail's life: one that SNS repeats after
    the address was taken off the list does not put it back.
    """
    detail = ": ".join(text for text in (event.subtype, event.detail) if text)
    values = (who.email.lower(), event.kind.word.lower(), detail, who.recipient, book.now.ms)
    book.store.run("add_suppression", values)
