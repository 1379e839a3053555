"""What the machine says of processes and of itself, from /proc."""

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LITTLE_IDLE = 0.1
"""A machine with less idle time than this sets the figure itself."""

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: Iterable[int]) -> float:
    """User and system seconds that these processes have used."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


def anonymous_mb(pids: Iterable[int]) -> float:
    """Anonymous memory of these processes in MB; what they share counts in parts (PSS)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                total += int(line.split()[1])
    return total / 1024


@contextlib.contextmanager
def pinned(pids: Iterable[int]) -> Iterator[None]:
    """Let these processes have the first core alone, and every other process of ours the rest."""
    cores = sorted(os.sched_getaffinity(0))
    chosen = set(pids)
    rest = _relatives() - chosen
    _pin(chosen, cores[:1])
    _pin(rest, cores[1:])
    try:
        yield
    finally:
        _pin(chosen | rest, cores)


def _relatives() -> set[int]:
    """Answer this process and all that came from it."""
    found, new = set(), {os.getpid()}
    while new:
        found |= new
        new = {child for pid in new for child in _children(pid)}
    return found


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(one) for task in tasks for one in (task / "children").read_text().split()]


def _pin(pids: Iterable[int], cores: Iterable[int]) -> None:
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


class Idle(NamedTuple):
    """The idle and the whole time of all cores so far, in ticks."""

    idle: int
    all: int

    @classmethod
    def now(cls) -> "Idle":
        """Read both."""
        fields = [int(one) for one in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return cls(fields[3] + fields[4], sum(fields))

    def share(self) -> float:
        """Answer the idle share of the time since then."""
        now = Idle.now()
        return (now.idle - self.idle) / max(1, now.all - self.all)


def busy(idles: Sequence[float]) -> str:
    """Say it in a note if the machine had hardly any time left."""
    idle = statistics.median(idles)
    return "" if idle > LITTLE_IDLE else f"idle {idle:.0%}: CPU bound"


def describe() -> str:
    """Name the machine and the day."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    day = time.strftime("%Y-%m-%d")
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {model}, {memory:.0f} GiB, Python {python}, {day}"
