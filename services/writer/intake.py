"""Intake: the rows of mails that are stored together, each kind of row in one statement."""

import hashlib
import json
from collections.abc import Iterable

from services.writer import suppressions
from services.writer.book import Book
from shared.domain import NO_TOPIC, State
from shared.protocol import Mail, Submit
from shared.store.write import Row, ids, texts

FEW = 8
"""Recipients of so short a list are stored with those of other mails; a longer one by itself."""


class Intake:
    """Gathers mails under ids without a gap; `write` stores what is not stored by then."""

    def __init__(self, book: Book, mails: Iterable[Mail]) -> None:
        self._book = book
        self._listed = suppressions.listed(book, [email for mail in mails for email in mail.emails])
        self._topics: dict[str | None, int] = {None: NO_TOPIC}
        self._contents: dict[bytes, int] = {}
        self._batch = self._newest("batch")
        self._recipient = self._newest("recipient")
        self._batches: list[Row] = []
        self._few: list[Row] = []
        self._suppressed: list[int] = []
        self._due: dict[tuple[int, int], int] = {}

    def keep(self, message: Submit, mail: Mail) -> tuple[int, int]:
        """Take a mail in; answer its first recipient's id and how many of them are not mailed."""
        topic, urgent = self._topic(mail.topic), int(mail.urgent)
        due_at = message.accepted_at if message.scheduled_at is None else message.scheduled_at
        first, last = self._recipient + 1, self._recipient + len(mail.emails)
        emails = enumerate(mail.emails) if self._listed else ()
        found = [first + n for n, email in emails if email in self._listed]
        waiting = len(mail.emails) - len(found)
        self._batch += 1
        values = (
            self._batch,
            topic,
            urgent,
            self._content(mail),
            json.dumps(mail.headers) if mail.headers else "",
            due_at,
            int(message.scheduled_at is not None),
            message.expires_at,
            message.accepted_at,
            first,
            first if waiting else last + 1,
            last,
        )
        self._batches.append(values)
        self._add_recipients(mail.emails)
        self._suppressed += found
        self._book.accept(topic, len(found), State.SUPPRESSED)
        self._book.accept(topic, waiting)
        if waiting:
            self._due[topic, urgent] = min(due_at, self._due.get((topic, urgent), due_at))
        return first, len(found)

    def write(self) -> None:
        """Store what was gathered."""
        store = self._book.store
        self._write_few()
        store.many("add_batch", self._batches)
        if self._suppressed:
            store.run("suppress_these", (ids(self._suppressed),))
        for (topic, urgent), due_at in self._due.items():
            self._book.wait(topic, urgent, due_at)

    def _add_recipients(self, emails: tuple[str, ...]) -> None:
        if len(emails) <= FEW:
            rows = enumerate(emails, self._recipient + 1)
            self._few += [(recipient, self._batch, email) for recipient, email in rows]
            self._recipient += len(emails)
            return
        self._write_few()  # ids are given out in the order of storing
        self._recipient += len(emails)
        newest = self._book.store.insert("add_recipients", (self._batch, texts(emails)))
        assert newest == self._recipient, "recipient ids of a batch are contiguous"

    def _write_few(self) -> None:
        self._book.store.many("add_recipient", self._few)
        self._few = []

    def _newest(self, table: str) -> int:
        row = self._book.store.row("sequence", (table,))
        return int(row[0]) if row else 0

    def _topic(self, name: str | None) -> int:
        topic = self._topics.get(name)
        if topic is None:
            row = self._book.store.row("topic_by_name", (name,))
            topic = (
                row[0] if row else self._book.store.insert("add_topic", (name, self._book.now.ms))
            )
            self._topics[name] = topic
        return topic

    def _content(self, mail: Mail) -> int:
        subject, html = mail.subject.encode(), mail.content.encode()
        # The length keeps the two apart: ("ab", "c") is not ("a", "bc").
        digest = hashlib.sha256(b"%d\0%s%s" % (len(subject), subject, html)).digest()
        content = self._contents.get(digest)
        if content is None:
            row = self._book.store.row("content_by_digest", (digest,))
            values = (digest, mail.subject, mail.content, self._book.now.ms)
            content = row[0] if row else self._book.store.insert("add_content", values)
            self._contents[digest] = content
        return content
