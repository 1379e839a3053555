"""A writer in this process on a database of its own, taken through a mail's life by the list."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from scripts.speed.bed import letter, recipients
from services.writer.actor import WriterActor
from services.writer.apply import Rules
from services.writer.founding import found
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, OnUnknown, RecipientId, SubmissionId, Verdict
from shared.store import sql
from shared.store.read import Install
from shared.store.write import Store

LIST = 10_000
"""Recipients of a submission."""

JOB = 50
"""Recipients of a call of SendBulkEmail."""

JOBS_AT_ONCE = 20
"""Jobs of a claim, of a gate and of an outcome's message."""

POSTS_AT_ONCE = 100
SENDER = "sender-0"
TOPIC = "news"
START = Now(mono=1_000.0, wall=1_800_000_000.0)
KINDS = (Feedback.SEND, Feedback.DELIVERY)

_STATEMENTS = sql.load(str(Path(__file__).with_name("rows.sql")))

Wanted = TypeVar("Wanted", bound=p.Message)


def message_id(recipient: int) -> str:
    """Make an id as SES makes them: 60 characters, of which the first tell the time."""
    at = START.ms + recipient // 1000
    return f"{at:016x}-{recipient:08x}-5e6f-7a8b-9c0d-{recipient:012x}-000000"


class Ledger:
    """A database and its writer; nothing else runs, time stands still but for a tick a step."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now = START
        self._store = Store(path)
        found(self._store, Install("0a1b2c3d", b"secret"), self._now.ms)
        rules = Rules("boot", 1, None, OnUnknown.CONFIRM_THEN_RESEND, 300_000)
        self._writer = WriterActor(self._store, rules)
        self._numbers = itertools.count(1)
        self._html = letter()

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def fill(self, rows: int) -> None:
        """Store so many recipients, and make them Sent with two events each, as if all was over."""
        if not rows:
            return
        connection = apsw.Connection(str(self._path))
        connection.pragma("synchronous", "off")
        for _ in range(0, rows, LIST):
            first = self.ingest()
            values = {"first": first, "last": first + LIST - 1, "now": self._now.ms, "topic": TOPIC}
            with connection:
                for statement in _STATEMENTS.values():
                    connection.execute(statement, values)
        connection.close()
        self._checkpoint()

    def ingest(self) -> int:
        """Submit a list to one topic; answer its first recipient."""
        number = next(self._numbers)
        mail = p.Mail(TOPIC, "Bench", self._html, tuple(recipients(LIST, f"list{number}")))
        submit = p.Submit(
            reply_to="api",
            submission=SubmissionId(f"submission-{number}"),
            deadline=self._now.mono + 5,
            began_mono=self._now.mono,
            accepted_at=self._now.ms,
            scheduled_at=None,
            mails=(mail,),
            tally=p.Tally(0, 0),
        )
        return self._ask(submit, p.Stored).firsts[0]

    def claim(self) -> list[p.Job]:
        """Claim a list's worth, some jobs at once."""
        row = self._store.row("topic_by_name", (TOPIC,))
        assert row is not None, "a list was stored"
        jobs: list[p.Job] = []
        while len(jobs) < LIST // JOB:
            wish = p.Claim(
                claim=next(self._numbers),
                sender=SENDER,
                sender_epoch=1,
                topic=row[0],
                urgent=False,
                jobs=JOBS_AT_ONCE,
                size=JOB,
            )
            taken = self._ask(p.ClaimWork(1, (wish,)), p.WorkClaimed).claimed[0].jobs
            assert taken, "all of the list can be claimed"
            jobs += taken
        return jobs

    def gate(self, jobs: Sequence[p.Job]) -> None:
        """Ask leave for every job."""
        for some in _pieces(jobs):
            asked = p.AskGate(SENDER, 1, tuple(job.job for job in some))
            gates = self._ask(asked, p.GateOpened).gates
            assert all(gate.recipients for gate in gates), "each may go"

    def outcome(self, jobs: Sequence[p.Job]) -> None:
        """Say that SES accepted all of them."""
        for some in _pieces(jobs):
            outcomes = tuple(p.Outcome(job.job, self._answers(job)) for job in some)
            number = next(self._numbers)
            self._ask(p.RecordOutcomes(SENDER, 1, number, outcomes), p.OutcomesRecorded)

    def _answers(self, job: p.Job) -> tuple[p.Answer, ...]:
        at = self._now.ms
        return tuple(
            p.Answer(who.recipient, Verdict.ACCEPTED, at, message_id(who.recipient))
            for who in job.addressees
        )

    def hear(self, jobs: Sequence[p.Job]) -> None:
        """Say that each was sent and delivered, an event a post."""
        people = [(who.recipient, who.email) for job in jobs for who in job.addressees]
        for kind in KINDS:
            posts = [self._post(kind, who, email) for who, email in people]
            for first in range(0, len(posts), POSTS_AT_ONCE):
                some = tuple(posts[first : first + POSTS_AT_ONCE])
                self._ask(p.RecordEvents(1, some), p.EventsRecorded)

    def _post(self, kind: Feedback, who: RecipientId, email: str) -> p.EventPost:
        at = self._now.ms
        event = p.Event(kind, email, message_id(who), at + 500, at, who, 1)
        name = f"{kind}-{who}"
        return p.EventPost(name, name, (event,))

    def octets(self) -> int:
        """Answer the size of the file with everything in it."""
        self._checkpoint()
        return self._path.stat().st_size

    def _checkpoint(self) -> None:
        connection = apsw.Connection(str(self._path))
        connection.pragma("wal_checkpoint(truncate)")
        connection.close()

    def _ask(self, message: p.Message, kind: type[Wanted]) -> Wanted:
        """Say one thing, in a transaction of its own, and answer what the writer answers."""
        self._now = Now(self._now.mono + 0.001, self._now.wall + 0.001)
        self._writer.receive(message, self._now)
        said = [letter.message for letter in self._writer.settle(self._now)]
        return next(answer for answer in said if isinstance(answer, kind))


def _pieces(jobs: Sequence[p.Job]) -> Iterator[Sequence[p.Job]]:
    for first in range(0, len(jobs), JOBS_AT_ONCE):
        yield jobs[first : first + JOBS_AT_ONCE]
