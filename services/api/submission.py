"""What a submission must hold beyond its shape, and what is made of it for the writer."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.api import address, headers, schedule
from services.api.refusal import MAX_FAULTS, Fault, pointer, wrong
from services.api.shape import MailBody, SubmissionBody
from shared.protocol import Headers, Mail, Rejected, Tally

MOST_MESSAGES = 10_000
MOST_ADDRESSES = 10_000
LONGEST_TOPIC = 255
LONGEST_SUBJECT = 998
"""Characters of a line (RFC 5322 §2.1.1)."""
LARGEST_CONTENT = 10 * 1024 * 1024
"""Bytes of UTF-8, before the open pixel and SES's encoding are added."""
SHOWN_REJECTED = 100

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TURNING = re.compile("[\u202a-\u202e]")
"""Bidirectional embeddings and overrides, which make a subject read as what it is not."""


_PRIORITIES = {None: False, "bulk": False, "urgent": True}


class Times(NamedTuple):
    """When a submission's mail is due, and until when (Unix milliseconds).

    `passed` names the times that were good once: as new mail it is refused, but it may be the
    repeat of a request that came in time.
    """

    scheduled_at: int | None = None
    expires_at: int | None = None
    passed: tuple[Fault, ...] = ()


class Checked(NamedTuple):
    """A submission that may be stored; `places` are its mails' places among the messages."""

    mails: tuple[Mail, ...]
    places: tuple[int, ...]
    tally: Tally
    times: Times


def check(body: SubmissionBody, zone: ZoneInfo, now_ms: int) -> Checked:
    """Check every message and address; raise RefusalError if nothing of it may be stored.

    A wrong address is counted and named while the others go on; any other fault, or no address
    left, refuses the whole submission. Of times that have passed the caller is told in `times`.
    """
    faults = list(_count_faults(body))
    if faults:
        raise wrong(faults)
    headers_: list[Headers] = []
    for index, mail in enumerate(body.messages):
        faults += _text_faults(mail, index)
        given: Headers = ()
        if mail.headers:
            given, found = headers.check(mail.headers, pointer("messages", index, "headers"))
            faults += found
        headers_.append(given)
    times, found = _times(body, zone, now_ms)
    faults += found
    if faults:
        raise wrong([*faults, *times.passed])
    return _sort_addresses(body, headers_, times)


def _times(body: SubmissionBody, zone: ZoneInfo, now_ms: int) -> tuple[Times, list[Fault]]:
    due = expires = None
    faults: list[Fault] = []
    passed: list[Fault] = []
    try:
        due = schedule.read(body.scheduled_at, zone, now_ms)
    except schedule.PassedError as error:
        passed.append(Fault("/scheduled_at", str(error)))
    except ValueError as error:
        faults.append(Fault("/scheduled_at", str(error)))
    try:
        expires = schedule.read_expiry(body.expires_at, zone, now_ms, due)
    except schedule.PassedError as error:
        expires = error.ms
        passed.append(Fault("/expires_at", str(error)))
    except ValueError as error:
        faults.append(Fault("/expires_at", str(error)))
    return Times(due, expires, tuple(passed)), faults


def _count_faults(body: SubmissionBody) -> Iterator[Fault]:
    if not 1 <= len(body.messages) <= MOST_MESSAGES:
        yield Fault("/messages", f"must hold 1 to {MOST_MESSAGES} messages")
        return
    for index, mail in enumerate(body.messages):
        if not mail.emails:
            yield Fault(pointer("messages", index, "emails"), "must hold an address")
    addresses = sum(len(mail.emails) for mail in body.messages)
    if addresses > MOST_ADDRESSES:
        told = f"hold {addresses} addresses, but a request takes at most {MOST_ADDRESSES}"
        yield Fault("/messages", told)


def _text_faults(mail: MailBody, index: int) -> Iterator[Fault]:
    found = (
        ("topic_id", "" if mail.topic_id is None else _topic_fault(mail.topic_id)),
        ("subject", _subject_fault(mail.subject)),
        ("content", _content_fault(mail.content)),
        ("priority", "" if mail.priority in _PRIORITIES else "must be bulk or urgent"),
    )
    for field, fault in found:
        if fault:
            yield Fault(pointer("messages", index, field), fault)


def _topic_fault(topic: str) -> str:
    if not 1 <= len(topic) <= LONGEST_TOPIC:
        return f"must have 1 to {LONGEST_TOPIC} characters"
    return control_fault(topic)


def control_fault(text: str) -> str:
    """Say what is wrong with a text that must be one line; empty if nothing is."""
    return "has a control character or line break in it" if _CONTROL.search(text) else ""


def _subject_fault(subject: str) -> str:
    if not 1 <= len(subject) <= LONGEST_SUBJECT:
        return f"must have 1 to {LONGEST_SUBJECT} characters"
    return control_fault(subject) or (
        "has a text direction override in it" if _TURNING.search(subject) else ""
    )


def _content_fault(content: str) -> str:
    if not content:
        return "must not be empty"
    # Measured only where it can matter: UTF-8 has at most four bytes a character.
    if len(content) * 4 > LARGEST_CONTENT and len(content.encode()) > LARGEST_CONTENT:
        return f"is larger than {LARGEST_CONTENT // 1024**2} MB"
    return ""


def _sort_addresses(body: SubmissionBody, headers_: list[Headers], times: Times) -> Checked:
    mails: dict[int, Mail] = {}
    rejected: list[Rejected] = []
    errors = duplicates = 0
    for index, mail in enumerate(body.messages):
        emails, repeated, refused = address.sort(mail.emails)
        duplicates += repeated
        errors += len(refused)
        rejected += (Rejected(index, *one) for one in refused[: SHOWN_REJECTED - len(rejected)])
        if emails:
            mails[index] = Mail(
                topic=mail.topic_id,
                subject=mail.subject,
                content=mail.content,
                emails=emails,
                headers=headers_[index],
                urgent=_PRIORITIES[mail.priority],
            )
    if not mails:
        raise wrong(_address_faults(rejected), "no_valid_address")
    tally = Tally(errors, duplicates, tuple(rejected))
    return Checked(tuple(mails.values()), tuple(mails), tally, times)


def _address_faults(rejected: list[Rejected]) -> list[Fault]:
    return [
        Fault(pointer("messages", one.message, "emails", one.index), one.reason)
        for one in rejected[:MAX_FAULTS]
    ]
