"""Shows the stats socket in a terminal: what waits, what goes out, what holds it back."""

import argparse
import datetime
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, TypeAlias

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shared import config, wire
from shared.errors import SettingsError

Picture: TypeAlias = dict[str, Any]

PATIENCE_MS = 3000
"""The monitor publishes every second."""


def pictures(address: str) -> Iterator[bytes | None]:
    """Yield each snapshot as it is published, or None for three seconds of silence."""
    socket = wire.subscribe(address)
    while True:
        yield socket.recv() if socket.poll(PATIENCE_MS) else None


def draw(picture: Picture) -> RenderableType:
    """Lay one snapshot out for a terminal."""
    parts: list[RenderableType] = [_head(picture), _numbers(picture), _processes(picture)]
    if picture["last_errors"]:
        parts.append(_errors(picture))
    return Group(*parts)


def _head(picture: Picture) -> Text:
    at = datetime.datetime.fromtimestamp(picture["at"] / 1000, datetime.UTC).astimezone()
    head = Text.assemble(("ses-sender  ", "bold"), at.strftime("%Y-%m-%d %H:%M:%S %Z"))
    if picture["simulated"]:
        head.append("   SIMULATOR: no mail leaves this machine", "bold black on yellow")
    if picture["reputation"]["bulk_paused"]:
        why = picture["reputation"]["bulk_paused"]
        head.append(f"   bulk mail is paused: {why}", "bold black on yellow")
    if picture["missing"]:
        head.append("   not heard: " + ", ".join(picture["missing"]), "bold red")
    return head


def _numbers(picture: Picture) -> Table:
    queue, rate, quota = picture["queue"], picture["rate"], picture["quota"]
    table = Table.grid(padding=(0, 2))
    states = "  ".join(f"{state} {_count(number)}" for state, number in queue.items())
    table.add_row("queue", states)
    table.add_row("oldest waiting", _with(picture["oldest_waiting_s"], "s"))
    table.add_row(
        "rate",
        f"{_with(rate['used'], '/s')} of {_with(rate['in_force'], '/s')} in force, "
        f"{_with(rate['allowed'], '/s')} allowed; bound by {rate['binding'] or '-'}",
    )
    table.add_row(
        "quota 24 h",
        f"{_count(quota['sent_24h'])} sent, {_count(quota['left'])} left of {_count(quota['max'])}",
    )
    table.add_row("throttles", _count(picture["throttles"]))
    bad = picture["reputation"]
    table.add_row(
        "of 24 h",
        f"{_percent(bad['bounce_rate'])} bounced, {_percent(bad['complaint_rate'])} complained of",
    )
    events, commit = picture["events"], picture["commit_ms"]
    table.add_row("events", f"{_with(events['per_s'], '/s')}, lag {_with(events['lag_s'], 's')}")
    table.add_row(
        "database",
        f"commit p50 {_with(commit['p50'], 'ms')} p99 {_with(commit['p99'], 'ms')}, "
        f"WAL {_with(picture['wal_mb'], 'MB')}",
    )
    return table


def _processes(picture: Picture) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("process", "pid", "health", "restarts", "CPU", "memory", "mailbox", "notes"):
        table.add_column(name, justify="right" if name in {"CPU", "memory", "pid"} else "left")
    for row in picture["processes"]:
        gauges = row["gauges"]
        behind = any(value for name, value in gauges.items() if name.endswith("_behind"))
        table.add_row(
            row["process"],
            str(row["pid"]),
            "ok" if row["alive"] else Text(f"silent {row['age_s']:.0f} s", "bold red"),
            str(row["restarts"]),
            "-" if row["cpu"] is None else f"{100 * row['cpu']:.0f} %",
            _with(row["rss_mb"], "MB"),
            Text("behind", "yellow") if behind else "drained",
            Text(", ".join(f"{k}: {v}" for k, v in row["notes"].items() if v), overflow="ellipsis"),
        )
    return table


def _errors(picture: Picture) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold red")
    for name in ("last errors", "process", ""):
        table.add_column(name)
    for error in picture["last_errors"][-8:]:
        at = datetime.datetime.fromtimestamp(error["at"] / 1000, datetime.UTC).astimezone()
        table.add_row(at.strftime("%H:%M:%S"), error["process"], Text(error["error"]))
    return table


def _count(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f}"


def _with(number: float | None, unit: str) -> str:
    return "-" if number is None else f"{number:,.1f} {unit}".replace(" /", "/")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def watch(address: str, arguments: argparse.Namespace) -> int:
    """Show snapshots until interrupted, or one; answer the exit code."""
    frames = pictures(address)
    frame = next(frames)
    if frame is None:
        print(f"stats: nothing is published on {address}; is ses-sender running?", file=sys.stderr)
        return 1
    if arguments.json:
        while frame is not None:
            print(frame.decode(), flush=True)
            if arguments.once:
                return 0
            frame = next(frames)
        print(f"stats: {address} fell silent", file=sys.stderr)
        return 1
    console = Console()
    if arguments.once:
        console.print(draw(json.loads(frame)))
        return 0
    _live(console, frame, frames)
    return 0


def _live(console: Console, first: bytes, frames: Iterator[bytes | None]) -> None:
    newest = draw(json.loads(first))
    with Live(newest, console=console, screen=console.is_terminal, auto_refresh=False) as live:
        live.refresh()
        for frame in frames:
            if frame is None:
                silence = Text("no snapshot for three seconds: the monitor is down", "bold red")
                live.update(Group(silence, newest), refresh=True)
            else:
                newest = draw(json.loads(frame))
                live.update(newest, refresh=True)


def main() -> int:
    """Read the arguments and the one setting this needs."""
    parser = argparse.ArgumentParser(prog="scripts/stats", description=__doc__)
    parser.add_argument("--once", action="store_true", help="show one snapshot and end")
    parser.add_argument("--json", action="store_true", help="print snapshots as JSON, one a line")
    arguments = parser.parse_args()
    try:
        return watch(config.load_one("STATS_SOCKET"), arguments)
    except SettingsError as error:
        print("stats:", *error.faults, file=sys.stderr)
        return config.EXIT_SETTINGS
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # `scripts/stats --json | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
