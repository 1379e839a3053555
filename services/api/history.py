"""How one recipient's mail is told: its fields, its history, and why it waits."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.api import schedule
from services.api.progress import Wait
from services.api.replies import moment
from shared.clock import Now
from shared.domain import LATTICE_FLOOR, SEEN_BITS, Feedback, State
from shared.store.listing import Recipient, Story

DECISIONS = frozenset(
    {
        "cancelled",
        "crashed_sender",
        "expired",
        "resent",
        "resolved_sent",
        "retried",
        "suppressed",
    }
)
"""What the writer notes among the refusals though SES said nothing."""

_MAYBE_DUPLICATE = 1
_DUPLICATE_SUSPECTED = 2

Entry = dict[str, Any]


def stamp(ms: int | None) -> str | None:
    """Spell a time in UTC to the millisecond (RFC 3339)."""
    if ms is None:
        return None
    spelled = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return spelled.replace("+00:00", "Z")


def told(one: Recipient, zone: ZoneInfo) -> Entry:
    """Answer a recipient's fields; what the caller gave as a time is told as POST answered it."""
    return {
        "id": one.id,
        "topic_id": one.topic,
        "email": one.email,
        "status": State(one.state).word,
        "code": one.code,
        "detail": one.detail,
        "attempts": one.attempts,
        "priority": "urgent" if one.urgent else "bulk",
        "message_id": one.message_id,
        "accepted_at": stamp(one.accepted_at),
        **moment("scheduled_at", one.scheduled_at, zone),
        **moment("expires_at", one.expires_at, zone),
        "sent_at": stamp(one.sent_at),
        "result": Feedback(one.feedback).word if one.feedback >= LATTICE_FLOOR else None,
        "results": [kind.word for kind, bit in SEEN_BITS.items() if one.seen & bit],
        "opens": one.opens,
        "maybe_duplicate": bool(one.flags & _MAYBE_DUPLICATE),
        "duplicate_suspected": bool(one.flags & _DUPLICATE_SUSPECTED),
    }


def history(story: Story) -> list[Entry]:
    """Tell in the order of time what happened to a mail; every entry has `at` and `what`."""
    entries = [(one.pop("at_ms"), one) for one in _entries(story)]
    entries.sort(key=lambda pair: pair[0])  # stable: at the same moment as they were made
    return [{"at": stamp(at), **one} for at, one in entries]


def waits(story: Story, now: Now) -> list[Wait]:
    """Say why a mail has not left."""
    place, state = story.place, story.recipient.state
    if state == State.UNKNOWN:
        told = (
            "SES's answer was lost: held until an event proves what became of it, or an order"
            " settles it."
        )
        return [Wait("unknown", told)]
    if state != State.CREATED:
        return []
    found = []
    if place.paused_at is not None:
        since = schedule.in_utc(place.paused_at)
        found.append(Wait("paused", f"Its topic is paused since {since}, until it is resumed."))
    if place.due_at > now.ms:
        due = schedule.in_utc(place.due_at)
        found.append(
            Wait("retry", f"It was refused for now; the next try is at {due}.")
            if place.is_retry and story.recipient.attempts
            else Wait("scheduled", f"It is due at {due}.")
        )
    if not found:
        told = "It is due and waits for its turn: its topic's `waits` tell what holds the queue."
        found.append(Wait("turn", told))
    return found


def _entries(story: Story) -> Iterator[Entry]:
    one, place = story.recipient, story.place
    yield {"at_ms": one.accepted_at, "what": "accepted"}
    yield from _ended(story)
    for refusal in story.refusals:
        entry: Entry = {"at_ms": refusal.at, "attempt": refusal.attempt}
        if refusal.verdict in DECISIONS:
            entry |= {"what": refusal.verdict}
        else:
            entry |= {"what": "attempt", "verdict": refusal.verdict}
        yield entry | {"code": refusal.code or None, "detail": refusal.detail or None}
    if place.unknown_since is not None:
        cancelled = bool(place.unknown_cancelled)
        yield {"at_ms": place.unknown_since, "what": "answer_lost", "cancelled": cancelled}
    if one.sent_at is not None:
        sent = {"attempt": one.attempts, "message_id": one.message_id}
        yield {"at_ms": one.sent_at, "what": "sent", **sent}
    yield from _results(story)


def _ended(story: Story) -> Iterator[Entry]:
    """Tell why a mail was never sent, where a whole topic or batch ended and no row of its own."""
    one, place = story.recipient, story.place
    noted = {refusal.verdict for refusal in story.refusals}
    if one.state == State.SUPPRESSED and "suppressed" not in noted:
        told = "The address was on the suppression list when the mail was accepted."
        yield {"at_ms": one.accepted_at, "what": "suppressed", "detail": told}
    if one.state != State.STOPPED or one.code in noted:
        return
    if one.code == "expired" and one.expires_at is not None:
        told = "It had not left when its time was over."
        yield {"at_ms": one.expires_at, "what": "expired", "detail": told}
    elif place.cancelled_at is not None and place.cancelled_at >= one.accepted_at:
        told = "Its topic was cancelled."
        yield {"at_ms": place.cancelled_at, "what": "cancelled", "detail": told}


def _results(story: Story) -> Iterator[Entry]:
    place = story.place
    for result in story.results:
        # SES's opens are counted together with those of our own pixel.
        if result.kind != Feedback.OPEN or place.opened_at is None:
            kind = Feedback(result.kind).word
            more = {"kind": kind, "subtype": result.subtype, "detail": result.detail}
            yield {"at_ms": result.at, "what": "event", **more}
    if place.opened_at is not None:
        times = {"first_at": stamp(place.opened_at), "last_at": stamp(place.opened_last_at)}
        yield {"at_ms": place.opened_at, "what": "opened", **times, "hits": story.recipient.opens}
