"""What a benchmark measures: rounds of ours beside rounds of a baseline, medians, a verdict."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from typing_extensions import override

console = Console()


class Target(NamedTuple):
    """What a figure must come to: at most or at least `limit`; `None` of both is only shown."""

    at_most: float | None = None
    at_least: float | None = None

    def is_met(self, value: float) -> bool:
        """Tell whether a value keeps within it."""
        if self.at_most is not None and value > self.at_most:
            return False
        return self.at_least is None or value >= self.at_least

    @override
    def __str__(self) -> str:
        """Say it as the table shows it."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return "" if self.at_least is None else f"≥ {self.at_least:g}"


NONE = Target()


class Line(NamedTuple):
    """One figure: every round of ours, every round of the baseline (none: it stands alone).

    With a baseline the target is for the median ratio of ours to it, round by round.
    """

    scenario: str
    what: str
    ours: tuple[float, ...]
    baseline: tuple[float, ...] = ()
    target: Target = NONE
    note: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours to the baseline, round by round."""
        return tuple(mine / other for mine, other in zip(self.ours, self.baseline, strict=True))

    @property
    def judged(self) -> float:
        """What the target is for."""
        return statistics.median(self.ratios if self.baseline else self.ours)

    @property
    def is_met(self) -> bool:
        """Tell whether the target is met."""
        return self.target.is_met(self.judged)


def draw(lines: Sequence[Line], machine: str) -> Table:
    """Lay the lines out."""
    table = Table(title="Benchmarks", caption=machine)
    for name in ("scenario", "what"):
        table.add_column(name)
    for name in ("ours", "baseline", "ratio (min to max)", "target"):
        table.add_column(name, justify="right")
    table.add_column("note")
    for line in lines:
        style = "" if line.is_met else "bold red"
        table.add_row(*_cells(line), style=style)
    return table


def _cells(line: Line) -> list[str]:
    ratio = ""
    if line.baseline:
        ratio = f"{line.judged:.2f} ({min(line.ratios):.2f} to {max(line.ratios):.2f})"
    mark = "" if line.is_met else " MISSED"
    return [
        line.scenario,
        line.what,
        _figure(line.ours),
        _figure(line.baseline) if line.baseline else "",
        ratio,
        f"{line.target}{mark}",
        line.note,
    ]


def _figure(values: Sequence[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:,.3g}"


def save(lines: Sequence[Line], machine: str, path: Path) -> None:
    """Write every round as JSON."""
    rows: list[dict[str, Any]] = [
        line._asdict() | {"target": str(line.target), "judged": line.judged, "is_met": line.is_met}
        for line in lines
    ]
    path.write_text(json.dumps({"machine": machine, "lines": rows}, indent=1, ensure_ascii=False))
