"""The product's broker and senders in virtual time: processes that die, stop, wake late; a wire.

Broker and senders are the product's own, from their mailbox to the moment at which a call starts.
What stands in: writer and scheduler (they give jobs and open gates at once), the wire, the
machine, and SES, which answers whatever the world's `ending` says.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

from services.broker.actor import BrokerActor
from services.sender.actor import Sender
from services.sender.hand import Call
from services.sender.reply import Ending, Entry, Reply
from services.sender.voice import Terms
from shared import protocol as p
from shared.actor import Actor
from shared.clock import Now
from shared.domain import ContentId, JobId, RecipientId
from shared.wire import Letter

START = 1000.0
WALL = 1.7e9
FRAME_S = 0.0002
COMMIT_S = 0.006
DIGEST_EVERY_S = 1.0
STARTING_S = 0.3
"""A process that was killed is back after this."""

CALLS_A_TURN = 8
CALL_COSTS_S = 0.0004


class Start(NamedTuple):
    """A call that left: when, and for how many."""

    at: float
    recipients: int


class Seat:
    """A process: what runs in it (nothing while it is dead), its mail, when it wakes."""

    def __init__(self, world: "World", name: str, make: Callable[[int], Actor]) -> None:
        self.name = name
        self.life = 0
        self.actor: Actor | None = None
        self.mail: list[p.Message] = []
        self.stopped_until = 0.0
        self.wakes_at = float("inf")
        self._world = world
        self._make = make

    def begin(self) -> None:
        """Start the process, with nothing but its settings."""
        self.life += 1
        self.mail.clear()
        self.stopped_until = 0.0
        self.actor = self._make(self.life)
        self.wakes_at = float("inf")
        self.wake(self._world.time)

    def kill(self, back_after: float = STARTING_S) -> None:
        """SIGKILL; supervisord starts it anew."""
        self.actor = None
        self._world.at(self._world.time + back_after, self.begin)

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later: mail piles up, clocks go on."""
        self.stopped_until = self._world.time + seconds

    def wake(self, at: float) -> None:
        """Have a turn then, unless there is one before."""
        if at < self.wakes_at:
            self.wakes_at = at
            self._world.at(at, lambda: self._turn(at))

    def _turn(self, meant: float) -> None:
        if self.actor is None or meant != self.wakes_at:
            return
        self.wakes_at = float("inf")
        world = self._world
        if world.time < self.stopped_until:
            self.wake(self.stopped_until)
            return
        now, mail = world.now, self.mail
        self.mail = []
        letters: list[Letter] = []
        for message in mail:
            letters += self.actor.receive(message, now)
        letters += self.actor.settle(now)
        if now.mono >= self.actor.next_tick(now):
            letters += self.actor.tick(now)
        for letter in letters:
            world.post(self, letter)
        if isinstance(self.actor, Sender):
            world.start_calls(self, self.actor)
        self.wake(max(world.time + 1e-4, self.actor.next_tick(now) + world.lateness()))


class World:
    """One installation. What a fault changes are its public fields; `starts` is what is judged."""

    def __init__(self, rate: float, workers: int, seed: str, lane: str = "auto") -> None:
        self.rate = rate
        self.dice = random.Random(seed)
        self.time = START
        self.step = 0.0  # of the wall clock
        self.has_mail = True
        self.loses, self.delays = 0.0, 0.0
        self.ending: Callable[[], tuple[float, Ending | None]] = lambda: (0.05, None)
        self.size: Callable[[int], int] = lambda most: most
        self.urgent = 0.0
        self.starts: list[Start] = []
        self.in_force: list[tuple[float, float]] = [(START, rate)]
        self.in_air = self.most_in_air = 0
        self.refused = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count(1)
        self._digests = 0
        self._last: dict[tuple[str, str], float] = {}
        self._rooms: dict[str, p.Room] = {}
        self._jobs: dict[str, dict[JobId, p.Job]] = {}
        self.broker = Seat(self, "broker", lambda _: BrokerActor(self.now, 0.9))
        names = [f"sender-{number}" for number in range(workers)]
        self.senders = [self._sender(name, workers, lane) for name in names]
        self._seats = {seat.name: seat for seat in (self.broker, *self.senders)}
        for seat in self._seats.values():
            seat.begin()
        self._digest()

    def _sender(self, name: str, workers: int, lane: str) -> Seat:
        return Seat(self, name, lambda life: Sender(Terms(name, life, workers, lane)))

    @property
    def now(self) -> Now:
        """Read both clocks."""
        return Now(self.time, WALL + self.time + self.step)

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._events, (max(when, self.time), next(self._count), do))

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

    def post(self, sender: Seat, letter: Letter) -> None:
        """Carry a letter: in order from one to the other, to the living only."""
        if letter.to in {"writer", "scheduler"}:
            life = sender.life
            self.at(self.time + FRAME_S, lambda: self._office(sender, life, letter.message))
            return
        if isinstance(letter.message, p.Permits) and letter.message.rate != self.in_force[-1][1]:
            self.in_force.append((self.time, letter.message.rate))
        if self.dice.random() < self.loses:
            return
        self._deliver(sender.name, self._seats[letter.to], letter.message, self.delays)

    def _deliver(self, origin: str, to: Seat, message: p.Message, most: float = 0.0) -> None:
        route, life = (origin, to.name), to.life
        at = self.time + FRAME_S + self.dice.random() * most
        at = self._last[route] = max(at, self._last.get(route, 0.0))

        def arrive() -> None:
            if to.actor is not None and to.life == life:
                to.mail.append(message)
                to.wake(self.time + self.lateness() / 4)

        self.at(at, arrive)

    def _digest(self) -> None:
        self._tell_rate()
        self.at(self.time + DIGEST_EVERY_S, self._digest)

    def _tell_rate(self) -> None:
        self._digests += 1
        self._deliver("writer", self.broker, p.RateDigest(1, self._digests, self.rate))

    def change_rate(self, rate: float) -> None:
        """Have an operator change R."""
        self.rate = rate
        self._tell_rate()

    # ── writer and scheduler ──

    def _office(self, sender: Seat, life: int, message: p.Message) -> None:
        """Answer as writer and scheduler do, and give new jobs wherever there is room."""
        if sender.life != life:
            return
        jobs = self._jobs.setdefault(sender.name, {})
        match message:
            case p.Hello():
                jobs.clear()
                self._rooms.pop(sender.name, None)
                self._answer(sender, p.Welcome(life, "abc", b"secret"))
                self._answer(sender, p.Content(ContentId(5), "Hi", "<p>Hi</p>"))
            case p.AskGate():
                gates = [(job, jobs[job].addressees) for job in message.jobs if job in jobs]
                opened = tuple(p.Gate(job, tuple(x.recipient for x in who)) for job, who in gates)
                self._answer(sender, p.GateOpened(life, opened))
            case p.RecordOutcomes():
                for outcome in message.outcomes:
                    jobs.pop(outcome.job, None)
                self._answer(sender, p.OutcomesRecorded(life, (message.seq,)))
            case p.Room():
                self._rooms[sender.name] = message
        self._assign(sender, jobs)

    def _answer(self, sender: Seat, message: p.Message) -> None:
        life = sender.life

        def go() -> None:
            if sender.life == life:
                self._deliver("writer", sender, message)

        self.at(self.time + COMMIT_S, go)

    def _assign(self, sender: Seat, jobs: dict[JobId, p.Job]) -> None:
        room = self._rooms.get(sender.name)
        if room is None or not self.has_mail:
            return
        fresh = [self._job(room.size) for _ in range(room.jobs - len(jobs))]
        if fresh:
            jobs.update((job.job, job) for job in fresh)
            self._answer(sender, p.Assign(sender.life, tuple(fresh)))

    def _job(self, most: int) -> p.Job:
        number = next(self._count)
        is_urgent = self.dice.random() < self.urgent
        size = 1 if is_urgent else self.size(most)
        who = tuple(p.Addressee(RecipientId(100 * number + n), "a@b.example") for n in range(size))
        return p.Job(JobId(number), 1, is_urgent, ContentId(5), who)

    # ── calls ──

    def start_calls(self, seat: Seat, sender: Sender) -> None:
        """Start the calls that are due, as the process around a sender does."""
        for number in range(CALLS_A_TURN):
            look = Now(self.time + number * CALL_COSTS_S, self.now.wall)
            call = sender.next_call(look)
            if call is None:
                return
            begins_at = look.mono + CALL_COSTS_S + self.lateness() / 2
            self.at(begins_at, self._beginning(seat, seat.life, sender, call))
        seat.wake(self.time + number * CALL_COSTS_S + CALL_COSTS_S)

    def _beginning(self, seat: Seat, life: int, sender: Sender, call: Call) -> Callable[[], None]:
        def begin() -> None:
            if seat.life != life or seat.actor is None:
                return
            if self.time < seat.stopped_until:
                self.at(seat.stopped_until, begin)
            elif self.time > call.start_by:
                sender.withhold(call, self.now)
                seat.wake(self.time)
            else:
                self._call(seat, life, sender, call)

        return begin

    def _call(self, seat: Seat, life: int, sender: Sender, call: Call) -> None:
        self.starts.append(Start(self.time, len(call.addressees)))
        self.in_air += 1
        self.most_in_air = max(self.most_in_air, self.in_air)
        takes, ending = self.ending()

        def end() -> None:
            if self.time < seat.stopped_until and seat.life == life:
                self.at(seat.stopped_until, end)
                return
            self.in_air -= 1
            if seat.life == life and seat.actor is not None:
                sender.finished(call, ending or accepted(call), self.now)
                seat.wake(self.time)

        self.at(self.time + takes * self.dice.uniform(0.5, 1.5), end)


def accepted(call: Call) -> Ending:
    """Answer as SES does when all is well."""
    if not call.is_bulk:
        return Reply(200, message_id="m")
    return Reply(200, entries=tuple(Entry("SUCCESS", message_id="m") for _ in call.addressees))


def heaviest(calls: Iterable[tuple[float, int]], span: float) -> int:
    """Answer the most recipients in any half-open span of time."""
    ordered = sorted(calls)
    first = total = most = 0
    for at, size in ordered:
        total += size
        while ordered[first][0] <= at - span:
            total -= ordered[first][1]
            first += 1
        most = max(most, total)
    return most
