"""Which headers a caller may add to a mail.

An allow-list: From, To, Return-Path, DKIM-Signature, Message-ID and the like are SES's and ours.
Limits are those of SES's MessageHeader (API reference): 15 headers, name 1 to 126, value to 995.
"""

import re
from collections.abc import Mapping

from services.api.refusal import Fault, pointer
from shared.protocol import Headers

MOST = 15

_ALLOWED = frozenset(
    {
        "auto-submitted",
        "feedback-id",
        "importance",
        "in-reply-to",
        "list-archive",
        "list-help",
        "list-id",
        "list-owner",
        "list-subscribe",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "organization",
        "precedence",
        "priority",
        "references",
    }
)
_NAME = re.compile(r"[!-9;-~]{1,126}")
_VALUE = re.compile(r"[ -~]{1,995}")
_LINE = 996
_HTTPS = re.compile(r"<https://[^<>\s]+>", re.IGNORECASE)


def check(given: Mapping[str, str], place: str) -> tuple[Headers, list[Fault]]:
    """Answer the headers, and every fault in them; `place` is the pointer of the object."""
    if len(given) > MOST:
        return (), [Fault(place, f"has {len(given)} headers, but SES takes at most {MOST}")]
    faults = []
    seen: dict[str, str] = {}
    for name, value in given.items():
        fault = _fault(name, value)
        if not fault and name.lower() in seen:
            fault = "comes twice, in another spelling"
        if fault:
            faults.append(Fault(place + pointer(name), fault))
        seen[name.lower()] = value
    return tuple(given.items()), faults or _one_click(seen, place)


def _fault(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        return "is no header name: 1 to 126 printable ASCII characters, no colon or space"
    if not _is_allowed(name.lower()):
        return "is not among the headers a caller may set (List-*, X-*, and a few others)"
    if not _VALUE.fullmatch(value) or value != value.strip():
        return "must be 1 to 995 printable ASCII characters, without spaces around them"
    if len(name) + len(value) > _LINE:
        return f"is longer than {_LINE} characters together with its name"
    return ""


def _is_allowed(name: str) -> bool:
    if name.startswith("x-"):
        return len(name) > 2 and not name.startswith("x-ses-")
    return name in _ALLOWED


def _one_click(seen: Mapping[str, str], place: str) -> list[Fault]:
    """Check that one-click unsubscribing is whole (RFC 8058 §3.1): half of it is ignored."""
    post = seen.get("list-unsubscribe-post")
    if post is None:
        return []
    here = place + pointer("List-Unsubscribe-Post")
    if post != "List-Unsubscribe=One-Click":
        return [Fault(here, "must be exactly List-Unsubscribe=One-Click")]
    if not _HTTPS.search(seen.get("list-unsubscribe", "")):
        return [Fault(here, "needs a List-Unsubscribe header with an https URL in <>")]
    return []
