"""growth: what a writer's work costs beside rows that are stored, and how much a row takes."""

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from scripts.speed.rounds import Line, Target
from scripts.speed.rows import LIST, Ledger

ROWS = (1_000_000, 5_000_000)
LISTS = 7
"""Lists of 10,000 a round; the median of a round counts."""

WEIGHED = 100_000
STEPS = ("ingest", "claim", "outcome")
FLAT = Target(at_most=1.3)
BYTES = Target(at_most=250)


class Cost(NamedTuple):
    """Milliseconds for 10,000 recipients, step by step."""

    ingest: float
    claim: float
    outcome: float


def run(rounds: int) -> list[Line]:
    """Measure an empty database beside two that are full, then weigh one."""
    with tempfile.TemporaryDirectory(prefix="ses-sender-growth-") as folder:
        return [*_flat(rounds, Path(folder)), _weigh(rounds, Path(folder))]


def _flat(rounds: int, folder: Path) -> Iterator[Line]:
    full = {rows: Ledger(folder / f"{rows}.db") for rows in ROWS}
    for rows, ledger in full.items():
        ledger.fill(rows)
    # The first round warms up.
    found = [_round(full, folder / f"empty-{number}.db") for number in range(rounds + 1)][1:]
    for ledger in full.values():
        ledger.close()
    for step in STEPS:
        for rows in ROWS:
            what = f"{step}, ms for {LIST:,} at {rows // 1_000_000} million rows; at none"
            ours = tuple(getattr(costs[rows], step) for costs in found)
            none = tuple(getattr(costs[0], step) for costs in found)
            yield Line("growth", what, ours, none, FLAT)


def _round(full: Mapping[int, Ledger], empty: Path) -> dict[int, Cost]:
    """Measure the full ones beside a new one in turn, by the list: what disturbs hits all."""
    ledgers = {0: Ledger(empty), **full}
    costs: dict[int, list[Cost]] = {rows: [] for rows in ledgers}
    for number in range(LISTS + 1):
        for rows, ledger in ledgers.items():
            cost = _cost(ledger)
            if number:  # the first list is the new one's first
                costs[rows].append(cost)
    ledgers[0].close()
    return {rows: _middle(several) for rows, several in costs.items()}


def _cost(ledger: Ledger) -> Cost:
    began = time.perf_counter()
    ledger.ingest()
    stored = time.perf_counter()
    jobs = ledger.claim()
    claimed = time.perf_counter()
    ledger.gate(jobs)
    gated = time.perf_counter()
    ledger.outcome(jobs)
    ended = time.perf_counter()
    spans = (stored - began, claimed - stored, ended - gated)
    return Cost(*(span * 1000 for span in spans))


def _middle(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(steps) for steps in zip(*costs, strict=True)))


def _weigh(rounds: int, folder: Path) -> Line:
    """Store, send and hear of so many, then divide the file; it comes out the same each time."""
    weights = []
    for number in range(min(rounds, 2)):
        ledger = Ledger(folder / f"weighed-{number}.db")
        for _ in range(0, WEIGHED, LIST):
            ledger.ingest()
            jobs = ledger.claim()
            ledger.gate(jobs)
            ledger.outcome(jobs)
            ledger.hear(jobs)
        weights.append(ledger.octets() / WEIGHED)
        ledger.close()
    what = "bytes a recipient with an attempt and two events"
    return Line("growth", what, tuple(weights), target=BYTES)
