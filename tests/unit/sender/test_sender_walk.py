"""Hypothesis walks a sender through lost, late and repeated frames; the promises must hold."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.sender.reply import Entry, NoReply, Reply
from shared.protocol import AskGate, Demand
from tests.unit.sender.rig import Talk

RATES = st.sampled_from([0.5, 1.0, 3.0, 24.0, 500.0])
WORKERS = 2


class Walk(RuleBasedStateMachine):
    """The writer, scheduler and broker around one sender, all of them unreliable."""

    def __init__(self):
        super().__init__()
        self.talk = Talk(workers=WORKERS)
        self.jobs = {}
        self.asked_at = {}
        self.opened_from = {}
        self.called = set()
        self.flying = []
        self.asks = []
        self.rate = 1.0
        self.stopped = False

    def note(self, said):
        for message in said:
            if isinstance(message, AskGate):
                for job in message.jobs:
                    self.asked_at.setdefault(job, []).append(self.talk.mono)
            if isinstance(message, Demand):
                self.asks = message.urgent + message.bulk

    @rule(count=st.integers(1, 3), size=st.integers(1, 8), urgent=st.booleans())
    def assign(self, count, size, urgent):
        fresh = [
            self.talk.job(len(self.jobs) + index + 1, size, urgent=urgent) for index in range(count)
        ]
        self.jobs |= {job.job: job for job in fresh}
        self.note(self.talk.assign(*fresh))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def assign_again(self, data):
        job = data.draw(st.sampled_from(sorted(self.jobs)))
        if not self.reported(job):  # the writer answers "gone" for what it has recorded
            self.note(self.talk.assign(self.jobs[job]))

    def reported(self, job):
        return any(outcome.job == job for outcome in self.talk.outcomes())

    @rule()
    def content(self):
        self.note(self.talk.content())

    @precondition(lambda self: self.asked_at)
    @rule(data=st.data())
    def open_gate(self, data):
        job = data.draw(st.sampled_from(sorted(self.asked_at)))
        if self.asked_at[job] and not self.reported(job):
            # An answer was committed after the ask it belongs to; answers come in order.
            self.opened_from[job] = self.asked_at[job].pop(0)
            self.note(self.talk.open(self.jobs[job]))

    @precondition(lambda self: self.asked_at)
    @rule(data=st.data())
    def lose_gate(self, data):
        job = data.draw(st.sampled_from(sorted(self.asked_at)))
        if self.asked_at[job]:
            self.asked_at[job].pop(0)

    @rule(rate=RATES, data=st.data(), lead=st.floats(-0.05, 0.08))
    def permit(self, rate, data, lead):
        self.rate = rate
        chosen = data.draw(st.lists(st.sampled_from(self.asks), unique=True)) if self.asks else []
        at = self.talk.mono + lead
        self.note(self.talk.permits(*((ask.ask, at) for ask in chosen), rate=rate, chunk=6))

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.05, 0.3, 0.6]))
    def wait(self, seconds):
        for _ in range(max(1, round(seconds / 0.05))):
            self.note(self.talk.wait(min(seconds, 0.05), step=0.05))
            self.start()

    @rule(seconds=st.sampled_from([1.0, 5.0]))
    def stall(self, seconds):
        self.talk.mono += seconds
        self.start()
        self.note(self.talk.settle())

    @rule()
    def start(self):
        flying = len(self.flying)
        while (call := self.talk.call()) is not None:
            job = call.job.job
            assert job not in self.called, "a second call for one gate"
            assert not self.stopped
            assert self.talk.mono - self.opened_from[job] < 1.0, "a call under a stale gate"
            self.called.add(job)
            self.flying.append(call)
        if len(self.flying) > flying:
            assert len(self.flying) <= max(1, 2 * self.rate / WORKERS)

    @precondition(lambda self: self.flying)
    @rule(
        data=st.data(),
        ending=st.sampled_from(
            [
                Reply(200, message_id="m"),
                Reply(200, entries=(Entry("SUCCESS", "", "m"),) * 2),
                Reply(400, "BadRequestException"),
                Reply(403, "AccessDeniedException"),
                NoReply(left=True, detail="reset"),
            ]
        ),
    )
    def land(self, data, ending):
        call = data.draw(st.sampled_from(self.flying))
        self.flying.remove(call)
        self.note(self.talk.end(call, ending))

    @rule()
    def acknowledge(self):
        self.note(self.talk.acknowledge())

    @precondition(lambda self: not self.stopped)
    @rule()
    def stop(self):
        self.stopped = True
        letters = list(self.talk.sender.stop(self.talk.now))
        self.talk.said += letters
        self.note([letter.message for letter in letters])

    @invariant()
    def nobody_is_forgotten(self):
        """A job is held, reported, or on its way to be; none is reported twice."""
        outcomes = self.talk.outcomes()
        assert len({outcome.job for outcome in outcomes}) == len(outcomes)
        held = set(self.talk.sender._held())
        for job in self.jobs:
            assert job in held or self.reported(job)

    def teardown(self):
        """With everyone reliable again, all comes to an end."""
        if not self.stopped:
            self.stop()
        for call in list(self.flying):
            self.talk.end(call)
        self.talk.wait(1.2, step=0.1)
        self.talk.acknowledge()
        assert self.talk.sender.is_drained(self.talk.now)
        assert {outcome.job for outcome in self.talk.outcomes()} == set(self.jobs)


Walk.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase
