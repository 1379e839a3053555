"""Scheduler, broker and senders together in virtual time: urgent mail overtakes a million (P4)."""

import heapq
import itertools
import random

import pytest

from services.broker.actor import BrokerActor
from services.scheduler.actor import SchedulerActor
from services.sender.actor import Sender
from services.sender.reply import Entry, Reply
from services.sender.voice import Terms
from shared import protocol as p
from shared.clock import Now
from shared.domain import ContentId, JobId, RecipientId

BASE = 1_700_000_000
WIRE_S = 0.001
COMMIT_S = 0.006


class World:
    """The three of them, each as it is; the writer and SES are played."""

    def __init__(self, rate: float, senders: int = 2, ses_s: float = 0.1, lane: str = "auto"):
        self.time, self.rate, self.ses_s = 0.0, rate, ses_s
        self.scheduler = SchedulerActor(self.now, 0.9)
        self.broker = BrokerActor(self.now, 0.9)
        self.senders = {
            f"sender-{n}": Sender(Terms(f"sender-{n}", 1, senders, lane)) for n in range(senders)
        }
        self.waiting: dict[tuple[int, bool], int] = {}
        self.left: dict[int, list[float]] = {}
        self.leased: dict[int, p.Job] = {}
        self.dice = random.Random(1)
        self._seq, self._jobs = 0, itertools.count(1)
        self._people = itertools.count(1)
        self._events: list[tuple[float, int, object, tuple]] = []
        self._order = itertools.count()
        self.later(0.0, self.digests)

    @property
    def now(self) -> Now:
        return Now(100.0 + self.time, BASE + self.time)

    def later(self, seconds: float, act, *args) -> None:
        heapq.heappush(self._events, (self.time + seconds, next(self._order), act, args))

    def run(self, seconds: float) -> None:
        end = self.time + seconds
        while self.time < end:
            actors = {"scheduler": self.scheduler, "broker": self.broker, **self.senders}
            wakes = {name: actor.next_tick(self.now) - 100.0 for name, actor in actors.items()}
            name = min(wakes, key=wakes.__getitem__)
            if self._events and self._events[0][0] <= wakes[name]:
                at, _, act, args = heapq.heappop(self._events)
                self.time = max(self.time, at)
                act(*args)
            else:
                self.time = max(self.time + 1e-6, wakes[name])
                self.post(actors[name].tick(self.now))
                self.call(name)

    def post(self, letters) -> None:
        for letter in letters:
            if letter.to == "writer":
                self.later(WIRE_S + COMMIT_S, self.write, letter.message)
            else:
                self.later(WIRE_S, self.hear, letter.to, letter.message)

    def hear(self, name: str, message) -> None:
        actor = {"scheduler": self.scheduler, "broker": self.broker}.get(name)
        if actor is None:
            sender = self.senders[name]
            list(sender.receive(message, self.now))
            self.post(sender.settle(self.now))
            self.call(name)
            return
        self.post(actor.receive(message, self.now))
        if actor.next_tick(self.now) <= self.now.mono:
            self.post(actor.tick(self.now))

    # ── SES ──

    def call(self, name: str) -> None:
        sender = self.senders.get(name)
        while sender is not None and (call := sender.next_call(self.now)) is not None:
            self.left.setdefault(call.job.topic, []).extend([self.time] * len(call.addressees))
            self.later(self.ses_s * self.dice.uniform(0.5, 1.5), self.land, name, call)

    def land(self, name: str, call) -> None:
        sender = self.senders[name]
        entries = (Entry("SUCCESS", "", "m"),) * len(call.addressees)
        ending = Reply(200, entries=entries) if call.is_bulk else Reply(200, message_id="m")
        sender.finished(call, ending, self.now)
        sender.unwritten.clear()
        self.post(sender.settle(self.now))

    # ── the writer ──

    def digests(self) -> None:
        self.later(0.5, self.digests)
        self._seq += 1
        self.later(WIRE_S, self.hear, "broker", p.RateDigest(1, self._seq, self.rate))
        self.tell(whole=True)

    def tell(self, *, whole: bool) -> None:
        self._seq += 1
        work = tuple(p.TopicWork(*key, BASE * 1000) for key, left in self.waiting.items() if left)
        digest = p.WorkDigest(1, self._seq, work, None, whole=whole)
        self.later(WIRE_S, self.hear, "scheduler", digest)

    def accept(self, topic: int, mails: int, *, urgent: bool = False) -> None:
        self.waiting[topic, urgent] = self.waiting.get((topic, urgent), 0) + mails
        self.tell(whole=False)

    def write(self, message) -> None:
        match message:
            case p.ClaimWork():
                claimed = tuple(map(self.lease, message.claims))
                self.answer("scheduler", p.WorkClaimed(message.epoch, claimed))
            case p.Hello():
                self.answer(message.sender, p.Welcome(message.epoch, "abc", b"s" * 32))
            case p.AskContent():
                for content in message.contents:
                    self.answer(message.sender, p.Content(content, "Hi", "<p>Hi</p>"))
            case p.AskGate():
                gates = tuple(
                    p.Gate(job, tuple(one.recipient for one in self.leased[job].addressees))
                    for job in message.jobs
                )
                self.answer(message.sender, p.GateOpened(message.epoch, gates))
            case p.RecordOutcomes():
                self.take_back(message)
                self.answer(message.sender, p.OutcomesRecorded(message.epoch, (message.seq,)))

    def answer(self, to: str, message) -> None:
        self.later(WIRE_S, self.hear, to, message)

    def lease(self, claim: p.Claim) -> p.Claimed:
        key, jobs = (claim.topic, claim.urgent), []
        while len(jobs) < claim.jobs and self.waiting.get(key):
            count = min(claim.size, self.waiting[key])
            self.waiting[key] -= count
            to = tuple(
                p.Addressee(RecipientId(next(self._people)), "a@example.com") for _ in range(count)
            )
            content = ContentId(claim.topic)
            job = p.Job(JobId(next(self._jobs)), claim.topic, claim.urgent, content, to)
            self.leased[job.job] = job
            jobs.append(job)
        return p.Claimed(claim.claim, tuple(jobs), BASE * 1000 if self.waiting.get(key) else None)

    def take_back(self, message: p.RecordOutcomes) -> None:
        for outcome in message.outcomes:
            job = self.leased.pop(outcome.job, None)
            if job is not None:
                back = len(job.addressees) - len(outcome.answers)
                self.waiting[job.topic, job.urgent] += back


def urgent_delays(world: World, count: int) -> list[float]:
    """Post urgent mails one by one at odd moments; answer how long each took to leave."""
    delays = []
    for topic in range(100, 100 + count):
        world.run(world.dice.uniform(0.3, 1.7) * (1 + 1 / world.rate))
        posted = world.time
        world.accept(topic, 1, urgent=True)
        world.run(1.5 + 2 / world.rate)
        (left,) = world.left.get(topic, [float("inf")])
        delays.append(left - posted)
    return delays


@pytest.mark.parametrize(
    ("rate", "senders", "ses_s", "lane"),
    [
        (1, 2, 0.1, "auto"),
        (1, 1, 0.1, "auto"),
        (1, 4, 1.0, "auto"),
        (14, 2, 0.1, "auto"),
        (14, 2, 1.0, "auto"),
        (14, 1, 0.1, "bulk"),
        (200, 2, 0.1, "auto"),
        (200, 2, 0.1, "single"),
        (200, 8, 0.5, "auto"),
    ],
)
def test_a_lone_urgent_mail_overtakes_a_million(rate, senders, ses_s, lane):
    world = World(rate, senders, ses_s, lane)
    world.accept(1, 1_000_000)
    world.run(6.0)
    delays = urgent_delays(world, 8)
    assert max(delays) <= 1 + 2 / rate


@pytest.mark.parametrize(("before", "after"), [(200, 14), (200, 1), (24, 1)])
def test_it_overtakes_also_right_after_the_rate_fell(before, after):
    """The senders hold bulk jobs for a quarter of a second at the old rate."""
    world = World(before, 2)
    world.accept(1, 1_000_000)
    world.run(5.0)
    world.rate = after
    world.digests()
    world.run(2.5)
    assert max(urgent_delays(world, 3)) <= 1 + 2 / after


def test_it_leaves_though_ses_keeps_all_bulk_calls_waiting():
    world = World(14, 2)
    world.accept(1, 1_000_000)
    world.run(3.0)
    world.ses_s = 60.0
    world.run(5.0)
    posted = world.time
    world.accept(100, 1, urgent=True)
    world.run(1 + 2 / 14)
    (left,) = world.left[100]
    assert left - posted <= 1 + 2 / 14


@pytest.mark.parametrize(("rate", "lane"), [(14, "auto"), (200, "auto"), (200, "single")])
def test_much_urgent_mail_has_its_share_and_bulk_the_rest(rate, lane):
    world = World(rate, 2, lane=lane)
    world.accept(1, 1_000_000)
    world.run(5.0)
    world.accept(2, 1_000_000, urgent=True)
    world.run(21.0)
    urgent = len([at for at in world.left[2] if at >= 6.0])
    bulk = len([at for at in world.left[1] if at >= 6.0])
    assert urgent + bulk >= 0.93 * rate * 20 - 1
    assert urgent / (urgent + bulk) == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize(("rate", "senders"), [(5, 2), (14, 2), (200, 2), (200, 8)])
def test_a_second_newsletter_starts_within_a_second_and_has_half(rate, senders):
    world = World(rate, senders)
    world.accept(1, 1_000_000)
    world.run(6.0)
    posted = world.time
    world.accept(2, 1_000_000)
    world.run(21.0)
    assert world.left[2][0] - posted <= 1.0
    second = len([at for at in world.left[2] if at >= posted + 1])
    first = len([at for at in world.left[1] if at >= posted + 1])
    assert second == pytest.approx(first, rel=0.1, abs=2)
