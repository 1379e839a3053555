"""Minutes in virtual time with a writer and senders that behave as the real ones do."""

import heapq
import itertools
import math
import random
from collections import defaultdict, deque

import pytest

from services.scheduler.actor import SchedulerActor
from shared.clock import Now
from shared.domain import ContentId, JobId, RecipientId
from shared.protocol import (
    Addressee,
    Assign,
    Claim,
    Claimed,
    ClaimWork,
    Job,
    Room,
    TopicWork,
    WorkClaimed,
    WorkDigest,
)

BASE = 1_700_000_000


class Topic:
    """Mails of one topic in one lane that are due at a time."""

    def __init__(self, mails: int, due: float = 0.0, urgent: bool = False, full: int = 50) -> None:
        self.mails = mails
        self.due = due
        self.urgent = urgent
        self.full = full
        self.left_at: list[float] = []


class Hand:
    """A sender that fires at most so often and says its room 20 ms after a change."""

    def __init__(self, size: int, room: int) -> None:
        self.size = size
        self.room = room
        self.waiting: deque[Job] = deque()
        self.in_air = 0
        self.seq = 0


class World:
    """Scheduler, writer and senders on one timeline of events."""

    def __init__(self, rate: float, senders: int = 2, size: int = 1, answer_s: float = 0.04):
        self.rate, self.answer_s = rate, answer_s
        self.now = 0.0
        self.scheduler = SchedulerActor(self.clock, 0.9)
        self.topics: dict[int, Topic] = {}
        calls = rate / senders / size
        room = max(2 if calls > 3 else 1, math.ceil(0.25 * calls))
        self.hands = {f"sender-{n}": Hand(size, room) for n in range(senders)}
        self.loses = 0.0
        self.dice = random.Random(1)
        self.ticks = self.jobs = 0
        self.most_waiting = 0
        self._events: list[tuple[float, int, object, tuple]] = []
        self._order = itertools.count()
        self._seq = 0
        self._turn = itertools.cycle(self.hands)
        self._answered: dict[int, list[Job]] = {}
        self.later(0.0, self.say_digest)
        self.later(0.0, self.fire)
        for name in self.hands:
            self.later(0.0, self.say_room, name)

    @property
    def clock(self) -> Now:
        return Now(100.0 + self.now, BASE + self.now)

    def later(self, seconds, act, *args) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), act, args))

    def run(self, until: float) -> None:
        while self.now < until:
            wake = self.scheduler.next_tick(self.clock) - 100.0
            if self._events and self._events[0][0] <= wake:
                self.now, _, act, args = heapq.heappop(self._events)
                act(*args)
            else:
                self.now = max(self.now, wake)
            if self.scheduler.next_tick(self.clock) <= self.clock.mono:
                self.ticks += 1
                self.post(self.scheduler.tick(self.clock))

    def post(self, letters) -> None:
        for letter in letters:
            if self.dice.random() < self.loses:
                continue
            if isinstance(letter.message, ClaimWork):
                self.later(0.005, self.claim, letter.message)
            else:
                assert isinstance(letter.message, Assign)
                self.later(0.001, self.assign, letter.to, letter.message)

    def hear(self, message) -> None:
        if self.dice.random() >= self.loses:
            self.post(self.scheduler.receive(message, self.clock))

    # ── the writer ──

    def say_digest(self) -> None:
        self._seq += 1
        self.later(0.5, self.say_digest)
        soon = [
            TopicWork(number, topic.urgent, round((BASE + topic.due) * 1000))
            for number, topic in self.topics.items()
            if topic.mails and topic.due < self.now + 2
        ]
        self.hear(WorkDigest(1, self._seq, tuple(soon), None))

    def add(self, number: int, topic: Topic) -> None:
        """Accept mail: the digest is said on change."""
        self.topics[number] = topic
        self._seq += 1
        self.later(0.001, self.say_digest)

    def claim(self, message: ClaimWork) -> None:
        claimed = tuple(map(self.lease, message.claims))
        self.later(0.001, self.hear, WorkClaimed(message.epoch, claimed))

    def lease(self, claim: Claim) -> Claimed:
        topic = self.topics[claim.topic]
        if claim.claim not in self._answered:
            leased = self._answered[claim.claim] = []
            while len(leased) < claim.jobs and topic.mails and topic.due <= self.now:
                self.jobs += 1
                count = min(claim.size, topic.full, topic.mails)
                topic.mails -= count
                to = (Addressee(RecipientId(1), "a@example.com"),) * count
                leased.append(Job(JobId(self.jobs), claim.topic, topic.urgent, ContentId(1), to))
        due = round((BASE + topic.due) * 1000) if topic.mails else None
        return Claimed(claim.claim, tuple(self._answered[claim.claim]), due)

    # ── the senders ──

    def assign(self, name: str, message: Assign) -> None:
        hand = self.hands[name]
        for job in message.jobs:
            (hand.waiting.appendleft if job.urgent else hand.waiting.append)(job)
        self.most_waiting = max(self.most_waiting, len(hand.waiting))
        self.later(0.001, self.say_change, name)

    def say_room(self, name: str) -> None:
        self.say_change(name)
        self.later(0.3, self.say_room, name)

    def say_change(self, name: str) -> None:
        hand = self.hands[name]
        hand.seq += 1
        held = len(hand.waiting) + hand.in_air
        urgent = sum(job.urgent for job in hand.waiting)
        room = hand.in_air + hand.room
        self.hear(Room(name, 1, hand.seq, room, hand.size, held, urgent=urgent))

    def fire(self) -> None:
        """Start one call if any waits, paced at 0.94 R; senders in turn, urgent first."""
        names = [next(self._turn) for _ in self.hands]
        names.sort(key=lambda name: not any(job.urgent for job in self.hands[name].waiting))
        for name in names:
            hand = self.hands[name]
            if hand.waiting:
                job = hand.waiting.popleft()
                count = len(job.addressees)
                self.topics[job.topic].left_at += [self.now] * count
                hand.in_air += 1
                self.later(self.answer_s, self.land, name)
                self.later(count / (0.94 * self.rate), self.fire)
                return
        self.later(0.1 / self.rate, self.fire)

    def land(self, name: str) -> None:
        self.hands[name].in_air -= 1
        self.later(0.02, self.say_change, name)


@pytest.mark.parametrize("answer_s", [0.04, 1.0])
@pytest.mark.parametrize(
    ("rate", "senders", "size"), [(1, 2, 1), (5, 1, 1), (14, 2, 1), (24, 8, 1), (500, 2, 6)]
)
def test_the_senders_never_want_for_work(rate, senders, size, answer_s):
    """Also where SES takes a second to answer: calls in the air take no room."""
    world = World(rate, senders, size, answer_s)
    world.add(1, Topic(100_000))
    world.run(30.0)
    assert len([at for at in world.topics[1].left_at if at >= 3]) >= 0.93 * rate * 27 - 1


def test_no_more_is_claimed_ahead_than_there_is_room_for():
    world = World(500, size=6)
    world.add(1, Topic(100_000))
    world.run(10.0)
    assert world.most_waiting <= 1.25 * max(hand.room for hand in world.hands.values())


def test_mail_leaves_at_its_time():
    """A thousand mails over twenty different seconds (P5)."""
    world = World(500, size=6)
    for number in range(20):
        world.add(number, Topic(50, due=2.0 + number))
    world.run(30.0)
    late = [at - topic.due for topic in world.topics.values() for at in topic.left_at]
    assert len(late) == 1000
    assert min(late) >= 0
    assert max(late) < 0.25


def test_an_idle_scheduler_sleeps():
    """Ticks come of frames (two digests and about seven rooms a second), not of polling."""
    world = World(24)
    world.add(1, Topic(1, due=8.5))
    world.run(10.0)
    assert world.topics[1].left_at
    assert world.ticks / 10 < 12


def test_an_urgent_mail_overtakes_a_million():
    """It leaves within 1 s + 2/R (P4)."""
    for rate in (1, 24, 200):
        world = World(rate)
        world.add(1, Topic(1_000_000))
        world.run(5.0)
        for number in range(2, 22):
            begun = world.now
            world.add(number, Topic(1, due=begun, urgent=True))
            world.run(begun + 3.0)
            [left] = world.topics[number].left_at
            assert left - begun <= 1 + 2 / rate


def test_bulk_goes_on_while_urgent_mail_waits():
    world = World(200, size=2)
    world.add(1, Topic(100_000))
    world.add(2, Topic(100_000, urgent=True))
    world.run(20.0)
    # The senders here serve urgent mail first without a share; the claims leave bulk its tenth.
    assert len(world.topics[2].left_at) >= 0.85 * 0.93 * 200 * 19


def test_a_second_newsletter_starts_within_a_second_and_has_half():
    world = World(200, size=2)
    world.add(1, Topic(100_000))
    world.run(5.0)
    world.add(2, Topic(1_000))
    world.run(10.0)
    second = world.topics[2].left_at
    assert second[0] - 5.0 < 1.0
    first = [at for at in world.topics[1].left_at if at >= 6.0]
    assert len([at for at in second if at >= 6.0]) == pytest.approx(len(first), rel=0.1)


def test_topics_of_single_mails_and_of_full_jobs_share_alike():
    world = World(500, size=6)
    world.add(1, Topic(100_000, full=1))
    world.add(2, Topic(100_000))
    world.run(20.0)
    single, full = (len(world.topics[number].left_at) for number in (1, 2))
    assert single == pytest.approx(full, rel=0.1)


@pytest.mark.parametrize("loses", [0.05, 0.3])
def test_lost_frames_delay_but_nothing_stands_still(loses):
    world = World(100)
    world.loses = loses
    for number in range(10):
        world.add(number, Topic(100))
    world.run(60.0)
    assert all(topic.mails == 0 for topic in world.topics.values())


def test_many_topics_are_served_in_turn():
    world = World(100)
    for number in range(200):
        world.add(number, Topic(10))
    world.run(4.0)
    served = defaultdict(int)
    for number, topic in world.topics.items():
        served[number] = len(topic.left_at)
    assert max(served.values()) - min(served.values()) <= 2
