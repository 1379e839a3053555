"""Fair turns: who had the fewest recipients for its weight is next."""

import heapq
from collections import Counter
from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """How much each of those waiting has had; counted in recipients, not in jobs.

    Whoever comes anew starts level with the one that had least: it is served at once, and its
    idle past is worth nothing. Equal ones are served in the order they are given.
    """

    def __init__(self, weights: Mapping[K, float] | None = None) -> None:
        self._weights = weights or {}
        self._had: dict[K, float] = {}

    def line_up(self, waiting: Collection[K]) -> None:
        """Say who waits now; the others leave."""
        had = self._had
        level = min((had[key] for key in waiting if key in had), default=0.0)
        self._had = {key: had.get(key, level) for key in waiting}

    def pick(self, able: Collection[K], jobs: int, size: int) -> dict[K, int]:
        """Deal out jobs of `size` recipients, one at a time, and charge for them."""
        if jobs <= 0:
            return {}
        heap = [(self._had[key], place, key) for place, key in enumerate(able)]
        heapq.heapify(heap)
        picked: Counter[K] = Counter()
        for _ in range(jobs if heap else 0):
            _, place, key = heap[0]
            self.charge(key, size)
            picked[key] += 1
            heapq.heapreplace(heap, (self._had[key], place, key))
        return picked

    def charge(self, key: K, recipients: int) -> None:
        """Put recipients on someone's account, or take them off (less than 0) if it had fewer."""
        if key in self._had:
            self._had[key] += recipients / self._weights.get(key, 1.0)
