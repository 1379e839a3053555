"""The bookkeeping of a turn: counters that move with the rows, written once for many messages."""

import array
from collections import defaultdict
from typing import NamedTuple

from shared.clock import Now
from shared.domain import Feedback, RecipientId, State, TopicId
from shared.store.write import Store

_MINUTE_MS = 60_000
PACE_MS = 10_000
"""A topic's sending is counted in slots this long: its rate now is read off the newest two."""


class Lease(NamedTuple):
    """One job in a sender's hands, as the database keeps it."""

    job: int
    batch: int
    topic: int
    urgent: int
    recipients: list[int]
    gated_at: int | None
    cancelled: int


def pack(recipients: list[int]) -> bytes:
    """Write ids as a lease keeps them."""
    return array.array("q", recipients).tobytes()


def unpack(blob: bytes) -> list[int]:
    """Read the ids of a lease."""
    return array.array("q", blob).tolist()


class Standing(NamedTuple):
    """Where a recipient stands before a move."""

    recipient: RecipientId
    state: State
    attempts: int
    refusals: int
    flags: int
    feedback: int
    sent_at: int | None
    message_id: str | None
    email: str
    batch: int
    topic: TopicId
    urgent: int
    seen: int
    expires_at: int | None = None  # what has not left by then is stopped
    not_before: int = 0  # its topic was rescheduled to this time


class Book:
    """The counters of messages that are written together.

    `write` adds them to the database: at the end, and before a message that reads counters. `moved`
    is what moved in all, state by state; `work` what may be claimed now.
    """

    def __init__(self, store: Store, now: Now) -> None:
        self.store = store
        self.now = now
        self.work: set[tuple[int, int]] = set()
        self.moved = [0] * len(State)
        self._clear()

    def _clear(self) -> None:
        self._topics: dict[int, list[int]] = defaultdict(lambda: [0] * len(State))
        self._results: dict[tuple[int, Feedback], int] = defaultdict(int)
        self._sent: dict[int, int] = defaultdict(int)
        self._heard: dict[int, int] = defaultdict(int)
        self._harm: dict[int, tuple[int, int]] = {}
        self._stamps: dict[int, tuple[int, int, int]] = {}

    def accept(self, topic: int, count: int, state: State = State.CREATED) -> None:
        """Count recipients that are new."""
        self._topics[topic][state] += count

    def move(self, topic: int, old: State, new: State, count: int = 1) -> None:
        """Count recipients of a topic that went from one state to another."""
        counts = self._topics[topic]
        counts[old] -= count
        counts[new] += count

    def send(self, topic: int, at: int, count: int = 1) -> None:
        """Count mail by its time of sending (wall ms)."""
        self._sent[at // _MINUTE_MS] += count
        first, last, so_far = self._stamps.get(topic, (at, at, 0))
        self._stamps[topic] = (min(first, at), max(last, at), so_far + count)

    def hear(self, sent_at: int) -> None:
        """Count the first event of a mail sent at that time."""
        self._heard[sent_at // _MINUTE_MS] += 1

    def harm(self, sent_at: int, bounced: int, complained: int) -> None:
        """Count bounces and complaints, as SES does, of mail sent at that time."""
        minute = sent_at // _MINUTE_MS
        before = self._harm.get(minute, (0, 0))
        self._harm[minute] = (before[0] + bounced, before[1] + complained)

    def result(self, topic: int, kind: Feedback) -> None:
        """Count one more recipient with an event of a kind."""
        self._results[topic, kind] += 1

    def wait(self, topic: int, urgent: int, due_at: int) -> None:
        """Say that a topic has mail waiting from that time on."""
        self.store.run("add_work", (topic, urgent, due_at))
        self.work.add((topic, urgent))

    def write(self) -> None:
        """Add what was counted since the last time to the database."""
        for topic, counts in self._topics.items():
            if any(counts):
                self.store.run("count_topic", (topic, *counts))
                self.moved = [a + b for a, b in zip(self.moved, counts, strict=True)]
        for topic, (first, last, count) in self._stamps.items():
            values = (topic, first, last, self.now.ms // PACE_MS, count)
            self.store.run("stamp_topic", values)
        for (topic, kind), count in self._results.items():
            self.store.run("count_result", (topic, kind, count))
        self._write_sent()
        self._clear()

    def _write_sent(self) -> None:
        for minute in self._sent.keys() | self._heard.keys():
            sent = self._sent.get(minute, 0)
            self.store.run("count_minute", (minute, sent, self._heard.get(minute, 0)))
            if sent:
                self.store.run("count_hour", (minute // 60, sent))
        for minute, counts in self._harm.items():
            self.store.run("harm_minute", (minute, *counts))
            self.store.run("harm_hour", (minute // 60, *counts))
        if self._sent:
            self.store.run("count_ever", (sum(self._sent.values()),))
