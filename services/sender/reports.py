"""Outcomes on their way to the writer: gathered, numbered, repeated until acknowledged; pure."""

import math
from collections.abc import Iterable, Iterator

from shared.domain import JobId
from shared.protocol import Outcome

FLUSH_AFTER_S = 0.025
FLUSH_AT = 100
REPEAT_AFTER_S = 1.0


class Batch:
    """Outcomes that travel under one number."""

    __slots__ = ("outcomes", "said")

    def __init__(self, outcomes: tuple[Outcome, ...]) -> None:
        self.outcomes = outcomes
        self.said = -math.inf


class Reports:
    """What the writer has not acknowledged yet."""

    def __init__(self, replayed: Iterable[Outcome] = ()) -> None:
        self._fresh: list[Outcome] = list(replayed)
        self._batches: dict[int, Batch] = {}
        self._jobs: set[JobId] = {outcome.job for outcome in self._fresh}
        self._seq = 0
        self._flushed = -math.inf

    def __len__(self) -> int:
        """Count the jobs whose outcome is not acknowledged."""
        return len(self._jobs)

    def __contains__(self, job: JobId) -> bool:
        """Tell whether the writer may not know this job's outcome yet."""
        return job in self._jobs

    def jobs(self) -> Iterator[JobId]:
        """Answer the jobs whose outcome the writer may not know yet."""
        return iter(self._jobs)

    def __iter__(self) -> Iterator[Outcome]:
        """Answer all that is not acknowledged, oldest first."""
        for batch in self._batches.values():
            yield from batch.outcomes
        yield from self._fresh

    def add(self, outcome: Outcome) -> None:
        """Take an outcome on."""
        self._fresh.append(outcome)
        self._jobs.add(outcome.job)

    def acknowledged(self, seqs: Iterable[int]) -> None:
        """Forget what is committed."""
        for seq in seqs:
            batch = self._batches.pop(seq, None)
            if batch is not None:
                self._jobs.difference_update(outcome.job for outcome in batch.outcomes)

    def due(self, now: float) -> list[tuple[int, tuple[Outcome, ...]]]:
        """Answer the batches to say now: fresh ones, and old ones again."""
        while self._fresh and (len(self._fresh) >= FLUSH_AT or now >= self._flush_at()):
            self._seq += 1
            self._batches[self._seq] = Batch(tuple(self._fresh[:FLUSH_AT]))
            del self._fresh[:FLUSH_AT]
            if not self._fresh:
                self._flushed = now
        said = []
        for seq, batch in self._batches.items():
            if now - batch.said >= REPEAT_AFTER_S:
                batch.said = now
                said.append((seq, batch.outcomes))
        return said

    def next_at(self) -> float:
        """Answer when there will be something to say."""
        if self._fresh:
            return self._flush_at()
        if not self._batches:
            return math.inf
        return min(batch.said for batch in self._batches.values()) + REPEAT_AFTER_S

    def _flush_at(self) -> float:
        return self._flushed + FLUSH_AFTER_S
