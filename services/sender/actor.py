"""The sender: takes leased jobs through content, gate and permit to SES, and reports the end.

Questions (AskGate, AskContent, Hello) are asked until answered, outcomes are said until
acknowledged, levels as `voice` says. A job counts as held until its outcome is acknowledged: no
repeat of an Assign can start it a second time.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

from typing_extensions import override

from services.sender.contents import Contents
from services.sender.hand import Call, Hand
from services.sender.lane import Lane, most_in_call, share, waiting_room
from services.sender.measures import Measures, gate_gauges, p99_ms
from services.sender.outcome import BulkFault, Finding, judge_bulk, judge_single
from services.sender.permits import Air
from services.sender.releases import Releases
from services.sender.reply import Ending
from services.sender.reports import Reports
from services.sender.voice import Capacity, Terms, Voice
from shared import log
from shared import protocol as p
from shared.actor import Actor
from shared.clock import Now
from shared.domain import JobId, Verdict
from shared.wire import Letter

DRAIN_S = 20.0
"""A drained sender waits this long for the writer's acknowledgement; the journal has the rest."""

WAKE_MARGIN_S = 0.001
"""Timers of the event loop count whole milliseconds; waking just before a permit's time is vain."""


class Sender(Actor):
    """The state of one sender process.

    `halted` is why no call may start, empty if all is well. For the process around this to take:
    `unwritten` outcomes for the journal, `confirmations` for SNS, `releases` for SES's own list.
    """

    def __init__(
        self,
        terms: Terms,
        replayed: Iterable[p.Outcome] = (),
        begun: Iterable[JobId] | None = None,
    ) -> None:
        self.welcome: p.Welcome | None = None
        self.halted = ""
        self.unwritten: list[p.Outcome] = []
        self.confirmations: deque[p.ConfirmTopic] = deque()
        self.releases = Releases()
        self.reports = Reports(replayed)
        self.voice = Voice(terms)
        self._terms = terms
        self._begun = None if begun is None else tuple(begun)
        self._lane = Lane(terms.lane)
        self._hand = Hand(self._lane)
        self._contents = Contents()
        self._measures = Measures()
        self._outbox: list[Letter] = []
        self._rate, self._chunk = 1.0, 1
        self._stopped_at: float | None = None
        self._throttled_seq = 0
        self._receivers: dict[type[p.Message], Callable[..., None]] = {
            p.Assign: self._assign,
            p.Content: self._content,
            p.GateOpened: self._gate_opened,
            p.Permits: self._permits,
            p.OutcomesRecorded: self._outcomes_recorded,
            p.Welcome: self._welcomed,
            p.ConfirmTopic: lambda message, _now: self.confirmations.append(message),
            p.ReleaseAtSes: self.releases.take,
        }

    @override
    def receive(self, message: p.Message, now: Now) -> Iterable[Letter]:
        """Take one message; what follows from it is said when the turn is settled."""
        self._receivers[type(message)](message, now.mono)
        return ()

    def _welcomed(self, message: p.Welcome, _now: float) -> None:
        if message.epoch == self._terms.epoch and self.welcome is None:
            self.welcome = message

    def _assign(self, message: p.Assign, _now: float) -> None:
        if message.sender_epoch != self._terms.epoch or self.welcome is None:
            return
        for job in message.jobs:
            if job.job in self._hand or job.job in self.reports:
                continue
            if self._stopped_at is not None:
                self._close(p.Outcome(job.job, ()))
            else:
                self._hand.take(job, self._contents.find(job))

    def _content(self, message: p.Content, _now: float) -> None:
        cut, jobs = self._contents.put(message)
        self._hand.content_came(jobs, cut)

    def _gate_opened(self, message: p.GateOpened, now: float) -> None:
        if message.epoch == self._terms.epoch:
            for gate in message.gates:
                if self._hand.gate_answered(gate, now) is not None:
                    # An earlier answer may have let it through: then its lease waits for this.
                    self._close(p.Outcome(gate.job, ()))

    def _permits(self, message: p.Permits, now: float) -> None:
        if message.sender_epoch == self._terms.epoch:
            self._rate, self._chunk = message.rate, message.chunk
            self._lane.most = most_in_call(message.rate)
            self._hand.permits.take(message.permits, now, self._lane.most)

    def _outcomes_recorded(self, message: p.OutcomesRecorded, _now: float) -> None:
        if message.epoch == self._terms.epoch:
            self.reports.acknowledged(message.seqs)

    # ── what goes out ──

    @override
    def settle(self, now: Now) -> Iterable[Letter]:
        """Say all that it is time to say; nothing is asked for before the journal is replayed."""
        letters, self._outbox = self._outbox, []
        if self.welcome is None:
            letters += self._outcomes(now.mono)
            if not len(self.reports):
                letters += self.voice.greeting(self._begun, now.mono)
            return letters
        if self._hand.is_sweep_due(now.mono):
            self._sweep(now.mono)
        letters += self._questions(now.mono)
        letters += self._outcomes(now.mono)
        letters += self.voice.demand(self._hand.permits, self._air(), now.mono)
        letters += self.voice.levels(self._capacity(now.mono), self._held(), now.mono)
        letters += self.voice.facts(self._lane.refusal(now.mono), now.mono)
        return letters

    @override
    def tick(self, now: Now) -> Iterable[Letter]:
        """Say what became due while the mail was read."""
        return self.settle(now)

    @override
    def next_tick(self, now: Now) -> float:
        """Answer when something must be said or a permit's time has come."""
        times = [self.reports.next_at()]
        if self.welcome is None:
            if not len(self.reports):
                times.append(self.voice.next_greeting())
            return min(times)
        permits = self._hand.permits
        times += [
            self._hand.next_sweep(),
            self.voice.next_levels(self._capacity(now.mono), self._lane.refusal(now.mono)),
            permits.next_listing(),
            permits.next_due() + WAKE_MARGIN_S,
        ]
        return now.mono if self._outbox else min(times)

    def _sweep(self, now: float) -> None:
        """Give back what cannot come through the gate, and ask anew for permits that are lost."""
        for work in self._hand.lost(now):
            self._close(p.Outcome(work.job.job, ()))
        calls_ahead = 3.0 * self._terms.workers * max(1, self._size(now))
        patience = max(1.0, calls_ahead / max(self._rate, 0.01))
        self._hand.permits.ask_anew_since(now - patience, self._lane.most, now)

    def _questions(self, now: float) -> Iterator[Letter]:
        name, epoch = self._terms.name, self._terms.epoch
        if jobs := self._hand.to_ask(now):
            yield Letter("writer", p.AskGate(name, epoch, jobs))
        if contents := self._contents.to_ask(now):
            yield Letter("writer", p.AskContent(name, epoch, contents))

    def _outcomes(self, now: float) -> Iterator[Letter]:
        for seq, outcomes in self.reports.due(now):
            report = p.RecordOutcomes(self._terms.name, self._terms.epoch, seq, outcomes)
            yield Letter("writer", report)

    def _held(self) -> Iterator[JobId]:
        yield from self._hand.waiting
        yield from self._hand.in_air
        yield from self.reports.jobs()

    def _size(self, now: float) -> int:
        return self._lane.size(self._rate, self._chunk, now)

    def _capacity(self, now: float) -> Capacity:
        size, in_air = self._size(now), len(self._hand.in_air)
        stopped = self._stopped_at is not None
        room = waiting_room(self._rate, self._terms.workers, size)
        jobs = in_air + (0 if stopped or self.halted else room)
        return Capacity(jobs, size, len(self._hand), stopped, self._hand.urgent)

    def _air(self) -> Air:
        """Answer how many more calls may start."""
        if self.halted or self._stopped_at is not None:
            return Air(0, 0)
        terms = self._terms
        return self._hand.air(share(self._rate, terms.workers, terms.most_in_air))

    # ── calls ──

    def next_call(self, now: Now) -> Call | None:
        """Answer a call that must be started at this moment, None if there is none."""
        return self._hand.next_call(now.mono, self._air())

    def withhold(self, call: Call, now: Now) -> None:
        """Take back a call that was not made: it wants another permit, or goes back for good."""
        if self._stopped_at is None:
            self._hand.unmake(call.job.job, now.mono)
        else:
            self._hand.finish(call.job.job)
            self._close(p.Outcome(call.job.job, ()))

    def journal_left(self) -> Iterator[p.Outcome | JobId]:
        """Answer what the journal must still know: outcomes, calls in the air, a former life's."""
        if self.welcome is None:
            yield from self._begun or ()
        yield from self.reports
        yield from self._hand.in_air

    def too_large(self, call: Call) -> Call:
        """Learn that a call does not fit SendBulkEmail; answer the one to start in its place."""
        self._lane.go_alone(call.job.content)
        alone = call.alone()
        self._hand.in_air[call.job.job] = alone
        return alone

    def finished(self, call: Call, ending: Ending, now: Now) -> None:
        """Take the end of a call: its outcome is for the journal first, then for the writer."""
        findings = self._judge(call, ending, now)
        answers = tuple(map(_answer, call.addressees, findings, repeat(now.ms)))
        throttled = sum(found.verdict is Verdict.THROTTLED for found in findings)
        if throttled:
            self._throttled_seq += 1
            name, epoch = self._terms.name, self._terms.epoch
            letter = Letter("broker", p.Throttled(name, epoch, self._throttled_seq, throttled))
            self._outbox.append(letter)
        self._measures.count(answers)
        self._hand.finish(call.job.job)
        self._close(p.Outcome(call.job.job, answers))

    def _judge(self, call: Call, ending: Ending, now: Now) -> tuple[Finding, ...]:
        if not call.is_bulk:
            return (judge_single(ending, self._terms.our_from),)
        found = judge_bulk(ending, len(call.addressees), self._terms.our_from)
        if not isinstance(found, BulkFault):
            return found
        log.get("sender").warning("bulk call refused", kind=found.kind, reason=found.detail)
        self._lane.fault(found, call.job.content, now.mono)
        return ()

    def _close(self, outcome: p.Outcome) -> None:
        self.unwritten.append(outcome)
        self.reports.add(outcome)

    @override
    def stop(self, now: Now) -> Iterable[Letter]:
        """Start no call any more; give back what waits; let what is in the air come down."""
        self._stopped_at = now.mono
        for job in list(self._hand.waiting):
            work = self._hand.drop(job, now.mono)
            assert work is not None
            self._contents.forget(work.job)
            self._close(p.Outcome(job, ()))
        return self.settle(now)

    @override
    def is_drained(self, now: Now) -> bool:
        """Tell whether every call is down and recorded, or recording takes too long."""
        if self._stopped_at is None or self._hand.in_air:
            return False
        return not len(self.reports) or now.mono - self._stopped_at >= DRAIN_S

    @override
    def gauges(self, now: Now) -> dict[str, float]:
        """Answer numbers for the stats socket."""
        return {
            "in_air": float(len(self._hand.in_air)),
            "held": float(len(self._hand)),
            "unacknowledged": float(len(self.reports)),
            "rate": self._rate,
            "permit_late_p99_ms": p99_ms(self._hand.late),
            **gate_gauges(self._hand.gate_times),
            **self._measures.gauges(now),
        }

    @override
    def notes(self) -> dict[str, str]:
        """Answer words for the stats socket."""
        return {"halted": self.halted} if self.halted else {}


def _answer(addressee: p.Addressee, found: Finding, at: int) -> p.Answer:
    verdict, code, detail, message_id = found
    return p.Answer(addressee.recipient, verdict, at, message_id, code, detail)
