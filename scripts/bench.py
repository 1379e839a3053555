"""Speed scenarios beside their baselines, and long crash runs, by name; `--help` lists them."""

import argparse
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from scripts.speed import machine, rounds
from scripts.speed.rounds import Line

SCENARIOS = {
    "ingest": ("ingest", "a POST of 10,000 recipients, beside an INSERT without any HTTP"),
    "ingest-small": ("ingest", "POSTs of one recipient, 32 clients, beside a commit a request"),
    "single": ("throughput", "mails/s through SendEmail, beside boto3 with 32 threads"),
    "bulk": ("throughput", "mails/s through SendBulkEmail, beside the same"),
    "cpu": ("throughput", "CPU seconds of all processes per million mails"),
    "events": ("events", "signed SNS posts/s, beside an app that only answers 200"),
    "latency": ("latency", "from the POST of an urgent mail to SES, queue empty and full"),
    "gate": ("gate", "round trip of the gate while lists of 10,000 come in"),
    "pacing": ("pacing", "the worst second and the share used at six rates, beside a bucket"),
    "stats": ("answers", "answers on topics, account and counts at 10 thousand and 5 million rows"),
    "growth": ("growth", "ingest, claim, outcome at 0, 1 and 5 million rows; bytes a recipient"),
    "memory": ("memory", "MB of all processes, idle and while a million mails are sent"),
    "start": ("start", "seconds from scripts/run to /ready"),
}
"""Name → module `scripts/speed/MODULE.py`, whose `run(rounds)` measures; what it measures."""

BENCHES = {
    "kills": "kill processes at random while mail goes out; nothing lost, nothing doubled",
    "broken": "build the product wrong in six ways; the tests find each of them",
    "power": "cut the power under a writer at work; what it acknowledged is there, whole",
    "soak": "a quarter of an hour of mail, kills and faults; nothing lost, nothing grows",
}
"""Name → what it does; `scripts/benches/NAME.py` has its `main(arguments)`."""

ROUNDS = 5
WIDTH = 180
"""Of the table where there is no terminal."""


class Measured(NamedTuple):
    """The figures so far, and the modules that ended with an error."""

    lines: list[Line]
    broken: list[str]


def main(arguments: Sequence[str]) -> int:
    """Do what is named; a long run takes the rest of the command line for its own."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments and arguments[0] in BENCHES:
            name, *rest = arguments
            return int(importlib.import_module(f"scripts.benches.{name}").main(rest))
        return _speed(arguments)
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """Make the parser of the speed scenarios; its help lists the long runs as well."""
    listed = [
        "speed scenarios (all of them if none is named; some are measured together):",
        *(f"  {name:13} {what}" for name, (_, what) in SCENARIOS.items()),
        "",
        "long crash runs, each with options of its own (scripts/bench NAME --help):",
        *(f"  {name:13} {what}" for name, what in BENCHES.items()),
    ]
    made = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog="\n".join(listed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("names", nargs="*", metavar="NAME", help="what to measure; see below")
    made.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    made.add_argument(
        "--json",
        type=Path,
        default=Path("bench.json"),
        metavar="FILE",
        help="every round, for programs; default: %(default)s",
    )
    return made


def modules(names: Sequence[str]) -> list[str]:
    """Name the modules that measure these, in the order of the list, each once."""
    return list(dict.fromkeys(module for n, (module, _) in SCENARIOS.items() if n in names))


def _speed(arguments: Sequence[str]) -> int:
    made = parser()
    chosen = made.parse_intermixed_args(arguments)
    if chosen.rounds < 1:
        made.error("--rounds must be 1 or more")
    if found := [name for name in chosen.names if name in BENCHES]:
        made.error(f"{found[0]} is a long run: name it first, and alone")
    if unknown := [name for name in chosen.names if name not in SCENARIOS]:
        made.error(f"there is no {unknown[0]}; there are {', '.join([*SCENARIOS, *BENCHES])}")
    path = Path(os.environ.get("SES_SENDER_BENCH_FROM", ".")) / chosen.json
    if not path.parent.is_dir():
        made.error(f"--json: there is no folder {path.parent}")
    return conclude(measure(modules(chosen.names or list(SCENARIOS)), chosen.rounds, path), path)


def measure(wanted: Sequence[str], number: int, path: Path) -> Measured:
    """Measure one after the other; one that breaks is named, and the rest goes on.

    What is known is written after each, so that a run that is stopped was not for nothing.
    """
    measured = Measured([], [])
    for place, name in enumerate(wanted, 1):
        names = ", ".join(n for n, (module, _) in SCENARIOS.items() if module == name)
        print(f"bench: {names} ({place} of {len(wanted)})", file=sys.stderr, flush=True)
        try:
            run = importlib.import_module(f"scripts.speed.{name}").run
            measured.lines.extend(_watched(run, number))
        except Exception:  # noqa: BLE001 - whatever it was, the others can be measured
            traceback.print_exc()
            measured.broken.append(name)
        rounds.save(measured.lines, machine.describe(), path)
    return measured


def _watched(run: Callable[[int], list[Line]], number: int) -> Iterator[Line]:
    """Measure; where the machine had next to no idle time, each line says so."""
    idle = machine.Idle.now()
    lines = run(number)
    share = idle.share()
    for line in lines:
        if share < machine.LITTLE_IDLE and "idle" not in line.note:
            note = f"idle {share:.0%}"
            yield line._replace(note=f"{line.note}; {note}" if line.note else note)
        else:
            yield line


def conclude(measured: Measured, path: Path) -> int:
    """Draw the table, say what is missed, answer the exit code."""
    console = rounds.console if rounds.console.is_terminal else Console(width=WIDTH)
    if measured.lines:
        console.print(rounds.draw(measured.lines, machine.describe()))
    print(f"bench: every round is in {path.resolve()}", file=sys.stderr)
    missed = [f"{line.scenario}: {line.what}" for line in measured.lines if not line.is_met]
    if missed:
        print("bench: missed:", *missed, sep="\n  ", file=sys.stderr)
    if measured.broken:
        print(f"bench: not measured, see above: {', '.join(measured.broken)}", file=sys.stderr)
    return 1 if missed or measured.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
