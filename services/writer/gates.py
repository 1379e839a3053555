"""Gates and leases: who may call SES, once, for whom; and what becomes of a sender's jobs."""

from services.writer.account import Account
from services.writer.book import Book
from services.writer.moves import give_back, lease_of
from shared.domain import JobId, RecipientId
from shared.protocol import AskGate, Content, Gate, GateOpened, Hello, Holding, Welcome
from shared.store.write import Row, ids
from shared.wire import Letter

HELD_WITHIN_S = 5.0
"""A job claimed this long ago that its sender does not name was lost on the way."""


def open_gates(book: Book, message: AskGate, boot: str, account: Account) -> Letter:
    """Record an attempt for each job that may go and name its recipients.

    A job that may not go gets no recipients. If it has no attempt yet it is over here and now;
    if it has one, its lease stands until the sender says what became of it.
    """
    rows = book.store.rows("leases_of", (ids(message.jobs), message.sender, message.epoch))
    found = {row[0]: row for row in rows}
    gates = tuple(
        _open(book, job, found[job], boot, account) if job in found else Gate(job, ())
        for job in message.jobs
    )
    return Letter(message.sender, GateOpened(message.epoch, gates))


def _open(book: Book, job: JobId, row: Row, boot: str, account: Account) -> Gate:
    lease = lease_of(row)
    deadline, lease_boot = row[7], row[8]
    open_ids = [found[0] for found in book.store.rows("leased", (ids(lease.recipients),))]
    is_current = deadline > book.now.mono and lease_boot == boot and not lease.cancelled
    if not open_ids or not is_current or not account.may_send(lease, len(open_ids), book.now):
        if lease.gated_at is None:
            give_back(book, lease)
        return Gate(job, ())
    # A renewal is the same attempt, made later: what is known of its time is the newest gate.
    book.store.run("open_gate", (book.now.ms, job))
    if lease.gated_at is None:
        book.store.run("count_attempts", (ids(open_ids),))
        account.count_gated(len(open_ids))
    return Gate(job, tuple(RecipientId(recipient) for recipient in open_ids))


def welcome(book: Book, message: Hello, boot: str) -> Letter:
    """Settle what earlier epochs of a sender held; its journal has been replayed.

    The journal survives the end of a process, not of the machine: only for a lease of this boot
    does it prove that a call never began.
    """
    for row in book.store.rows("former_leases", (message.sender, message.epoch, boot)):
        lease, lease_boot = lease_of(row), row[7]
        is_told = message.started is not None and lease_boot == boot
        if is_told and lease.job not in (message.started or ()):
            lease = lease._replace(gated_at=None)
        give_back(book, lease)
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
