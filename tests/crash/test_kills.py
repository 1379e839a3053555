"""kill -9 at every named point and at random: nothing lost, nothing doubled, every number true.

One installation lives through it all, so that what is in doubt can be proven while the next crash
is on its way: the crashes happen in the fixture, the tests judge them.
"""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from scripts.benches import killer, oracle
from scripts.benches.customers import Customer
from scripts.benches.evidence import Scene, gather, pending_events, waiting
from scripts.benches.facts import Evidence
from scripts.benches.killer import DOMAIN, Kill, Plan
from scripts.benches.oracle import Violation
from shared import crash
from shared.domain import State
from tests.crash.scenes import ours, scene_of
from tests.system.stack import Stack, until

RATE = 300
PATIENCE_S = 270.0
"""Over twice what a proof of absence takes: other tests may take the CPU meanwhile."""
# SNS must not give up while the API starts anew: events it dropped would leave nothing to prove by.
RULES = {
    "SIMULATOR_RATE": str(RATE),
    "UNKNOWN_AFTER": "20",
    "SIMULATOR_RETRY_SECONDS": "5",
}
PASSAGES = {
    "api.checked": 2,
    "api.stored": 2,
    "broker.granted": 10,
    "results.verified": 5,
    "results.recorded": 50,
    "scheduler.claimed": 10,
    "sender.received": 15,
    "sender.gated": 15,
    "sender.begun": 15,
    "sender.answered": 15,
    "sender.journalled": 15,
    "writer.before_commit": 20,
    "writer.after_commit": 20,
    "writer.sweeping": 1,
}
"""At which passage each point kills: somewhere in the midst of three hundred mails."""

AGAINST = {
    "api.checked": pytest.mark.against("K1"),
    "api.stored": pytest.mark.against("K4"),
    "results.verified": pytest.mark.against("K11"),
    "results.recorded": pytest.mark.against("K11"),
    "scheduler.claimed": pytest.mark.against("K5"),
    "sender.gated": pytest.mark.against("K6"),
    "sender.begun": pytest.mark.against("K7"),
    "sender.answered": pytest.mark.against("K7"),
    "sender.journalled": pytest.mark.against("K8"),
    "writer.before_commit": pytest.mark.against("K2", "K9"),
    "writer.after_commit": pytest.mark.against("K3"),
}

PLAN = Plan(seed=1, kills=40, mails=3000, pause=(0.5, 1.0))
MAILS, PORTION = 300, 100
SWEPT = 4500
"""Recipients of a cancel whose rows follow in steps: the order itself does the first 2,000."""

PROCESSES = 8
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()

pytestmark = pytest.mark.timeout(540)


class Crash(NamedTuple):
    """One crash at a point: whether it happened, who died of it, and what was found right after."""

    happened: bool
    died: set[str]
    violations: list[Violation]


class Story(NamedTuple):
    """All that was lived through."""

    crashes: dict[str, Crash]
    kills: list[Kill]
    evidence: Evidence


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Iterator[Story]:
    with Stack(tmp_path_factory.mktemp("crash"), **RULES).living() as stack:
        yield live(stack)


def live(stack: Stack) -> Story:
    scene = scene_of(stack, RATE)
    customer = Customer(scene)
    # The senders' first: an answer that is lost takes the longest to be settled.
    points = sorted(PASSAGES, key=lambda point: not point.startswith("sender"))
    crashes = {point: crash_at(stack, scene, customer, point) for point in points}
    (stack.folder / "env").write_text("")
    crowd = killer.Crowd(customer, PLAN)
    kills = killer.kill_at_random(scene, PLAN, lambda _number, _kill: None)
    crowd.end()
    killer.come_to_rest(scene, customer, PATIENCE_S)
    return Story(crashes, kills, gather(scene, customer.clients()))


def crash_at(stack: Stack, scene: Scene, customer: Customer, point: str) -> Crash:
    """Start the actor anew with the point armed, send mail through it, wait until all is quiet."""
    (stack.folder / "env").write_text(f"CRASH_AT={point}:{PASSAGES[point]}\n")
    actor = actor_of(point)
    former = {n: pid for n, pid in ours(stack).items() if n.partition("-")[0] == actor}
    for pid in former.values():
        os.kill(pid, signal.SIGKILL)
    until(f"{point} is armed", lambda: is_replaced(former, ours(stack)))
    armed = ours(stack)
    send(customer, point)
    mark = stack.folder / "data" / f"crashed-{point}"
    happened = until_or_not(mark.exists)
    until("all are back", lambda: len(ours(stack)) == len(armed))
    until("all is quiet", lambda: is_quiet(scene))
    now = ours(stack)
    died = {name for name, pid in armed.items() if now.get(name) != pid}
    found = oracle.judge(gather(scene, customer.clients()))
    return Crash(happened, died, [one for one in found if not is_in_doubt(one)])


def actor_of(point: str) -> str:
    return point.partition(".")[0]


def is_replaced(former: dict[str, int], now: dict[str, int]) -> bool:
    """Tell whether each of the former processes has a successor, and nobody else is missing."""
    return len(now) == PROCESSES and all(now.get(name, pid) != pid for name, pid in former.items())


def send(customer: Customer, point: str) -> None:
    if point == "writer.sweeping":
        emails = [f"{point}.{number}@{DOMAIN}" for number in range(SWEPT)]
        customer.post(f"point-{point}", emails, scheduled_at=TOMORROW)
        customer.cancel(f"point-{point}")
        return
    emails = [f"{point}.{number}@{DOMAIN}" for number in range(MAILS)]
    for first in range(0, MAILS, PORTION):
        customer.post(f"point-{point}", emails[first : first + PORTION])


def until_or_not(check) -> bool:
    try:
        return bool(until("", check, 20))
    except AssertionError:
        return False


def is_quiet(scene: Scene) -> bool:
    left = waiting(scene.database)
    return not left.queued and not left.leases and pending_events(scene) == 0


def is_in_doubt(violation: Violation) -> bool:
    """Tell whether it is only that an answer was lost moments ago; at the end none may be."""
    return violation.rule == "stuck" and violation.what.endswith("is Unknown")


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=AGAINST.get(point, ())) for point in crash.POINTS]
)
def test_a_crash_at_this_point_costs_nothing(story, point):
    found = story.crashes[point]
    assert found.happened, f"{point} was not passed {PASSAGES[point]} times"
    assert [name.partition("-")[0] for name in found.died] == [actor_of(point)]
    assert found.violations == []


@pytest.mark.against("K10", "K13", "A28")
def test_kills_at_random_cost_nothing(story):
    assert len(story.kills) == PLAN.kills
    # Not after all was sent: then they would prove nothing.
    assert sum(kill.under_way > 0 for kill in story.kills) > PLAN.kills / 2
    assert oracle.judge(story.evidence) == []


def test_all_mail_has_come_to_its_end(story):
    """Most is sent; only what was cancelled is not."""
    cancelled = {order.topic for order in story.evidence.clients.cancelled}
    left = [m for m in story.evidence.database.mails if m.state is not State.SENT]
    assert {mail.state for mail in left} == {State.STOPPED}
    assert {mail.topic for mail in left} <= cancelled
    told = sum(len(one.recipients) for one in story.evidence.clients.told)
    assert told >= MAILS * len(PASSAGES) + PLAN.mails / 2
