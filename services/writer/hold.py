"""Holds: pure rules of when the account's trouble stops all sending, and for how long."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from shared.backoff import probe_delay
from shared.domain import Verdict
from shared.protocol import Answer

UNKNOWNS_IN_A_ROW = 5
UNREACHED_IN_A_ROW = 5

SPEAKING = frozenset({Verdict.ACCEPTED, Verdict.PERMANENT, Verdict.FOR_NOW, Verdict.THROTTLED})
"""Verdicts that show SES is there and answers for itself."""

LINE_TROUBLE = frozenset({"unknowns", "unreachable"})
"""Holds that any answer of SES ends; the others end with an acceptance."""


class Hold(NamedTuple):
    """All sending waits; `failures` probes in a row were refused, the next is at `probe_at`."""

    reason: str
    detail: str
    since: int
    failures: int
    probe_at: int


class Streak(NamedTuple):
    """Calls in a row that ended without an answer, or never began."""

    unknown: int = 0
    unreached: int = 0


def renew(hold: Hold | None, reason: str, detail: str, now_ms: int) -> Hold:
    """Hold, or hold longer: each refused probe doubles the wait."""
    failures = hold.failures + 1 if hold and hold.reason == reason else 1
    since = hold.since if hold else now_ms
    # A line that is down costs SES nothing: look sooner whether it is up again.
    delay = probe_delay(failures, 60.0) if reason in LINE_TROUBLE else probe_delay(failures)
    return Hold(reason, detail, since, failures, now_ms + int(delay * 1000))


def told(reason: str, now_ms: int) -> Hold:
    """Hold because GetAccount says so; no call was refused for it."""
    return Hold(reason, "GetAccount says so", now_ms, 0, now_ms + int(probe_delay(1) * 1000))


def is_told(hold: Hold) -> bool:
    """Tell whether GetAccount alone spoke for a hold, so that it alone may lift it.

    A refused call may be about more, such as a configuration set that is paused.
    """
    return hold.failures == 0


def judge(hold: Hold | None, streak: Streak, answers: Sequence[Answer], now_ms: int) -> Hold | None:
    """Answer the hold that follows from one call's answers.

    The caller passes only calls that may change it: while a hold stands, the probe's alone.
    """
    if not answers:
        return hold  # the call was not made
    verdicts = {answer.verdict for answer in answers}
    for answer in answers:
        if answer.verdict is Verdict.ACCOUNT:
            return renew(hold, answer.code, answer.detail, now_ms)
    if Verdict.ACCEPTED in verdicts:
        return None
    if verdicts & SPEAKING:
        return None if hold and hold.reason in LINE_TROUBLE else hold
    return _silent(hold, streak, answers, now_ms)


def _silent(
    hold: Hold | None, streak: Streak, answers: Sequence[Answer], now_ms: int
) -> Hold | None:
    """SES said nothing: five times in a row is trouble, a probe's silence is more of it."""
    detail = next((answer.detail for answer in answers), "")
    if streak.unknown >= UNKNOWNS_IN_A_ROW:
        return renew(hold, "unknowns", f"five answers of SES in a row were lost: {detail}", now_ms)
    if streak.unreached >= UNREACHED_IN_A_ROW:
        return renew(hold, "unreachable", detail, now_ms)
    if hold and detail:
        return renew(hold, hold.reason, hold.detail, now_ms)
    return hold


def lengthen(streak: Streak, answers: Sequence[Answer]) -> Streak:
    """Count one more call in the row, or begin anew."""
    verdicts = {answer.verdict for answer in answers}
    if not verdicts:
        return streak
    if Verdict.UNKNOWN in verdicts:
        return Streak(unknown=streak.unknown + 1)
    if Verdict.NOT_SENT in verdicts:
        return Streak(unreached=streak.unreached + 1)
    return Streak()


def rate_in_force(
    setting: float | None, wanted: float | None, max_rate: float | None
) -> tuple[float, str]:
    """Answer R in recipients per second, and which limit it comes from.

    The rate wanted by an order, else the setting; at most the account's MaxSendRate. `auto` (None)
    is the account's own, and one a second while SES has not told it (the sandbox's rate).
    """
    rate, source = (setting, "setting") if wanted is None else (wanted, "api")
    if rate is None:
        return (max_rate, "account") if max_rate else (1.0, "fallback")
    if max_rate and max_rate < rate:
        return max_rate, "account"
    return rate, source


def quota_left(quota: float | None, used: int) -> int | None:
    """Answer how many recipients the 24-hour quota leaves; None for no limit (SES says -1)."""
    if quota is None or quota < 0:
        return None
    return max(0, math.floor(quota) - used)
