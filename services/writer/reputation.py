"""Reputation: pure rules of when bounces and complaints pause bulk mail.

SES reviews an account at 5 % of bounces or 0.1 % of complaints and may stop it at 10 % or 0.5 %:
bulk mail waits before that, while urgent mail goes on.
"""

from typing import NamedTuple

from shared.domain import Feedback
from shared.protocol import Reputation

LEAST_SENT = 1_000
"""Mails of 24 hours below which a share says nothing: one complaint in 200 is half a percent."""

BOUNCED = 1 << 16
"""Bit of `recipient.seen`: bounced for good."""

COMPLAINED = 1 << 17
"""Bit of `recipient.seen`: its reader complained."""

BOUNCE_COUNTED = 1 << 18
"""Bit of `recipient.seen`: counts as a bounce."""

COMPLAINT_COUNTED = 1 << 19
"""Bit of `recipient.seen`: counts as a complaint."""

# The account's own list held the mail back, so that SES does not count it.
_OWN_LIST = "OnAccountSuppressionList"
_UNSUBSCRIBED = "UnsubscribedRecipient"
_SIMULATOR = "@simulator.amazonses.com"


class PauseAt(NamedTuple):
    """Shares of the mails of 24 hours at which bulk mail is paused; 1 means never."""

    bounce: float = 1.0
    complaint: float = 1.0


class Pause(NamedTuple):
    """Bulk mail waits since `since` (wall ms), or goes on while that is None.

    A share is lifted while it is over its limit and bulk mail was resumed by hand all the same.
    """

    since: int | None = None
    reason: str = ""
    bounce_lifted: bool = False
    complaint_lifted: bool = False


class Over(NamedTuple):
    """Which shares have reached their limit."""

    bounce: bool
    complaint: bool


def is_simulated(email: str) -> bool:
    """Tell whether an address is one of SES's mailbox simulator, which harms no reputation."""
    return email.lower().endswith(_SIMULATOR)


def harm(kind: Feedback, subtype: str) -> int:
    """Answer which of the bits above an event stands for; 0 for one that does no harm.

    `subtype` is as in `Permanent/General` or `abuse/OnAccountSuppressionList`.
    """
    if kind is Feedback.BOUNCE and subtype.startswith("Permanent"):
        is_counted = _OWN_LIST not in subtype and _UNSUBSCRIBED not in subtype
        return BOUNCED | BOUNCE_COUNTED * is_counted
    if kind is Feedback.COMPLAINT and not subtype.startswith("not-spam"):
        return COMPLAINED | COMPLAINT_COUNTED * (_OWN_LIST not in subtype)
    return 0


def over(day: Reputation, pause_at: PauseAt) -> Over:
    """Tell which shares have reached their limits, however few mails they are shares of."""
    return Over(
        bounce=pause_at.bounce < 1 and share(day.bounced, day.sent) >= pause_at.bounce,
        complaint=pause_at.complaint < 1 and share(day.complained, day.sent) >= pause_at.complaint,
    )


def judge(pause: Pause, day: Reputation, pause_at: PauseAt, now_ms: int) -> Pause:
    """Answer whether bulk mail waits, given the last 24 hours; a pause ends by hand alone.

    What was lifted stays so until the share has once been below its limit: else the same bounces
    would pause again what was just resumed.
    """
    found = over(day, pause_at)
    left = pause._replace(
        bounce_lifted=pause.bounce_lifted and found.bounce,
        complaint_lifted=pause.complaint_lifted and found.complaint,
    )
    if left.since is not None or day.sent < LEAST_SENT:
        return left
    reasons = []
    if found.bounce and not left.bounce_lifted:
        said = _share_of("bounced", day.bounced, day.sent)
        reasons.append(f"{said}, PAUSE_AT_BOUNCE_RATE is {pause_at.bounce:.2%}")
    if found.complaint and not left.complaint_lifted:
        said = _share_of("led to complaints", day.complained, day.sent)
        reasons.append(f"{said}, PAUSE_AT_COMPLAINT_RATE is {pause_at.complaint:.2%}")
    return left._replace(since=now_ms, reason="; ".join(reasons)) if reasons else left


def resume(pause: Pause, day: Reputation, pause_at: PauseAt) -> Pause:
    """Let bulk mail go on, and lift what is over its limit now; nothing if it was not paused."""
    return pause if pause.since is None else Pause(None, "", *over(day, pause_at))


def share(count: int, sent: int) -> float:
    """Answer which part of the mails sent it is; 0 if none was."""
    return count / sent if sent else 0.0


def _share_of(what: str, count: int, sent: int) -> str:
    return f"{count:,} of {sent:,} mails of 24 hours {what}: {share(count, sent):.2%}"
