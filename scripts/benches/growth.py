"""What an installation takes: memory, database and WAL, looked at again and again; does it grow?

Pure over samples but for `look`, which takes one.
"""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from scripts.benches.evidence import Scene, stored, waiting

PIECES: Final = 5
"""The second fifth of a run is compared with the last: the first one warms up."""

MOST_GROWTH: Final = 1.2
SPARE_MB: Final = 4.0
"""A small figure may grow by this: some pages more or less are nothing."""

WAL_MB: Final = 72.0
"""SQLite cuts the WAL to 64 MB after a checkpoint; one commit may lie on top."""


class Sample(NamedTuple):
    """One look: megabytes by process, of the files, and recipients."""

    pss: Mapping[str, float]
    rss: Mapping[str, float]
    database: float
    wal: float
    stored: int
    queued: int


class Line(NamedTuple):
    """A figure in the second fifth and in the last, and whether that is growth."""

    name: str
    before: float
    after: float
    grows: bool


def look(scene: Scene) -> Sample:
    """Take one sample; a process that has just ended is left out."""
    pss, rss = {}, {}
    for name, pid in scene.pids().items():
        with contextlib.suppress(OSError, KeyError):
            rollup = _rollup(pid)
            pss[name], rss[name] = rollup["Pss"], rollup["Rss"]
    return Sample(
        pss,
        rss,
        _size(scene.database),
        _size(scene.database.with_name(scene.database.name + "-wal")),
        stored(scene.database),
        waiting(scene.database).queued,
    )


def _rollup(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    words = [line.split() for line in lines]
    return {name.rstrip(":"): int(value) / 1024 for name, value, *_ in words}


def _size(path: Path) -> float:
    return path.stat().st_size / 1024**2 if path.exists() else 0.0


def judge(samples: Sequence[Sample]) -> list[Line]:
    """Compare the second fifth of a run with its last; right after a kill it is not whole."""
    everybody = max(len(sample.pss) for sample in samples)
    rest = samples[len(samples) // PIECES :]
    whole = [sample for sample in rest if len(sample.pss) == everybody]
    return list(_lines(whole or rest))


def _lines(samples: Sequence[Sample]) -> Iterator[Line]:
    piece = max(1, len(samples) // (PIECES - 1))
    early, late = samples[:piece], samples[-piece:]

    def line(name: str, of: Callable[[Sample], float | None], spare: float, unit: str) -> Line:
        before, after = _median(early, of), _median(late, of)
        grows = after > max(before * MOST_GROWTH, before + spare)
        return Line(f"{name}, {unit}", before, after, grows)

    for name in sorted({name for sample in samples for name in sample.pss}):
        yield line(f"PSS of {name}", _of_one(name), SPARE_MB, "MB")
    yield line("PSS of all", lambda one: sum(one.pss.values()), SPARE_MB, "MB")
    yield line("RSS of all", lambda one: sum(one.rss.values()), SPARE_MB, "MB")
    yield line("WAL", lambda one: one.wal, SPARE_MB, "MB")
    most = max(sample.wal for sample in samples)
    yield Line("WAL at most, MB", most, most, most > WAL_MB)
    yield line("database by recipient", _bytes_each, 0.0, "bytes")
    yield line("waiting", lambda one: one.queued, 500.0, "recipients")


def _of_one(name: str) -> Callable[[Sample], float | None]:
    return lambda sample: sample.pss.get(name)


def _bytes_each(sample: Sample) -> float | None:
    return sample.database * 1024**2 / sample.stored if sample.stored else None


def _median(samples: Sequence[Sample], of: Callable[[Sample], float | None]) -> float:
    found = [value for sample in samples if (value := of(sample)) is not None]
    return statistics.median(found) if found else 0.0
