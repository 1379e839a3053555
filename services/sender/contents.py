"""The contents at hand, the newest used of them up to a number of bytes, and those missing."""

import math

from services.sender.render import Cut
from shared.domain import ContentId, JobId
from shared.protocol import Content, Job

CACHE_BYTES = 32 * 1024 * 1024
ASK_AGAIN_S = 0.5


class Contents:
    """Contents by id; a job holds its own while it waits, so what is dropped here is not lost."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._cuts: dict[ContentId, Cut] = {}
        self._bytes = 0
        self._missing: dict[ContentId, set[JobId]] = {}
        self._asked: dict[ContentId, float] = {}

    def find(self, job: Job) -> Cut | None:
        """Answer the job's content, or note that it is missing."""
        cut = self._cuts.pop(job.content, None)
        if cut is None:
            self._missing.setdefault(job.content, set()).add(job.job)
            return None
        self._cuts[job.content] = cut
        return cut

    def put(self, content: Content) -> tuple[Cut, set[JobId]]:
        """Take a content; answer it cut, and the jobs that wait for it."""
        cut = self._cuts.pop(content.content, None)
        if cut is None:
            cut = Cut(content.subject, content.html)
            self._bytes += cut.size
        self._cuts[content.content] = cut
        while self._bytes > self._limit and len(self._cuts) > 1:
            oldest = next(iter(self._cuts))
            self._bytes -= self._cuts.pop(oldest).size
        self._asked.pop(content.content, None)
        return cut, self._missing.pop(content.content, set())

    def forget(self, job: Job) -> None:
        """Wait no longer for a job's content."""
        waiting = self._missing.get(job.content)
        if waiting is not None:
            waiting.discard(job.job)
            if not waiting:
                del self._missing[job.content]
                self._asked.pop(job.content, None)

    def to_ask(self, now: float) -> tuple[ContentId, ...]:
        """Answer the contents to ask for now; they count as asked."""
        due = tuple(
            content
            for content in self._missing
            if now - self._asked.get(content, -math.inf) >= ASK_AGAIN_S
        )
        self._asked.update(dict.fromkeys(due, now))
        return due
