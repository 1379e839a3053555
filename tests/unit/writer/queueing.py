"""Submissions, claims and gates, each told once, twice, or to a writer that dies of it."""

from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from services.writer.moves import MAYBE_DUPLICATE
from shared import protocol as p
from shared.domain import OnUnknown, SubmissionId
from shared.store.write import Store
from tests.unit.writer.ordering import Ordering

SENDERS = ("sender-0", "sender-1")
WHO = st.sampled_from(SENDERS)
FATES = ["the answer is lost", "said twice", "killed before the commit", "killed after it"]
LEVELS = p.WorkDigest | p.RateDigest | p.WriterState
KEPT_MS = 20 * 3_600_000  # answers are kept for a day


class KilledError(Exception):
    """The writer is gone."""


class Said(NamedTuple):
    """What was told to the writer at a time (wall ms), and what it answered."""

    at: int
    message: p.Message
    answers: list[p.Message]


class Sender:
    """What one sender process knows: its jobs, its open gates, its answers from SES."""

    def __init__(self, name: str, epoch: int = 1) -> None:
        self.name = name
        self.epoch = epoch
        self.jobs: dict[int, p.Job] = {}
        self.gates: dict[int, tuple[tuple[int, ...], float]] = {}
        self.answered: dict[int, p.Outcome] = {}


class Queueing(Ordering):
    """The way of a mail up to the gate; and what SES has of it, which only the world knows."""

    def __init__(self) -> None:
        super().__init__()
        self.fate = ""
        self.boot = 1
        self.senders = {name: Sender(name) for name in SENDERS}
        self.all_jobs: list[p.Job] = []
        self.claims: list[p.Claim] = []
        self.said: list[Said] = []
        self.keys: dict[bytes, tuple[int, bytes, p.Stored]] = {}
        self.at_ses: dict[int, list[str]] = {}
        self.lied: set[int] = set()

    # ── how things are told ──

    def tell(self, message):
        fate, self.fate = self.fate, ""
        if fate == "killed before the commit":
            self.kill_before_commit(message)
        answers = self.speak(message)
        if fate == "killed after it":
            self.reopen()
        if fate in {"said twice", "killed after it"}:
            self.assert_repeats(message, answers)
        self.said.append(Said(self.desk.now.ms, message, answers))
        return answers

    def speak(self, message) -> list[p.Message]:
        return [said for said in self.desk.say(message) if not isinstance(said, LEVELS)]

    def assert_repeats(self, message, answers) -> None:
        before = self.dump()
        assert self.speak(message) == answers
        assert self.dump() == before, "a repeat changed something"

    def kill_before_commit(self, message) -> None:
        before = self.dump()
        self.desk.writer.receive(message, self.desk.now)
        with patch.object(Store, "commit", side_effect=KilledError), pytest.raises(KilledError):
            self.desk.writer.settle(self.desk.now)
        self.reopen()
        assert self.dump() == before, "something happened that was never committed"

    def reopen(self) -> None:
        self.desk.restart(f"boot-{self.boot}")
        self.watch()

    @rule(fate=st.sampled_from(FATES))
    def trouble(self, fate):
        self.fate = fate

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def repeat(self, data):
        """A frame that was on its way for long comes once more."""
        at, message, answers = data.draw(st.sampled_from(self.said[-40:]))
        if self.desk.now.ms - at > KEPT_MS:
            return
        match message:
            case p.ClaimWork() | p.AskGate():
                self.desk.say(message)  # nobody listens any more; what it leased comes back
            case p.Submit() if isinstance(answers[0], p.Stored) or answers[0].code != "late":
                self.assert_repeats(message, answers)
            case _ if isinstance(message, p.Order) and not isinstance(answers[0], p.OrderRefused):
                self.assert_repeats(message, answers)
            case p.RecordOutcomes() | p.RecordEvents() | p.RecordOpens():
                self.assert_repeats(message, answers)

    # ── submissions ──

    @initialize(data=st.data(), policy=st.sampled_from(OnUnknown))
    def begin(self, data, policy):
        self.desk.on_unknown = policy
        self.reopen()
        self.submit("red", 4, urgent=False, due=None, expires=None, key=None, is_late=False)
        self.submit("blue", 4, urgent=False, due=None, expires=None, key=None, is_late=False)
        for topic in ("red", "blue"):
            self.send(data, topic, "sender-0")

    def send(self, data, topic, who) -> None:
        """Bring some mails on their way."""
        raise NotImplementedError

    @rule(
        topic=st.sampled_from(["red", "blue", None]),
        count=st.integers(1, 4),
        urgent=st.booleans(),
        due=st.sampled_from([None, None, 5, 30]),
        expires=st.sampled_from([None, None, 10, 40]),
        key=st.sampled_from([None, None, b"one", b"two"]),
        is_late=st.sampled_from([False, False, False, True]),
    )
    def submit(self, topic, count, urgent, due, expires, key, is_late):
        now, number = self.desk.now, next(self.numbers)
        if key in self.keys and now.ms - self.keys[key][0] > KEPT_MS:
            key = None
        first = max(self.topic_of, default=0) + 1
        emails = [
            f"{'U' if n % 2 else 'u'}{n % 9}@example.com" for n in range(first, first + count)
        ]
        listed, body = self.listed(), b"%d" % count
        message = p.Submit(
            reply_to="api",
            submission=SubmissionId(f"sub-{number}"),
            deadline=now.mono + (-1 if is_late else 5),
            began_mono=now.mono,
            accepted_at=now.ms,
            scheduled_at=None if due is None else now.ms + due * 1000,
            mails=(p.Mail(topic, "Subject", f"<p>{number % 3}</p>", tuple(emails), (), urgent),),
            tally=p.Tally(0, 0),
            idempotency=None if key is None else p.IdempotencyKey(key, body),
            expires_at=None if expires is None else now.ms + expires * 1000,
        )
        (answer,) = self.tell(message)
        if key in self.keys:
            self.assert_replayed(answer, *self.keys[key][1:], body=body)
        elif is_late:
            assert answer == p.NotStored(message.submission, "late")
        else:
            assert (answer.total, answer.firsts, answer.replayed) == (count, (first,), False)
            assert answer.suppressed == sum(email.lower() in listed for email in emails)
            assert answer.success == count - answer.suppressed
            if key is not None:
                self.keys[key] = now.ms, body, answer
            for recipient, email in enumerate(emails, first):
                self.topic_of[recipient], self.email_of[recipient] = topic, email
                self.expires |= {} if expires is None else {recipient: message.expires_at}
                self.not_before |= {} if due is None else {recipient: message.scheduled_at}
        assert len(self.states()) == len(self.topic_of), "stored although it was refused"

    def assert_replayed(self, answer, former_body, former, body) -> None:
        if body != former_body:
            assert answer == p.NotStored(answer.submission, "idempotency_mismatch")
        else:
            assert answer.replayed
            assert (answer.original, answer.firsts) == (former.original, former.firsts)

    # ── claims and gates ──

    @precondition(lambda self: self.topic_of)
    @rule(
        topic=st.sampled_from(["red", "blue", None, "nowhere"]),
        who=WHO,
        urgent=st.booleans(),
        jobs=st.integers(1, 3),
        size=st.integers(1, 3),
        is_stale=st.sampled_from([False, False, False, True]),
    )
    def claim(self, topic, who, urgent, jobs, size, is_stale):
        """Lease for a sender, or (stale) for the process that it was before."""
        sender = self.senders[who]
        found = self.rows("SELECT id FROM topic WHERE name IS ?", topic)
        claim = p.Claim(
            claim=next(self.numbers),
            sender=who,
            sender_epoch=sender.epoch - is_stale,
            topic=found[0][0] if found else 777,
            urgent=urgent,
            jobs=jobs,
            size=size,
        )
        flags = dict(self.rows("SELECT id, flags FROM recipient"))
        (answer,) = self.tell(p.ClaimWork(1, (claim,)))
        self.claims.append(claim)
        for job in answer.claimed[0].jobs:
            self.all_jobs.append(job)
            for addressee in job.addressees:
                self.assert_may_go(addressee.recipient)
                self.assert_not_at_ses(addressee.recipient, flags)
            if not is_stale:
                sender.jobs[job.job] = job

    def assert_not_at_ses(self, recipient, flags) -> None:
        """Nobody is chosen whom SES has, unless it is said that it may be for the second time."""
        if recipient not in self.lied and self.at_ses.get(recipient):
            assert flags[recipient] & MAYBE_DUPLICATE, "SES has it, and it is not marked"

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def claim_again(self, data):
        """A claim whose answer was lost: the jobs it got are the same while they are leased."""
        claim = data.draw(st.sampled_from(self.claims[-5:]))
        leased = self.rows("SELECT job FROM lease WHERE claim = ?", claim.claim)
        (answer,) = self.speak(p.ClaimWork(1, (claim,)))
        jobs = answer.claimed[0].jobs
        if leased:
            assert [job.job for job in jobs] == [row[0] for row in leased]
        known = {job.job for job in self.all_jobs}
        self.all_jobs += [job for job in jobs if job.job not in known]

    @precondition(lambda self: any(sender.jobs for sender in self.senders.values()))
    @rule(data=st.data())
    def gate(self, data):
        self.ask_gate(*self.hold(data))

    def ask_gate(self, sender, jobs) -> None:
        now = self.desk.now
        listed = self.listed()
        attempts = dict(self.rows("SELECT id, attempts FROM recipient"))
        (answer,) = self.tell(p.AskGate(sender.name, sender.epoch, tuple(jobs)))
        for gate in answer.gates:
            emails = {who.recipient: who.email for who in sender.jobs[gate.job].addressees}
            is_renewal = gate.job in sender.gates
            for recipient in gate.recipients:
                self.assert_may_go(recipient)
                assert emails[recipient].lower() not in listed
                made = self.rows("SELECT attempts FROM recipient WHERE id = ?", recipient)[0][0]
                assert made == attempts[recipient] + (not is_renewal)
            if gate.recipients:
                sender.gates[gate.job] = gate.recipients, now.mono
            elif gate.job not in sender.answered:
                sender.gates.pop(gate.job, None)
                sender.jobs.pop(gate.job)

    def renew(self) -> None:
        for sender in self.senders.values():
            if jobs := sorted(sender.jobs.keys() - sender.answered.keys()):
                self.ask_gate(sender, jobs)

    def hold(self, data) -> tuple[Sender, dict[int, p.Job]]:
        """Choose a sender and some of the jobs it has in hand and has not called yet."""
        sender = data.draw(st.sampled_from([one for one in self.senders.values() if one.jobs]))
        jobs = data.draw(st.lists(st.sampled_from(sorted(sender.jobs)), min_size=1, unique=True))
        return sender, {job: sender.jobs[job] for job in jobs if job not in sender.answered}
