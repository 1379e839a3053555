"""Mail addresses: email-validator's rules without DNS, for what SES can send to.

One mailbox a string, ASCII before the @ (SES has no SMTPUTF8), an international domain as
punycode. Plain addresses, nearly all of any list, are known by one regular expression, which
accepts a strict subset of what email-validator accepts.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

LONGEST = 320
"""Characters: 64 before the @, 255 behind it (RFC 5321 §4.5.3.1); SES says the same."""

# Lower case only; what is repeated never begins as what may follow it does, so that no input makes
# it go back far (possessive groups match wrongly before Python 3.11.5). The names that no mail can
# be sent to are email-validator's SPECIAL_USE_DOMAIN_NAMES.
_PLAIN = (
    r"[a-z0-9_+-]++(?:\.[a-z0-9_+-]++)*@(?:[a-z0-9]++(?:-[a-z0-9]++)*\.)+"
    r"(?!(?:arpa|invalid|local|localhost|onion|test)\b)[a-z]{2,24}+"
)
_PLAIN_LENGTH = 64  # of the whole address: no part of it can then be longer than its own limit
_BLOCK = 250  # addresses looked at together; one that is not plain costs its block only
_is_plain = re.compile(_PLAIN + r"\Z").match
_are_plain = re.compile(f"(?:{_PLAIN}\n)*\\Z").match
_ANY_CASE_NAMES = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)  # RFC 2142


class Refused(NamedTuple):
    """An address that cannot be sent to, by its place in the list."""

    place: int
    email: str
    reason: str


class Sorted(NamedTuple):
    """A list of addresses, sorted out: those to send to, in order, and what was left."""

    emails: tuple[str, ...]
    duplicates: int
    refused: tuple[Refused, ...]


def sort(emails: Sequence[str]) -> Sorted:
    """Normalize a list; an address that came before, in any spelling, counts as a duplicate.

    RFC 5321 lets hosts tell `Ann@` from `ann@`, but no provider does and no reader expects it:
    the first spelling is the one that is sent to.
    """
    kept: dict[str, str] = {}
    refused: list[Refused] = []
    for start in range(0, len(emails), _BLOCK):
        block = emails[start : start + _BLOCK]
        if _all_plain(block):
            for email in block:
                kept.setdefault(email, email)
        else:
            refused += _sort_block(block, start, kept)
    duplicates = len(emails) - len(refused) - len(kept)
    return Sorted(tuple(kept.values()), duplicates, tuple(refused))


def _sort_block(block: Sequence[str], start: int, kept: dict[str, str]) -> Iterator[Refused]:
    for place, email in enumerate(block, start):
        try:
            address = normalize(email)
        except ValueError as error:
            yield Refused(place, email[:LONGEST], str(error))
        else:
            kept.setdefault(address.lower(), address)


def normalize(email: str) -> str:
    """Answer the address as it is sent to, or raise ValueError with the reason."""
    if len(email) <= _PLAIN_LENGTH and email.isascii():
        lower = email.lower()
        if _is_plain(lower):
            return email if email == lower else _fold(email, lower)
    if len(email) > LONGEST:
        raise ValueError(f"The email address is too long ({len(email)} characters).")
    try:
        valid = validate_email(email, allow_smtputf8=False, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    assert valid.ascii_email is not None  # without SMTPUTF8 there is always one
    return valid.ascii_email


def _fold(email: str, lower: str) -> str:
    """Lower the domain, and those names before the @ that are meant in any case (RFC 2142)."""
    at = email.index("@")
    name = lower[:at] if lower[:at] in _ANY_CASE_NAMES else email[:at]
    return name + lower[at:]


def _all_plain(emails: Sequence[str]) -> bool:
    """Tell whether every address is plain, in one pass of the expression over all of them.

    The number of line breaks proves that none hides inside an address.
    """
    if max(map(len, emails), default=0) > _PLAIN_LENGTH:
        return False
    lines = "\n".join(emails) + "\n"
    return lines.count("\n") == len(emails) and _are_plain(lines) is not None
