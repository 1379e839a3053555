"""stats: how long an answer about counts takes, with ten thousand rows and with five million."""

import contextlib
import http.client
import json
import secrets
import statistics
import time
from pathlib import Path
from typing import Any

from scripts.speed.bed import LARGEST, Bed, letter
from scripts.speed.rounds import Line, Target
from scripts.stage import StageError
from services.writer.founding import found
from shared.domain import SEEN_BITS, Feedback
from shared.store import sql
from shared.store.open import open_writer
from shared.store.read import Install
from shared.store.write import Store

FEW, MANY = 10_000, 5_000_000
ASKS = 100
TOPIC = "newsletter"
PATHS = {
    "topic": f"/v1/topics/{TOPIC}",
    "account": "/v1/account",
    "sent count": "/v1/events/counts/sent?hours=24",
}
SPAN_S = 23 * 3600
"""All was sent in the last day, so that the counts have as many hours and minutes in both."""

AT_MOST = Target(at_most=1.3)
_STATEMENTS = sql.load(str(Path(__file__).with_name("answers.sql")))


def run(rounds: int) -> list[Line]:
    """Ask both databases in turn, a hundred times each; what both say is checked first."""
    with Filled(MANY) as many, Filled(FEW) as few:
        return [_line(name, path, many, few, rounds) for name, path in PATHS.items()]


def _line(name: str, path: str, many: "Filled", few: "Filled", rounds: int) -> Line:
    pairs = [_medians(path, many, few) for _ in range(rounds + 1)][1:]  # the first warms up
    ours, other = tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
    what = f"{name}, ms, {MANY:,} rows; {FEW:,} rows"
    return Line("stats", what, ours, other, AT_MOST)


def _medians(path: str, many: "Filled", few: "Filled") -> tuple[float, float]:
    """Ask answer by answer in turn: what disturbs the machine disturbs both."""
    many.connect()
    few.connect()
    pairs = [(many.ms(path), few.ms(path)) for _ in range(ASKS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


class Filled:
    """An installation at rest that has sent so many mails."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._bed = Bed()
        self._http = http.client.HTTPConnection("127.0.0.1", self._bed.ports.api, timeout=60)

    def __enter__(self) -> "Filled":
        """Fill the database, start, and check that it says what is in it."""
        fill(self._bed.database, self._rows)
        self._bed.start()
        counted = self._ask(PATHS["topic"])["request_counts"]["Sent"]
        sent = self._ask(PATHS["sent count"])["count"]
        if not counted == sent == self._rows:
            raise StageError(f"of {self._rows} the topic says {counted}, the hours say {sent}")
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop, and leave nothing."""
        self._http.close()
        self._bed.stop()
        self._bed.remove()

    def connect(self) -> None:
        """Connect anew: the API hangs up on clients that were silent for long."""
        self._http.close()
        self._http.connect()

    def ms(self, path: str) -> float:
        """Ask once; answer the time to the answer."""
        began = time.perf_counter()
        self._ask(path)
        return (time.perf_counter() - began) * 1000

    def _ask(self, path: str) -> Any:
        self._http.request("GET", path, headers={"X-API-KEY": self._bed.key})
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise StageError(f"GET {path} answered {answer.status}: {text[:300]!r}")
        return json.loads(text)


def fill(database: Path, rows: int) -> None:
    """Make a database of a topic whose mail was all sent and delivered, with every counter."""
    now_ms = time.time_ns() // 1_000_000
    store = Store(database)
    found(store, Install(secrets.token_hex(4), secrets.token_bytes(32)), now_ms)
    store.close()
    began_ms = now_ms - SPAN_S * 1000
    with contextlib.closing(open_writer(database, 64, 0)) as connection:

        def do(name: str, *values: Any) -> None:
            connection.execute(_STATEMENTS[name], values)

        with connection:
            do("topic", TOPIC, rows, began_ms, now_ms)
            do("content", secrets.token_bytes(32), letter(), began_ms)
        for first in range(1, rows, LARGEST):
            last = min(rows, first + LARGEST - 1)
            with connection:
                do("batch", first, last, began_ms)
                delivered = SEEN_BITS[Feedback.DELIVERY]
                do("recipients", first, last, began_ms, rows / SPAN_S, delivered)
                do("results", first, last)
        with connection:
            do("kinds", rows)
            do("minutes")
            do("hours")
            do("account", rows)
