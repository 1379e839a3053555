"""The roll of processes: who was heard, when, and what is wrong with them."""

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from shared.clock import Now
from shared.protocol import Report

ALIVE_S = 3.0
"""Reports come every second; a process not heard for longer counts as missing."""

FORGET_S = 60.0
"""A process that is not expected, such as a sender more than SENDER_WORKERS, leaves the roll."""


GROWTH = {"cpu_s": "cpu", "events": "events_per_s"}
"""Gauges that only grow, and how their growth per second is named."""


class Trouble(Struct, frozen=True):
    """One error line and when it was first heard."""

    at: int
    process: str
    error: str


class Row(Struct, frozen=True):
    """One process as the snapshot shows it; `cpu` is its share of one core."""

    actor: str
    process: str
    pid: int
    alive: bool
    age_s: float
    restarts: int
    cpu: float | None
    rss_mb: float | None
    gauges: dict[str, float]
    notes: dict[str, str]
    errors: tuple[str, ...]


class Heard(Struct):
    """The newest report of a process, and what was seen of it before."""

    report: Report
    at: float
    restarts: int = 0
    growth: dict[str, float] = {}


class Roll:
    """Everyone who reported, newest report each."""

    def __init__(self, expected: Sequence[str]) -> None:
        self.expected = tuple(expected)
        self.troubles: deque[Trouble] = deque(maxlen=20)
        self._heard: dict[str, Heard] = {}
        self._began: float | None = None

    def hear(self, report: Report, now: Now) -> None:
        """Take a report in; one of a former epoch, arriving late, changes nothing."""
        former = self._heard.get(report.process)
        if former and report.epoch < former.report.epoch:
            return
        again = former is not None and report.epoch > former.report.epoch
        same_life = former.report if former and not again else None
        self._heard[report.process] = Heard(
            report,
            now.mono,
            restarts=(former.restarts + again) if former else 0,
            growth=growth(same_life, report, former.growth) if former and same_life else {},
        )
        for error in news(same_life.errors if same_life else (), report.errors):
            self.troubles.append(Trouble(now.ms, report.process, error))

    def living(self, now: Now) -> dict[str, Report]:
        """Answer the reports of those heard within three seconds."""
        return {
            name: heard.report
            for name, heard in self._heard.items()
            if now.mono - heard.at < ALIVE_S
        }

    def gauges(self, now: Now) -> dict[str, dict[str, float]]:
        """Answer the gauges of the living, and how fast those grow that only grow."""
        return {
            name: {**report.gauges, **self._heard[name].growth}
            for name, report in self.living(now).items()
        }

    def missing(self, now: Now) -> list[str]:
        """Answer who is expected and not heard; nobody while this monitor is still new."""
        if self._began is None:
            self._began = now.mono
        if now.mono - self._began < ALIVE_S:
            return []
        living = self.living(now)
        return [name for name in self.expected if name not in living]

    def rows(self, now: Now) -> list[Row]:
        """Answer one row a process: the expected ones in their order, then the rest."""
        self._forget(now)
        order = {name: place for place, name in enumerate(self.expected)}
        names = sorted(self._heard, key=lambda name: (order.get(name, len(order)), name))
        return [_row(self._heard[name], now) for name in names]

    def _forget(self, now: Now) -> None:
        for name, heard in list(self._heard.items()):
            if name not in self.expected and now.mono - heard.at >= FORGET_S:
                del self._heard[name]


def _row(heard: Heard, now: Now) -> Row:
    report = heard.report
    age = now.mono - heard.at
    return Row(
        actor=report.actor,
        process=report.process,
        pid=report.pid,
        alive=age < ALIVE_S,
        age_s=round(age, 1),
        restarts=heard.restarts,
        cpu=heard.growth.get("cpu"),
        rss_mb=report.gauges.get("rss_mb"),
        gauges=report.gauges,
        notes=report.notes,
        errors=report.errors,
    )


def growth(former: Report, report: Report, known: dict[str, float]) -> dict[str, float]:
    """Answer how much each growing gauge grew per second between two reports of one process.

    Two that came too close together tell nothing: what was known stays.
    """
    elapsed = (report.at - former.at) / 1000
    if elapsed < 0.2:
        return known
    return {
        shown: round((report.gauges[name] - former.gauges[name]) / elapsed, 3)
        for name, shown in GROWTH.items()
        if name in report.gauges and name in former.gauges
    }


def news(known: tuple[str, ...], errors: tuple[str, ...]) -> Iterable[str]:
    """Answer the error lines that were not there before; both lists end with the newest."""
    for overlap in range(min(len(known), len(errors)), -1, -1):
        if known[len(known) - overlap :] == errors[:overlap]:
            return errors[overlap:]
    return errors


def expected_processes(senders: int) -> tuple[str, ...]:
    """Name every process of an installation, in the way of an e-mail."""
    names = [f"sender-{number}" for number in range(senders)]
    return ("api", "writer", "scheduler", "broker", *names, "results", "monitor")
