"""Which topics have work, and when it is due."""

from typing import NamedTuple

from shared.clock import Now
from shared.protocol import WorkDigest

REST_S = 0.1
"""How long a topic that looked due but gave nothing is left alone, lest we ask in a circle."""


class Line(NamedTuple):
    """The mail of one topic in one lane."""

    topic: int
    urgent: bool


class Backlog:
    """The newest that the writer said of every line: first by digest, then by each answer.

    What is left of a line is only ever what the writer says; a claim may take less than it asked.
    Due times are Unix milliseconds.
    """

    def __init__(self) -> None:
        self._due: dict[Line, int] = {}
        self._beyond: int | None = None
        self._resting: dict[Line, float] = {}

    def __len__(self) -> int:
        """Count the lines that have work, due or soon."""
        return len(self._due)

    def hear(self, digest: WorkDigest) -> None:
        """Take a whole digest in place of all that was known, another one on top of it."""
        told = {Line(work.topic, work.urgent): work.next_due for work in digest.topics}
        if digest.whole:
            self._due, self._beyond = told, digest.next_due
        else:
            self._due |= told

    def answered(self, line: Line, next_due: int | None, now: Now, *, is_empty: bool) -> None:
        """Take what a claim left of a line."""
        if next_due is None:
            self._due.pop(line, None)
        else:
            self._due[line] = next_due
            if is_empty and next_due <= now.ms:
                self._resting[line] = now.mono + REST_S

    def due(self, now: Now) -> list[Line]:
        """Answer the lines that have mail due, and are not resting."""
        self._resting = {line: until for line, until in self._resting.items() if until > now.mono}
        return [
            line for line, due in self._due.items() if due <= now.ms and line not in self._resting
        ]

    def wakes_at(self, now: Now) -> float | None:
        """Answer the monotonic time at which a line comes due or has rested."""
        ahead = [due for due in self._due.values() if due > now.ms]
        wakes = [until for until in self._resting.values() if until > now.mono]
        if ahead:
            wakes.append(now.mono + _seconds_until(min(ahead), now))
        return min(wakes, default=None)

    def next_due_in(self, now: Now) -> float | None:
        """Answer the seconds until the soonest mail is due; 0 if some is."""
        dues = list(self._due.values())
        if self._beyond is not None:
            dues.append(self._beyond)
        return max(0.0, min(dues) / 1000 - now.wall) if dues else None


def _seconds_until(due: int, now: Now) -> float:
    # A millisecond later, so that whole milliseconds have surely reached the due time.
    return (due + 1) / 1000 - now.wall
