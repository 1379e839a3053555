"""Answers as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import structs
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


def stored_reply(
    stored: Stored, zone: ZoneInfo, expires_at: int | None, more: Mapping[str, object]
) -> Response:
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
        **rejected_part([structs.asdict(one) for one in tally.rejected], tally.errors),
    }
    if stored.scheduled_at is not None:
        body |= moment("scheduled_at", stored.scheduled_at, zone)
    if expires_at is not None:
        body |= moment("expires_at", expires_at, zone)
    return reply({**body, **more}, headers=replay_header(replayed=stored.replayed))


def moment(name: str, at: int | None, zone: ZoneInfo) -> dict[str, str | None]:
    """Spell a time twice, in the zone and in UTC; None (now) as null."""
    return {
        name: None if at is None else schedule.in_zone(at, zone),
        f"{name}_utc": None if at is None else schedule.in_utc(at),
    }


def utc(at: int | None) -> str | None:
    """Spell a time in UTC, none as null."""
    return None if at is None else schedule.in_utc(at)


def replay_header(*, replayed: bool) -> dict[str, str] | None:
    """Answer the header that tells an answer given before from a new one."""
    return {"Idempotent-Replayed": "true"} if replayed else None


def rejected_part(rejected: Sequence[Mapping[str, object]], errors: int) -> dict[str, object]:
    """List what was refused, as far as it is shown, and say so if that is not all."""
    part: dict[str, object] = {"rejected": rejected}
    return part if len(rejected) >= errors else {**part, "rejected_truncated": True}
