"""The soak: steady mail, random kills and faults for minutes; all is judged, and nothing grows."""

import argparse
import concurrent.futures
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from scripts import stage
from scripts.benches import growth, killer, oracle, weather
from scripts.benches.customers import Customer, SilenceError
from scripts.benches.evidence import Scene, gather
from scripts.benches.facts import Evidence
from scripts.benches.growth import Line, Sample
from scripts.benches.killer import Kill, Plan
from scripts.benches.kills import PROOF_S, Arena
from scripts.benches.oracle import Violation
from shared.domain import State

PAUSE_S = (5.0, 15.0)
USE = 0.35
"""Mails posted per second of R: SES's throttling, and what waits after a kill, is made good."""

POST_EVERY_S = 1.0
LOOK_EVERY_S = 3.0
TELL_EVERY_S = 60.0
EXAMPLES = 3

console = Console()


class Soak(NamedTuple):
    """How long, at which R, decided by which seed."""

    minutes: float
    rate: float
    seed: int

    @property
    def seconds(self) -> float:
        """How long mail is posted."""
        return self.minutes * 60

    @property
    def plan(self) -> Plan:
        """What is posted and killed."""
        portion = max(1, round(self.rate * USE * POST_EVERY_S))
        posts = max(1, round(self.seconds / POST_EVERY_S))
        kills = max(1, round(self.seconds / (sum(PAUSE_S) / 2)))
        return Plan(self.seed, kills, posts * portion, PAUSE_S, portion)


class Course(NamedTuple):
    """What went on while mail was posted."""

    samples: list[Sample]
    kills: list[Kill]
    faults: list[str]


class Finding(NamedTuple):
    """What was seen, and what is wrong with it."""

    course: Course
    evidence: Evidence
    violations: list[Violation]
    lines: list[Line]
    resent: int
    seconds: float


def run(soak: Soak) -> Finding:
    """Start an installation, let it live, let it come to rest, judge."""
    began = time.monotonic()
    arena = Arena(soak.rate)
    is_over = False
    try:
        arena.start()
        scene = arena.scene()
        customer = Customer(scene)
        course = live(scene, customer, soak)
        weather.tell(scene, {})
        patience = PROOF_S + 2 * soak.plan.mails * USE / soak.rate
        resent = killer.come_to_rest(scene, customer, patience)
        evidence = gather(scene, customer.clients())
        violations, lines = oracle.judge(evidence), growth.judge(course.samples)
        is_over = not violations
        spent = time.monotonic() - began
        return Finding(course, evidence, violations, lines, resent, spent)
    finally:
        arena.end(is_clean=is_over)


def live(scene: Scene, customer: Customer, soak: Soak) -> Course:
    """Post, kill and break until the time is up, and look at it all the while."""
    is_over = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        kills = pool.submit(killer.kill_at_random, scene, soak.plan, lambda _number, _kill: None)
        faults = pool.submit(weather.change_at_random, scene, soak.seed, is_over)
        posts = pool.submit(post_steadily, customer, soak.plan)
        try:
            samples = watch(scene, posts)
        finally:
            is_over.set()
        posts.result()
        return Course(samples, kills.result(), faults.result())


def post_steadily(customer: Customer, plan: Plan) -> None:
    """Post a portion each second; every so many are cancelled, some clients do not repeat."""
    posts = list(killer.submissions(plan))
    began = time.monotonic()
    for number, (topic, emails) in enumerate(posts):
        time.sleep(max(0.0, began + POST_EVERY_S * number - time.monotonic()))
        if number % (5 * killer.TOPICS) == 1:
            customer.cancel(posts[number - 1][0])
        is_hasty = number % killer.HASTY == killer.HASTY - 1
        (customer.post_once if is_hasty else customer.post)(topic, emails)


def watch(scene: Scene, posts: "concurrent.futures.Future[None]") -> list[Sample]:
    """Take samples until everything is posted."""
    samples: list[Sample] = []
    told = time.monotonic()
    while not posts.done():
        with contextlib.suppress(OSError):  # supervisord has its hands full
            samples.append(growth.look(scene))
        if samples and time.monotonic() >= told + TELL_EVERY_S:
            told = time.monotonic()
            last = samples[-1]
            figures = f"{last.stored:,} stored, {last.queued:,} wait, {sum(last.pss.values()):.0f}"
            console.print(f"{figures} MB, WAL {last.wal:.1f} MB", highlight=False)
        time.sleep(LOOK_EVERY_S)
    return samples


def draw(soak: Soak, found: Finding) -> tuple[Table, Table]:
    """Lay out what happened, and what grew."""
    story = Table(title=f"{soak.minutes:g} minutes of mail, kills and faults")
    story.add_column("")
    story.add_column("", justify="right")
    for name, figure in _figures(found).items():
        story.add_row(name, f"{figure:,.0f}")
    growths = Table(title="Medians of the second and of the last fifth")
    for heading in ("", "second", "last", "ratio", ""):
        growths.add_column(heading, justify="left" if heading == "" else "right")
    for name, before, after, grows in found.lines:
        ratio = f"{after / before:.2f}" if before else ""
        growths.add_row(name, f"{before:,.1f}", f"{after:,.1f}", ratio, "grows" if grows else "")
    return story, growths


def _figures(found: Finding) -> dict[str, float]:
    evidence, rules = found.evidence, Counter(one.rule for one in found.violations)
    mails = evidence.database.mails
    states = Counter(mail.state for mail in mails)
    copies = oracle.accepted_copies(evidence)
    return {
        "kills": len(found.course.kills),
        "faults of SES and SNS": len(found.course.faults),
        "recipients stored": len(mails),
        "Sent": states[State.SENT],
        "Stopped by a cancel": states[State.STOPPED],
        "Failed": states[State.FAILED],
        "lost": rules["lost"],
        "doubled, marked as maybe": sum(
            bool(mail.flags & oracle.MAYBE_DUPLICATE) and len(copies.get(mail.id, ())) > 1
            for mail in mails
        ),
        "doubled, not marked": rules["doubled"],
        "resent by hand, not provable": found.resent,
        "worst one-second window": oracle.worst_second(one.at_ns for one in evidence.arrivals),
        "R": evidence.rate,
        "violations in all": len(found.violations),
        "samples": len(found.course.samples),
        "wall time, s": found.seconds,
    }


def conclude(soak: Soak, found: Finding) -> int:
    """Print the tables and examples of what is violated; answer the exit code."""
    console.print(*draw(soak, found), sep="\n")
    console.print(f"broken: {dict(Counter(found.course.faults))}", highlight=False)
    for rule, count in Counter(one.rule for one in found.violations).items():
        examples = [one.what for one in found.violations if one.rule == rule][:EXAMPLES]
        told = f"{rule}, {count} in all, such as:"
        console.print(told, *examples, sep="\n  ", style="red", highlight=False, markup=False)
    return 1 if found.violations or any(line.grows for line in found.lines) else 0


def main(arguments: Sequence[str]) -> int:
    """Read the arguments, run, conclude."""
    parser = argparse.ArgumentParser(prog="scripts/bench soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="how long mail is posted")
    parser.add_argument("--rate", type=float, default=120.0, help="R, recipients per second")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    if not (chosen.minutes > 0 and chosen.rate >= 1):
        parser.error("minutes must be more than 0, the rate 1 or more")
    soak = Soak(chosen.minutes, chosen.rate, chosen.seed)
    console.print(f"R = {soak.rate:g}, {soak.plan.mails:,} mails, {soak.plan.kills} kills")
    try:
        return conclude(soak, run(soak))
    except (SilenceError, stage.StageError) as error:
        console.print(str(error), style="bold red", highlight=False, markup=False)
        return 1
