"""A world in virtual time: a broker, senders that always want more, and what they did."""

import random
from collections.abc import Callable, Iterable

import pytest

from services.broker.actor import BrokerActor
from services.broker.pace import chunk_at
from shared.clock import Now
from shared.protocol import Ask, Demand, Permits, RateDigest
from tests.unit.broker.world import heaviest

LATE_S = 0.012
JITTER_S = 0.050
START = 1000.0


class Hungry:
    """A sender that keeps as many asks as it may, and uses or loses what it gets."""

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.world = world
        self.epoch = 1
        self.seq = 0
        self.next_ask = 0
        self.wanted: dict[int, int] = {}
        self.urgent: dict[int, float] = {}
        self.delays: list[float] = []
        self.unused: list[tuple[float, int]] = []
        self.chunk = chunk_at(world.rate)
        self.stalled_until = 0.0
        self.says_at = START

    def begin_anew(self) -> None:
        """Lose everything, as after kill -9."""
        self.epoch += 1
        self.seq = 0
        self.wanted.clear()
        self.unused.clear()

    def hurry(self) -> None:
        """Ask for a permit for one urgent mail at once."""
        self.next_ask += 1
        self.urgent[self.next_ask] = self.says_at = self.world.time

    def say(self, now: float) -> Demand:
        world = self.world
        while len(self.wanted) < world.depth:
            self.next_ask += 1
            self.wanted[self.next_ask] = world.size(self.chunk)
        self.unused = [(at, ask) for at, ask in self.unused if at > now - 0.5]
        self.seq += 1
        asks = tuple(Ask(ask, size) for ask, size in self.wanted.items())
        returned = tuple(ask for at, ask in self.unused if at <= now)
        urgent = tuple(Ask(ask, 1) for ask in self.urgent)
        return Demand(self.name, self.epoch, self.seq, urgent, asks, returned)

    def hear(self, permits: Permits, now: float) -> None:
        if permits.sender_epoch != self.epoch:
            return
        self.chunk = permits.chunk
        for permit in permits.permits:
            if permit.ask in self.urgent:
                self.delays.append(permit.not_before - self.urgent.pop(permit.ask))
                self.world.calls.append((permit.not_before, 1))
                continue
            size = self.wanted.pop(permit.ask, None)
            if size is None:
                continue
            fires_at = max(permit.not_before, now, self.stalled_until)
            is_late = fires_at > permit.not_before + LATE_S
            if is_late or self.world.dice.random() < self.world.returns:
                self.unused.append((fires_at + 0.02, permit.ask))
            else:
                self.world.calls.append((permit.not_before, size))


class World:
    """Runs broker and senders from event to event; `calls` are the slots used, with sizes."""

    def __init__(self, rate: float, senders: int = 2, returns: float = 0.0) -> None:
        self.rate = rate
        self.returns = returns
        self.loses = 0.0
        self.late_tick = 0.003
        self.dice = random.Random(rate)
        self.size: Callable[[int], int] = lambda chunk: chunk
        self.depth = max(2, int(rate * 0.3 / chunk_at(rate) / senders) + 1)
        self.time = START
        self.digest_at = START
        self.seq = 0
        self.calls: list[tuple[float, int]] = []
        self.ticks = 0
        self.broker = BrokerActor(self.now, 0.9)
        self.wakes_at = START
        self.senders = [Hungry(f"sender-{i}", self) for i in range(senders)]

    @property
    def now(self) -> Now:
        return Now(self.time, self.time + 1.7e9)

    def restart_broker(self) -> None:
        """Kill the broker and start an empty one at once."""
        self.broker = BrokerActor(self.now, 0.9)
        self.digest_at = self.time

    def run(self, seconds: float, every: float = 0.02) -> None:
        """Let time pass; senders say what they want every so many seconds."""
        end = self.time + seconds
        while self.time < end:
            self.turn(every)
            soon = [sender.says_at for sender in self.senders]
            # The machine is busy: the broker wakes a little later than it wanted.
            wake = self.broker.next_tick(self.now) + self.dice.random() * self.late_tick
            self.time = max(self.time + 1e-5, min(wake, self.digest_at, end, *soon))

    def turn(self, every: float) -> None:
        if self.time >= self.digest_at:
            self.seq += 1
            self.broker.receive(RateDigest(1, self.seq, self.rate), self.now)
            self.digest_at = self.time + 1.0
        for sender in self.senders:
            if self.time >= max(sender.says_at, sender.stalled_until):
                sender.says_at = self.time + every
                if self.dice.random() >= self.loses:
                    self.broker.receive(sender.say(self.time), self.now)
        if self.time >= self.broker.next_tick(self.now):
            self.ticks += 1
            for letter in self.broker.tick(self.now):
                if self.dice.random() >= self.loses:
                    sender = next(s for s in self.senders if s.name == letter.to)
                    sender.hear(letter.message, self.time)

    def share(self, since: float) -> float:
        """Answer the part of the rate used since then."""
        used = sum(size for at, size in self.calls if since <= at < self.time)
        return used / (self.time - since) / self.rate


@pytest.fixture
def world() -> type[World]:
    return World


def worst_second(calls: Iterable[tuple[float, int]]) -> int:
    """Answer the most that can arrive in one second, however each call is delayed.

    An adversary who delays by up to 62 ms (12 late, 50 on the way) brings into one second at SES
    whatever has its slot within 1.062 s: the first ones as late as can be, the last ones at once.
    """
    return heaviest(calls, 1.0 + LATE_S + JITTER_S)


@pytest.fixture(scope="session", name="worst_second")
def worst_second_fixture() -> Callable[[Iterable[tuple[float, int]]], int]:
    return worst_second


@pytest.fixture(scope="session", name="heaviest")
def heaviest_fixture() -> Callable[[Iterable[tuple[float, int]], float], int]:
    return heaviest
