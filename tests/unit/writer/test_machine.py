"""Everything a writer can be told, legal or not, in any order, through crashes and reboots.

What SES really has, and what each sender really knows, is known here. So it shows whether a mail
is handed to SES twice without being marked, whatever else was said. A longer walk:
`WRITER_WALKS=2000 pytest tests/unit/writer/test_machine.py`, with `WRITER_STEPS=100` if need be.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from services.writer.moves import MAYBE_DUPLICATE
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, State, Verdict
from tests.unit.writer.queueing import WHO, Queueing, Sender

pytestmark = pytest.mark.timeout(900)  # to make a failure small takes minutes

GATE_S = 1.0
"""A gate is good for one call that begins within a second."""

OFTEN = [Verdict.ACCEPTED, Verdict.UNKNOWN, Verdict.PERMANENT, Verdict.FOR_NOW]
VERDICTS = st.sampled_from([*OFTEN, *OFTEN, *Verdict])
HARM = {Feedback.BOUNCE: "Permanent"}


class Machine(Queueing):
    """The writer, and a world that tells it true things and others."""

    # ── calls of SES and their outcomes ──

    @precondition(lambda self: self.callable())
    @rule(data=st.data(), is_one=st.booleans())
    def call(self, data, is_one):
        """Call SES for one open gate: it takes a mail or not, and its answer comes or not."""
        self.call_for(*data.draw(st.sampled_from(self.callable())), data, is_one=is_one)

    def call_for(self, sender, job, data, *, is_one) -> None:
        one = data.draw(VERDICTS)
        answers = []
        for recipient in sender.gates[job][0]:
            verdict = one if is_one else data.draw(VERDICTS)
            has_it = verdict is Verdict.ACCEPTED
            if verdict is Verdict.UNKNOWN:
                has_it = data.draw(st.booleans())
            answers.append(self.answer(recipient, verdict, has_it=has_it))
        sender.answered[job] = p.Outcome(job, tuple(answers))

    def callable(self) -> list[tuple[Sender, int]]:
        return [
            (sender, job)
            for sender in self.senders.values()
            for job, (_, opened) in sender.gates.items()
            if job not in sender.answered and self.desk.now.mono - opened <= GATE_S
        ]

    def answer(self, recipient, verdict, *, has_it) -> p.Answer:
        copies = self.at_ses.setdefault(recipient, [])
        if has_it:
            if copies and recipient not in self.lied:
                (flags,) = self.rows("SELECT flags FROM recipient WHERE id = ?", recipient)[0]
                assert flags & MAYBE_DUPLICATE, "SES has it twice, and it is not marked"
            copies.append(f"ses-{recipient}-{len(copies)}")
        accepted = verdict is Verdict.ACCEPTED
        code = "sending_paused" if verdict is Verdict.ACCOUNT else "Code"
        values = (copies[-1], "", "") if accepted else ("", code, "words")
        return p.Answer(recipient, verdict, self.desk.now.ms, *values)

    @precondition(lambda self: any(sender.answered for sender in self.senders.values()))
    @rule(data=st.data())
    def report(self, data):
        able = [sender for sender in self.senders.values() if sender.answered]
        sender = data.draw(st.sampled_from(able))
        self.report_of(sender, data.draw(st.sampled_from(sorted(sender.answered))))

    def report_of(self, sender, job) -> None:
        outcome = sender.answered.pop(job)
        sender.jobs.pop(job, None)
        sender.gates.pop(job, None)
        self.record(sender, outcome)
        states = self.states()
        for answer in outcome.answers:
            if answer.verdict is Verdict.ACCEPTED:
                assert states[answer.recipient] is State.SENT

    def record(self, sender, *outcomes) -> None:
        message = p.RecordOutcomes(sender.name, sender.epoch, next(self.numbers), outcomes)
        assert self.tell(message) == [p.OutcomesRecorded(sender.epoch, (message.seq,))]

    @precondition(lambda self: any(sender.jobs for sender in self.senders.values()))
    @rule(data=st.data())
    def give_back(self, data):
        """What a sender cannot send in time it gives back, before the call or never."""
        sender, jobs = self.hold(data)
        for job in jobs:
            del sender.jobs[job]
            sender.gates.pop(job, None)
            self.record(sender, p.Outcome(job, ()))

    @rule(data=st.data(), topic=st.sampled_from(["red", "blue"]), who=WHO)
    def send(self, data, topic, who):
        """The way of some mails: up to the claim, the gate, the call or to its end."""
        sender = self.senders[who]
        before = set(sender.jobs)
        steps = data.draw(st.sampled_from([2, 3, 1, 2, 0, 3]))
        self.claim(topic, who, False, 3, 2, is_stale=False)
        for job in sorted(set(sender.jobs) - before):
            if steps > 0:
                self.ask_gate(sender, (job,))
            if steps > 1 and job in sender.gates:
                self.call_for(sender, job, data, is_one=True)
                if steps > 2:
                    self.report_of(sender, job)

    @rule(data=st.data(), topic=st.sampled_from(["red", "blue"]), who=WHO)
    def send_more(self, data, topic, who):
        self.send(data, topic, who)

    @rule(topic=st.sampled_from(["red", "blue"]), who=WHO, ends=st.sampled_from(["lease", "boot"]))
    def lose(self, topic, who, ends):
        """SES has it and its answer never comes: the lease runs out, or the machine goes down."""
        sender = self.senders[who]
        before = set(sender.jobs)
        self.claim(topic, who, False, 2, 2, is_stale=False)
        for job in sorted(set(sender.jobs) - before):
            self.ask_gate(sender, (job,))
            for recipient in sender.gates.pop(job, ((), 0.0))[0]:
                self.answer(recipient, Verdict.UNKNOWN, has_it=True)
            sender.jobs.pop(job, None)
        if ends == "boot":
            self.boot += 1
            self.reopen()
            self.replace(who, "calls")
        self.desk.wait(61)
        self.claim(topic, who, False, 4, 2, is_stale=False)

    # ── what is not so ──

    @precondition(lambda self: self.all_jobs)
    @rule(data=st.data(), verdict=st.sampled_from([*Verdict, None]), who=WHO, is_part=st.booleans())
    def lie(self, data, verdict, who, is_part):
        """An outcome of a job that may never have been at the gate, by whoever it may be."""
        job = data.draw(st.sampled_from(self.all_jobs))
        named = [who.recipient for who in job.addressees][is_part:]
        if not is_part:
            named.append(999)
        self.lied |= {addressee.recipient for addressee in job.addressees}
        answers = tuple(
            p.Answer(recipient, verdict, self.desk.now.ms, f"lie-{recipient}", "Code", "words")
            for recipient in named
            if verdict is not None
        )
        self.record(self.senders[who], p.Outcome(job.job, answers))

    @precondition(lambda self: self.all_jobs)
    @rule(data=st.data(), who=WHO, back=st.integers(-1, 2))
    def ask_gate_of_others(self, data, who, back):
        """Jobs of others, of former processes, and that never were: nobody goes on this answer."""
        jobs = data.draw(st.lists(st.sampled_from(self.all_jobs), max_size=3, unique_by=id))
        sender = self.senders[who]
        wanted = tuple(job.job for job in jobs if job.job not in sender.jobs)
        holders = dict(self.rows("SELECT job, sender || epoch FROM lease"))
        epoch = sender.epoch - back
        (answer,) = self.tell(p.AskGate(who, epoch, (*wanted, 888)))
        for gate in answer.gates:
            if holders.get(gate.job) != f"{who}{epoch}":
                assert gate.recipients == (), "it is another's"

    # ── events ──

    @precondition(lambda self: any(self.at_ses.values()))
    @rule(
        data=st.data(),
        kind=st.sampled_from(Feedback),
        is_tagged=st.sampled_from([True, True, False]),
        ago=st.sampled_from([0, 0, 500_000]),
    )
    def event(self, data, kind, is_tagged, ago):
        """What SES says of a mail that it has, with our tags or without."""
        having = sorted(who for who, copies in self.at_ses.items() if copies)
        recipient = data.draw(st.sampled_from(having))
        copy = data.draw(st.sampled_from(self.at_ses[recipient]))
        at = self.desk.now.ms - ago
        event = p.Event(
            kind,
            self.email_of[recipient].swapcase(),
            copy,
            at,
            at - 10,
            recipient if is_tagged else None,
            attempt=1,
            subtype=HARM.get(kind, ""),
        )
        self.record_events(event)
        if is_tagged:
            assert self.state(recipient) is State.SENT

    @rule(data=st.data())
    def aside(self, data):
        some = [self.foreign_event, self.open_pixel, self.hear, self.set_rate, self.read_account]
        data.draw(st.sampled_from(some))(data)

    def foreign_event(self, data) -> None:
        """A mail of another installation, or another's address: it is kept, and moves nothing."""
        kind = data.draw(st.sampled_from(Feedback))
        recipient = self.anyone(data) if data.draw(st.booleans()) else None
        now = self.desk.now.ms
        event = p.Event(kind, "other@example.com", f"foreign-{recipient}", now, now, recipient)
        before = self.dump() | {"orphan": []}
        self.record_events(event)
        assert self.dump() | {"orphan": []} == before

    def record_events(self, *events) -> None:
        post = f"post-{next(self.numbers)}"
        message = p.RecordEvents(1, (p.EventPost(post, post, events, note="{}"),))
        assert self.tell(message) == [p.EventsRecorded(1, (post,))]

    def open_pixel(self, data) -> None:
        seq = next(self.numbers)
        opens = (p.Opened(self.anyone(data), self.desk.now.ms),)
        assert self.tell(p.RecordOpens("api", 1, seq, opens)) == [p.OpensRecorded(1, seq)]

    def hear(self, _data) -> None:
        """The webhook is up: now and for the ten minutes that follow."""
        for _ in range(3):
            self.desk.say(p.EarOpen(1))
            self.desk.wait(4)

    # ── processes come and go ──

    @rule(data=st.data(), who=WHO)
    def come_and_go(self, data, who):
        often = [self.restart_sender, self.restart_writer, self.greet_again, self.holding]
        data.draw(st.sampled_from([*often, *often, self.reboot]))(who, data)

    def restart_sender(self, who, data) -> None:
        """A sender is killed and begins anew; its journal has answers, calls, or is gone."""
        self.replace(who, data.draw(st.sampled_from(["answers", "calls", "nothing"])))

    def replace(self, who, knows) -> None:
        former = self.senders[who]
        sender = self.senders[who] = Sender(who, former.epoch + 1)
        if knows == "answers":
            for job in sorted(former.answered):
                sender.answered[job] = former.answered[job]
                self.report_of(sender, job)
        begun = tuple(sorted(former.answered)) if knows == "calls" else ()
        self.greet(sender, None if knows == "nothing" else begun)

    def greet(self, sender, started) -> None:
        epoch = sender.epoch
        assert self.tell(p.Hello(sender.name, epoch, started)) == [
            p.Welcome(epoch, self.desk.install, b"secret")
        ]
        assert not self.rows(
            "SELECT * FROM lease WHERE sender = ? AND epoch < ?", sender.name, epoch
        )

    def greet_again(self, who, data) -> None:
        """A greeting that comes late, or once more, is none of the present process's business."""
        back, started = data.draw(st.sampled_from([(0, None), (0, ()), (1, (888,)), (2, ())]))
        epoch = self.senders[who].epoch
        held = self.rows("SELECT * FROM lease WHERE sender = ? AND epoch = ?", who, epoch)
        self.tell(p.Hello(who, epoch - back, started))
        now = self.rows("SELECT * FROM lease WHERE sender = ? AND epoch = ?", who, epoch)
        assert now == held

    def holding(self, who, _data) -> None:
        sender = self.senders[who]
        assert self.tell(p.Holding(who, sender.epoch, tuple(sender.jobs))) == []

    def restart_writer(self, _who, _data) -> None:
        self.reopen()

    def reboot(self, _who, data) -> None:
        """The machine starts again: its monotonic clock at zero, journals there or gone."""
        self.boot += 1
        self.desk.now = Now(5.0, self.desk.now.wall + data.draw(st.sampled_from([20, 3000])))
        self.reopen()
        for who in self.senders:
            self.restart_sender(who, data)
        assert not self.rows("SELECT * FROM lease")

    def read_account(self, data) -> None:
        most, enabled = data.draw(st.tuples(st.sampled_from([None, 14.0]), st.booleans()))
        error = data.draw(st.sampled_from(["", "", "AccessDenied"]))
        self.take_read(most, enabled, error)

    def take_read(self, most=None, enabled=True, error="") -> None:
        read = p.AccountRead("sender-0", self.desk.now.ms, most, 5000.0, 1.0, enabled)
        self.tell(p.AccountRead("sender-0", self.desk.now.ms, error=error) if error else read)

    # ── what the world knows ──

    @invariant()
    def whoever_is_there_twice_is_marked(self):
        flags = dict(self.rows("SELECT id, flags FROM recipient"))
        for recipient, copies in self.at_ses.items():
            if recipient not in self.lied and len(copies) > 1:
                assert flags[recipient] & MAYBE_DUPLICATE
            elif recipient not in self.lied and not copies:
                is_sent = self.seen.get(recipient) is State.SENT
                assert not is_sent or recipient in self.assumed(), "SES never had it"

    def assumed(self) -> set[int]:
        """Whom somebody, or the policy, told to take for sent."""
        return {row[0] for row in self.rows("SELECT id FROM recipient WHERE message_id IS NULL")}


class MachineToTheEnd(Machine):
    """The same, and in the end all that may go goes, and no sweep is left over."""

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            super().teardown()

    def finish(self) -> None:
        self.fate = ""
        for topic in ("red", "blue"):
            self.resume(topic)
        self.take_read()
        for who in self.senders:
            self.replace(who, "answers")
        for _ in range(80):
            self.desk.wait(100)
            if not self.rows("SELECT 1 FROM recipient WHERE state < 2 UNION SELECT 1 FROM work"):
                break
            for topic in set(self.topic_of.values()):
                for urgent in (True, False):
                    self.claim(topic, "sender-0", urgent, 3, 3, is_stale=False)
            self.send_all(self.senders["sender-0"])
            self.every_move_is_legal()
        self.desk.sweep(100)
        left = set(self.states().values())
        assert left <= set(State) - {State.CREATED, State.PROCESSED}
        orders = "swept_upto < cancelled_upto OR redate_upto OR retry_upto"
        for of in (f"topic WHERE {orders}", "batch WHERE next <= last", "work", "retry", "lease"):
            assert self.rows(f"SELECT * FROM {of}") == [], of
        for holds in self.invariants:
            holds.function(self)

    def send_all(self, sender) -> None:
        for job in sorted(sender.jobs):
            (answer,) = self.speak(p.AskGate(sender.name, sender.epoch, (job,)))
            going = answer.gates[0].recipients
            answers = [self.answer(who, Verdict.ACCEPTED, has_it=True) for who in going]
            self.record(sender, p.Outcome(job, tuple(answers)))
        sender.jobs.clear()


TestMachine = MachineToTheEnd.TestCase
TestMachine.settings = settings(
    max_examples=int(os.environ.get("WRITER_WALKS", "60")),
    stateful_step_count=int(os.environ.get("WRITER_STEPS", "50")),
    deadline=None,
    derandomize="WRITER_WALKS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
