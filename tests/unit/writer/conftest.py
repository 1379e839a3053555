"""A writer on a real SQLite file; time is what the test says it is."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from services.writer.actor import WriterActor
from services.writer.apply import Rules
from services.writer.founding import found
from shared import protocol as p
from shared.clock import Now
from shared.domain import JobId, OnUnknown, SubmissionId, Verdict
from shared.store.read import Install
from shared.store.write import Store
from shared.wire import Letter

NUMBERS = itertools.count(1)
START = Now(mono=1000.0, wall=1_800_000_000.0)


class Desk:
    """Talks with a writer as the other actors do; `vfs` is SQLite's view of the disk."""

    vfs = ""

    def __init__(self, path: Path, on_unknown: OnUnknown = OnUnknown.CONFIRM_THEN_RESEND) -> None:
        self.path = path
        self.on_unknown = on_unknown
        self.now = START
        self.install = ""
        self.claims = 0
        self.open()

    def open(self, boot: str = "boot-1") -> None:
        self.store = Store(self.path, vfs=self.vfs)
        found(self.store, Install("0a1b2c3d", b"secret"), self.now.ms)
        self.install = (self.store.row("install") or ("",))[0]
        rules = Rules(boot, 7, 24.0, self.on_unknown, 300_000)
        self.writer = WriterActor(self.store, rules)

    def restart(self, boot: str = "boot-1") -> None:
        self.store.close()
        self.open(boot)

    def wait(self, seconds: float) -> list[Letter]:
        self.now = Now(self.now.mono + seconds, self.now.wall + seconds)
        return list(self.writer.tick(self.now))

    def say(self, *messages: p.Message) -> list[p.Message]:
        for message in messages:
            assert list(self.writer.receive(message, self.now)) == []
        return [letter.message for letter in self.writer.settle(self.now)]

    def ask(self, message: p.Message, kind: type) -> p.Message:
        (answer,) = [answer for answer in self.say(message) if isinstance(answer, kind)]
        return answer

    def submit(self, emails: Iterable[str], topic: str | None = "news", **more) -> p.Message:
        number = more.pop("number", f"sub-{next(NUMBERS)}")
        content = more.pop("content", "<h1>Hi</h1>")
        mail = p.Mail(topic, "Subject", content, tuple(emails), urgent=more.pop("urgent", False))
        message = p.Submit(
            reply_to="api",
            submission=SubmissionId(number),
            deadline=more.pop("deadline", self.now.mono + 5),
            began_mono=self.now.mono,
            accepted_at=self.now.ms,
            scheduled_at=more.pop("scheduled_at", None),
            mails=more.pop("mails", (mail,)),
            tally=p.Tally(0, 0),
            **more,
        )
        (answer,) = [a for a in self.say(message) if isinstance(a, p.Stored | p.NotStored)]
        return answer

    def topic_id(self, name: str = "news") -> int:
        return self.store.row("topic_by_name", (name,))[0]

    def claim(self, jobs: int = 1, size: int = 1, topic: str = "news", **more) -> list[p.Job]:
        self.claims += 1
        claim = p.Claim(
            claim=more.get("claim", self.claims),
            sender=more.get("sender", "sender-0"),
            sender_epoch=more.get("epoch", 1),
            topic=1 if topic is None else self.topic_id(topic),
            urgent=more.get("urgent", False),
            jobs=jobs,
            size=size,
        )
        answer = self.ask(p.ClaimWork(1, (claim,)), p.WorkClaimed)
        self.claimed = answer.claimed[0]
        return list(self.claimed.jobs)

    def gate(self, *jobs: p.Job, epoch: int = 1) -> list[p.Gate]:
        wanted = tuple(job.job for job in jobs)
        return list(self.ask(p.AskGate("sender-0", epoch, wanted), p.GateOpened).gates)

    def outcome(self, job: p.Job, verdict: Verdict | None, epoch: int = 1, **more) -> p.Message:
        answers = tuple(
            p.Answer(
                recipient=who.recipient,
                verdict=verdict,
                at=self.now.ms,
                message_id=more.get("message_id", f"ses-{who.recipient}")
                if verdict is Verdict.ACCEPTED
                else "",
                code=more.get("code", "" if verdict is Verdict.ACCEPTED else "Code"),
                detail=more.get("detail", "words"),
            )
            for who in job.addressees
            if verdict is not None
        )
        outcomes = (p.Outcome(JobId(job.job), answers),)
        return self.ask(p.RecordOutcomes("sender-0", epoch, 1, outcomes), p.OutcomesRecorded)

    def send_all(self, topic: str = "news", verdict: Verdict = Verdict.ACCEPTED) -> None:
        for job in self.claim(jobs=1000, topic=topic):
            self.gate(job)
            self.outcome(job, verdict)

    def order(self, kind: type, *values, topic: str = "news", **more) -> p.Message:
        """Give an order over a topic (a number: over a recipient); each is a new one."""
        number = more.pop("order", f"order-{next(NUMBERS)}")
        (answer,) = [
            answer
            for answer in self.say(kind("api", number, *(values or (topic,)), **more))
            if isinstance(answer, p.TopicCancelled | p.OrderDone | p.OrderRefused)
        ]
        return answer

    def sweep(self, steps: int = 20) -> None:
        """Let the rows follow the orders, in steps; time hardly passes."""
        for _ in range(steps):
            self.wait(0.02)

    def list_address(self, email: str) -> None:
        """Put an address (lower case) on the suppression list."""
        entry = p.Suppression(email)
        self.say(p.Suppress("api", f"order-{next(NUMBERS)}", (entry,)))

    def states(self) -> dict[int, str]:
        """Answer every recipient's state by its id, as the ancestor's view words it."""
        return dict(self.sql("SELECT id, status FROM email_request"))

    def counts(self, topic: str = "news") -> dict[str, int]:
        """Answer the non-zero counters of a topic; they must equal a recount of the rows."""
        from shared.store.read import Reader

        reader = Reader(self.path)
        counted = {k: v for k, v in reader.topic(topic).requests.items() if v}
        rows = self.sql(
            "SELECT status, count(*) FROM email_request WHERE topic_id = ? GROUP BY 1", topic
        )
        assert counted == dict(rows)
        return counted

    def results(self, topic: str = "news") -> dict[str, int]:
        from shared.store.read import Reader

        return Reader(self.path).topic(topic).results

    def sql(self, statement: str, *values) -> list[tuple]:
        from shared.store.open import open_reader

        connection = open_reader(self.path)
        try:
            return list(connection.execute(statement, values))
        finally:
            connection.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "writer.db")
    yield desk
    desk.store.close()
