"""memory: what all our processes take, idle and while a million mails are queued and sent."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from scripts import stage
from scripts.speed.bed import Bed, recipients
from scripts.speed.machine import anonymous_mb
from scripts.speed.rounds import Line, Target
from shared import wire

MAILS = 1_000_000
TOPIC = "memory"
SETTLED_S = 5.0
"""After this long a fresh installation does no more than it does when idle."""

EVERY_S = 1.0
IDLE = Target(at_most=220)
GROWTH = Target(at_most=80)


class Round(NamedTuple):
    """Megabytes: idle, the most that was added, and of it while the mail was queued."""

    idle: float
    growth: float
    queueing: float


def run(rounds: int) -> list[Line]:
    """Start, look, queue a million, send them, look each second; anew each round."""
    found = [_round() for _ in range(rounds)]
    idle, growth, queueing = (tuple(figures) for figures in zip(*found, strict=True))
    who = "all processes and supervisord, anonymous PSS"
    return [
        Line("memory", f"MB, {who}, idle, 2 senders", idle, target=IDLE),
        Line("memory", f"MB more while {MAILS:,} are queued and sent", growth, target=GROWTH),
        Line("memory", "MB more of it while they are queued", queueing),
    ]


def _round() -> Round:
    with Bed(MAX_SEND_PER_SECOND="100000", SES_SEND_API="bulk") as bed:
        time.sleep(SETTLED_S)
        pids = everybody(bed)
        idle = anonymous_mb(pids)
        with _watched(pids) as seen:
            # Paused, so that a million do wait at once.
            bed.post(["first@example.com"], TOPIC)
            bed.wait_until_sent()
            _order(bed, "pause")
            bed.post(recipients(MAILS, TOPIC), TOPIC)
            queueing = max(seen)
            _order(bed, "resume")
            bed.wait_until_sent()
        return Round(idle, max(seen) - idle, queueing - idle)


def everybody(bed: Bed) -> list[int]:
    """Name our processes, supervisord among them; the far side is none of ours."""
    supervisord = stage.control(wire.run_folder(bed.folder)).getPID()
    return [supervisord, *bed.pids().values()]


def _order(bed: Bed, name: str) -> None:
    status, answer = bed.ask("POST", f"/v1/topics/{TOPIC}/{name}")
    if status != 200:
        raise stage.StageError(f"{name} answered {status}: {answer}")


@contextlib.contextmanager
def _watched(pids: list[int]) -> Iterator[list[float]]:
    """Look at these processes each second, and once more at the end."""
    seen = [anonymous_mb(pids)]
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(EVERY_S):
            seen.append(anonymous_mb(pids))

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield seen
    finally:
        is_over.set()
        watch.join()
        seen.append(anonymous_mb(pids))
