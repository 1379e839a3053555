"""Messages of one turn lead to what they lead to in turns of their own, whatever they are.

Two writers hear the same at the same times: one hears each message alone, the other hears many
together. Their answers and their databases must be equal. A longer walk:
`TOGETHER_WALKS=2000 pytest tests/unit/writer/test_together.py`, with
`TOGETHER_STEPS=100` if need be.
"""

import itertools
import os
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from services.writer import claims, events, evidence, expiry, gates, outcomes, steering, sweeps
from services.writer.intake import Intake
from shared import protocol as p
from shared.domain import Feedback, OnUnknown, SubmissionId, Verdict
from shared.wire import Letter
from tests.unit.writer.conftest import Desk

pytestmark = pytest.mark.timeout(900)  # to make a failure small takes minutes

LEVELS = p.WorkDigest | p.RateDigest | p.WriterState
"""Numbered, and said once a turn: how many there are is a matter of the turns."""

BY_TURNS = {"commits", "commit_p50_ms", "commit_p99_ms", "wal_mb", "quota_left"}
"""Gauges of the commits themselves, of which there is one a turn; and what is left of a quota: as
long as it is much it is read once a second, or when a turn's end finds another rate than before.
"""

POISON = "poison"
TOPICS = st.sampled_from(["red", "red", "blue", None, "nowhere"])
NAMED = st.sampled_from(["red", "red", "blue", "nowhere"])
WHO = st.sampled_from(["sender-0", "sender-1"])
MOSTLY_NO = st.sampled_from([False, False, False, True])
ONE_BY_ONE = [Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.UNKNOWN, Verdict.PERMANENT, *Verdict]
VERDICTS = st.sampled_from([Verdict.ACCEPTED] * 20 + ONE_BY_ONE)


def spoil(patch, where, name, is_bad) -> None:
    """Let a function of the writer raise for some arguments, when it has done its work."""
    real = getattr(where, name)

    def spoilt(*arguments):
        found = real(*arguments)
        if is_bad(*arguments):
            raise RuntimeError(POISON)
        return found

    patch.setattr(where, name, spoilt)


def spoil_all(patch) -> None:
    """Some of each kind of message can never be written, and that shows late."""
    spoil(patch, Intake, "keep", lambda _i, message, _m: message.reply_to == POISON)
    spoil(patch, claims, "claim", lambda _b, claim, *_: claim.sender == POISON)
    spoil(patch, gates, "open_gates", lambda _b, message, *_: 888 in message.jobs)
    spoil(patch, steering, "steer", lambda _b, message: message.order.startswith(POISON))
    spoil(
        patch,
        outcomes,
        "record",
        lambda _b, message, _a: any(
            answer.detail == POISON for outcome in message.outcomes for answer in outcome.answers
        ),
    )
    spoil(
        patch,
        events,
        "record",
        lambda _b, posts: any(event.detail == POISON for post in posts for event in post.events),
    )


@cache
def fresh() -> bytes:
    """Answer a database nobody has written to, made once: that takes longer than a walk."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder) / "fresh.db")
        desk.store.close()
        return desk.path.read_bytes()


class Silence:
    """A log for what is poisoned on purpose."""

    def warning(self, *_words, **_more) -> None: ...

    def error(self, *_words, **_more) -> None: ...

    def info(self, *_words, **_more) -> None: ...


class Together(RuleBasedStateMachine):
    """Says everything at once to the one writer, and to the other when a turn ends."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.patch = pytest.MonkeyPatch()
        for module in (sweeps, expiry):
            self.patch.setattr(module, "STEP_ROWS", 2)  # orders are under way for long
        self.patch.setattr(evidence, "PROOF_MAILS", 2)
        spoil_all(self.patch)
        self.numbers = itertools.count(1)
        self.epochs = {"sender-0": 1, "sender-1": 1, POISON: 1}
        self.jobs: list[p.Job] = []
        self.emails: dict[int, str] = {}
        self.said: list[p.Message] = []
        self.waiting: list[p.Message] = []
        self.answers: list[Letter] = []

    @initialize(policy=st.sampled_from(OnUnknown), data=st.data())
    def begin(self, policy, data):
        alone, together = (Path(self.folder.name) / name for name in ("alone.db", "together.db"))
        for path in (alone, together):
            path.write_bytes(fresh())
        self.alone, self.together = Desk(alone, policy), Desk(together, policy)
        for desk in (self.alone, self.together):
            desk.store._connection.pragma("synchronous", 0)  # no power is cut here
            desk.writer._log = Silence()
        self.submit(["red", "blue"], 4, data, False, False, None)
        self.send("red", "sender-0", data)

    def teardown(self) -> None:
        try:
            self.end_turn()
        finally:
            for desk in (self.alone, self.together):
                desk.store.close()
            self.patch.undo()
            self.folder.cleanup()

    # ── how things are said ──

    def say(self, *messages: p.Message) -> list[p.Message]:
        answers = self.hear(self.alone, *messages)
        self.waiting += messages
        self.said += messages
        self.answers += answers
        return [letter.message for letter in answers]

    def hear(self, desk: Desk, *messages: p.Message) -> list[Letter]:
        for message in messages:
            desk.writer.receive(message, desk.now)
        letters = desk.writer.settle(desk.now)
        return [letter for letter in letters if not isinstance(letter.message, LEVELS)]

    def dump(self, desk: Desk) -> dict[str, list[tuple]]:
        """Everything the database holds, the numbers given out included."""
        run = desk.store._connection.execute
        names = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'"
        )
        return {name: list(run(f"SELECT * FROM {name}")) for (name,) in list(run(names))}

    def known(self, desk: Desk) -> dict[str, object]:
        """What the writer keeps in mind and says of itself."""
        writer = desk.writer
        gauges = {k: v for k, v in writer.gauges(desk.now).items() if k not in BY_TURNS}
        return {"gauges": gauges, "notes": writer.notes(), "recent": writer._account.recent}

    @rule(chance=st.sampled_from([True, False]))
    def may_end_turn(self, chance):
        if chance:
            self.end_turn()

    def end_turn(self) -> None:
        waiting, self.waiting = self.waiting, []
        expected, self.answers = self.answers, []
        assert self.hear(self.together, *waiting) == expected
        self.compare()

    def compare(self) -> None:
        alone, together = self.dump(self.alone), self.dump(self.together)
        for name, rows in alone.items():
            assert together[name] == rows, name
        assert self.known(self.together) == self.known(self.alone)

    @rule(seconds=st.sampled_from([0.02, 0.5, 1, 5, 61, 310, 4000]))
    def wait(self, seconds):
        self.end_turn()
        for desk in (self.alone, self.together):
            desk.wait(seconds)
        self.compare()

    @rule(data=st.data(), count=st.integers(1, 3))
    def repeat(self, data, count):
        for _ in range(count):
            newest = data.draw(st.sampled_from([1, 1, 5, 30]))
            self.say(data.draw(st.sampled_from(self.said[-newest:])))

    # ── submissions ──

    @rule(
        topics=st.lists(TOPICS, min_size=1, max_size=2),
        count=st.sampled_from([1, 1, 2, 9]),
        data=st.data(),
        urgent=st.booleans(),
        is_late=MOSTLY_NO,
        key=st.sampled_from([None, None, b"one", b"two"]),
    )
    def submit_some(self, topics, count, data, urgent, is_late, key):
        """Submissions in a row, which are stored together."""
        for _ in range(data.draw(st.integers(1, 3))):
            self.submit(topics, count, data, urgent, is_late, key)
            if data.draw(MOSTLY_NO):
                self.say(self.said[-1])

    def submit(self, topics, count, data, urgent, is_late, key) -> None:
        now = self.alone.now
        due = data.draw(st.sampled_from([None, None, None, -5, 30]))
        expires = data.draw(st.sampled_from([None, None, 40]))
        mails = []
        for topic in topics:
            first = data.draw(st.integers(0, 5))
            emails = tuple(f"{'Uu'[n % 2]}{n}@example.com" for n in range(first, first + count))
            headers = (("X-A", "b"),) if first == 1 else ()
            mails.append(p.Mail(topic, "Subject", f"<p>{first % 3}</p>", emails, headers, urgent))
        message = p.Submit(
            reply_to="api",
            submission=SubmissionId(f"sub-{next(self.numbers)}"),
            deadline=now.mono + (-1 if is_late else 5),
            began_mono=now.mono - 0.1,
            accepted_at=now.ms,
            scheduled_at=None if due is None else now.ms + due * 1000,
            mails=tuple(mails),
            tally=p.Tally(0, 0),
            idempotency=None if key is None else p.IdempotencyKey(key, b"%d" % (count % 2)),
            expires_at=None if expires is None else now.ms + expires * 1000,
        )
        (answer,) = self.say(message)
        if isinstance(answer, p.Stored) and not answer.replayed:
            for mail, first in zip(mails, answer.firsts, strict=True):
                self.emails |= dict(enumerate(mail.emails, first))

    # ── the way of a mail ──

    def claim(self, topic, who, urgent, jobs, size) -> list[p.Job]:
        found = self.alone.store.row("topic_by_name", (topic,)) if topic else (1,)
        wish = (found[0] if found else 777, urgent, jobs, size)
        one = p.Claim(next(self.numbers), who, self.epochs[who], *wish)
        answers = self.say(p.ClaimWork(1, (one,)))
        got = [job for answer in answers for claimed in answer.claimed for job in claimed.jobs]
        self.jobs += got
        return got

    def outcome(self, job: p.Job, data) -> p.Outcome:
        verdicts = [data.draw(VERDICTS)] * len(job.addressees)
        if data.draw(MOSTLY_NO):
            verdicts = [data.draw(VERDICTS) for _ in job.addressees]
        answers = []
        for addressee, verdict in zip(job.addressees, verdicts, strict=True):
            who = addressee.recipient
            code = "" if verdict is Verdict.ACCEPTED else "Code"
            ses = f"ses-{who}" if verdict is Verdict.ACCEPTED else ""
            answers.append(p.Answer(who, verdict, self.alone.now.ms, ses, code, "words"))
        return p.Outcome(job.job, tuple(answers[data.draw(MOSTLY_NO) :]))

    def record(self, who, *some: p.Outcome) -> None:
        self.say(p.RecordOutcomes(who, self.epochs[who], next(self.numbers), some))

    @rule(topic=TOPICS, who=WHO, data=st.data())
    def send(self, topic, who, data):
        """Claim, gate and outcomes, up to one of them."""
        steps = data.draw(st.sampled_from([2, 2, 1, 0]))
        urgent = data.draw(MOSTLY_NO)
        size = data.draw(st.sampled_from([1, 1, 2, 5]))
        jobs = self.claim(topic, who, urgent, data.draw(st.integers(1, 4)), size)
        if not jobs or not steps:
            return
        self.say(p.AskGate(who, self.epochs[who], tuple(job.job for job in jobs)))
        if steps > 1:
            left = data.draw(st.sampled_from([0, 0, 1]))  # the sender keeps it in hand
            jobs = jobs[left:] or jobs
            some = [self.outcome(job, data) for job in jobs]
            if data.draw(MOSTLY_NO):
                some.append(some[0])  # a job twice in a message
            if data.draw(MOSTLY_NO):
                some[-1:] = [self.outcome(jobs[-1], data)]
            self.record(who, *some)

    @rule(topic=TOPICS, who=WHO, data=st.data())
    def send_more(self, topic, who, data):
        self.send(topic, who, data)

    @rule(data=st.data(), who=WHO, count=st.integers(1, 3))
    def of_any_job(self, data, who, count):
        """Gates and outcomes of jobs old and new, by whoever it may be."""
        if not self.jobs:
            return
        jobs = [data.draw(st.sampled_from(self.jobs[-12:])) for _ in range(count)]
        if data.draw(st.booleans()):
            self.say(p.AskGate(who, self.epochs[who], tuple(job.job for job in jobs)))
        else:
            self.record(who, *(self.outcome(job, data) for job in jobs))

    def count_first(self, data, topic="red") -> None:
        """Say something that counts, so that what comes now finds it not yet written."""
        some = data.draw(st.sampled_from(["", "submit", "submit", "send", "send"]))
        if some == "submit":
            self.submit([topic], 1, data, urgent=False, is_late=False, key=None)
        elif some:
            self.send(topic, "sender-0", data)

    # ── events ──

    def one_event(self, data, detail="") -> p.Event:
        who = data.draw(st.sampled_from([*sorted(self.emails), 999]))
        kind = data.draw(st.sampled_from([Feedback.DELIVERY, Feedback.BOUNCE, *Feedback]))
        at = self.alone.now.ms - data.draw(st.sampled_from([0, 0, 5, 500_000]))
        email = self.emails.get(who, "")
        if data.draw(MOSTLY_NO):
            email = data.draw(st.sampled_from([email.swapcase(), "other@example.com"]))
        ses = data.draw(st.sampled_from([f"ses-{who}", f"ses-{who}", f"ses-{who}", "ses-x", ""]))
        tag = None if data.draw(MOSTLY_NO) else who
        subtype = "Permanent" if kind is Feedback.BOUNCE and data.draw(st.booleans()) else ""
        return p.Event(kind, email, ses, at, at - 10, tag, 1, subtype, detail)

    @rule(data=st.data(), posts=st.integers(1, 3), count=st.integers(0, 3))
    def hear_of(self, data, posts, count):
        found = []
        for _ in range(posts):
            post = f"post-{next(self.numbers)}"
            some = tuple(self.one_event(data) for _ in range(count))
            found.append(p.EventPost(post, post, some, "" if some else "{}"))
        self.say(p.RecordEvents(1, tuple(found)))

    def open_pixel(self, data) -> None:
        seq = data.draw(st.booleans())
        who = data.draw(st.sampled_from([*sorted(self.emails), 999]))
        number = next(self.numbers) if seq else 1
        self.say(p.RecordOpens("api", 1, number, (p.Opened(who, self.alone.now.ms),)))

    # ── orders, and the rest ──

    @rule(data=st.data(), topics=st.lists(NAMED, min_size=1, max_size=3))
    def steer_some(self, data, topics):
        for topic in topics:
            self.count_first(data, topic)
            self.steer(data, topic)

    def steer(self, data, topic) -> None:
        kinds = [p.CancelTopic, p.PauseTopic, p.ResumeTopic, p.RescheduleTopic, p.RetryFailed]
        kind = data.draw(st.sampled_from([*kinds, p.PauseTopic, p.ResumeTopic, p.ResumeTopic]))
        due = data.draw(st.sampled_from([None, 30]))
        more = {}
        if kind is p.RescheduleTopic and due:
            more = {"due_at": self.alone.now.ms + due * 1000}
        self.say(kind("api", f"order-{next(self.numbers)}", topic, **more))

    @rule(data=st.data())
    def order(self, data):
        self.count_first(data)
        who = data.draw(st.sampled_from([*sorted(self.emails), 999]))
        email = f"u{data.draw(st.integers(0, 6))}@example.com"
        kind, *values = data.draw(
            st.sampled_from(
                [
                    (p.CancelMail, who),
                    (p.CancelMail, who),
                    (p.ResolveMail, who, True),
                    (p.ResolveMail, who, False),
                    (p.Suppress, (p.Suppression(email),)),
                    (p.Unsuppress, (email,)),
                    (p.SetRate, 500.0),
                    (p.SetRate, 2.0),
                    (p.ResumeBulk,),
                ]
            )
        )
        self.say(kind("api", f"order-{next(self.numbers)}", *values))

    @rule(data=st.data(), who=WHO)
    def come_and_go(self, data, who):
        self.count_first(data)
        held = tuple(job.job for job in self.jobs[-3:])
        some = ["new", "new", "again", "holding", "account", "account", "ear", "look", "pixel"]
        kind = data.draw(st.sampled_from(some))
        match kind:
            case "new" | "again":
                self.epochs[who] += kind == "new"
                started = data.draw(st.sampled_from([None, (), held]))
                self.say(p.Hello(who, self.epochs[who], started))
            case "holding":
                self.say(p.Holding(who, self.epochs[who], held))
            case "account":
                quota, enabled = data.draw(
                    st.sampled_from(
                        [(5000.0, True)] * 3 + [(None, True), (7.0, True), (9.0, False)]
                    )
                )
                at = self.alone.now.ms + next(self.numbers)
                self.say(p.AccountRead(who, at, 14.0, quota, 1.0, enabled))
            case "pixel":
                self.open_pixel(data)
            case "ear":
                self.say(p.EarOpen(1))
                self.say(p.BulkRefused(who, "because"))
            case _:
                number = data.draw(st.integers(1, 9))
                self.say(p.LookUp("api", SubmissionId(f"sub-{number}")))
                self.say(p.AskContent(who, self.epochs[who], (1, 2, 77)))

    # ── poison ──

    @rule(
        data=st.data(),
        kind=st.sampled_from(["submit", "claim", "gate", "record", "event", "order"]),
    )
    def poison(self, data, kind):
        """A message of which nothing, or only a part, can be written.

        Seldom: with it in a turn, each message of the turn is written by itself.
        """
        if not data.draw(MOSTLY_NO):
            return
        now, number = self.alone.now, next(self.numbers)
        jobs = self.jobs[-2:]
        match kind:
            case "submit":
                mail = p.Mail(f"new-{number}", "S", f"<i>{number}</i>", ("a@example.com",) * 9)
                key = p.IdempotencyKey(b"three", b"1")
                times = (now.mono + 5, now.mono, now.ms, None)
                tally = p.Tally(0, 0)
                number = SubmissionId(f"sub-{number}")
                self.say(p.Submit(POISON, number, *times, (mail,), tally, key))
            case "claim":
                topic = self.alone.store.row("topic_by_name", ("red",))[0]
                both = tuple(
                    p.Claim(next(self.numbers), who, self.epochs[who], topic, False, 1, 2)
                    for who in (POISON, "sender-0")
                )
                for answer in self.say(p.ClaimWork(1, both)):
                    self.jobs += [job for one in answer.claimed for job in one.jobs]
            case "gate":
                wanted = tuple(job.job for job in jobs)
                self.say(p.AskGate("sender-0", self.epochs["sender-0"], (*wanted, 888)))
            case "record" if jobs:
                some = [self.outcome(job, data) for job in jobs]
                verdict = data.draw(VERDICTS)
                who = jobs[0].addressees[0].recipient
                bad = p.Answer(who, verdict, now.ms, f"ses-{who}", "Code", POISON)
                self.record("sender-0", p.Outcome(jobs[0].job, (bad,)), *some)
            case "event":
                posts = [
                    p.EventPost(f"post-{number}-{n}", "sns", (self.one_event(data, detail),))
                    for n, detail in enumerate((POISON, ""))
                ]
                self.say(p.RecordEvents(1, tuple(posts)))
            case "order":
                self.say(p.PauseTopic("api", f"{POISON}-{number}", "red", "because"))


TestTogether = Together.TestCase
TestTogether.settings = settings(
    max_examples=int(os.environ.get("TOGETHER_WALKS", "60")),
    stateful_step_count=int(os.environ.get("TOGETHER_STEPS", "40")),
    deadline=None,
    derandomize="TOGETHER_WALKS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


def test_the_gate_knows_what_was_sent_in_the_same_turn(desk):
    """Mail that is not in flight any more, and not yet counted as sent, still uses the quota."""
    desk.submit(["a@example.com", "b@example.com", "c@example.com"])
    desk.say(p.AccountRead("sender-0", desk.now.ms, 14.0, quota=2.0, sent_24h=0.0))
    *sent, last = desk.claim(jobs=3)
    assert all(gate.recipients for gate in desk.gate(*sent))
    accepted = tuple(
        p.Outcome(job.job, (p.Answer(who, Verdict.ACCEPTED, desk.now.ms, f"ses-{who}"),))
        for job in sent
        for who in [job.addressees[0].recipient]
    )
    record = p.RecordOutcomes("sender-0", 1, 1, accepted)
    answers = desk.say(record, p.AskGate("sender-0", 1, (last.job,)))
    assert p.GateOpened(1, (p.Gate(last.job, ()),)) in answers
