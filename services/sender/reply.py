"""What came back from SES for one call, before anyone says what it means."""

import json
from typing import Any, NamedTuple

_LONGEST = 1000
"""Characters of SES's words that are kept."""


class Entry(NamedTuple):
    """What a bulk call says of one recipient."""

    status: str
    error: str = ""
    message_id: str = ""


class Reply(NamedTuple):
    """An HTTP answer; `code` is SES's error name without namespace and address."""

    status: int
    code: str = ""
    message: str = ""
    message_id: str = ""
    entries: tuple[Entry, ...] | None = None


class NoReply(NamedTuple):
    """No answer; `left` tells whether a byte of the request may have left this machine."""

    left: bool
    detail: str


Ending = Reply | NoReply
"""How a call ends."""


def read_reply(status: int, error_type: str, body: bytes) -> Reply:
    """Read an HTTP answer of SES v2; what cannot be read is left empty, never raised."""
    fields = _fields(body)
    code = _code(error_type or _text(fields.get("__type")) or _text(fields.get("code")))
    message = _text(fields.get("message") or fields.get("Message"))
    return Reply(status, code, message, _text(fields.get("MessageId")), read_entries(fields))


def read_entries(fields: dict[str, Any]) -> tuple[Entry, ...] | None:
    """Read the list of a bulk answer, None if there is none or an entry is no object."""
    found = fields.get("BulkEmailEntryResults")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        return None
    return tuple(
        Entry(_text(one.get("Status")), _text(one.get("Error")), _text(one.get("MessageId")))
        for one in found
    )


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _code(raw: str) -> str:
    """Cut `com.amazonaws.ses#Name` and `Name:http://…` down to the name."""
    return raw.partition(":")[0].rpartition("#")[2].strip()


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""
