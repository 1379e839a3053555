"""A random walk: whatever is ordered, claimed, answered and restarted, all counts stay true."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from services.writer import expiry, sweeps
from shared import protocol as p
from shared.domain import Feedback, OnUnknown, State, Verdict
from tests.unit.writer.conftest import Desk

pytestmark = pytest.mark.timeout(900)  # to make a failure small takes minutes

TOPICS = st.sampled_from(["red", "blue"])
DUE = st.sampled_from([None, 5, 30])
EXPIRES = st.sampled_from([None, None, 10, 40])
REFUSALS = [Verdict.PERMANENT, Verdict.FOR_NOW, Verdict.THROTTLED, Verdict.NOT_SENT, None]
WORDS = {state.name.lower(): state for state in State}


class Walk(RuleBasedStateMachine):
    """The writer and what a bystander knows must never happen again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        # Two rows a step: most orders are still under way when the next message comes.
        self.steps = sweeps.STEP_ROWS, expiry.STEP_ROWS
        sweeps.STEP_ROWS = expiry.STEP_ROWS = 2
        self.desk = Desk(Path(self.folder.name) / "walk.db", OnUnknown.CONFIRM_THEN_HOLD)
        self.jobs: list[p.Job] = []
        self.epoch = 1
        self.topic_of: dict[int, str] = {}
        self.expires: dict[int, int] = {}
        self.not_before: dict[int, int] = {}
        self.dead: set[int] = set()
        self.sent: set[int] = set()
        self.maybe_sent: set[int] = set()
        self.called: set[int] = set()
        self.paused: set[str] = set()
        self.listed: set[str] = set()

    def teardown(self) -> None:
        self.desk.store.close()
        sweeps.STEP_ROWS, expiry.STEP_ROWS = self.steps
        self.folder.cleanup()

    def rows(self, statement: str) -> list[tuple]:
        return list(self.desk.store._connection.execute(statement))

    def state(self, recipient: int) -> State:
        word = self.rows(f"SELECT status FROM email_request WHERE id = {recipient}")[0][0]
        return WORDS[word.lower()]

    def of(self, topic: str) -> list[int]:
        return [recipient for recipient, name in self.topic_of.items() if name == topic]

    # ── what the world does ──

    @initialize()
    def begin(self):
        for topic in ("red", "blue"):
            self.submit(topic, 4, False, None, None)

    @rule(topic=TOPICS, count=st.integers(1, 5), urgent=st.booleans(), due=DUE, expires=EXPIRES)
    def submit(self, topic, count, urgent, due, expires):
        emails = [f"u{len(self.topic_of) + n}@example.com" for n in range(count)]
        stored = self.desk.submit(
            emails,
            topic,
            urgent=urgent,
            scheduled_at=None if due is None else self.desk.now.ms + due * 1000,
            expires_at=None if expires is None else self.desk.now.ms + expires * 1000,
        )
        assert stored.success + stored.suppressed == stored.total == count
        for recipient in range(stored.firsts[0], stored.firsts[0] + count):
            self.topic_of[recipient] = topic
            if expires is not None:
                self.expires[recipient] = self.desk.now.ms + expires * 1000
            if due is not None:
                self.not_before[recipient] = self.desk.now.ms + due * 1000

    @precondition(lambda self: self.topic_of)
    @rule(topic=TOPICS, urgent=st.booleans(), jobs=st.integers(1, 3), size=st.integers(1, 3))
    def claim(self, topic, urgent, jobs, size):
        if topic not in self.topic_of.values():
            return
        found = self.desk.claim(jobs, size, topic, urgent=urgent, epoch=self.epoch)
        assert not (found and topic in self.paused)
        for who in (who for job in found for who in job.addressees):
            self.assert_may_go(int(who.recipient))
            assert who.recipient not in self.maybe_sent, "SES may have it"
        self.jobs += found

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def gate(self, data):
        job = data.draw(st.sampled_from(self.jobs))
        (gate,) = self.desk.gate(job, epoch=self.epoch)
        emails = {who.recipient: who.email for who in job.addressees}
        for recipient in gate.recipients:
            self.assert_may_go(int(recipient))
            assert emails[recipient] not in self.listed
            self.maybe_sent.add(int(recipient))
            self.called.add(int(recipient))

    def assert_may_go(self, recipient: int) -> None:
        now = self.desk.now.ms
        assert recipient not in self.dead, "it was cancelled"
        assert recipient not in self.sent, "SES has it"
        assert self.topic_of[recipient] not in self.paused
        assert self.expires.get(recipient, now + 1) > now, "it has expired"
        assert self.not_before.get(recipient, now) <= now, "it is not due"

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), verdict=st.sampled_from([Verdict.ACCEPTED, Verdict.UNKNOWN, *REFUSALS]))
    def answer(self, data, verdict):
        job = data.draw(st.sampled_from(self.jobs))
        self.jobs.remove(job)
        called = {who.recipient for who in job.addressees} & self.maybe_sent
        if verdict is Verdict.ACCEPTED and len(called) < len(job.addressees):
            verdict = None  # a call without a gate is never made
        self.desk.outcome(job, verdict, epoch=self.epoch)
        if verdict is Verdict.ACCEPTED:
            self.sent |= called
        if verdict is not Verdict.UNKNOWN:
            self.maybe_sent -= called

    @precondition(lambda self: self.topic_of)
    @rule(topic=TOPICS, verdict=st.sampled_from([Verdict.PERMANENT, Verdict.FOR_NOW]))
    def refuse(self, topic, verdict):
        if topic in self.topic_of.values():
            before = len(self.jobs)
            self.claim(topic, False, 4, 1)
            for job in self.jobs[before:]:
                (gate,) = self.desk.gate(job, epoch=self.epoch)
                self.called |= set(map(int, gate.recipients))
                self.desk.outcome(job, verdict, epoch=self.epoch)
            del self.jobs[before:]

    @precondition(lambda self: self.called)
    @rule(data=st.data(), kind=st.sampled_from([Feedback.SEND, Feedback.DELIVERY]))
    def event(self, data, kind):
        recipient = data.draw(st.sampled_from(sorted(self.called)))
        (email,) = self.rows(f"SELECT email FROM recipient WHERE id = {recipient}")[0]
        event = p.Event(kind, email, f"ses-{recipient}", 1, self.desk.now.ms, recipient)
        self.desk.say(p.RecordEvents(1, (p.EventPost("x", "y", (event,)),)))
        self.sent.add(recipient)
        assert self.state(recipient) is State.SENT

    @rule(seconds=st.sampled_from([0.02, 0.02, 1, 5, 61, 4000]))
    def wait(self, seconds):
        self.desk.wait(seconds)

    @rule(boot=st.sampled_from(["boot-1", "boot-2"]))
    def restart(self, boot):
        self.desk.restart(boot)

    @rule()
    def restart_sender(self):
        self.epoch += 1
        self.jobs = []
        self.desk.say(p.Hello("sender-0", self.epoch))

    # ── what is ordered ──

    @rule(topic=TOPICS)
    def pause(self, topic):
        answer = self.desk.order(p.PauseTopic, topic, reason="because")
        if isinstance(answer, p.OrderDone):
            self.paused.add(topic)
            assert answer.changed == self.count(topic, "created")

    @rule(topic=TOPICS)
    def resume(self, topic):
        answer = self.desk.order(p.ResumeTopic, topic)
        if isinstance(answer, p.OrderDone):
            self.paused.discard(topic)
            assert answer.changed == self.count(topic, "created")

    @rule(topic=TOPICS, due=st.sampled_from([None, 3, 60]))
    def reschedule(self, topic, due):
        due_at = None if due is None else self.desk.now.ms + due * 1000
        answer = self.desk.order(p.RescheduleTopic, topic, due_at=due_at)
        if isinstance(answer, p.OrderDone):
            assert answer.changed == self.count(topic, "created")
            for recipient in self.of(topic):
                self.not_before[recipient] = due_at or 0

    @rule(topic=TOPICS)
    def cancel(self, topic):
        before = self.count(topic, "stopped")
        answer = self.desk.order(p.CancelTopic, topic)
        assert self.count(topic, "stopped") == before + answer.stopped
        self.dead |= set(self.of(topic)) - self.sent

    @rule(topic=TOPICS)
    def retry_failed(self, topic):
        failed = [who for who in self.of(topic) if self.state(who) is State.FAILED]
        answer = self.desk.order(p.RetryFailed, topic)
        if isinstance(answer, p.OrderDone):
            assert answer.changed == len(failed)
            self.dead -= set(failed)

    @precondition(lambda self: self.topic_of)
    @rule(data=st.data())
    def cancel_mail(self, data):
        recipient = data.draw(st.sampled_from(sorted(self.topic_of)))
        answer = self.desk.order(p.CancelMail, recipient)
        assert answer.state is self.state(recipient)
        if isinstance(answer, p.OrderDone):
            self.dead.add(recipient)
            assert answer.state in {State.STOPPED, State.UNKNOWN}

    @precondition(lambda self: self.topic_of)
    @rule(data=st.data(), resend=st.booleans())
    def resolve(self, data, resend):
        unknown = [row[0] for row in self.rows("SELECT recipient FROM unknown")]
        recipient = data.draw(st.sampled_from(unknown or sorted(self.topic_of)))
        answer = self.desk.order(p.ResolveMail, recipient, resend)
        assert answer.state is self.state(recipient)
        if isinstance(answer, p.OrderDone):
            assert unknown
            (self.maybe_sent.discard if resend else self.sent.add)(recipient)

    @precondition(lambda self: self.topic_of)
    @rule(data=st.data())
    def suppress(self, data):
        recipient = data.draw(st.sampled_from(sorted(self.topic_of)))
        email = self.rows(f"SELECT email FROM recipient WHERE id = {recipient}")[0][0]
        self.desk.list_address(email)
        self.listed.add(email)

    # ── what must hold whenever one looks ──

    def count(self, topic: str, state: str) -> int:
        rows = self.rows(f"SELECT {state} FROM topic WHERE name = '{topic}'")
        return rows[0][0] if rows else 0

    @invariant()
    def counters_equal_a_recount(self):
        states = ", ".join(WORDS)
        found = self.rows("SELECT topic_id, status, count(*) FROM email_request GROUP BY 1, 2")
        counted = {(topic, word.lower()): count for topic, word, count in found}
        for name, *counts in self.rows(f"SELECT name, {states} FROM topic WHERE name IS NOT NULL"):
            for word, count in zip(WORDS, counts, strict=True):
                assert count == counted.get((name, word), 0), (name, word)
        totals = Counter()
        for (_, word), count in counted.items():
            totals[word] += count
        gauges = self.desk.writer.gauges(self.desk.now)
        assert all(gauges[f"queue_{word}"] == totals[word] for word in WORDS)

    @invariant()
    def every_table_agrees_with_the_states(self):
        raw = dict(self.rows("SELECT id, state FROM recipient"))
        for table, state in (("failure", State.FAILED), ("unknown", State.UNKNOWN)):
            listed = {row[0] for row in self.rows(f"SELECT recipient FROM {table}")}
            assert listed == {who for who, at in raw.items() if at == state}, table
        leased = Counter(
            who for job, blob in self.rows("SELECT job, recipients FROM lease") for who in ids(blob)
        )
        processed = {who for who, at in raw.items() if at == State.PROCESSED}
        assert processed <= set(leased)
        assert all(leased[who] == 1 for who in processed)
        retried = {row[0] for row in self.rows("SELECT recipient FROM retry")}
        ahead = {
            who
            for first, last in self.rows("SELECT next, last FROM batch WHERE next <= last")
            for who in range(first, last + 1)
        }
        waiting = {who for who, at in raw.items() if at == State.CREATED}
        assert retried <= waiting
        assert waiting <= retried | ahead, "it would wait for ever"
        assert not retried & ahead, "it would be claimed twice"

    @invariant()
    def whoever_may_be_claimed_is_in_work(self):
        work = {row[:2]: row[2] for row in self.rows("SELECT topic, urgent, next_due FROM work")}
        halted = {
            row[0]
            for row in self.rows(
                "SELECT id FROM topic WHERE paused_at IS NOT NULL OR redate_upto > 0"
            )
        }
        assert not halted & {topic for topic, _ in work}
        due = self.rows(
            "SELECT batch.topic, batch.urgent, min(coalesce(retry.due_at, batch.due_at)) "
            "FROM recipient JOIN batch ON batch.id = recipient.batch "
            "LEFT JOIN retry ON retry.recipient = recipient.id "
            "JOIN email_request ON email_request.id = recipient.id "
            "WHERE email_request.status = 'Created' GROUP BY 1, 2"
        )
        for topic, urgent, first in due:
            if topic not in halted:
                assert work[topic, urgent] <= first


def ids(blob: bytes) -> list[int]:
    return [int.from_bytes(blob[n : n + 8], "little") for n in range(0, len(blob), 8)]


class WalkToTheEnd(Walk):
    """The same, and in the end all that may go goes, and no sweep is left over."""

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            super().teardown()

    def finish(self) -> None:
        for topic in ("red", "blue"):
            self.resume(topic)
        self.restart_sender()
        for _ in range(60):
            self.desk.wait(100)
            for topic in set(self.topic_of.values()):
                for urgent in (True, False):
                    self.claim(topic, urgent, 3, 3)
            for job in list(self.jobs):
                (gate,) = self.desk.gate(job, epoch=self.epoch)
                going = set(map(int, gate.recipients))
                self.maybe_sent |= going
                self.desk.outcome(job, Verdict.ACCEPTED if going else None, epoch=self.epoch)
                self.jobs.remove(job)
        self.desk.sweep(100)
        self.counters_equal_a_recount()
        left = {State(row[0]) for row in self.rows("SELECT DISTINCT state FROM recipient")}
        assert left <= set(State) - {State.CREATED, State.PROCESSED}
        orders = "swept_upto < cancelled_upto OR redate_upto OR retry_upto"
        for of in (f"topic WHERE {orders}", "batch WHERE next <= last", "work", "retry", "lease"):
            assert self.rows(f"SELECT * FROM {of}") == [], of


TestWalk = WalkToTheEnd.TestCase
TestWalk.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
