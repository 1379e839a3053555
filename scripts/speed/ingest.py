"""ingest, ingest-small: what it takes to accept mail durably, beside plainer ways to store it."""

import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw

from scripts.speed import plain
from scripts.speed.bed import LARGEST, Bed, letter, recipients
from scripts.speed.load import press, request, whole
from scripts.speed.machine import busy
from scripts.speed.rounds import Line, Target
from shared.store import sql

LISTS = 10
"""Lists a round; the median of a round counts."""

SMALL = 6_000
SMALL_TEXT = 2_000
"""Characters: each of the small posts has a text of its own."""

CLIENTS = 32

ROWS = 150
"""Recipients a statement of the ancestor's."""

_STATEMENTS = sql.load(str(Path(__file__).with_name("ingest.sql")))


def run(rounds: int) -> list[Line]:
    """Measure lists of 10,000, then single recipients from 32 clients at once."""
    return [*_lists(rounds), *_small(rounds)]


def _post(bed: Bed, emails: list[str], content: str) -> bytes:
    """Write a post of mail that is due tomorrow: nothing is sent meanwhile."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    mail = {"topic_id": "ingest", "emails": emails, "subject": "Bench", "content": content}
    body = json.dumps({"messages": [mail], "scheduled_at": tomorrow}).encode()
    headers = {"X-API-KEY": bed.key, "Content-Type": "application/json"}
    return request("/v1/messages", headers, body)


def _lists(rounds: int) -> Iterator[Line]:
    ours, plainly = [], []
    with Bed() as bed, tempfile.TemporaryDirectory(dir=bed.folder) as folder:
        ancestor = Ancestor(Path(folder) / "ancestor.db")
        for number in range(rounds + 1):
            lists = [recipients(LARGEST, f"l{number}.{one}") for one in range(LISTS)]
            posts = [_post(bed, emails, letter()) for emails in lists]
            median = whole(press(bed.ports.api, posts, 1)).p50_ms
            other = ancestor.median_ms(lists)
            if number:  # the first round warms up
                ours.append(median)
                plainly.append(other)
    what = "ms for 10,000 recipients; 6 indexes, multi-row INSERT, no HTTP"
    yield Line("ingest", what, tuple(ours), tuple(plainly), Target(at_most=0.6))


class Ancestor:
    """The way of the Rust service: one table with 6 indexes, 150 rows a statement, FULL."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.pragma("journal_mode", "wal")
        self._connection.pragma("synchronous", "full")
        self._connection.execute(_STATEMENTS["make"])
        self._content = 0
        self._one = _STATEMENTS["add_requests"]
        self._row = self._one.rpartition("VALUES ")[2]

    def median_ms(self, lists: list[list[str]]) -> float:
        """Store lists, a transaction each; answer the median time."""
        return sorted(self._store(emails) for emails in lists)[len(lists) // 2]

    def _store(self, emails: list[str]) -> float:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        self._content += 1
        # Python would take longer to lay the values out than Rust: it is done before the clock.
        parts = [emails[first : first + ROWS] for first in range(0, len(emails), ROWS)]
        work = [
            (
                self._one + f", {self._row}" * (len(part) - 1),
                [x for email in part for x in ("ingest", self._content, email, now, now, now)],
            )
            for part in parts
        ]
        began = time.perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(_STATEMENTS["add_content"], ("Bench", letter()))
        for statement, values in work:
            self._connection.execute(statement, values)
        self._connection.execute("COMMIT")
        return (time.perf_counter() - began) * 1000


def _small(rounds: int) -> Iterator[Line]:
    ours, others, silent, a_commit = [], [], [], []
    with (
        Bed() as bed,
        plain.running(bed.folder / "plain.db", bed.folder / "plain.log") as port,
        plain.running(bed.folder / "silent.db") as silent_port,
    ):
        for number in range(rounds + 1):
            posts = [_small_post(bed, f"s{number}.{one}") for one in range(SMALL)]
            before = bed.gauge("writer", "commits")
            answered = whole(press(bed.ports.api, posts, CLIENTS))
            commits = bed.gauge("writer", "commits") - before
            other = whole(press(port, posts, CLIENTS))
            without_lines = whole(press(silent_port, posts, CLIENTS))
            if number:  # the first round warms up
                ours.append(answered)
                others.append(other)
                silent.append(without_lines)
                a_commit.append(SMALL / commits)
    what = f"posts of one recipient/s, {CLIENTS} clients; plain app, a commit and a line each"
    rates = tuple(x.rate for x in ours), tuple(x.rate for x in others)
    note = busy([x.idle for x in ours])
    yield Line("ingest-small", what, *rates, Target(at_least=1.5), note)
    rates = rates[0], tuple(x.rate for x in silent)
    yield Line("ingest-small", "the same; plain app, a commit each, no line", *rates)
    p99 = tuple(x.p99_ms for x in ours), tuple(x.p99_ms for x in others)
    yield Line("ingest-small", "p99 of an answer, ms; plain app", *p99)
    yield Line("ingest-small", "requests a commit", tuple(a_commit), target=Target(at_least=8))


def _small_post(bed: Bed, name: str) -> bytes:
    return _post(bed, [f"{name}@example.com"], name + letter(SMALL_TEXT))
