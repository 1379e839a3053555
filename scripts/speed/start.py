"""start: how long scripts/run takes until /ready answers 200, when all was there before."""

import contextlib
import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from scripts import launch
from scripts.speed.bed import Bed
from scripts.speed.rounds import Line, Target
from scripts.stage import StageError

READY = Target(at_most=2.5)
PATIENCE_S = 30.0
LOOK_S = 0.01
EVERYBODY = 8
"""Processes that /ready hears of in the end, with 2 senders."""


class Start(NamedTuple):
    """Seconds from the call of scripts/run: to the first 200, and until all are heard of."""

    ready: float
    all_heard: float


def run(rounds: int) -> list[Line]:
    """Start and stop one installation again and again, with the far side up all the time."""
    # It is not started as other beds are: scripts/run starts it.
    bed = Bed()
    try:
        with _far_side(bed):
            found = [_start(bed) for _ in range(rounds + 1)][1:]  # the first one warms up
    finally:
        bed.remove()
    ready, all_heard = zip(*found, strict=True)
    return [
        Line("start", "s from scripts/run to /ready 200, warm", ready, target=READY),
        Line("start", "s until every process is heard of", all_heard),
    ]


@contextlib.contextmanager
def _far_side(bed: Bed) -> Iterator[None]:
    command = [sys.executable, "-m", "services.simulator"]
    with (
        bed.log.open("ab") as log,
        subprocess.Popen(
            command, cwd=launch.ROOT, env=bed.environment(), stdout=log, stderr=log
        ) as process,
    ):
        try:
            _until(lambda: bed.ask_simulator("health")["simulator"] is True)
            yield
        finally:
            process.terminate()


def _start(bed: Bed) -> Start:
    (bed.folder / "env").touch()
    command = [str(launch.ROOT / "scripts/run")]
    began = time.monotonic()
    with (
        bed.log.open("ab") as log,
        subprocess.Popen(command, env=bed.environment(), stdout=log, stderr=log) as process,
    ):
        try:
            _until(lambda: bed.ask("GET", "/ready")[0] == http.client.OK)
            ready = time.monotonic() - began
            _until(lambda: _heard(bed) >= EVERYBODY)
            return Start(ready, time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGTERM)


def _heard(bed: Bed) -> int:
    _, answer = bed.ask("GET", "/ready")
    return sum(state == "ok" for state in answer["checks"]["processes"].values())


def _until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
            if is_so():
                return
        time.sleep(LOOK_S)
    raise StageError("it did not come up in time")
