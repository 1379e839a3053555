"""A real database with mail in it, put there row by row, as the writer would leave it."""

import array
from pathlib import Path

import apsw

from shared.store.read import Reader
from shared.store.write import Store


class Shelf:
    """Puts topics, batches and recipients into a database, and opens a reader for it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shelf.db"
        Store(self.path).close()
        self.sql = apsw.Connection(str(self.path))
        self.sql.pragma("synchronous", "off")
        self._add("topic", id=1, created_at=1)
        self.reader = Reader(self.path)

    def topic(self, name: str, **known: object) -> int:
        """Add a topic; answer its id."""
        return self._add("topic", **{"name": name, "created_at": 1000, **known})

    def batch(self, topic: int, *emails: str, **known: object) -> int:
        """Add a message for some addresses, never claimed; answer the first recipient's id."""
        rows = self.sql.execute("SELECT coalesce(max(last), 0) + 1 FROM batch").fetchall()
        first = rows[0][0]
        last = first + len(emails) - 1
        content = self._content(str(known.pop("subject", "Hello")))
        columns = {"due_at": 2000, "accepted_at": 2000, "next": first, **known}
        batch = self._add("batch", topic=topic, content=content, first=first, last=last, **columns)
        for place, email in enumerate(emails):
            self._add("recipient", id=first + place, batch=batch, email=email)
        self.sql.execute(
            "UPDATE topic SET created = created + ? WHERE id = ?", (len(emails), topic)
        )
        return first

    def set(self, recipient: int, **known: object) -> None:
        """Change a recipient's row, and its topic's counters with its state."""
        row = self.sql.execute(
            "SELECT recipient.state, batch.topic FROM recipient"
            " JOIN batch ON batch.id = recipient.batch WHERE recipient.id = ?",
            (recipient,),
        ).fetchall()
        old, topic = row[0]
        if "state" in known:
            names = ("created", "processed", "sent", "failed", "stopped", "unknown", "suppressed")
            for name, by in ((names[old], -1), (names[int(str(int(known["state"])))], 1)):
                self.sql.execute(f"UPDATE topic SET {name} = {name} + ? WHERE id = ?", (by, topic))
        for name, value in known.items():
            self.sql.execute(f"UPDATE recipient SET {name} = ? WHERE id = ?", (value, recipient))

    def add(self, table: str, **known: object) -> int:
        """Add a row to any table."""
        return self._add(table, **known)

    def lease(self, *recipients: int) -> None:
        """Lease recipients to a sender."""
        blob = array.array("q", recipients).tobytes()
        known = {"claim": 1, "sender": "sender-0", "epoch": 1, "boot": "b", "claimed_mono": 0.0}
        known |= {"deadline_mono": 60.0, "batch": 1, "topic": 1, "urgent": 0}
        self._add("lease", recipients=blob, **known)

    def _content(self, subject: str) -> int:
        row = self.sql.execute("SELECT id FROM content WHERE subject = ?", (subject,)).fetchall()
        if row:
            return int(row[0][0])
        return self._add(
            "content", digest=subject.encode(), subject=subject, html="<p>", created_at=1
        )

    def _add(self, table: str, **known: object) -> int:
        names, places = ", ".join(known), ", ".join("?" * len(known))
        statement = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})"
        self.sql.execute(statement, tuple(known.values()))
        return self.sql.last_insert_rowid()
