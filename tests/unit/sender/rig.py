"""A sender to talk to: what it hears is given, what it says is collected."""

import itertools

from services.sender.actor import Sender
from services.sender.reply import Reply
from services.sender.voice import Terms
from shared.clock import Now
from shared.domain import ContentId, JobId, RecipientId
from shared.protocol import (
    Addressee,
    AskGate,
    Assign,
    Content,
    Demand,
    Gate,
    GateOpened,
    Job,
    OutcomesRecorded,
    Permit,
    Permits,
    RecordOutcomes,
    Welcome,
)

EPOCH = 77
START = 1000.0


class Talk:
    """A sender, a clock, and everything said so far."""

    def __init__(self, *, lane="auto", workers=1, replayed=(), welcomed=True):
        terms = Terms("sender-0", EPOCH, workers, lane, "news@shop.example")
        self.sender = Sender(terms, replayed)
        self.mono = START
        self.said = []
        self._recipients = itertools.count(100)
        if welcomed:
            self.settle()
            self.hear(Welcome(EPOCH, "abc", b"secret"))
            self.settle()

    @property
    def now(self):
        return Now(self.mono, 1_700_000_000.0 + self.mono - START)

    def hear(self, *messages):
        """Give messages and end the turn; answer what was said in it."""
        for message in messages:
            assert list(self.sender.receive(message, self.now)) == []
        return self.settle()

    def settle(self):
        letters = list(self.sender.settle(self.now))
        self.said += letters
        return [letter.message for letter in letters]

    def wait(self, seconds, step=0.01, gate=()):
        """Let time pass in small turns, the gate open for some jobs; answer what was said."""
        end, said = self.mono + seconds, []
        while self.mono < end - 1e-9:
            self.mono = min(end, self.mono + step)
            turn = self.settle()
            said += turn
            asked = {
                job for message in turn if isinstance(message, AskGate) for job in message.jobs
            }
            for job in gate:
                if job.job in asked:
                    said += self.open(job)
        return said

    def job(self, number, recipients=1, *, urgent=False, content=5):
        addressees = tuple(
            Addressee(RecipientId(next(self._recipients)), f"{number}-{index}@dest.example")
            for index in range(recipients)
        )
        return Job(JobId(number), 1, urgent, ContentId(content), addressees)

    def assign(self, *jobs):
        return self.hear(Assign(EPOCH, jobs))

    def content(self, number=5, html="<p>Hi</p>"):
        return self.hear(Content(ContentId(number), "Hi", html))

    def open(self, *jobs):
        gates = tuple(Gate(job.job, tuple(one.recipient for one in job.addressees)) for job in jobs)
        return self.hear(GateOpened(EPOCH, gates))

    def permits(self, *permits, rate=24.0, chunk=1):
        """Hear permits, given as (ask, not before)."""
        return self.hear(Permits(EPOCH, tuple(Permit(*one) for one in permits), rate, chunk))

    def asks(self):
        """Answer what the newest Demand asks for: ask, recipients."""
        newest = [one.message for one in self.said if isinstance(one.message, Demand)][-1]
        return [(one.ask, one.recipients) for one in newest.urgent + newest.bulk]

    def unused(self):
        return [one.message for one in self.said if isinstance(one.message, Demand)][-1].unused

    def ready(self, *jobs, rate=24.0, chunk=1):
        """Bring jobs to where only a permit is missing."""
        self.permits(rate=rate, chunk=chunk)
        self.content()
        self.assign(*jobs)
        self.open(*jobs)
        self.wait(0.02)

    def call(self):
        return self.sender.next_call(self.now)

    def fire(self, job):
        """Bring one job to its call."""
        self.ready(job)
        (ask, _) = self.asks()[-1]
        self.permits((ask, self.mono))
        call = self.call()
        assert call is not None
        return call

    def end(self, call, ending=None):
        self.sender.finished(call, ending or Reply(200, message_id="m1"), self.now)
        return self.settle()

    def acknowledge(self):
        """Acknowledge every outcome said so far."""
        seqs = tuple(
            one.message.seq for one in self.said if isinstance(one.message, RecordOutcomes)
        )
        return self.hear(OutcomesRecorded(EPOCH, seqs))

    def outcomes(self):
        """Answer every outcome said so far, each once."""
        found = {}
        for letter in self.said:
            if isinstance(letter.message, RecordOutcomes):
                found[letter.message.seq] = letter.message.outcomes
        return [outcome for batch in found.values() for outcome in batch]


def of(kind, messages):
    """Answer the messages of one kind."""
    return [message for message in messages if isinstance(message, kind)]
