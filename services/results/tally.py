"""What this actor counts, and how often it speaks of what it refuses."""

from collections import Counter
from typing import NamedTuple

from services.results.refusal import Refusal
from shared.clock import Now

_SILENCE_S = 60.0
_DAY_MS = 24 * 3600 * 1000


class _Spoken(NamedTuple):
    """When a kind of refusal was last logged, and how many there were by then."""

    mono: float
    total: int


class Tally:
    """Counters since the start, and the mean lag of the last second's events."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
        self.refusals: Counter[str] = Counter()
        self._lags = self._lag_sum = 0
        self._lag_s = 0.0
        self._spoken: dict[str, _Spoken] = {}

    def refuse(self, refused: Refusal, now: Now) -> int:
        """Count a refusal; answer how many of its kind a log line shall tell of now, 0 for none.

        One line a minute for each kind: a stranger shall not fill the disk.
        """
        self.refusals[refused.code] += 1
        total = self.refusals[refused.code]
        spoken = self._spoken.get(refused.code, _Spoken(-_SILENCE_S, 0))
        if now.mono - spoken.mono < _SILENCE_S:
            return 0
        self._spoken[refused.code] = _Spoken(now.mono, total)
        return total - spoken.total

    def record(self, events: int, published_at: int, now: Now) -> None:
        """Count a verified notification and the events in it."""
        self.counts["events"] += events
        self.counts["noted"] += not events
        # An old post is taken all the same: it is counted once, however late it comes.
        self.counts["stale"] += now.ms - published_at > _DAY_MS

    def lag(self, at: int, now: Now) -> None:
        """Note how long ago an event happened."""
        self._lags += 1
        self._lag_sum += max(0, now.ms - at)

    def end_second(self) -> None:
        """Close the second over which the lag is a mean."""
        self._lag_s = self._lag_sum / self._lags / 1000 if self._lags else 0.0
        self._lags = self._lag_sum = 0

    def gauges(self) -> dict[str, float]:
        """Answer all of it as numbers."""
        return {
            **self.counts,
            "refused": float(self.refusals.total()),
            **{f"refused_{code}": float(count) for code, count in self.refusals.items()},
            "lag_s": self._lag_s,
        }


_COUNTED = ("posts", "verified", "events", "noted", "stale", "confirmed", "unsubscribed")
