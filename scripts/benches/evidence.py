"""Gathering what the oracle looks at, from a running installation on the simulator."""

import contextlib
import http.client
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scripts.benches.facts import Arrival, Clients, Counts, Database, Evidence, Mail, Posted
from shared.domain import State
from shared.store import sql
from shared.store.open import open_reader

_STATEMENTS = sql.load(str(Path(__file__).with_name("evidence.sql")))
_STATES = {state.word: state for state in State}
TIMEOUT_S = 20.0
"""Longer than the API may take for any answer of its own."""


class Scene(NamedTuple):
    """An installation to be broken: where it listens, what it keeps, which processes it has."""

    port: int
    key: str
    simulator_port: int
    database: Path
    log: Path
    rate: float
    pids: Callable[[], dict[str, int]]


class Waiting(NamedTuple):
    """How much is not over yet."""

    queued: int
    unknown: int
    leases: int


def call(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Make one HTTP call to this machine; OSError or HTTPException if it gets no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        content = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, content, kind | (headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()


def gather(scene: Scene, clients: Clients) -> Evidence:
    """Read ledger, database, SNS's counts and log of an installation that has come to rest."""
    ledger = call(scene.simulator_port, "GET", "/_simulator/ledger?after=0")[1]
    return Evidence(
        clients=clients,
        arrivals=read_ledger(ledger),
        database=read_database(scene.database),
        events=posted(scene),
        rate=scene.rate,
        leaks=tuple(find_leaks(scene, clients)),
    )


def read_ledger(lines: bytes) -> tuple[Arrival, ...]:
    """Read the simulator's rows, one recipient of one call each."""
    return tuple(
        Arrival(
            at_ns=row["arrival_ns"],
            mid=row["mid"] or "",
            address=row["address"],
            accepted=row["verdict"] == "accepted",
            message_id=row["message_id"] or "",
        )
        for row in map(json.loads, lines.splitlines())
    )


def posted(scene: Scene) -> dict[str, Posted]:
    """Ask the simulator how its events fare, by kind."""
    events = json.loads(call(scene.simulator_port, "GET", "/_simulator/summary")[1])["events"]
    return {kind: Posted(tally["made"], tally["acked"]) for kind, tally in events.items()}


def pending_events(scene: Scene) -> int:
    """Ask the simulator how many posts SNS still has to make."""
    summary = json.loads(call(scene.simulator_port, "GET", "/_simulator/summary")[1])
    return int(summary["events_total"]["pending"])


def read_database(path: Path) -> Database:
    """Read everything the oracle asks of the database, in one snapshot."""
    with _reading(path) as ask:
        mails = tuple(
            Mail(number, topic, email, _STATES[word], *rest)
            for number, topic, email, word, *rest in ask("mails")
        )
        topics = {name: tuple(counted) for name, *counted in ask("topics")}
        kinds = {(topic, kind): found for topic, kind, found in ask("kinds")}
        results = {(recipient, kind): rows for recipient, kind, rows in ask("results")}
        return Database(
            ask("install")[0][0],
            mails,
            Counts(topics, kinds, *ask("sums")[0]),
            results,
            *ask("left")[0],
            *ask("integrity")[0],
        )


def waiting(path: Path) -> Waiting:
    """Read how much is not over yet; costs little."""
    with _reading(path) as ask:
        return Waiting(*ask("waiting")[0])


def sent(path: Path) -> int:
    """Read how many are Sent."""
    with _reading(path) as ask:
        return int(ask("sent")[0][0])


def heard(path: Path) -> int:
    """Read how many events are committed."""
    with _reading(path) as ask:
        return int(ask("heard")[0][0])


def stored(path: Path) -> int:
    """Read how many recipients were ever stored, whatever became of them."""
    with _reading(path) as ask:
        return int(ask("stored")[0][0])


def held(path: Path) -> list[int]:
    """Read which Unknown mails wait for the operator."""
    with _reading(path) as ask:
        return [row[0] for row in ask("held")]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Callable[[str], list[Any]]]:
    connection = open_reader(path)
    try:
        connection.execute("BEGIN")
        yield lambda name: connection.execute(_STATEMENTS[name]).fetchall()
    finally:
        connection.close()


def find_leaks(scene: Scene, clients: Clients) -> Iterator[str]:
    """Find the lines of the log that tell a key or an address."""
    domains = {
        address.partition("@")[2] for told in clients.told for address in told.recipients.values()
    }
    words = [scene.key, *(f"@{domain}" for domain in domains)]
    with scene.log.open(errors="replace") as lines:
        yield from _with_words(lines, words)


def _with_words(lines: Iterable[str], words: list[str]) -> Iterator[str]:
    for line in lines:
        if any(word in line for word in words):
            yield line.strip()
