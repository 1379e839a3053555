"""The ledger: every recipient of every send call, with the time its call arrived."""

from bisect import bisect_right
from collections import Counter, deque
from heapq import heappop, heappush
from typing import Any, Final

import msgspec

ACCEPTED: Final = "accepted"
_SECOND: Final = 1_000_000_000
_SECOND_COPY: Final = 2
_encode: Final = msgspec.json.Encoder().encode_lines


class Row(msgspec.Struct, gc=False):
    """One recipient of one call."""

    row: int
    call: int
    arrival_ns: int
    api: str
    verdict: str
    fault: str | None
    mid: str | None
    att: str | None
    address: str
    message_id: str | None


class Line(msgspec.Struct, gc=False):
    """What a call says about one recipient."""

    verdict: str
    mid: str | None
    att: str | None
    address: str
    message_id: str | None


class Window:
    """The worst one-second window of arrivals, counted in recipients.

    Calls are stamped when they arrive and read a little later, each connection by itself: they are
    put in order first, as far as one comes no more than a second after its turn.
    """

    def __init__(self) -> None:
        self._early: list[tuple[int, int]] = []  # a heap
        self._inside: deque[tuple[int, int]] = deque()
        self._sum = 0
        self._newest_ns = 0
        self._worst = (0, 0)

    def add(self, at_ns: int, recipients: int) -> None:
        """Count a call; windows are half open, so exactly one second apart is two windows."""
        heappush(self._early, (at_ns, recipients))
        self._newest_ns = max(self._newest_ns, at_ns)
        while self._early[0][0] < self._newest_ns - _SECOND:
            self._count(*heappop(self._early))

    def worst(self) -> tuple[int, int]:
        """Answer the most recipients in one second so far, and when that second ended (ns)."""
        while self._early:
            self._count(*heappop(self._early))
        return self._worst

    def _count(self, at_ns: int, recipients: int) -> None:
        inside = self._inside
        if inside:
            at_ns = max(at_ns, inside[-1][0])
        inside.append((at_ns, recipients))
        self._sum += recipients
        while inside[0][0] <= at_ns - _SECOND:
            self._sum -= inside.popleft()[1]
        if self._sum > self._worst[0]:
            self._worst = (self._sum, at_ns)


class Ledger:
    """All rows since the last reset: counted at once, encoded in batches, kept as bytes."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget every row and count from zero."""
        self.calls = 0
        self.recipients = 0
        self.accepted = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.window = Window()
        self._refused: Counter[str] = Counter()
        self._refused_calls: Counter[str] = Counter()
        self._mids: dict[str, int] = {}
        self._distinct = 0
        self._doubled = 0
        self._fresh: list[Row] = []
        self._starts: list[int] = []
        self._chunks: list[bytes] = []

    def record(self, at_ns: int, api: str, lines: list[Line], fault: str | None) -> None:
        """Write a call down, whatever became of it."""
        self.calls += 1
        if self.first_ns is None:
            self.first_ns = at_ns
        self.last_ns = at_ns
        self.window.add(at_ns, len(lines))
        for line in lines:
            self.recipients += 1
            self._count(line)
            self._fresh.append(
                Row(
                    self.recipients,
                    self.calls,
                    at_ns,
                    api,
                    line.verdict,
                    fault,
                    line.mid,
                    line.att,
                    line.address,
                    line.message_id,
                )
            )

    def refuse_call(self, code: str) -> None:
        """Count a call that was refused as a whole."""
        self._refused_calls[code] += 1

    def flush(self) -> bytes:
        """Encode what is new, keep it and give it for the file."""
        if not self._fresh:
            return b""
        chunk = _encode(self._fresh)
        self._starts.append(self._fresh[0].row)
        self._chunks.append(chunk)
        self._fresh = []
        return chunk

    def after(self, row: int) -> bytes:
        """Give every row later than that one, as JSON lines; flush first."""
        if row <= 0:
            return b"".join(self._chunks)
        place = bisect_right(self._starts, row) - 1
        if place < 0:
            return b"".join(self._chunks)
        skipped = row - self._starts[place] + 1
        lines = self._chunks[place].splitlines(keepends=True)
        return b"".join([*lines[skipped:], *self._chunks[place + 1 :]])

    def summary(self) -> dict[str, Any]:
        """Tell the totals."""
        worst, worst_end_ns = self.window.worst()
        return {
            "calls": self.calls,
            "recipients": self.recipients,
            "accepted": self.accepted,
            "rejected": dict(self._refused),
            "rejected_calls": dict(self._refused_calls),
            "distinct_mids": self._distinct,
            "doubled_mids": self._doubled,
            "seen_mids": len(self._mids),
            "worst_second": worst,
            "worst_second_end_ns": worst_end_ns or None,
            "first_arrival_ns": self.first_ns,
            "last_arrival_ns": self.last_ns,
        }

    def _count(self, line: Line) -> None:
        took = line.verdict == ACCEPTED
        if took:
            self.accepted += 1
        else:
            self._refused[line.verdict] += 1
        if line.mid is not None:
            copies = self._mids.get(line.mid, 0) + took
            self._mids[line.mid] = copies
            self._distinct += took and copies == 1
            self._doubled += took and copies == _SECOND_COPY
