"""The long crash run: processes are killed at random while mail goes out, then all is judged."""

import argparse
import functools
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from typing_extensions import override

from scripts import stage
from scripts.benches import killer, oracle
from scripts.benches.customers import Customer, SilenceError
from scripts.benches.evidence import Scene, gather
from scripts.benches.facts import Evidence
from scripts.benches.killer import Kill, Plan
from scripts.benches.oracle import Violation
from shared import wire
from shared.domain import State

PAUSE_S = (0.5, 2.0)
USE = 0.85
"""Mails sent per second of R, roughly, while everything is killed and a quarter is cancelled."""

LEAST_RATE = 50
PROOF_S = 120.0
"""What proving an absence takes at most: UNKNOWN_AFTER, and whole minutes of evidence."""

TELL_EVERY = 20
EXAMPLES = 3

console = Console()


class Arena(stage.Stage):
    """An installation to be broken; what is in doubt is settled soon."""

    @override
    def environment(self) -> dict[str, str]:
        """Answer the settings."""
        return super().environment() | {
            "UNKNOWN_AFTER": "20",
            "SIMULATOR_RETRY_SECONDS": "5",
            "SIMULATOR_LEDGER_FILE": "0",
        }

    def scene(self) -> Scene:
        """Answer what the killer and the oracle need to know."""
        return Scene(
            port=self.ports.api,
            key=self.key,
            simulator_port=self.ports.simulator,
            database=self.folder / "ses-sender.db",
            log=self.log,
            rate=self._rate,
            pids=self.pids,
        )

    def end(self, *, is_clean: bool) -> None:
        """Stop; keep the folder if anything in it has to be looked into."""
        self.stop(idle=is_clean)
        if is_clean:
            self.remove()
        else:
            console.print(f"kept for inspection: {self.folder}", highlight=False)

    def pids(self) -> dict[str, int]:
        """Ask supervisord for our processes; the simulator stands in for Amazon and is spared."""
        found = stage.control(wire.run_folder(self.folder)).getAllProcessInfo()
        return {
            one["name"]: one["pid"] for one in found if one["pid"] and one["name"] != "simulator"
        }


class Finding(NamedTuple):
    """A line of the table."""

    seed: int
    kills: list[Kill]
    evidence: Evidence
    violations: list[Violation]
    resent: int
    seconds: float


def rate_for(plan: Plan) -> float:
    """Choose R so that mail is under way as long as something is killed."""
    return float(max(LEAST_RATE, math.ceil(plan.mails / plan.seconds / USE)))


def patience(plan: Plan) -> float:
    """Answer the seconds in which everything must have come to rest after the last kill."""
    return PROOF_S + 2 * plan.mails / rate_for(plan)


def run(plan: Plan) -> Finding:
    """Start an installation, kill, wait, judge."""
    began = time.monotonic()
    arena = Arena(rate_for(plan))
    is_over = False
    try:
        arena.start()
        scene = arena.scene()
        customer = Customer(scene)
        crowd = killer.Crowd(customer, plan)
        kills = killer.kill_at_random(scene, plan, functools.partial(say, plan))
        crowd.end()
        resent = killer.come_to_rest(scene, customer, patience(plan))
        evidence = gather(scene, customer.clients())
        violations = oracle.judge(evidence)
        is_over = not violations
        return Finding(plan.seed, kills, evidence, violations, resent, time.monotonic() - began)
    finally:
        arena.end(is_clean=is_over)


def say(plan: Plan, number: int, kill: Kill) -> None:
    """Print now and then how far the killing is."""
    if number % TELL_EVERY == 0 or number == plan.kills:
        told = f"seed {plan.seed}: {number} of {plan.kills} kills"
        console.print(f"{told}, {kill.under_way:,} mails wait", highlight=False)


def draw(findings: Sequence[Finding]) -> Table:
    """Lay out what was found, a column a seed."""
    table = Table(title="Killed at random: is every mail accounted for?")
    table.add_column("seed")
    for found in findings:
        table.add_column(str(found.seed), justify="right")
    columns = [_figures(found) for found in findings]
    for name in columns[0]:
        table.add_row(name, *(f"{figures[name]:,.0f}" for figures in columns))
    return table


def _figures(found: Finding) -> dict[str, float]:
    evidence, rules = found.evidence, Counter(one.rule for one in found.violations)
    mails = {mail.id: mail for mail in evidence.database.mails}
    copies = oracle.accepted_copies(evidence)
    twice = [mails[one] for one in copies if len(copies[one]) > 1 and one in mails]
    marked = sum(bool(mail.flags & oracle.MAYBE_DUPLICATE) for mail in twice)
    states = Counter(mail.state for mail in mails.values())
    return {
        "kills": len(found.kills),
        "of these with mail waiting": sum(kill.under_way > 0 for kill in found.kills),
        "recipients stored": len(mails),
        "Sent": states[State.SENT],
        "Stopped by a cancel": states[State.STOPPED],
        "lost": rules["lost"],
        "doubled, marked as maybe": marked,
        "doubled, not marked": len(twice) - marked,
        "attempts more than one": sum(mail.attempts > 1 for mail in mails.values()),
        "resent by hand, not provable": found.resent,
        "worst one-second window": oracle.worst_second(one.at_ns for one in evidence.arrivals),
        "R": evidence.rate,
        "stuck": rules["stuck"],
        "violations in all": len(found.violations),
        "wall time, s": found.seconds,
    }


def conclude(findings: Sequence[Finding]) -> int:
    """Print the table and examples of what is violated; answer the exit code."""
    console.print(draw(findings))
    for found in findings:
        for rule, count in Counter(one.rule for one in found.violations).items():
            examples = [one.what for one in found.violations if one.rule == rule][:EXAMPLES]
            told = f"seed {found.seed}: {rule}, {count} in all, such as:"
            console.print(told, *examples, sep="\n  ", style="red", highlight=False, markup=False)
    return 1 if any(found.violations for found in findings) else 0


def main(arguments: Sequence[str]) -> int:
    """Read the arguments, run every seed, conclude."""
    parser = argparse.ArgumentParser(prog="scripts/bench kills", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs, each on a new installation")
    parser.add_argument("--first-seed", type=int, default=1, metavar="N")
    parser.add_argument("--kills", type=int, default=200, help="kills a run")
    parser.add_argument("--mails", type=int, default=20_000, help="recipients a run")
    chosen = parser.parse_args(arguments)
    if min(chosen.seeds, chosen.kills, chosen.mails) < 1:
        parser.error("all numbers must be 1 or more")
    findings = []
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
        plan = Plan(seed, chosen.kills, chosen.mails, PAUSE_S)
        most = plan.seconds * 1.5 + patience(plan)
        console.print(f"seed {seed}: R = {rate_for(plan):g}, {most / 60:.0f} minutes at most")
        try:
            findings.append(run(plan))
        except (SilenceError, stage.StageError) as error:
            console.print(f"seed {seed}: {error}", style="bold red", highlight=False, markup=False)
            return 1
    return conclude(findings)
