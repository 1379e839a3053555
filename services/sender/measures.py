"""What the stats socket shows of a sender."""

from collections import Counter
from collections.abc import Iterable, Sequence

from shared.clock import Now
from shared.domain import Verdict
from shared.protocol import Answer


class Measures:
    """Counts of verdicts since the start, and how many mails a second SES takes from us."""

    def __init__(self) -> None:
        self._verdicts: Counter[Verdict] = Counter()
        self._mark = 0
        self._marked_at: float | None = None
        self._per_second = 0.0

    def count(self, answers: Iterable[Answer]) -> None:
        """Count the answers of a call."""
        self._verdicts.update(answer.verdict for answer in answers)

    def gauges(self, now: Now) -> dict[str, float]:
        """Answer the numbers; the pace is that since they were last asked for."""
        sent = self._verdicts[Verdict.ACCEPTED]
        if self._marked_at is not None and now.mono > self._marked_at:
            self._per_second = (sent - self._mark) / (now.mono - self._marked_at)
        self._mark, self._marked_at = sent, now.mono
        counts = {f"verdict_{one.value}": float(self._verdicts[one]) for one in Verdict}
        return {"sent_per_s": self._per_second, **counts}


def p99_ms(seconds: Sequence[float]) -> float:
    """Answer the 99th percentile in milliseconds, 0 for none."""
    return _ms(sorted(seconds), 0.99)


def gate_gauges(seconds: Sequence[float]) -> dict[str, float]:
    """Answer how long the gate's answers took, in milliseconds."""
    ranked = sorted(seconds)
    return {"gate_p50_ms": _ms(ranked, 0.5), "gate_p99_ms": _ms(ranked, 0.99)}


def _ms(ranked: Sequence[float], share: float) -> float:
    return 1000.0 * ranked[int(len(ranked) * share)] if ranked else 0.0
