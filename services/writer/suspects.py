"""Suspects: what a sender had in hand when it died is tried apart, and put away if it kills again.

A sender that dies leaves its leases behind; any of that mail may have killed it, and most of it has
not. So all of it is counted. It goes back at once the first time. From the second time on it goes
back after a pause and alone, one such mail at a time among all senders: of many that died together
only the one that kills can be there a third and a fourth time. Then it is put away.

A sender that dies by a fault of its own must not empty the queue into Failed. A crash counts
against a mail only if SES has accepted another one since its last crash; and once it is tried
alone, only if no sender died meanwhile that had none of those in hand. There are no trials for a
while after any death, so that a sender that cannot live dies without one.
"""

import enum
from collections.abc import Collection, Iterable
from typing import NamedTuple

from services.writer.book import Book
from shared.protocol import Hello
from shared.store.write import ids

ALONE_AT = 2
"""So many crashes, and a mail is tried alone."""

QUARANTINE_AT = 4
"""So many, the last two of them alone, and it is not tried any more."""

QUIET_MS = 2_000
"""How long after a death nothing is tried alone."""

MOST_WAIT_MS = 60_000
"""A mail that was last seen to crash so long ago is tried however often senders die."""

NEXT_TRIAL_MS = 250
"""How often those that wait for another's trial ask whether it is over."""

CODE = "crashed_sender"


class Suspicion(NamedTuple):
    """What is held against one mail: `crashes` that count, and how things stood at the newest.

    `at` is its time (wall ms), `sent_ever` how many mails SES had accepted, `unexplained` how many
    senders had died with nothing in hand that was being tried alone.
    """

    crashes: int
    at: int
    sent_ever: int
    unexplained: int


class Fate(enum.Enum):
    """What becomes of a mail in the hand of a sender that died, if SES surely has not got it."""

    AT_ONCE = "back to the queue"
    LATER = "back to the queue, after a pause"
    QUARANTINE = "put away: Failed"


def blame(former: Suspicion | None, now_ms: int, sent_ever: int, unexplained: int) -> Suspicion:
    """Decide whether a crash counts against a mail that was in hand.

    `unexplained` does not have this very crash.
    """
    if former is None:
        return Suspicion(1, now_ms, sent_ever, unexplained)
    others_go = sent_ever > former.sent_ever
    others_live = former.crashes < ALONE_AT or unexplained == former.unexplained
    crashes = former.crashes + (others_go and others_live)
    return Suspicion(crashes, now_ms, sent_ever, unexplained)


def fate(former: Suspicion | None, found: Suspicion) -> Fate:
    """Decide what becomes of it."""
    if found.crashes >= QUARANTINE_AT:
        return Fate.QUARANTINE
    return Fate.AT_ONCE if former is None else Fate.LATER


def is_quiet(last_death: int, at: int, now_ms: int) -> bool:
    """Tell whether a mail that crashed last at `at` may be tried; a clock set back is no matter."""
    return not 0 <= now_ms - last_death < QUIET_MS or now_ms - at >= MOST_WAIT_MS


def mourn(book: Book, hello: Hello, recipients: Iterable[int]) -> dict[int, Fate]:
    """Count a sender's death against those it had in hand, and answer what becomes of each.

    It died once, however often its successor says Hello: what is found then was claimed too late to
    have been in its hand.
    """
    source = f"hello:{hello.sender}"
    if (book.store.row("applied", (source,)) or (0,))[0] == hello.epoch:
        return {}
    book.store.run("set_applied", (source, hello.epoch, 0))
    held = [row[0] for row in book.store.rows("leased", (ids(recipients),))]
    if not held:
        return {}
    former = {row[0]: Suspicion(*row[1:]) for row in book.store.rows("suspicions", (ids(held),))}
    _, unexplained = book.store.row("sender_death") or (0, 0)
    (sent_ever,) = book.store.row("sent_ever") or (0,)
    found = {who: blame(former.get(who), book.now.ms, sent_ever, unexplained) for who in held}
    if not any(one.crashes >= ALONE_AT for one in former.values()):
        unexplained += 1
    for who, one in found.items():
        book.store.run("set_suspicion", (who, *one._replace(unexplained=unexplained)))
    book.store.run("set_sender_death", (book.now.ms, unexplained))
    return {who: fate(former.get(who), one) for who, one in found.items()}


class Apart(NamedTuple):
    """What of due mail must not go with the rest: at most one is on trial, the others wait."""

    trial: int | None
    waiting: frozenset[int]


def set_apart(book: Book, due: Collection[int]) -> Apart:
    """Choose whom of those that are due to try alone now; the others get another turn soon."""
    rows = book.store.rows("suspected", (ids(due), ALONE_AT)) if due else []
    if not rows:
        return Apart(None, frozenset())
    last, _ = book.store.row("sender_death") or (0, 0)
    able = [who for who, at in rows if is_quiet(last, at, book.now.ms)]
    is_busy = book.store.row("trial", (ALONE_AT,)) is not None
    trial = None if is_busy or not able else able[0]
    waiting = frozenset(who for who, _ in rows if who != trial)
    if waiting:
        # While it is not quiet all wait for that; no trial begins before.
        turn = NEXT_TRIAL_MS if able else last + QUIET_MS - book.now.ms
        book.store.run("postpone_retries", (book.now.ms + turn, ids(waiting)))
    return Apart(trial, waiting)


def condemned(book: Book, recipients: Iterable[int]) -> set[int]:
    """Answer those of these that are not to be tried again."""
    return {row[0] for row in book.store.rows("suspected", (ids(recipients), QUARANTINE_AT))}


def forget(book: Book) -> None:
    """Forget those whose mail has come to its end."""
    book.store.run("forget_suspicions")
