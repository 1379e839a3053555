"""The power is cut again and again under a writer at work: is all there that it acknowledged?"""

import argparse
import logging
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
from rich.console import Console
from rich.table import Table

from scripts.benches import durable
from scripts.benches.forgetful import Disk, Luck, Passage, PowerCutError
from scripts.benches.oracle import Violation
from scripts.benches.traffic import Sizes, Traffic
from services.writer.actor import WriterActor
from services.writer.apply import Rules
from services.writer.founding import found
from shared.clock import Now
from shared.domain import OnUnknown
from shared.store.read import Install
from shared.store.write import Store

NAME = "ses-sender.db"
INSTALL = Install("0a1b2c3d", b"secret")
START_S = 1_800_000_000.0
EXAMPLES = 3
MOST_TURNS = 20

console = Console()


class Aim(NamedTuple):
    """Where a cut shall fall: at the n-th passage of a kind; sizes that bring it there."""

    what: str
    number: int
    checkpoint_pages: int
    cache_mb: int


class Cut(NamedTuple):
    """A cut that was made: what the writer was doing, and what the disk kept beyond its syncs."""

    where: str
    luck: Luck


class Finding(NamedTuple):
    """What became of a run."""

    cuts: list[Cut]
    violations: list[Violation]
    figures: dict[str, int]
    seconds: float


AIMS = ("rest", "any", "sync", "checkpoint", "stop")


def choose(dice: random.Random) -> Aim:
    """Choose where the next cut shall fall."""
    what = dice.choice(AIMS)
    most = {"rest": 12, "any": 400, "sync": 25, "checkpoint": 90, "stop": 40}[what]
    pages = dice.choice([20, 100]) if what == "checkpoint" else dice.choice([2000, 100])
    return Aim(what, dice.randint(1, most), pages, dice.choice([1, 16]))


class Machine:
    """One boot: a disk, a store on it, a writer; `phase` says what it is doing."""

    def __init__(self, disk: Disk, number: int, aim: Aim) -> None:
        self.disk = disk
        self.number = number
        self.aim = aim
        self.phase = "start"
        self.where = ""
        self.store: Store | None = None
        # A boot begins the monotonic clock anew; people's time goes on.
        self.now = Now(100.0, START_S + 120.0 * number)
        self._left = aim.number
        disk.watch = self._look

    def start(self) -> WriterActor:
        """Open the store, bring it up to date and make the writer, as its process does."""
        path = self.disk.folder / NAME
        self.store = Store(path, cache_mb=self.aim.cache_mb, vfs=self.disk.vfs)
        # Checkpoints come sooner than in production, so that cuts fall into some.
        self._connection().pragma("wal_autocheckpoint", self.aim.checkpoint_pages)
        found(self.store, INSTALL, self.now.ms)
        rules = Rules(f"boot-{self.number}", 7, 24.0, OnUnknown.CONFIRM_THEN_HOLD, 300_000)
        return WriterActor(self.store, rules)

    def work(self, writer: WriterActor, traffic: Traffic, turns: int) -> None:
        """Live until the power goes; at the latest after so many turns."""
        self.phase = "work"
        for _ in range(turns):
            if self.aim.what == "rest":
                self._left -= 1
                if self._left < 0:
                    return
            self.now = Now(self.now.mono + 0.3, self.now.wall + 0.3)
            traffic.turn(writer, self.now, self._topic)
        if self.aim.what == "stop" and self.store is not None:
            self.phase = "stop"
            self.store.close()

    def _topic(self, name: str) -> int | None:
        row = self.store.row("topic_by_name", (name,)) if self.store else None
        return int(row[0]) if row else None

    def _look(self, passage: Passage) -> None:
        """Cut the power if this is the passage it was to be."""
        is_wal = passage.file.endswith("-wal")
        is_checkpoint = passage.file == NAME and passage.what != "delete"
        wanted = {
            "rest": False,
            "any": True,
            "sync": is_wal and passage.what == "sync",
            "checkpoint": is_checkpoint,
            "stop": self.phase == "stop",
        }[self.aim.what]
        self._left -= wanted
        if wanted and self._left == 0:
            # What is done to the WAL at a stop or a truncate belongs to a checkpoint too.
            kind = "commit" if is_wal else "checkpoint" if is_checkpoint else "another file"
            self.where = f"{self.phase}: {kind}, {passage.what}"
            raise PowerCutError

    def die(self, folder: Path, luck: Luck, dice: random.Random) -> Disk:
        """Cut the power, if it is still there, and answer the disk that the next boot finds."""
        self.disk.cut(folder, luck, dice)
        if self.store is not None:
            self.disk.end(self._connection())
        self.disk.remove()
        return Disk(folder)

    def _connection(self) -> apsw.Connection:
        assert self.store is not None
        return self.store._connection  # noqa: SLF001 - the rig's own end of the store


class Run:
    """Boots one machine after another on what the former one's disk kept."""

    def __init__(self, seed: int, folder: Path, sizes: Sizes | None = None) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a load, no secret
        self._folder = folder
        self.traffic = Traffic(self._dice, sizes)
        self.violations: list[Violation] = []
        self.cuts: list[Cut] = []
        self._disk = Disk(folder / "disk-0")

    def cut(self) -> Cut:
        """Live one boot to its end by a power cut; judge what it found of the former one."""
        machine = Machine(self._disk, len(self.cuts) + 1, choose(self._dice))
        try:
            writer = machine.start()
            self.traffic.reboot(writer, machine.now)
            self._judge(machine)
            self.traffic.ask_again(writer, machine.now)
            machine.work(writer, self.traffic, self._dice.randint(4, MOST_TURNS))
        except PowerCutError:
            machine.disk.is_dumb = True  # before what was being opened is thrown away
        cut = Cut(machine.where or "at rest", self._dice.choice(list(Luck)))
        self.cuts.append(cut)
        self._disk = machine.die(self._folder / f"disk-{len(self.cuts)}", cut.luck, self._dice)
        return cut

    def end(self) -> None:
        """Boot once more, judge, and put everything away."""
        machine = Machine(self._disk, len(self.cuts) + 1, Aim("rest", 1, 2000, 16))
        self.traffic.reboot(machine.start(), machine.now)
        self._judge(machine)
        if machine.store is not None:
            machine.store.close()
        self._disk.remove()

    def _judge(self, machine: Machine) -> None:
        seen = durable.judge(self.traffic.diary, durable.read(machine.disk.folder / NAME))
        self.violations += [one for one in seen if one not in self.violations]

    def figures(self) -> dict[str, int]:
        """Answer how much was acknowledged, kind by kind."""
        diary = self.traffic.diary
        return {
            "submissions": len(diary.told),
            "recipients": sum(len(told.recipients) for told in diary.told.values()),
            "gates": sum(map(len, diary.gated.values())),
            "batches of outcomes": len(diary.acked_outcomes),
            "accepted mails": len(diary.sent),
            "events": len(diary.acked_events),
            "orders": len(diary.done),
        }


def run(seed: int, cuts: int, sizes: Sizes | None = None) -> Finding:
    """Cut the power so many times; a run that found something wrong stops there."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="ses-sender-power-"))
    try:
        trial = Run(seed, folder, sizes)
        while len(trial.cuts) < cuts and not trial.violations:
            trial.cut()
        if not trial.violations:
            trial.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Finding(trial.cuts, trial.violations, trial.figures(), time.monotonic() - began)


def rows(finding: Finding) -> Iterator[tuple[str, int]]:
    """Answer the lines of the table."""
    yield "power cuts", len(finding.cuts)
    for where, count in sorted(Counter(cut.where for cut in finding.cuts).items()):
        yield f"  {where}", count
    for luck, count in Counter(cut.luck for cut in finding.cuts).items():
        yield f"  survived of the unsynced: {luck.value}", count
    yield from ((f"acknowledged: {name}", count) for name, count in finding.figures.items())
    broken = Counter(one.rule for one in finding.violations)
    yield from ((f"violated: {rule}", broken[rule]) for rule in durable.RULES)


def conclude(finding: Finding) -> int:
    """Print the table and examples of what is violated; answer the exit code."""
    table = Table(title="Power cuts: is all there that was acknowledged?")
    table.add_column("")
    table.add_column("", justify="right")
    for name, count in rows(finding):
        table.add_row(name, f"{count:,}")
    table.add_row("wall time, s", f"{finding.seconds:,.0f}")
    console.print(table)
    for rule, count in Counter(one.rule for one in finding.violations).items():
        examples = [one.what[:300] for one in finding.violations if one.rule == rule][:EXAMPLES]
        told = f"{rule}, {count} in all, such as:"
        console.print(told, *examples, sep="\n  ", style="red", highlight=False, markup=False)
    return 1 if finding.violations else 0


def main(arguments: Sequence[str]) -> int:
    """Read the arguments, run, conclude."""
    parser = argparse.ArgumentParser(prog="scripts/bench power", description=__doc__)
    parser.add_argument("--cuts", type=int, default=200, help="power cuts in all")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    if chosen.cuts < 1:
        parser.error("--cuts must be 1 or more")
    # Each boot finds answers that were lost, and says so: hundreds of lines.
    logging.getLogger().setLevel(logging.ERROR)
    return conclude(run(chosen.seed, chosen.cuts))
