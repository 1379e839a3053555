"""The scheduler's state: what is due, who has room, what was claimed."""

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import NamedTuple

from typing_extensions import override

from services.scheduler.backlog import Backlog, Line
from services.scheduler.claims import OpenClaim, OpenClaims
from services.scheduler.lanes import Lanes
from services.scheduler.room import Bench
from shared import crash
from shared.actor import Actor
from shared.clock import Now, new_epoch
from shared.protocol import (
    Assign,
    Claim,
    Claimed,
    ClaimWork,
    Job,
    Message,
    Room,
    WorkClaimed,
    WorkDigest,
)
from shared.wire import Letter

MOST_JOBS = 200
"""Jobs claimed for a sender at once: the gate waits while the writer leases them."""

URGENT_EXTRA_JOBS = 2
"""Urgent jobs may wait in a sender however full of bulk it is, for it may be so for long."""

DIGEST_EXPIRES_S = 3.0
"""A writer silent for so long is dead; what it said of holds and dues may be wrong by now."""


class Calls(NamedTuple):
    """How many jobs to claim, of how many recipients each at most."""

    jobs: int
    size: int


class SchedulerActor(Actor):
    """Claims what is due for the senders' free room and hands the jobs on."""

    def __init__(self, now: Now, urgent_share: float) -> None:
        self.epoch = new_epoch(now)
        self._wake = now.mono
        self._digest: WorkDigest | None = None
        self._digest_at = now.mono
        self._backlog = Backlog()
        # An epoch is in microseconds: the next one starts beyond all ids used until then.
        self._claims = OpenClaims(self.epoch * 1000)
        self._benches: dict[str, Bench] = {}
        self._lanes = Lanes(urgent_share)
        self._asked: deque[float] = deque()
        self._waits = ""

    @override
    def receive(self, message: Message, now: Now) -> Iterable[Letter]:
        """Take a digest, a sender's room or claimed jobs, which go out at once."""
        self._wake = now.mono
        match message:
            case WorkClaimed():
                return self._hear_claimed(message, now)
            case Room():
                self._hear_room(message, now)
            case WorkDigest():
                self._hear_digest(message, now)
            case _:
                return super().receive(message, now)
        return ()

    @override
    def tick(self, now: Now) -> Iterable[Letter]:
        """Claim what is due; ask again for what was not answered."""
        for claim in self._claims.close_forgotten(now.mono):
            self._lanes.settle(claim.line, claim.recipients)
        claims = [*self._claims.repeats(now.mono), *self._new_claims(now)]
        self._wake = self._plan(now)
        if not claims:
            return ()
        self._asked.extend([now.mono] * len(claims))
        self._forget_asked(now.mono)
        return (Letter("writer", ClaimWork(self.epoch, tuple(claims))),)

    @override
    def next_tick(self, now: Now) -> float:
        """Answer when mail comes due or something is to be asked again."""
        return self._wake

    @override
    def gauges(self, now: Now) -> dict[str, float]:
        """Answer what waits and what is under way."""
        self._forget_asked(now.mono)
        benches = self._open_benches(now.mono)
        gauges = {
            "topics": float(len(self._backlog)),
            "claims_per_s": float(len(self._asked)),
            "claims_open": float(len(self._claims)),
            "jobs_in_hand": float(sum(bench.jobs(now.mono) for bench in self._benches.values())),
            "room": float(sum(max(0, bench.free(now.mono)) for bench in benches)),
            "senders": float(len(benches)),
        }
        due_in = self._backlog.next_due_in(now)
        return gauges if due_in is None else {**gauges, "next_due_s": due_in}

    @override
    def notes(self) -> dict[str, str]:
        """Name what keeps work from being claimed, if anything does."""
        return {"waits": self._waits}

    def _hear_digest(self, digest: WorkDigest, now: Now) -> None:
        known = self._digest
        if known is None or (digest.epoch, digest.seq) >= (known.epoch, known.seq):
            self._digest = digest
            self._digest_at = now.mono
            self._backlog.hear(digest)

    def _hear_room(self, room: Room, now: Now) -> None:
        bench = self._benches.get(room.sender)
        if bench is not None and bench.epoch == room.epoch:
            bench.hear(room, now.mono)
        elif bench is None or bench.epoch < room.epoch:
            self._benches[room.sender] = Bench(room, now.mono)
            for claim in self._claims.close_of_former(room.sender, room.epoch):
                self._lanes.settle(claim.line, claim.recipients)

    def _hear_claimed(self, message: WorkClaimed, now: Now) -> list[Letter]:
        assigned: dict[str, list[Job]] = defaultdict(list)
        for claimed in message.claimed if message.epoch == self.epoch else ():
            claim = self._claims.close(claimed.claim)
            if claim is not None:
                self._take_answer(claim, claimed, now)
                assigned[claim.claim.sender] += claimed.jobs
        if assigned:
            crash.point("scheduler.claimed")
        return [
            Letter(sender, Assign(self._benches[sender].epoch, tuple(jobs)))
            for sender, jobs in assigned.items()
            if jobs
        ]

    def _take_answer(self, claim: OpenClaim, claimed: Claimed, now: Now) -> None:
        sizes = [len(job.addressees) for job in claimed.jobs]
        self._lanes.settle(claim.line, claim.recipients - sum(sizes))
        self._backlog.answered(claim.line, claimed.next_due, now, is_empty=not sizes)
        if sizes:
            bench = self._benches[claim.claim.sender]
            bench.give(len(sizes), now.mono, urgent=claim.line.urgent)

    def _new_claims(self, now: Now) -> list[Claim]:
        digest = self._live_digest(now.mono)
        benches = self._open_benches(now.mono)
        self._waits = _why_wait(digest, benches, now.mono)
        if digest is None or self._waits:
            return []
        due = self._backlog.due(now)
        self._lanes.line_up(due)
        if not due:
            return []
        if digest.probing:
            return self._probe(benches, due, now.mono)
        # Who has most room comes first, so that a few jobs are spread over the senders.
        benches.sort(key=lambda bench: -bench.free(now.mono))
        return [claim for bench in benches for claim in self._claims_for(bench, due, now.mono)]

    def _live_digest(self, now: float) -> WorkDigest | None:
        return self._digest if now - self._digest_at <= DIGEST_EXPIRES_S else None

    def _open_benches(self, now: float) -> list[Bench]:
        return [bench for bench in self._benches.values() if bench.is_open(now)]

    def _probe(self, benches: list[Bench], due: list[Line], now: float) -> list[Claim]:
        """Claim a single mail, once nothing is in hand: it shows whether the trouble is over."""
        if self._claims or any(bench.jobs(now) for bench in benches):
            return []
        return self._deal(benches[0], due, Calls(1, 1), now)

    def _claims_for(self, bench: Bench, due: list[Line], now: float) -> list[Claim]:
        free = bench.free(now) - self._claims.jobs(bench.sender)
        claims = self._deal(bench, due, Calls(min(free, MOST_JOBS), bench.size), now)
        urgent = [line for line in due if line.urgent]
        if urgent and not self._claims.asks_urgent(bench.sender):
            extra = URGENT_EXTRA_JOBS - bench.urgent(now)
            claims += self._deal(bench, urgent, Calls(extra, bench.size), now)
        return claims

    def _deal(self, bench: Bench, able: list[Line], calls: Calls, now: float) -> list[Claim]:
        claims = [
            Claim(
                claim=self._claims.new_id(),
                sender=bench.sender,
                sender_epoch=bench.epoch,
                topic=line.topic,
                urgent=line.urgent,
                jobs=jobs,
                size=calls.size,
            )
            for line, jobs in self._lanes.deal(able, *calls).items()
        ]
        for claim in claims:
            self._claims.ask(claim, now)
        return claims

    def _forget_asked(self, now: float) -> None:
        while self._asked and self._asked[0] <= now - 1.0:
            self._asked.popleft()

    def _plan(self, now: Now) -> float:
        wakes = [now.mono + 1.0]
        settle = [bench.settles_at() for bench in self._benches.values()]
        wakes += [at for at in settle if at > now.mono]
        repeats_at = self._claims.repeats_at()
        if repeats_at is not None:
            wakes.append(repeats_at)
        if self._digest and self._digest.held_until > now.mono:
            wakes.append(self._digest.held_until)
        elif (wakes_at := self._backlog.wakes_at(now)) is not None:
            wakes.append(wakes_at)
        return min(wakes)


def _why_wait(digest: WorkDigest | None, benches: list[Bench], now: float) -> str:
    if digest is None:
        return "no word from the writer"
    if digest.held_until > now:
        return "the account is on hold"
    return "" if benches else "no sender takes work"
