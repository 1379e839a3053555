"""What was said to a writer and what it acknowledged: no power cut takes this memory."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from scripts.benches.facts import Cancelled, Clients, Posted, Told
from shared import protocol as p
from shared.domain import FEEDBACK_WORDS, JobId, RecipientId, SubmissionId, Verdict

EventKey: TypeAlias = tuple[int, int, int]
"""Recipient, kind and time: what makes an event this one."""


class Last(NamedTuple):
    """What was said last of a recipient: "gate" or a verdict; `sure` once that is acknowledged."""

    word: str
    sure: bool


class Diary:
    """Notes every message before it is said, and every answer when it has come."""

    def __init__(self) -> None:
        self.submits: dict[SubmissionId, p.Submit] = {}
        self.stored: dict[SubmissionId, p.Stored] = {}
        self.told: dict[bytes, Told] = {}
        self.refused: set[str] = set()
        self.posts: dict[str, p.EventPost] = {}
        self.acked_posts: set[str] = set()
        self.events: dict[EventKey, p.Event] = {}
        self.acked_events: set[EventKey] = set()
        self.orders: dict[str, p.Order] = {}
        self.done: dict[str, p.Ordered] = {}
        self.paused: dict[str, tuple[bool, bool]] = {}
        self.covered: dict[str, set[int]] = defaultdict(set)
        self.rate: tuple[float | None, bool] = (None, True)
        self.retried: set[str] = set()
        self.failed_once: set[int] = set()
        self.jobs: dict[JobId, p.Job] = {}
        self.gated: dict[RecipientId, set[JobId]] = defaultdict(set)
        self.outcomes: dict[int, p.RecordOutcomes] = {}
        self.acked_outcomes: set[int] = set()
        self.last: dict[int, Last] = {}
        self.sent: dict[int, str] = {}
        self.maybe_sent: dict[int, str] = {}
        self.contradicted: list[str] = []

    # ── before ──

    def say(self, message: p.Message) -> None:
        """Note what is about to be said: from now on it may have happened."""
        match message:
            case p.Submit():
                self.submits[message.submission] = message
            case p.RecordEvents():
                self._say_events(message)
            case p.AskGate():
                for who in (who for job in message.jobs for who in self.jobs[job].addressees):
                    self.last[who.recipient] = Last("gate", sure=False)
            case p.RecordOutcomes():
                self._say_outcomes(message)
            case _ if isinstance(message, p.Order):
                self._say_order(message)
            case _:
                pass

    def _say_events(self, message: p.RecordEvents) -> None:
        for post in message.posts:
            self.posts[post.post] = post
            for event in post.events:
                self.events[key_of(event)] = event
                self.maybe_sent[event.recipient or 0] = event.message_id

    def _say_outcomes(self, message: p.RecordOutcomes) -> None:
        self.outcomes[message.seq] = message
        for answer in _answers(message):
            self.last[answer.recipient] = Last(answer.verdict.value, sure=False)
            if answer.verdict is Verdict.ACCEPTED:
                self.maybe_sent[answer.recipient] = answer.message_id
            elif answer.verdict is Verdict.PERMANENT:
                self.failed_once.add(answer.recipient)

    def _say_order(self, message: p.Order) -> None:
        is_new = message.order not in self.orders
        self.orders[message.order] = message
        match message:
            case p.PauseTopic() | p.ResumeTopic() if is_new:
                self.paused[message.topic] = (isinstance(message, p.PauseTopic), False)
            case p.SetRate() if is_new:
                self.rate = (message.rate, False)
            case p.RetryFailed():
                self.retried.add(message.topic)
            case _:
                pass

    # ── after ──

    def hear(self, message: p.Message) -> None:
        """Note an answer: what it acknowledges is for ever."""
        match message:
            case p.Stored():
                self._hear_stored(message)
            case p.NotStored():
                mails = self.submits[message.submission].mails
                self.refused |= {email for mail in mails for email in mail.emails}
            case p.WorkClaimed():
                jobs = [job for claimed in message.claimed for job in claimed.jobs]
                self.jobs |= {job.job: job for job in jobs}
            case p.GateOpened():
                self._hear_gates(message)
            case _:
                self._hear_rest(message)

    def _hear_rest(self, message: p.Message) -> None:
        match message:
            case p.EventsRecorded():
                self.acked_posts |= set(message.posts)
                events = [event for post in message.posts for event in self.posts[post].events]
                self.acked_events |= {key_of(event) for event in events}
                self.sent |= {event.recipient or 0: event.message_id for event in events}
            case p.OutcomesRecorded():
                for number in message.seqs:
                    self._hear_outcomes(number)
            case p.TopicCancelled() | p.OrderDone():
                self._hear_order(message)
            case _:
                pass

    def _hear_stored(self, answer: p.Stored) -> None:
        submit = self.submits[answer.submission]
        former = self.stored.get(answer.submission)
        if former is not None and former != answer:
            self.contradicted.append(f"{answer.submission}: first {former}, then {answer}")
        self.stored[answer.submission] = answer
        assert submit.idempotency is not None, "every submission of the load has a key"
        mail, first = submit.mails[0], answer.firsts[0]
        told = Told(mail.topic or "", dict(enumerate(mail.emails, first)))
        self.refused -= set(mail.emails)  # refused before, stored when it was said again
        if self.told.setdefault(submit.idempotency.key, told) != told:
            self.contradicted.append(f"{answer.submission} is told other ids than its original")

    def _hear_gates(self, message: p.GateOpened) -> None:
        for gate in message.gates:
            for recipient in gate.recipients:
                self.gated[recipient].add(gate.job)
                self.last[recipient] = Last("gate", sure=True)

    def _hear_outcomes(self, number: int) -> None:
        self.acked_outcomes.add(number)
        for answer in _answers(self.outcomes[number]):
            self.last[answer.recipient] = Last(answer.verdict.value, sure=True)
            if answer.verdict is Verdict.ACCEPTED:
                self.sent[answer.recipient] = answer.message_id

    def _hear_order(self, answer: p.TopicCancelled | p.OrderDone) -> None:
        order, former = self.orders[answer.order], self.done.get(answer.order)
        if former is not None:
            if former != answer:
                self.contradicted.append(f"{answer.order}: first {former}, then {answer}")
            return
        self.done[answer.order] = answer
        match order:
            case p.PauseTopic() | p.ResumeTopic():
                self.paused[order.topic] = (isinstance(order, p.PauseTopic), True)
            case p.SetRate():
                self.rate = (order.rate, True)
            case p.CancelTopic():
                told = [told for told in self.told.values() if told.topic == order.topic]
                self.covered[order.topic] |= {number for one in told for number in one.recipients}
            case _:
                pass

    # ── for the oracle ──

    def clients(self) -> Clients:
        """Answer what all clients were told, as the oracle wants it; a cancel may have happened."""
        heard = {told for one in self.told.values() for told in one.recipients.values()}
        unheard = {
            mail.emails[0]: frozenset(mail.emails)
            for submit in self.submits.values()
            for mail in submit.mails
            if mail.emails[0] not in heard and mail.emails[0] not in self.refused
        }
        cancels = [order for order in self.orders.values() if isinstance(order, p.CancelTopic)]
        return Clients(
            tuple(self.told.values()),
            tuple(Cancelled(order.topic, 0, 0, 0) for order in cancels),
            frozenset(self.refused),
            tuple(unheard.values()),
        )

    def posted(self) -> dict[str, Posted]:
        """Answer how many events of each kind were said, and how many acknowledged."""
        return {
            word: Posted(
                sum(kind == key[1] for key in self.events),
                sum(kind == key[1] for key in self.acked_events),
            )
            for kind, word in FEEDBACK_WORDS.items()
        }


def key_of(event: p.Event) -> EventKey:
    """Name an event of a recipient we know."""
    return (event.recipient or 0, int(event.kind), event.at)


def _answers(message: p.RecordOutcomes) -> Iterable[p.Answer]:
    return (answer for outcome in message.outcomes for answer in outcome.answers)
