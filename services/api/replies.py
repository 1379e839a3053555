"""Answers as JSON."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from services.api import schedule
from services.api.refusal import RefusalError
from shared.protocol import Stored


def reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make a JSON answer."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def refusal_reply(refusal: RefusalError) -> Response:
    """Make the answer of a refused request."""
    faults = [{"pointer": fault.pointer, "message": fault.message} for fault in refusal.faults]
    body = {"error": refusal.sentence, "code": refusal.code, "errors": faults, **refusal.more}
    return reply(body, refusal.status, refusal.headers)


def stored_reply(stored: Stored, zone: ZoneInfo) -> Response:
    """Make the answer of a stored submission; a replay is the same but for one header."""
    tally = stored.tally
    body: dict[str, Any] = {
        "total": stored.total,
        "success": stored.success,
        "errors": tally.errors,
        "duplicates": tally.duplicates,
        "suppressed": stored.suppressed,
        "duration_ms": stored.duration_ms,
        "scheduled": stored.scheduled_at is not None,
        "submission_id": stored.original,
        "rejected": [
            {"message": one.message, "index": one.index, "email": one.email, "reason": one.reason}
            for one in tally.rejected
        ],
    }
    if len(tally.rejected) < tally.errors:
        body["rejected_truncated"] = True
    if stored.scheduled_at is not None:
        body["scheduled_at"] = schedule.in_zone(stored.scheduled_at, zone)
        body["scheduled_at_utc"] = schedule.in_utc(stored.scheduled_at)
    return reply(body, headers={"Idempotent-Replayed": "true"} if stored.replayed else None)
