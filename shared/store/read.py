"""Reading the database: read-only, each question one short statement."""

from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from shared.domain import Feedback, State, SubmissionId
from shared.errors import StoreError
from shared.protocol import Stored
from shared.store import sql
from shared.store.open import open_reader

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_STATEMENTS = sql.load(*sql.READS)


class Install(NamedTuple):
    """What makes this installation itself."""

    install: str
    pixel_secret: bytes


class TopicCounts(NamedTuple):
    """A topic's recipients by state word, and those with at least one event by event word."""

    requests: dict[str, int]
    results: dict[str, int]


class Reader:
    """The read-only side of the database; opened at the first question that finds a file."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection: apsw.Connection | None = None

    def topic(self, name: str) -> TopicCounts:
        """Count a topic; an unknown one has zeros."""
        counts = dict.fromkeys((state.word for state in State), 0)
        rows = self._ask("topic", (name,))
        if not rows:
            return TopicCounts(counts, {})
        identity, *numbers = rows[0]
        counts = {state.word: numbers[state] for state in State}
        kinds = self._ask("topic_results", (identity,))
        return TopicCounts(counts, {Feedback(kind).word: count for kind, count in kinds})

    def sent_since(self, now_ms: int, hours: int) -> int:
        """Count what was sent in the last hours, to the minute.

        Whole hours come from the hourly counters, the oldest part hour from the minutes, so that
        a year costs as little as a day.
        """
        begin = now_ms - hours * _HOUR_MS
        whole = begin // _HOUR_MS + 1
        rows = self._ask("sent_since", (begin // _MINUTE_MS, whole * 60, whole))
        return int(rows[0][0]) if rows else 0

    def stored(self, submission: SubmissionId) -> Stored | None:
        """Answer what a submission was answered with, if it is stored."""
        rows = self._ask("answered", (submission,))
        return msgspec.msgpack.decode(rows[0][0], type=Stored) if rows else None

    def install(self) -> Install | None:
        """Answer who this installation is; None before the first migration."""
        rows = self._ask("install", ())
        return Install(*rows[0]) if rows else None

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, name: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                if not self._database.exists():
                    return []
                self._connection = open_reader(self._database)
            if not self._connection.pragma("user_version"):
                return []
            return list(self._connection.execute(_STATEMENTS[name], values))
        except apsw.Error as error:
            raise StoreError(f"cannot read the database {self._database}: {error}") from error
