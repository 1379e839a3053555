"""Progress: pure rules of what state a topic is in, when it will be done, and why it waits."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.api import readiness, schedule
from shared import log
from shared.clock import Now
from shared.domain import State
from shared.protocol import WriterState
from shared.store.read import TopicFacts

PACE_MS = 10_000
"""The pace is that of the last ten seconds; the writer counts in slots of ten."""


class Facts(NamedTuple):
    """What holds for all topics: notes for every reader, the writer's state, the clocks.

    `writer` is None while it is not heard; `throttled` tells that SES has the rate halved;
    `standstill` names the process without which nothing leaves, if it is not heard.
    """

    notes: Sequence[str]
    writer: WriterState | None
    throttled: bool
    now: Now
    standstill: str = ""


class Wait(NamedTuple):
    """One reason why mail waits."""

    code: str
    message: str


def total(topic: TopicFacts) -> int:
    """Count every recipient there is of a topic."""
    return sum(topic.requests.values())


def remaining(topic: TopicFacts) -> int:
    """Count the recipients whose state is not final."""
    return _left(topic) + topic.requests[State.UNKNOWN.word]


def state(topic: TopicFacts, now: Now) -> str:
    """Answer scheduled, sending, paused, idle or cancelled.

    Sending is everything in between, such as the wait for another try or for a lost answer;
    cancelled, that nothing came after the cancel and all is final.
    """
    is_over = remaining(topic) == 0
    if is_over and topic.cancelled_at is not None and not topic.is_renewed:
        return "cancelled"
    if topic.paused_at is not None:
        return "paused"
    if is_over:
        return "idle"
    return "scheduled" if _is_scheduled(topic, now) else "sending"


def next_due(topic: TopicFacts) -> int | None:
    """Answer when the first mail that waits is due (ms); None if none waits."""
    if not topic.requests[State.CREATED.word]:
        return None
    if topic.is_redating:
        return topic.redate_due
    # A topic that is paused is not among the work, but its mail has its time all the same.
    return topic.work_due if topic.work_due is not None else _soonest(topic)


def rate_now(topic: TopicFacts, now: Now) -> float:
    """Answer how many recipients a second were sent to over the last ten seconds."""
    slot, into = divmod(now.ms, PACE_MS)
    before = 1 - into / PACE_MS  # the share of the slot before that lies within ten seconds
    if topic.pace_slot >= slot:
        count = topic.pace_count + topic.pace_before * before
    elif topic.pace_slot == slot - 1:
        count = topic.pace_count * before
    else:
        count = 0
    return round(count * 1000 / PACE_MS, 2)


def eta(topic: TopicFacts, facts: Facts) -> int | None:
    """Answer when the last mail will have left (ms); None where nothing moves or nobody knows."""
    left = _left(topic)
    writer = facts.writer
    if not left or writer is None or facts.standstill or not _moves(topic, writer, left):
        return None
    now_ms = facts.now.ms
    if topic.last_due > now_ms:
        return None  # some of it is scheduled for later
    rate = _expected_rate(topic, facts, writer)
    if not rate:
        return None
    return max(now_ms + math.ceil(left / rate * 1000), topic.last_retry_due)


def waits(topic: TopicFacts, facts: Facts) -> list[Wait]:
    """Say why mail of a topic waits; nothing, if it goes out as fast as the rate allows."""
    found = list(_steered(topic))
    if _left(topic):
        found += _timed(topic, facts.now)
        found += _held(topic, facts)
    if unknown := topic.requests[State.UNKNOWN.word]:
        told = (
            f"SES's answer was lost for {_mails(unknown)}: held until an event proves what became"
            " of it, or an order settles it."
        )
        found.append(Wait("unknown", told))
    return found


def _left(topic: TopicFacts) -> int:
    return topic.requests[State.CREATED.word] + topic.requests[State.PROCESSED.word]


def _soonest(topic: TopicFacts) -> int | None:
    dues = (topic.bulk_due, topic.urgent_due, topic.bulk_retry_due, topic.urgent_retry_due)
    return min((due for due in dues if due is not None), default=None)


def _is_scheduled(topic: TopicFacts, now: Now) -> bool:
    """Tell whether all that is left waits for its first turn, which is still to come."""
    if topic.requests[State.PROCESSED.word] or topic.requests[State.UNKNOWN.word]:
        return False
    due = next_due(topic)
    if due is None or due <= now.ms:
        return False
    retries = (topic.bulk_retry_due, topic.urgent_retry_due)
    is_retry = any(retry is not None and retry <= due for retry in retries)
    return bool(topic.is_redating) or _is_ordered(topic, due, now) or not is_retry


def _is_ordered(topic: TopicFacts, due: int, now: Now) -> bool:
    """Tell whether a time ahead is that of an order, not that of another try."""
    return due >= topic.redate_due > now.ms


def _bulk_waits(topic: TopicFacts) -> bool:
    return topic.bulk_due is not None or topic.bulk_retry_due is not None


def _moves(topic: TopicFacts, writer: WriterState, left: int) -> bool:
    """Tell whether nothing is known that keeps the rest of a topic from leaving."""
    if topic.paused_at is not None or topic.is_redating or not writer.storing:
        return False
    if writer.account.hold is not None or (writer.bulk_pause and _bulk_waits(topic)):
        return False
    return writer.account.quota_left is None or left <= writer.account.quota_left


def _expected_rate(topic: TopicFacts, facts: Facts, writer: WriterState) -> float:
    """Answer the pace, or the rate in force while the pace is not yet ten seconds old."""
    pace = rate_now(topic, facts.now)
    due = next_due(topic)
    newest = max(topic.first_sent_at or 0, due or 0)
    has_just_begun = facts.now.ms - PACE_MS < newest <= facts.now.ms
    is_too_slow_to_see = writer.account.rate * PACE_MS < 1000
    if (has_just_begun or (is_too_slow_to_see and not pace)) and not facts.throttled:
        return writer.account.rate
    return pace


def _steered(topic: TopicFacts) -> Iterator[Wait]:
    if topic.paused_at is not None:
        why = f" ({topic.pause_reason})" if topic.pause_reason else ""
        since = schedule.in_utc(topic.paused_at)
        told = f"The topic is paused since {since}{why}: nothing of it leaves until it is resumed."
        yield Wait("paused", told)
    if topic.is_redating and topic.requests[State.CREATED.word]:
        due = schedule.in_utc(topic.redate_due)
        told = f"The mail that waits is being given its new time, {due}; that takes seconds."
        yield Wait("rescheduling", told)


def _timed(topic: TopicFacts, now: Now) -> Iterator[Wait]:
    due = next_due(topic)
    if due is not None and due > now.ms and _is_scheduled(topic, now):
        told = f"The mail is scheduled: the first of it is due at {schedule.in_utc(due)}."
        yield Wait("scheduled", told)
    elif topic.last_due > now.ms:
        told = (
            f"Some of the mail is scheduled, the last of it for {schedule.in_utc(topic.last_due)}."
        )
        yield Wait("scheduled", told)
    retries = (topic.bulk_retry_due, topic.urgent_retry_due)
    first = max(min((retry for retry in retries if retry is not None), default=0), now.ms)
    is_told = topic.is_redating or _is_ordered(topic, first, now)
    if topic.last_retry_due > now.ms and not is_told:
        told = (
            "Some of the mail was refused for now and waits for another try: the first at"
            f" {schedule.in_utc(first)}, the last at {schedule.in_utc(topic.last_retry_due)}."
        )
        yield Wait("retry", told)


def _held(topic: TopicFacts, facts: Facts) -> Iterator[Wait]:
    writer = facts.writer
    if writer is None:
        yield Wait("writer_silent", "The writer is not heard: nothing leaves until it is back.")
        return
    if not writer.storing:
        why = f" ({log.mask(writer.trouble)})" if writer.trouble else ""
        yield Wait("not_storing", f"The writer cannot store{why}: nothing leaves until it can.")
    if facts.standstill:
        yield Wait("not_sending", f"{facts.standstill}: nothing leaves until it is back.")
    hold, left, room = writer.account.hold, _left(topic), writer.account.quota_left
    if hold is not None:
        code = "quota" if hold.reason == "quota" else "account_held"
        yield Wait(code, log.mask(next(readiness.account_faults(writer.account))))
    elif room is not None and left > room:
        told = f"The 24-hour quota has room for {_mails(room)}, and {left} of this topic wait."
        yield Wait("quota", told)
    if writer.bulk_pause is not None and _bulk_waits(topic):
        since = schedule.in_utc(writer.bulk_pause.since)
        why = log.mask(writer.bulk_pause.reason)
        told = f"Bulk mail waits since {since} ({why}) until it is resumed; urgent mail goes on."
        yield Wait("bulk_paused", told)
    yield from _slowed(writer, facts)


def _slowed(writer: WriterState, facts: Facts) -> Iterator[Wait]:
    if writer.account.rate_source == "fallback":
        told = (
            f"SES has not told the account's rate: until it has, {writer.account.rate:g}/s leave."
        )
        yield Wait("no_rate", told)
    if facts.throttled:
        told = "SES has throttled calls: the rate is halved, and climbs back step by step."
        yield Wait("throttled", told)


def _mails(count: int) -> str:
    return f"{count} mail{'' if count == 1 else 's'}"
