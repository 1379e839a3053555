"""What the oracle looks at: what clients were told, what SES and SNS saw, what is stored."""

from collections.abc import Mapping
from typing import NamedTuple

from shared.domain import State


class Told(NamedTuple):
    """A submission that was answered with 200: its recipients' addresses by the ids answered.

    When, by CLOCK_MONOTONIC, in ns.
    """

    topic: str
    recipients: Mapping[int, str]
    answered_ns: int = 0


class Cancelled(NamedTuple):
    """A cancel that was answered at that time (CLOCK_MONOTONIC, ns)."""

    topic: str
    stopped: int
    in_flight: int
    answered_ns: int


class Clients(NamedTuple):
    """What all clients were told.

    `refused` are addresses of submissions of which surely nothing was stored; `unheard` those of
    each submission that got no answer: stored whole, or not at all.
    """

    told: tuple[Told, ...] = ()
    cancelled: tuple[Cancelled, ...] = ()
    refused: frozenset[str] = frozenset()
    unheard: tuple[frozenset[str], ...] = ()


class Arrival(NamedTuple):
    """One recipient of one call as SES saw it (CLOCK_MONOTONIC, ns)."""

    at_ns: int
    mid: str
    address: str
    accepted: bool
    message_id: str


class Mail(NamedTuple):
    """A recipient's row; `unknown_since` in wall ms."""

    id: int
    topic: str
    address: str
    state: State
    attempts: int = 1
    feedback: int = 0
    flags: int = 0
    message_id: str = ""
    code: str = ""
    seen: int = 0
    unknown_since: int | None = None


class Counts(NamedTuple):
    """What the writer counts; `kinds` are recipients with an event, by topic and kind."""

    topics: Mapping[str, tuple[int, ...]]
    kinds: Mapping[tuple[str, int], int]
    sent_minutes: int
    heard_minutes: int
    sent_hours: int
    sent_ever: int


class Database(NamedTuple):
    """The database at the end; `results` are stored events, by recipient and kind."""

    install: str
    mails: tuple[Mail, ...]
    counts: Counts
    results: Mapping[tuple[int, int], int]
    leases: int = 0
    retries: int = 0
    open_batches: int = 0
    ear_since: int = 0
    integrity: str = "ok"


class Posted(NamedTuple):
    """SNS's own count of the events of one kind: made, and answered with 200."""

    made: int
    acked: int


class Evidence(NamedTuple):
    """All that the oracle looks at; `rate` is R, `leaks` are log lines that tell a secret."""

    clients: Clients
    arrivals: tuple[Arrival, ...]
    database: Database
    events: Mapping[str, Posted]
    rate: float
    leaks: tuple[str, ...] = ()
