"""The jobs in hand, from their assignment to their call: content, then gate, then permit; pure.

A gate is used up by the one call it lets start: the job leaves the waiting ones with it, and a job
that is in the air or whose outcome is not acknowledged is never taken in again.
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from services.sender.gate import GateAsks
from services.sender.lane import Lane
from services.sender.permits import Air, Grant, Permits, air, within
from services.sender.render import Cut
from shared import crash
from shared.domain import JobId
from shared.protocol import Addressee, Gate, Job

LATE_S = 0.010
"""A permit may be used at most this much after its time."""

START_WITHIN_S = 0.012
"""And its call must have begun this much after its time, whatever came in between: so much the
broker's window allows for."""

SWEEP_S = 0.05
"""How often the asks of waiting jobs are looked through."""


class Work:
    """One job that waits for its call."""

    __slots__ = ("cut", "gate", "job")

    def __init__(self, job: Job, cut: Cut | None) -> None:
        self.job = job
        self.cut = cut
        self.gate = GateAsks()


class Call(NamedTuple):
    """One call to SES, to be started at once."""

    job: Job
    cut: Cut
    addressees: tuple[Addressee, ...]
    is_bulk: bool
    start_by: float = math.inf
    ask: int = 0

    def alone(self) -> "Call":
        """The same call in the single lane, for its first recipient."""
        return self._replace(addressees=self.addressees[:1], is_bulk=False)


class Hand:
    """What this sender holds; `late` and `gate_times` are the newest measurements, seconds.

    `urgent` counts the urgent ones among the waiting jobs, `recipients_in_air` those of the calls.
    """

    def __init__(self, lane: Lane) -> None:
        self.permits = Permits()
        self.waiting: dict[JobId, Work] = {}
        self.in_air: dict[JobId, Call] = {}
        self.urgent = 0
        self.recipients_in_air = 0
        self._flying: dict[JobId, Work] = {}
        self.late: deque[float] = deque(maxlen=512)
        self.gate_times: deque[float] = deque(maxlen=512)
        self._lane = lane
        self._new: dict[JobId, Work] = {}
        self._swept = -math.inf

    def __contains__(self, job: JobId) -> bool:
        """Tell whether a job waits or is in the air."""
        return job in self.waiting or job in self.in_air

    def __len__(self) -> int:
        """Count the jobs that wait or are in the air."""
        return len(self.waiting) + len(self.in_air)

    def take(self, job: Job, cut: Cut | None) -> None:
        """Take a job in, with its content if that is here."""
        crash.point("sender.received", job.addressees)
        work = self.waiting[job.job] = Work(job, cut)
        self.urgent += job.urgent
        if cut is not None:
            self._new[job.job] = work

    def content_came(self, jobs: Iterable[JobId], cut: Cut) -> None:
        """Give jobs the content they waited for."""
        for job in jobs:
            work = self.waiting.get(job)
            if work is not None:
                work.cut = cut
                self._new[job] = work

    def gate_answered(self, gate: Gate, now: float) -> Work | None:
        """Take an answer of the gate; let go of a job of which nobody may go, and answer it."""
        work = self.waiting.get(gate.job)
        if work is None:
            return None
        if not gate.recipients:
            return self.drop(gate.job, now)
        began = work.gate.opened(gate.recipients)
        if began is not None:
            self.gate_times.append(now - began)
        self._want(work, now)
        return None

    def drop(self, job: JobId, now: float) -> Work | None:
        """Let a waiting job go; its permit is not needed."""
        self._new.pop(job, None)
        self.permits.withdraw(job, now)
        work = self.waiting.pop(job, None)
        self.urgent -= work is not None and work.job.urgent
        return work

    def lost(self, now: float) -> list[Work]:
        """Let go of the jobs that can no longer come through the gate, and answer them."""
        lost = [work for work in self.waiting.values() if work.gate.is_lost(now)]
        for work in lost:
            self.drop(work.job.job, now)
        return lost

    def to_ask(self, now: float) -> tuple[JobId, ...]:
        """Answer the jobs to ask the gate for now; they count as asked."""
        asking = list(self._new.values())
        self._new.clear()
        if self.is_sweep_due(now):
            self._swept = now
            asking += [work for work in self.waiting.values() if self._wants_ask(work, now)]
        jobs = dict.fromkeys(work.job.job for work in asking)
        for job in jobs:
            self.waiting[job].gate.asked(now)
        return tuple(jobs)

    def _wants_ask(self, work: Work, now: float) -> bool:
        return work.cut is not None and work.gate.wants_ask(now)

    def is_sweep_due(self, now: float) -> bool:
        """Tell whether the waiting jobs should be looked through."""
        return bool(self.waiting) and now - self._swept >= SWEEP_S

    def next_sweep(self) -> float:
        """Answer when they should be."""
        return self._swept + SWEEP_S if self.waiting else math.inf

    def next_call(self, now: float, room: Air) -> Call | None:
        """Answer a call that must start at this moment; `room` is how many may be started."""
        while (grant := self.permits.pop_due(now)) is not None:
            work = self.waiting[grant.job]
            call = self._call(work, now)
            may_start = (room.urgent if work.job.urgent else room.bulk) > 0
            if call is not None and may_start and self._fits(call, grant, now):
                self.late.append(now - grant.not_before)
                self._flying[grant.job] = self.waiting.pop(grant.job)
                self.urgent -= work.job.urgent
                call = call._replace(start_by=grant.not_before + START_WITHIN_S, ask=grant.ask)
                self.in_air[grant.job] = call
                self.recipients_in_air += len(call.job.addressees)
                return call
            self.permits.void(grant.ask, now)
            self._want(work, now)
        return None

    def _fits(self, call: Call, grant: Grant, now: float) -> bool:
        return now - grant.not_before <= LATE_S and len(call.addressees) <= grant.recipients

    def _call(self, work: Work, now: float) -> Call | None:
        if work.cut is None or not work.gate.is_open(now):
            return None
        may_go = set(work.gate.recipients)
        left = tuple(one for one in work.job.addressees if one.recipient in may_go)
        left = left[: self._lane.most]
        call = Call(work.job, work.cut, left, is_bulk=True)
        takes_bulk = self._lane.takes_bulk(work.job.content, len(left), now)
        return call if takes_bulk else call.alone()

    def _want(self, work: Work, now: float) -> None:
        """Ask for a permit for a job whose gate is open; a closed one is renewed first."""
        if self.permits.has(work.job.job):
            return
        call = self._call(work, now)
        if call is not None:
            self.permits.want(work.job.job, len(call.addressees), now, urgent=work.job.urgent)

    def air(self, share: int) -> Air:
        """Answer how many more calls may start, if this sender may have so many in the air."""
        return within(air(share, len(self.in_air)), self.recipients_in_air, self._lane.most)

    def finish(self, job: JobId) -> None:
        """Let go of a job whose call has ended."""
        del self.in_air[job]
        self.recipients_in_air -= len(self._flying.pop(job).job.addressees)

    def unmake(self, job: JobId, now: float) -> None:
        """Let a job wait again whose call was not made: its gate is not used up, nor its permit."""
        self.permits.void(self.in_air.pop(job).ask, now)
        work = self.waiting[job] = self._flying.pop(job)
        self.recipients_in_air -= len(work.job.addressees)
        self.urgent += work.job.urgent
        self._want(work, now)
