"""A seeded load for one writer: what API, scheduler, sender and results would say to it."""

import hashlib
import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec.structs import replace

from scripts.benches.diary import Diary
from services.writer.actor import WriterActor
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, JobId, RecipientId, SubmissionId, Verdict
from shared.wire import Letter

TOPICS = ("red", "green", "blue", "black")
VERDICTS = (
    *[Verdict.ACCEPTED] * 16,
    *[Verdict.PERMANENT] * 3,
    Verdict.THROTTLED,
    Verdict.NOT_SENT,
    Verdict.UNKNOWN,
)
KINDS = (Feedback.SEND, Feedback.DELIVERY, Feedback.OPEN, Feedback.CLICK)
SENDER = "sender-0"


class Sizes(NamedTuple):
    """How large what is submitted may be; one submission in `rarely` is a large list."""

    recipients: int = 24
    list: int = 400
    rarely: int = 25
    content: int = 40_000


class Traffic:
    """Talks with a writer turn by turn; what it knows outlives the writer, like the other actors.

    `topic_id` answers the number of a topic, None if there is none of that name yet.
    """

    def __init__(self, dice: random.Random, sizes: Sizes | None = None) -> None:
        self.diary = Diary()
        self.epoch = 0
        self._dice = dice
        self._sizes = sizes or Sizes()
        self._count = 0
        self._emails: dict[int, str] = {}
        self._leased: list[JobId] = []
        self._may_call: dict[JobId, tuple[int, ...]] = {}
        self._unheard: list[p.RecordOutcomes] = []

    def turn(self, writer: WriterActor, now: Now, topic_id: Callable[[str], int | None]) -> None:
        """Say a few things at once and hear the answers; a power cut comes through as it is."""
        said = [message for _ in range(self._dice.randint(1, 4)) for message in self._any(now)]
        said += self._claim(topic_id)
        self._talk(writer, said, now)
        if self._dice.random() < 0.3:
            self._hear(writer.tick(now))

    def reboot(self, writer: WriterActor, now: Now) -> None:
        """Come back after a cut: leases are void, the journal is lost or has some outcomes."""
        self.epoch += 1
        lost = [one for one in self._unheard if one.seq not in self.diary.acked_outcomes]
        self._unheard, self._leased, self._may_call = [], [], {}
        hello = p.Hello(SENDER, self.epoch, self._dice.choice([None, ()]))
        replay = [one for one in lost if self._dice.random() < 0.5]
        if self._dice.random() < 0.5:
            self._hear(writer.tick(now))
            self._talk(writer, [hello], now)
        else:
            self._talk(writer, [hello], now)
            self._hear(writer.tick(now))
        self._talk(writer, [self._again(one) for one in replay], now)

    def ask_again(self, writer: WriterActor, now: Now) -> None:
        """Repeat what got no answer, as clients do, and some of what did."""
        diary = self.diary
        keys = {one.idempotency.key for one in diary.submits.values() if one.idempotency}
        for key in sorted(keys - diary.told.keys()):
            submit = next(
                one
                for one in reversed(diary.submits.values())
                if one.idempotency and one.idempotency.key == key
            )
            if self._dice.random() < 0.7:
                number = SubmissionId(self._name("again"))
                again = replace(submit, submission=number, deadline=now.mono + 60)
                self._talk(writer, [again], now)
        # A replay stored nothing under its own number.
        originals = [one.original for one in diary.stored.values() if not one.replayed]
        known: list[p.Message] = [p.LookUp("api", number) for number in originals]
        known += [diary.orders[number] for number in diary.done]
        posts = [post for number, post in diary.posts.items() if number in diary.acked_posts]
        known += [p.RecordEvents(self.epoch, (post,)) for post in posts]
        self._talk(writer, self._dice.sample(known, min(3, len(known))), now)

    def _talk(self, writer: WriterActor, said: list[p.Message], now: Now) -> None:
        for message in said:
            self.diary.say(message)
            writer.receive(message, now)
        self._hear(writer.settle(now))

    def _hear(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            message = letter.message
            self.diary.hear(message)
            match message:
                case p.WorkClaimed():
                    jobs = [job for one in message.claimed for job in one.jobs]
                    self._leased += [job.job for job in jobs]
                    self._emails |= {w.recipient: w.email for job in jobs for w in job.addressees}
                case p.GateOpened():
                    self._may_call |= {g.job: g.recipients for g in message.gates if g.recipients}
                case _:
                    pass

    def _any(self, now: Now) -> list[p.Message]:
        say = self._dice.choices(
            (self._submit, self._gate, self._outcome, self._event, self._order),
            (4, 4, 5, 4, 1),
        )[0]
        return say(now)

    def _name(self, word: str) -> str:
        self._count += 1
        return f"{word}-{self._count}"

    def _submit(self, now: Now) -> list[p.Message]:
        dice, sizes = self._dice, self._sizes
        name = self._name("submission")
        is_list = dice.randrange(sizes.rarely) == 0
        count = sizes.list if is_list else dice.randint(1, sizes.recipients)
        emails = tuple(f"{name}.{n}@example.com" for n in range(count))
        text = dice.choice("abcde") * dice.choice([50, 500, 5000, sizes.content])
        mail = p.Mail(dice.choice(TOPICS), "Subject", text, emails, urgent=dice.random() < 0.2)
        return [
            p.Submit(
                reply_to="api",
                submission=SubmissionId(name),
                deadline=now.mono + 60,
                began_mono=now.mono,
                accepted_at=now.ms,
                scheduled_at=None,
                mails=(mail,),
                tally=p.Tally(0, 0),
                idempotency=p.IdempotencyKey(hashlib.sha256(name.encode()).digest(), b"body"),
            )
        ]

    def _claim(self, topic_id: Callable[[str], int | None]) -> list[p.Message]:
        topic = topic_id(self._dice.choice(TOPICS))
        if topic is None or len(self._leased) > 20:
            return []
        self._count += 1
        number = self.epoch * 1_000_000 + self._count
        urgent = self._dice.random() < 0.3
        size = self._dice.choice([1, 1, 10])
        return [
            p.ClaimWork(1, (p.Claim(number, SENDER, self.epoch, topic, urgent, 6, size),)),
        ]

    def _gate(self, _now: Now) -> list[p.Message]:
        wanted = self._leased[:8]
        self._leased = self._leased[8:]
        return [p.AskGate(SENDER, self.epoch, tuple(wanted))] if wanted else []

    def _outcome(self, now: Now) -> list[p.Message]:
        """Say what became of some calls; one in ten is never heard of again."""
        jobs = [job for job in list(self._may_call)[:6] if self._dice.random() < 0.8]
        outcomes = []
        for job in jobs:
            recipients = self._may_call.pop(job)
            if self._dice.random() < 0.1:
                continue
            answers = tuple(self._answer(job, who, now) for who in recipients)
            outcomes.append(p.Outcome(job, answers))
        if not outcomes:
            return []
        self._count += 1
        message = p.RecordOutcomes(SENDER, self.epoch, self._count, tuple(outcomes))
        self._unheard.append(message)
        return [message]

    def _answer(self, job: JobId, recipient: int, now: Now) -> p.Answer:
        verdict = self._dice.choice(VERDICTS)
        number = f"ses-{recipient}-{job}" if verdict is Verdict.ACCEPTED else ""
        code = "" if number else "Code"
        return p.Answer(RecipientId(recipient), verdict, now.ms, number, code, code)

    def _again(self, message: p.RecordOutcomes) -> p.RecordOutcomes:
        """Say the outcomes of a journal: of this epoch, under a number of their own."""
        self._count += 1
        return replace(message, epoch=self.epoch, seq=self._count)

    def _event(self, now: Now) -> list[p.Message]:
        """Say what SES says of mails it has, also before their call's end."""
        accepted = list(self.diary.maybe_sent.items())[-60:]
        events = []
        for recipient, number in self._dice.sample(accepted, min(len(accepted), 5)):
            email = self._emails[recipient]
            at = now.ms + self._dice.randrange(1000)
            kind = self._dice.choice(KINDS)
            events.append(p.Event(kind, email, number, at, now.ms, RecipientId(recipient)))
        if not events:
            return []
        name = self._name("post")
        return [p.RecordEvents(self.epoch, (p.EventPost(name, f"sns-{name}", tuple(events)),))]

    def _order(self, _now: Now) -> list[p.Message]:
        topic, order = self._dice.choice(TOPICS), self._name("order")
        kinds = [p.PauseTopic, p.ResumeTopic, p.ResumeTopic, p.RetryFailed, p.CancelTopic]
        kind = self._dice.choice([*kinds, p.SetRate])
        if kind is p.SetRate:
            return [p.SetRate("api", order, float(self._dice.randint(1, 1000)))]
        return [kind("api", order, topic)]
