"""Every message the writer takes, and the function that writes it."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from services.writer import claims, events, evidence, gates, orders, outcomes, submissions
from services.writer.account import Account
from services.writer.book import Book
from services.writer.reputation import PauseAt
from services.writer.retention import Keep
from shared import protocol as p
from shared.domain import OnUnknown
from shared.wire import Letter


class Rules(NamedTuple):
    """What the settings and the boot say, for every message alike."""

    boot: str
    epoch: int
    rate: float | None
    on_unknown: OnUnknown
    unknown_after_ms: int
    keep: Keep = Keep()
    pause_at: PauseAt = PauseAt()


COUNTING = (p.Submit, p.ClaimWork, p.RecordOutcomes, p.RecordEvents)
"""Messages that add to counters and read none: what others counted need not be written before."""


def apply_all(
    messages: Iterable[p.Message], book: Book, account: Account, rules: Rules
) -> Iterator[Letter]:
    """Write messages in their order, submissions in a row together."""
    for is_submit, some in groupby(messages, key=lambda message: isinstance(message, p.Submit)):
        if is_submit:
            submits = [message for message in some if isinstance(message, p.Submit)]
            yield from submissions.submit(book, submits)
            continue
        for message in some:
            if not isinstance(message, COUNTING):
                book.write()
            yield from _apply(message, book, account, rules)


def _apply(message: p.Message, book: Book, account: Account, rules: Rules) -> Iterator[Letter]:
    match message:
        case p.AskGate():
            yield gates.open_gates(book, message, rules.boot, account)
        case p.RecordOutcomes():
            outcomes.record(book, message, account)
            yield Letter(message.sender, p.OutcomesRecorded(message.epoch, (message.seq,)))
        case p.ClaimWork():
            yield _claim(book, message, account, rules)
        case p.RecordEvents():
            events.record(book, message.posts)
            posts = tuple(post.post for post in message.posts)
            yield Letter("results", p.EventsRecorded(message.epoch, posts))
        case p.Hello():
            yield gates.welcome(book, message, rules.boot)
        case p.Holding():
            gates.reconcile(book, message)
        case _ if isinstance(message, p.Order):
            yield orders.carry_out(book, message, account)
        case _:
            yield from _apply_rest(message, book, account)


def _apply_rest(message: p.Message, book: Book, account: Account) -> Iterator[Letter]:
    match message:
        case p.AskContent():
            yield from gates.contents(book, message.sender, message.contents)
        case p.LookUp():
            yield submissions.look_up(book, message)
        case p.RecordOpens():
            events.record_opens(book, message)
            yield Letter(message.reply_to, p.OpensRecorded(message.epoch, message.seq))
        case p.AccountRead():
            account.take_read(message, book.now)
        case p.BulkRefused():
            account.bulk.refuse(message.reason, book.now)
        case p.EarOpen():
            evidence.hear(book)
        case _:
            raise TypeError(f"the writer takes no {type(message).__name__}")


def _claim(book: Book, message: p.ClaimWork, account: Account, rules: Rules) -> Letter:
    """Answer every claim; while the account is held one probe goes through at its time."""
    claimed = []
    for claim in message.claims:
        lane_waits = account.bulk.is_paused and not claim.urgent
        allowed = account.jobs_allowed(book.now, claim.urgent)
        most = claim.jobs if allowed is None else allowed
        taken = claims.claim(book, claim, rules.boot, None if lane_waits else most)
        if allowed and taken.jobs:
            account.begin_probe(taken.jobs[0].job, book.now)
        claimed.append(taken)
    return Letter("scheduler", p.WorkClaimed(message.epoch, tuple(claimed)))
