"""The monitor: hears a report of every process each second, and shows the whole as one snapshot."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from typing_extensions import override

from services.monitor.overview import Words, lift
from services.monitor.roll import Roll
from shared.actor import Actor
from shared.clock import Now
from shared.protocol import Message, Report, Snapshot
from shared.wire import Letter

PERIOD_S = 1.0


class Installation(NamedTuple):
    """What the monitor is told: who must be there, and whether SES is the simulator."""

    expected: tuple[str, ...]
    simulated: bool


class Monitor(Actor):
    """Keeps the newest report of each process; `publish` is the stats socket."""

    def __init__(self, installation: Installation, publish: Callable[[bytes], None]) -> None:
        self._simulated = installation.simulated
        self._roll = Roll(installation.expected)
        self._publish = publish
        self._tick_at = 0.0

    @override
    def receive(self, message: Message, now: Now) -> Iterable[Letter]:
        if not isinstance(message, Report):
            return super().receive(message, now)
        self._roll.hear(message, now)
        return ()

    @override
    def next_tick(self, now: Now) -> float:
        return self._tick_at

    @override
    def tick(self, now: Now) -> Iterable[Letter]:
        self._tick_at = now.mono + PERIOD_S
        frame = self.draw(now)
        self._publish(frame)
        return (Letter("api", Snapshot(frame)),)

    def draw(self, now: Now) -> bytes:
        """Make the snapshot: one JSON object, whole."""
        living = self._roll.living(now)
        overview = lift(self._roll.gauges(now), _words(living.get("writer")))
        simulated = self._simulated or any(_is_simulated(report) for report in living.values())
        return msgspec.json.encode(
            {
                "v": 1,
                "at": now.ms,
                "simulated": simulated,
                "processes": self._roll.rows(now),
                "missing": self._roll.missing(now),
                **msgspec.structs.asdict(overview),
                "last_errors": tuple(self._roll.troubles),
            }
        )


def _words(writer: Report | None) -> Words:
    notes = writer.notes if writer else {}
    return Words(*(notes.get(name, "") for name in Words._fields))


def _is_simulated(report: Report) -> bool:
    """A sender may know better than the environment: an AWS profile can name an endpoint too."""
    return report.actor == "sender" and report.notes.get("simulated") == "yes"
