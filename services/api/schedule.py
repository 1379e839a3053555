"""When mail is to leave, and until when: what `scheduled_at` and `expires_at` mean."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

PAST_MS = 5 * 60_000
"""This much in the past is taken for now: clocks differ, requests wait in queues."""

AHEAD_MS = 366 * 24 * 3600_000
"""A year ahead is the most; beyond it lies a mistyped year."""

EXPIRY_AHEAD_MS = AHEAD_MS + 24 * 3600_000
"""A day more, so that the last mail that may be scheduled may also expire."""

_FORM = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))?"
)
_HOW = 'write "2027-01-01T09:00:00+09:00" or "2027-01-01 09:00:00"'


class PassedError(ValueError):
    """The time was good once: it has passed."""

    def __init__(self, ms: int, zone: ZoneInfo) -> None:
        super().__init__(f"is {_shown(ms, zone)}, which has passed")
        self.ms = ms


def read(text: str | None, zone: ZoneInfo, now_ms: int) -> int | None:
    """Answer the due time in Unix milliseconds, None for now; or raise ValueError with a sentence.

    A time without an offset is in `zone`. An hour that comes twice, when summer time ends, means
    the first one; one that is skipped, when it begins, is refused.
    """
    if not text:
        return None
    due_ms = round(_moment(text, zone).timestamp() * 1000)
    if due_ms < now_ms - PAST_MS:
        raise PassedError(due_ms, zone)
    if due_ms > now_ms + AHEAD_MS:
        raise ValueError(f"is {_shown(due_ms, zone)}, which is more than a year ahead")
    return due_ms if due_ms > now_ms else None


def read_expiry(
    text: str | None, zone: ZoneInfo, now_ms: int, due_ms: int | None = None
) -> int | None:
    """Answer until when mail may leave, None for ever; or raise ValueError with a sentence.

    It must lie ahead of now and of the due time: mail that could never leave is a mistake.
    """
    if not text:
        return None
    expires_ms = round(_moment(text, zone).timestamp() * 1000)
    if expires_ms <= now_ms:
        raise PassedError(expires_ms, zone)
    if due_ms is not None and expires_ms <= due_ms:
        raise ValueError(f"is {_shown(expires_ms, zone)}, which is not after scheduled_at")
    if expires_ms > now_ms + EXPIRY_AHEAD_MS:
        raise ValueError(
            f"is {_shown(expires_ms, zone)}, which is more than a year and a day ahead"
        )
    return expires_ms


def in_zone(due_ms: int, zone: ZoneInfo) -> str:
    """Spell a time in the zone, with its offset (RFC 3339)."""
    return _spelled(datetime.fromtimestamp(due_ms / 1000, zone))


def in_utc(due_ms: int) -> str:
    """Spell a time in UTC (RFC 3339)."""
    return _spelled(datetime.fromtimestamp(due_ms / 1000, UTC)).replace("+00:00", "Z")


def _spelled(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def _moment(text: str, zone: ZoneInfo) -> datetime:
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(f"is not a time; {_HOW}")
    year, month, day, hour, minute, second, fraction, zulu, sign, hours, minutes = found.groups()
    try:
        micro = int((fraction or "0").ljust(6, "0")[:6])
        naive = datetime(  # noqa: DTZ001 - the zone is looked at next
            int(year), int(month), int(day), int(hour), int(minute), int(second), micro
        )
        if zulu:
            return naive.replace(tzinfo=UTC)
        if sign:
            return naive.replace(tzinfo=_offset(sign, int(hours), int(minutes)))
        in_words = naive.replace(tzinfo=zone)
        real = in_words.astimezone(UTC).astimezone(zone)
    except (ValueError, OverflowError):
        raise ValueError(f"is a time that no calendar has; {_HOW}") from None
    if "T" in text.upper():
        raise ValueError(f"has no offset; {_HOW}, which is in {zone.key}")
    if real.replace(tzinfo=None) != naive:
        raise ValueError(f"is skipped in {zone.key}, where clocks go forward at that hour")
    return in_words


def _offset(sign: str, hours: int, minutes: int) -> timezone:
    if minutes > 59:
        raise ValueError(minutes)
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(ahead if sign == "+" else -ahead)


def _shown(due_ms: int, zone: ZoneInfo) -> str:
    try:
        return in_zone(due_ms, zone)
    except (ValueError, OverflowError):
        return "outside every calendar"
