"""Reading the database: read-only, each question one short statement."""

from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from shared.domain import Feedback, State, SubmissionId
from shared.errors import StoreError
from shared.protocol import Stored
from shared.store import sql
from shared.store.listing import Listing
from shared.store.open import open_reader

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_STATEMENTS = sql.load(*sql.READS)


class Install(NamedTuple):
    """What makes this installation itself."""

    install: str
    pixel_secret: bytes


class TopicFacts(NamedTuple):
    """A topic: recipients by state word, with at least one event by event word; times in ms.

    `bulk_due` and `urgent_due` are when the first of the mail never claimed is due, `*_retry_due`
    when the first other turn is; `last_*` are the latest of them, 0 for none.
    """

    requests: dict[str, int]
    results: dict[str, int]
    id: int = 0
    name: str | None = None
    created_at: int | None = None
    first_sent_at: int | None = None
    last_sent_at: int | None = None
    paused_at: int | None = None
    pause_reason: str = ""
    cancelled_at: int | None = None
    is_renewed: int = 0  # mail was accepted after the cancel, or all is deleted for its age
    pace_slot: int = 0
    pace_count: int = 0
    pace_before: int = 0
    is_redating: int = 0
    redate_due: int = 0
    work_due: int | None = None
    bulk_due: int | None = None
    urgent_due: int | None = None
    bulk_retry_due: int | None = None
    urgent_retry_due: int | None = None
    last_due: int = 0
    last_retry_due: int = 0


class Reader:
    """The read-only side of the database; opened at the first question that finds a file."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection: apsw.Connection | None = None
        self.listing = Listing(self._ask)

    def topic(self, name: str) -> TopicFacts:
        """Tell how a topic is; an unknown one has zeros."""
        found = self._ask("topic_id", (name,))
        rows = self._ask("topics", (found[0][0], 1)) if found else []
        if not rows or rows[0][0] != found[0][0]:
            return TopicFacts(dict.fromkeys((state.word for state in State), 0), {}, name=name)
        kinds = self._ask("topic_results", (found[0][0],))
        return _topic(rows[0], {Feedback(kind).word: count for kind, count in kinds})

    def topics(self, before: int, limit: int) -> list[TopicFacts]:
        """Tell how topics are, without their results: newest first, those before an id."""
        return [_topic(row, {}) for row in self._ask("topics", (before - 1, limit))]

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


def _topic(row: tuple[Any, ...], results: dict[str, int]) -> TopicFacts:
    identity, name, *rest = row
    requests = {state.word: rest[state] for state in State}
    return TopicFacts(requests, results, identity, name, *rest[len(State) :])
