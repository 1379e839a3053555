"""Gates and leases: who may call SES, once, for whom; and what becomes of a sender's jobs."""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from services.writer import suppressions, suspects
from services.writer.account import Account
from services.writer.book import Book, Lease
from services.writer.moves import give_back, lease_of, standings, to_stopped
from shared.domain import Cause, JobId, RecipientId, State
from shared.protocol import AskGate, Content, Gate, GateOpened, Hello, Holding, Welcome
from shared.store.write import Row, ids
from shared.wire import Letter

HELD_WITHIN_S = 5.0
"""A job claimed this long ago that its sender does not name was lost on the way."""


class Asked(NamedTuple):
    """A job that is at the gate: whether it may go at all, and who of it."""

    lease: Lease
    may_go: bool
    recipients: list[int]


def open_gates(book: Book, message: AskGate, boot: str, account: Account) -> Letter:
    """Record an attempt for each job that may go and name its recipients.

    A job that may not go gets no recipients. If it has no attempt yet it is over here and now;
    if it has one, its lease stands until the sender says what became of it. So it is with single
    recipients whose address was put on the suppression list.
    """
    values = (ids(message.jobs), message.sender, message.epoch, book.now.ms)
    asked = _read(book, book.store.rows("leases_of", values), boot)
    account.quota_left(book.now)  # looked up once, then counted down gate by gate
    gates = tuple(
        _open(book, asked[job], account) if job in asked else Gate(job, ()) for job in message.jobs
    )
    _write_attempts(book, asked, [gate for gate in gates if gate.recipients])
    return Letter(message.sender, GateOpened(message.epoch, gates))


def _read(book: Book, rows: list[Row], boot: str) -> dict[JobId, Asked]:
    leases = {row[0]: lease_of(row) for row in rows}
    leased = [who for lease in leases.values() for who in lease.recipients]
    listed = set(suppressions.blocked(book, leased))
    if listed:
        _suppress(book, leases.values(), listed)
    able = {row[0] for row in book.store.rows("leased", (ids(leased),))} - listed
    asked = {}
    for job, *_, is_cancelled, deadline, lease_boot, waits in rows:
        is_current = deadline > book.now.mono and lease_boot == boot
        going = [who for who in leases[job].recipients if who in able]
        may_go = is_current and not is_cancelled and not waits and bool(going)
        asked[job] = Asked(leases[job], may_go, going)
    return asked


def _suppress(book: Book, leases: Iterable[Lease], listed: set[int]) -> None:
    """Take listed recipients out of jobs without an attempt; one with it may be in the air."""
    found = [who for lease in leases if lease.gated_at is None for who in lease.recipients]
    for who in standings(book, listed.intersection(found)).values():
        if who.state is State.PROCESSED:
            to_stopped(book, who, Cause.LISTED)


def _open(book: Book, asked: Asked, account: Account) -> Gate:
    lease, may_go, going = asked
    if not may_go or not account.may_send(lease, len(going), book.now):
        if lease.gated_at is None:
            give_back(book, lease)
        return Gate(JobId(lease.job), ())
    if lease.gated_at is None:
        account.count_gated(len(going))
    return Gate(JobId(lease.job), tuple(RecipientId(recipient) for recipient in going))


def _write_attempts(book: Book, asked: dict[JobId, Asked], gates: list[Gate]) -> None:
    # A renewal is the same attempt, made later: what is known of its time is the newest gate.
    book.store.run("open_gates", (book.now.ms, ids(gate.job for gate in gates)))
    fresh = (gate.recipients for gate in gates if asked[gate.job].lease.gated_at is None)
    book.store.run("count_attempts", (ids(chain.from_iterable(fresh)),))


def welcome(book: Book, message: Hello, boot: str) -> Letter:
    """Settle what earlier epochs of a sender held; its journal has been replayed.

    The journal survives the end of a process, not of the machine: only for a lease of this boot
    does it prove that a call never began. What a machine that went down had in hand is not to blame
    for it; an orderly end leaves nothing in hand.
    """
    rows = book.store.rows("former_leases", (message.sender, message.epoch, boot))
    leases = [(lease_of(row), row[7] == boot) for row in rows]
    in_hand = [who for lease, is_ours in leases if is_ours for who in lease.recipients]
    fates = suspects.mourn(book, message, in_hand)
    for lease, is_ours in leases:
        is_told = message.started is not None and is_ours
        if is_told and lease.job not in (message.started or ()):
            give_back(book, lease._replace(gated_at=None), fates)
        else:
            give_back(book, lease, fates)
    install = book.store.row("install")
    assert install is not None, "the writer makes it before it takes mail"
    return Letter(message.sender, Welcome(message.epoch, *install))


def reconcile(book: Book, message: Holding) -> None:
    """Give back what was leased to a sender and never reached it."""
    limit = book.now.mono - HELD_WITHIN_S
    for row in book.store.rows("idle_leases", (message.sender, limit)):
        if row[0] not in message.jobs:
            give_back(book, lease_of(row))


def expire(book: Book, boot: str) -> None:
    """Take back leases past their deadline and those of another boot."""
    for row in book.store.rows("overdue_leases", (book.now.mono, boot)):
        give_back(book, lease_of(row))


def contents(book: Book, sender: str, wanted: tuple[int, ...]) -> list[Letter]:
    """Answer the contents a sender lacks."""
    rows = book.store.rows("content", (ids(wanted),))
    return [Letter(sender, Content(*row)) for row in rows]
