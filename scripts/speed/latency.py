"""latency: from a client's request to SES, one urgent mail, with nothing queued and a million.

The clock starts with the client's request and stops with the simulator's stamp of the call's first
bytes, by the kernel where it gives one; both are CLOCK_MONOTONIC.
"""

import contextlib
import http.client
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.benches.evidence import call, read_ledger, sent
from scripts.speed.bed import Bed, recipients
from scripts.speed.load import percentile
from scripts.speed.rounds import Line, Target
from scripts.stage import StageError
from shared.store import sql
from shared.store.open import open_writer

RATE = 200
QUEUED = 1_000_000
MAILS = {"empty": 50, "full": 30}
COMMITS = 200
PATIENCE_S = 10.0

EMPTY_P50, EMPTY_P99, FULL_P99 = Target(at_most=15), Target(at_most=50), Target(at_most=500)
_STATEMENTS = sql.load(str(Path(__file__).with_name("latency.sql")))


def run(rounds: int) -> list[Line]:
    """Measure all rounds with an empty queue, then all with a full one."""
    with Bed(MAX_SEND_PER_SECOND=str(RATE)) as bed, contextlib.closing(Urgent(bed)) as urgent:
        urgent.alone(MAILS["empty"])  # it is warm now
        commits, empty = [], []
        for _ in range(rounds):
            commits.append(commit_ms(bed))
            empty.append(urgent.alone(MAILS["empty"]))
        bed.post(recipients(QUEUED), "newsletter")
        _until_under_way(bed)
        full = [urgent.among_others(MAILS["full"]) for _ in range(rounds)]
    return [
        *_lines("nothing queued", empty, EMPTY_P50, EMPTY_P99),
        *_lines(f"{QUEUED:,} queued, R = {RATE}", full, Target(), FULL_P99),
        Line("latency", "a commit of one row by itself, ms", tuple(commits)),
    ]


def _lines(when: str, rounds: list[list[float]], p50: Target, p99: Target) -> Iterator[Line]:
    medians = tuple(statistics.median(times) for times in rounds)
    yield Line("latency", f"request to SES, p50 ms, {when}", medians, target=p50)
    worst = tuple(percentile(times, 0.99) for times in rounds)
    yield Line("latency", f"request to SES, p99 ms, {when}", worst, target=p99)


class Urgent:
    """A client that posts one urgent mail at a time over one connection, like a login page."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._http = http.client.HTTPConnection("127.0.0.1", bed.ports.api, timeout=60)
        self._number = 0
        self._pauses = random.Random(5)  # noqa: S311 - no secret

    def alone(self, mails: int) -> list[float]:
        """Post so many, each when the one before is Sent; answer ms from request to SES."""
        return self._times(mails, self._bed.wait_until_sent)

    def among_others(self, mails: int) -> list[float]:
        """Post so many at odd moments; answer ms from request to SES."""
        return self._times(mails, lambda: None)

    def _times(self, mails: int, rest: Callable[[], None]) -> list[float]:
        seen = int(self._bed.ask_simulator("summary")["recipients"])
        self._http.close()  # the API hangs up on clients that were silent for long
        self._http.connect()
        began = {}
        for _ in range(mails):
            time.sleep(self._pauses.uniform(0.1, 0.6))
            rest()
            address, began_ns = self._post()
            began[address] = began_ns
        arrived = self._arrivals(seen, set(began))
        return [(arrived[one] - began_ns) / 1e6 for one, began_ns in began.items()]

    def _post(self) -> tuple[str, int]:
        self._number += 1
        address = f"urgent{self._number}@example.com"
        html = f"<p>Your code is {self._number:06}.</p>"
        mail = {"topic_id": "codes", "emails": [address], "subject": "Your code", "content": html}
        body = json.dumps({"messages": [mail | {"priority": "urgent"}]})
        headers = {"X-API-KEY": self._bed.key, "Content-Type": "application/json"}
        began_ns = time.monotonic_ns()
        self._http.request("POST", "/v1/messages", body.encode(), headers)
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise StageError(f"POST answered {answer.status}: {text[:300]!r}")
        return address, began_ns

    def _arrivals(self, after: int, addresses: set[str]) -> dict[str, int]:
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            time.sleep(0.5)
            path = f"/_simulator/ledger?after={after}"
            ledger = read_ledger(call(self._bed.ports.simulator, "GET", path)[1])
            found = {one.address: one.at_ns for one in ledger if one.address in addresses}
            if len(found) == len(addresses):
                return found
        raise StageError("SES did not see every urgent mail in time")

    def close(self) -> None:
        """Hang up."""
        self._http.close()


def commit_ms(bed: Bed) -> float:
    """Answer the median time of a commit of one row, durable, on the installation's disk."""
    scratch = bed.folder / "scratch.db"
    with contextlib.closing(open_writer(scratch, 16, 0)) as connection:
        connection.execute(_STATEMENTS["make"])
        times = []
        for _ in range(COMMITS):
            began = time.perf_counter()
            connection.execute(_STATEMENTS["add"])
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _until_under_way(bed: Bed) -> None:
    former = sent(bed.database)
    while sent(bed.database) < former + 2 * RATE:
        time.sleep(0.2)
