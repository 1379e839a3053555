"""Unknown outcomes: what evidence allows, decided purely, and carried out."""

import enum
from typing import NamedTuple

from services.writer import moves, suspects
from services.writer.book import Book, Standing
from shared.domain import Cause, OnUnknown

PROOF_MAILS = 20
PROOF_SHARE = 0.99
DAY_MS = 86_400_000
EAR_GAP_MS = 5_000
"""The webhook's heartbeat comes each second; a longer silence is a gap."""


class Evidence(NamedTuple):
    """What is known of the way events take.

    `sent` and `heard` count accepted mails of the last day that are older than UNKNOWN_AFTER, and
    those of them that had an event; the webhook was up from `ear_since` to `ear_last` (ms).
    `near_sent` and `near_heard` count the same since a minute before the mail in question: a
    short deafness among a million mails would hide in the day's share. `proven_since` is since
    when the day's counts have been enough (ms), None while they are not.
    """

    sent: int
    heard: int
    ear_since: int | None
    ear_last: int | None
    near_sent: int = 0
    near_heard: int = 0
    proven_since: int | None = None


class Resolution(enum.Enum):
    """What becomes of an Unknown mail."""

    HOLD = "waits for evidence or for the operator"
    RESEND = "goes out again, marked maybe_duplicate"
    SENT = "taken for sent"


def is_proving(evidence: Evidence) -> bool:
    """Tell whether events are known to arrive, so that their absence means something."""
    is_near = evidence.near_heard >= PROOF_SHARE * evidence.near_sent
    return (
        is_near and evidence.sent >= PROOF_MAILS and evidence.heard >= PROOF_SHARE * evidence.sent
    )


def resolve(policy: OnUnknown, since: int, evidence: Evidence, now_ms: int) -> Resolution:
    """Decide about a mail unknown since then; the caller has waited UNKNOWN_AFTER already."""
    match policy:
        case OnUnknown.RESEND_NOW:
            return Resolution.RESEND
        case OnUnknown.ASSUME_SENT:
            return Resolution.SENT
        case OnUnknown.CONFIRM_THEN_HOLD:
            return Resolution.HOLD
        case OnUnknown.CONFIRM_THEN_RESEND:
            is_heard = (
                evidence.ear_since is not None
                and evidence.ear_last is not None
                and evidence.ear_since <= since
                and evidence.ear_last >= now_ms - EAR_GAP_MS
            )
            proven = is_heard and is_proving(evidence)
            return Resolution.RESEND if proven else Resolution.HOLD


def gather(book: Book, unknown_after_ms: int) -> Evidence:
    """Read what is known of the way events take, and note since when it has proven them."""
    now = book.now.ms
    minutes = ((now - DAY_MS) // 60_000, (now - unknown_after_ms) // 60_000)
    sent, heard = book.store.row("sent_minutes", minutes) or (0, 0)
    ear = book.store.row("ear")
    if ear is None:
        return Evidence(sent, heard, None, None)
    found = Evidence(sent, heard, ear[0], ear[1], proven_since=ear[2])
    proven_since = (found.proven_since or now) if is_proving(found) else None
    if proven_since != found.proven_since:
        book.store.run("set_proven", (proven_since,))
    return found._replace(proven_since=proven_since)


def settle(book: Book, policy: OnUnknown, unknown_after_ms: int, evidence: Evidence) -> None:
    """Resolve the unknowns whose time has come, as far as evidence and policy allow.

    Whoever has killed senders too often is not sent again: Failed where SES surely has not got it,
    Unknown where the policy alone would send it.
    """
    waits = policy in {OnUnknown.CONFIRM_THEN_RESEND, OnUnknown.CONFIRM_THEN_HOLD}
    latest = book.now.ms - unknown_after_ms if waits else book.now.ms
    # What lies before the webhook's last gap cannot be proven: it is not even looked at.
    earliest = evidence.ear_since or 0 if waits else 0
    if resolve(policy, earliest, evidence, book.now.ms) is Resolution.HOLD:
        return
    found = {row[0]: row for row in book.store.rows("settled_unknowns", (earliest, latest))}
    condemned = suspects.condemned(book, found) if found else set()
    for recipient, who in moves.standings(book, found).items():
        _, since, cancelled = found[recipient]
        near = _near(book, evidence, since, unknown_after_ms) if waits else evidence
        match resolve(policy, since, near, book.now.ms):
            case Resolution.SENT:
                moves.to_sent(book, who, Cause.ASSUMED_SENT, book.now.ms, "")
            case Resolution.RESEND if cancelled:
                moves.to_stopped(book, who, Cause.CANCELLED)
            case Resolution.RESEND:
                _resend(book, who, is_condemned=recipient in condemned, is_proven=waits)
            case Resolution.HOLD:
                continue


def _resend(book: Book, who: Standing, *, is_condemned: bool, is_proven: bool) -> None:
    if not is_condemned:
        moves.resend(book, who, "SES does not have it, as far as can be known")
    elif is_proven:
        moves.quarantine(book, who, Cause.ABSENT)


def _near(book: Book, evidence: Evidence, since: int, unknown_after_ms: int) -> Evidence:
    minutes = (since // 60_000 - 1, (book.now.ms - unknown_after_ms) // 60_000)
    sent, heard = book.store.row("sent_minutes", minutes) or (0, 0)
    return evidence._replace(near_sent=sent, near_heard=heard)


def hear(book: Book) -> None:
    """Note that the webhook is up; after a gap the time without one begins anew."""
    now, row = book.now.ms, book.store.row("ear")
    since, last = row[:2] if row else (now, now)
    if abs(now - last) > EAR_GAP_MS:
        # A wall clock that was set back may hide a gap: what was lost before any of these
        # times is beyond proof.
        since = max(since, last, now)
    book.store.run("set_ear", (since, now))
