"""One installation in virtual time: the product's writer, scheduler, broker and senders.

Stand-ins: the wire, the processes around the actors, the API with its clients, `results`, SES and
SNS. A run is the same for the same seed.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.benches import evidence, oracle
from scripts.benches.facts import Database, Evidence
from services.broker.actor import BrokerActor
from services.scheduler.actor import SchedulerActor
from services.writer.actor import WriterActor
from services.writer.apply import Rules
from services.writer.founding import found
from shared import crash
from shared import protocol as p
from shared.clock import Now, new_epoch
from shared.domain import OnUnknown
from shared.store.read import Install
from shared.store.write import Store
from shared.wire import Letter
from tests.world.amazon import Ses, Sns
from tests.world.clients import Callers
from tests.world.hull import Hull
from tests.world.seat import Seat

START = 1000.0
WALL = 1_800_000_000.0
FRAME_S = 0.0002
LOOK_EVERY_S = 5.0


class World:
    """What a fault changes are its public fields: `loses` frames, `step` of the wall clock, …"""

    def __init__(
        self,
        folder: Path,
        seed: str,
        rate: float = 200.0,
        senders: int = 2,
        on_unknown: OnUnknown = OnUnknown.CONFIRM_THEN_RESEND,
        unknown_after: int = 60,
        lane: str = "auto",
    ) -> None:
        self.rate, self.lane, self.install = rate, lane, "0a1b2c3d"
        self.dice = random.Random(seed)
        self.time, self.step, self.loses = START, 0.0, 0.0
        self.path = folder / "world.db"
        self._policy = on_unknown, unknown_after * 1000
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count(1)
        self._last: dict[tuple[str, str], float] = {}
        crash._armed.clear()
        self.ses, self.sns, self.callers = Ses(self), Sns(self), Callers(self)
        self.writer = Seat(self, "writer", self._writer, lambda: self.store.close())  # noqa: PLW0108 - each life has its own
        self.scheduler = Seat(
            self, "scheduler", lambda: SchedulerActor(self.now, 0.9), lambda: None
        )
        self.broker = Seat(self, "broker", lambda: BrokerActor(self.now, 0.9), lambda: None)
        self.hulls: dict[str, Hull] = {}
        self.senders: list[Seat] = []
        self.senders += [self._sender(folder, f"sender-{n}") for n in range(senders)]
        self.seats = {
            seat.name: seat for seat in (self.writer, self.scheduler, self.broker, *self.senders)
        }
        for seat in self.seats.values():
            seat.begin()

    def _sender(self, folder: Path, name: str) -> Seat:
        def make() -> Hull:
            self.hulls[name] = Hull(self, seat, folder / f"{name}.log")
            return self.hulls[name]

        seat = Seat(self, name, make, lambda: self.hulls[name].journal.close())  # noqa: PLW0108
        return seat

    def _writer(self) -> WriterActor:
        self.store = Store(self.path)
        # Processes die here, the machine does not: its disk need not be waited for.
        self.store._connection.pragma("synchronous", "off")
        found(self.store, Install(self.install, b"secret"), self.now.ms)
        rules = Rules("boot-1", new_epoch(self.now), self.rate, *self._policy)
        return WriterActor(self.store, rules)

    @property
    def now(self) -> Now:
        """Read both clocks."""
        return Now(self.time, WALL + self.time + self.step)

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._events, (max(when, self.time), next(self._count), do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Have something happen so long after the world's beginning."""
        self.at(START + seconds, do)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.time + seconds
        while self._events and self._events[0][0] <= end:
            self.time, _, do = heapq.heappop(self._events)
            do()
        self.time = end

    def lateness(self) -> float:
        """Answer how late a process wakes: timers count milliseconds, the machine is shared."""
        return self.dice.random() * (0.03 if self.dice.random() < 0.01 else 0.002)

    # ── the wire ──

    def post(self, seat: Seat, life: int, letters: Iterable[Letter]) -> None:
        """Carry the letters of a turn, if whoever had it still lives."""
        if seat.is_life(life):
            for letter in letters:
                self.send(seat.name, letter.to, letter.message)

    def send(self, origin: str, to: str, message: p.Message) -> None:
        """Carry a message, in order from one to the other; some frames are dropped."""
        if self.dice.random() < self.loses:
            return
        at = self.time + FRAME_S + self.dice.random() * 0.001
        at = self._last[origin, to] = max(at, self._last.get((origin, to), 0.0))
        self.at(at, lambda: self._arrive(to, message))

    def _arrive(self, to: str, message: p.Message) -> None:
        match to:
            case "api":
                self.callers.hear(message)
            case "results":
                self.sns.hear(message)
            case "monitor":
                pass
            case _:
                self.seats[to].take(message)

    # ── the end ──

    def rest(self, limit: float = 3600.0) -> None:
        """Let time pass until nothing moves any more, or the limit is reached."""
        end = self.time + limit
        while self.time < end:
            self.run(LOOK_EVERY_S)
            waiting = evidence.waiting(self.path)
            held = len(evidence.held(self.path))
            if not (
                self.callers.open
                or self.sns.waiting
                or waiting.queued
                or waiting.leases
                or waiting.unknown > held
            ):
                return

    def database(self) -> Database:
        """Read what is stored."""
        return evidence.read_database(self.path)

    def judge(self) -> list[oracle.Violation]:
        """Ask the oracle."""
        return oracle.judge(
            Evidence(
                self.callers.facts(),
                tuple(self.ses.ledger),
                self.database(),
                self.sns.posted(),
                self.rate,
            )
        )

    def close(self) -> None:
        """Let go of files and crash points."""
        crash._armed.clear()
        if self.writer.actor is not None:
            self.store.close()
        for seat in self.senders:
            if seat.actor is not None:
                self.hulls[seat.name].journal.close()
