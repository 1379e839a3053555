"""An installation to be measured: real processes, a far side that costs little, R open."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from scripts import stage
from scripts.benches.evidence import waiting
from shared import wire

OPEN_RATE = 1_000_000.0
LATENCY_MS = 40
LARGEST = 10_000
HTML = (Path(__file__).parents[1] / "newsletter.html").read_text()
PATIENCE_S = 300.0
GAUGE_S = 10.0
STALE_MS = 100
"""A snapshot gives a report's age in tenths of a second."""


def letter(size: int = 12_000) -> str:
    """Make an HTML text of so many characters."""
    text = HTML * (size // len(HTML) + 1)
    return text[:size]


def recipients(number: int, name: str = "reader") -> list[str]:
    """Make up so many readers."""
    return [f"{name}.{one}@example.com" for one in range(number)]


class Bed(stage.Stage):
    """Starts and stops like every stage; `more` are settings, `events` whether SNS posts."""

    def __init__(self, rate: float = OPEN_RATE, *, events: bool = False, **more: str) -> None:
        super().__init__(rate)
        self._more = more
        self._events = events

    @override
    def environment(self) -> dict[str, str]:
        """Answer the settings."""
        return super().environment() | {
            "SIMULATOR_LATENCY_MS": str(LATENCY_MS),
            "SIMULATOR_SPREAD_MS": "0",
            "SIMULATOR_BOUNCE_SHARE": "0",
            "SIMULATOR_COMPLAINT_SHARE": "0",
            "SIMULATOR_LEDGER_FILE": "0",
            "SIMULATOR_QUOTA": "-1",
            **self._more,
        }

    @override
    def _wire_up(self) -> None:
        if self._events:
            super()._wire_up()
        else:
            self.client("sesv2").create_configuration_set(ConfigurationSetName="demo")

    def __enter__(self) -> "Bed":
        """Start."""
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop, and leave nothing."""
        self.stop()
        self.remove()

    @property
    def database(self) -> Path:
        """The database."""
        return self.folder / "ses-sender.db"

    def pids(self) -> dict[str, int]:
        """Ask supervisord for our processes; the far side is none of ours."""
        found = stage.control(wire.run_folder(self.folder)).getAllProcessInfo()
        return {x["name"]: x["pid"] for x in found if x["pid"] and x["name"] != "simulator"}

    def gauge(self, process: str, name: str) -> float:
        """Answer a gauge as its process reported it after this call, from the stats socket."""
        asked, give_up = time.time() * 1000 + STALE_MS, time.monotonic() + GAUGE_S
        address = f"tcp://127.0.0.1:{self.ports.stats}"
        with contextlib.closing(wire.subscribe(address)) as socket:
            while time.monotonic() < give_up:
                if not socket.poll(1000):
                    continue
                picture = json.loads(socket.recv())
                for row in picture["processes"]:
                    heard = picture["at"] - row["age_s"] * 1000
                    if row["process"] == process and heard > asked:
                        return float(row["gauges"][name])
        raise stage.StageError(f"{process} did not report in {GAUGE_S:.0f} s")

    def post(self, emails: Sequence[str], topic: str = "bench", **more: Any) -> None:
        """Post one message to so many, LARGEST a request."""
        for first in range(0, len(emails), LARGEST):
            part = list(emails[first : first + LARGEST])
            mail = {"topic_id": topic, "emails": part, "subject": "Bench", "content": letter()}
            status, answer = self.ask("POST", "/v1/messages", {"messages": [mail], **more})
            if status != http.client.OK:
                raise stage.StageError(f"POST answered {status}: {json.dumps(answer)[:300]}")

    def wait_until_sent(self) -> None:
        """Wait until nothing is queued or leased; it is read from the file, at no CPU of ours."""

        def is_over() -> bool:
            left = waiting(self.database)
            return not left.queued and not left.leases

        self.wait_until(is_over, "all is sent")

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something, with patience and not for ever."""
        give_up = time.monotonic() + PATIENCE_S
        while not is_so():
            if time.monotonic() > give_up:
                raise stage.StageError(f"it took longer than {PATIENCE_S:.0f} s until {what}")
            time.sleep(0.02)
