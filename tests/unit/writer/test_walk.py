"""A random walk: whatever is ordered, claimed, answered and restarted, all counts stay true."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
)

from shared import protocol as p
from shared.domain import Feedback, OnUnknown, State, Verdict
from tests.unit.writer.recount import Recount

pytestmark = pytest.mark.timeout(900)  # to make a failure small takes minutes

TOPICS = st.sampled_from(["red", "blue"])
DUE = st.sampled_from([None, 5, 30])
EXPIRES = st.sampled_from([None, None, 10, 40])
REFUSALS = [Verdict.PERMANENT, Verdict.FOR_NOW, Verdict.THROTTLED, Verdict.NOT_SENT, None]


class Walk(Recount):
    """The writer and what a bystander knows must never happen again."""

    def __init__(self) -> None:
        super().__init__()
        self.desk.on_unknown = OnUnknown.CONFIRM_THEN_HOLD
        self.restart("boot-1")
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
        self.watch()

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
