"""What may be put on the suppression list and taken off it: JSON or CSV, checked."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from services.api import address, shape, sheet
from services.api.refusal import Fault, pointer, wrong
from services.api.submission import SHOWN_REJECTED, control_fault
from shared.protocol import Suppression

MOST_ADDED = 10_000
MOST_REMOVED = 100
"""SES is asked for each of them, one after the other."""
LONGEST_DETAIL = 500
_REASON = re.compile(r"\w[\w.:/-]{0,99}")


class AddBody(Struct, forbid_unknown_fields=True):
    """Addresses to put on the list, and why."""

    email: str | None = None
    emails: list[str] | None = None
    reason: str | None = None
    detail: str | None = None


class RemoveBody(Struct, forbid_unknown_fields=True):
    """Addresses to take off the list."""

    email: str | None = None
    emails: list[str] | None = None


class Checked(NamedTuple):
    """What may be put on the list, of how many; and what was refused, the first of it by place."""

    entries: tuple[Suppression, ...]
    total: int
    errors: int
    rejected: list[dict[str, object]]


class _Given(NamedTuple):
    """One address as it was given, and where: a JSON pointer or the line of a CSV."""

    email: str
    reason: str
    pointer: str = ""
    line: int = 0


_add = msgspec.json.Decoder(AddBody)
_remove = msgspec.json.Decoder(RemoveBody)


def from_json(raw: bytes) -> Checked:
    """Check a JSON body; one reason and detail go for all of its addresses."""
    body = shape.read(raw, _add)
    given = _given(body.email, body.emails, MOST_ADDED)
    detail = body.detail or ""
    faults = [Fault("/reason", fault) for fault in _reason_faults(body.reason)]
    if fault := control_fault(detail):
        faults.append(Fault("/detail", fault))
    if len(detail) > LONGEST_DETAIL:
        faults.append(Fault("/detail", f"must have at most {LONGEST_DETAIL} characters"))
    if faults:
        raise wrong(faults)
    return _sort((_Given(email, body.reason or "", place) for place, email in given), detail)


def from_csv(raw: bytes) -> Checked:
    """Check a CSV; each row may have its own reason."""
    return _sort(_Given(row.email, row.reason, line=row.line) for row in sheet.read(raw))


def to_remove(raw: bytes) -> tuple[str, ...]:
    """Check the addresses to take off the list; each comes once, as the list has it."""
    body = shape.read(raw, _remove)
    return _normal(_given(body.email, body.emails, MOST_REMOVED))


def one(email: str) -> str:
    """Answer an address out of a URL as the list has it."""
    return _normal([("", email)])[0]


def _given(email: str | None, emails: list[str] | None, most: int) -> list[tuple[str, str]]:
    """Answer every address with its pointer."""
    if (email is None) is (emails is None):
        raise wrong([Fault("", "must have either email or emails")])
    if emails is None:
        return [("/email", email or "")]
    if not 1 <= len(emails) <= most:
        raise wrong([Fault("/emails", f"must hold 1 to {most} addresses")])
    return [(pointer("emails", place), one_) for place, one_ in enumerate(emails)]


def _normal(given: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    faults = []
    for place, email in given:
        try:
            found[address.normalize(email).lower()] = None
        except ValueError as error:
            faults.append(Fault(place, str(error)))
    if faults:
        raise wrong(faults)
    return tuple(found)


def _sort(given: Iterable[_Given], detail: str = "") -> Checked:
    """Keep each good address once, with its first reason; name those that are refused."""
    kept: dict[str, Suppression] = {}
    rejected: list[dict[str, object]] = []
    faults: list[Fault] = []
    total = 0
    for total, one_ in enumerate(given, 1):
        try:
            entry = _entry(one_, detail)
        except ValueError as error:
            faults.append(_fault(one_, str(error)))
            if len(rejected) < SHOWN_REJECTED:
                rejected.append(_rejected(one_, total - 1, str(error)))
        else:
            kept.setdefault(entry.email, entry)
    if not kept:
        raise wrong(faults, "no_valid_address")
    return Checked(tuple(kept.values()), total, len(faults), rejected)


def _entry(given: _Given, detail: str) -> Suppression:
    email = address.normalize(given.email).lower()
    for fault in _reason_faults(given.reason or None):
        raise ValueError(f"the reason {fault}")
    return Suppression(email, given.reason or "manual", detail)


def _rejected(given: _Given, index: int, reason: str) -> dict[str, object]:
    line: dict[str, object] = {"line": given.line} if given.line else {}
    return {"index": index, **line, "email": given.email[: address.LONGEST], "reason": reason}


def _fault(given: _Given, reason: str) -> Fault:
    return Fault(given.pointer, f"line {given.line}: {reason}" if given.line else reason)


def _reason_faults(reason: str | None) -> Iterator[str]:
    if reason is not None and not _REASON.fullmatch(reason):
        yield "must be a word of 1 to 100 letters, digits and . : / _ -"
