"""The only clock: everything else takes `now` as an argument."""

import time
from pathlib import Path
from typing import NamedTuple


class Now(NamedTuple):
    """One reading of both clocks.

    `mono` is CLOCK_MONOTONIC in seconds, the same in every process of one boot: deadlines,
    leases, pacing. `wall` is Unix time in seconds: what people schedule by and what is shown.
    """

    mono: float
    wall: float

    @property
    def ms(self) -> int:
        """Wall time in whole milliseconds, as the database keeps it."""
        return int(self.wall * 1000)


def read() -> Now:
    """Read both clocks."""
    return Now(time.monotonic(), time.time())


def new_epoch(now: Now) -> int:
    """Make a number that is larger at every start of a process within one boot.

    Monotonic microseconds: a wall clock that steps back would make a new process look old.
    """
    return int(now.mono * 1_000_000)


def boot_id() -> str:
    """Name this boot: monotonic times stored by another boot mean nothing in this one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
