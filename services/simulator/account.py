"""The account: sending rate and quota counted in recipients, and the ways it is shut."""

from collections import deque
from typing import Any, Final

import msgspec

from services.simulator.errors import RefusalError
from services.simulator.limits import bare
from services.simulator.verdict import is_mailbox_simulator

_SECOND: Final = 1_000_000_000
_DAY: Final = 86_400 * _SECOND
_GRAIN: Final = 60 * _SECOND  # the rolling quota forgets minute by minute


class AccountSwitches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fault script may do to the account; null leaves the setting in force."""

    sending_enabled: bool = True
    enforcement: str = "HEALTHY"
    max_send_rate: float | None = None
    enforced_rate: float | None = None
    max_24h: float | None = None
    sent_24h: float | None = None
    production_access: bool = True
    verified_recipients: list[str] = []
    unverified_from: bool = False
    getaccount: str = "ok"


class Account:
    """State of one account: a token bucket that may run into debt, and a rolling day."""

    def __init__(self, rate: float, burst: float, quota: float, region: str) -> None:
        self._rate = rate
        self._burst = burst
        self._quota = quota
        self._region = region
        self.switches = AccountSwitches()
        self._tokens = self._capacity()
        self._filled_ns: int | None = None
        self._day: deque[tuple[int, int]] = deque()
        self._own = 0
        self._offset = 0.0

    @property
    def rate(self) -> float:
        """Recipients per second, as GetAccount tells it."""
        told = self.switches.max_send_rate
        return self._rate if told is None else told

    @property
    def quota(self) -> float:
        """Recipients in 24 hours; -1 is without limit."""
        told = self.switches.max_24h
        return self._quota if told is None else told

    def set_switches(self, switches: AccountSwitches, now_ns: int) -> None:
        """Take new switches; a told sent_24h holds from now on and grows by what is sent."""
        self.switches = switches
        if switches.sent_24h is None:
            self._offset = 0.0
        else:
            self._offset = switches.sent_24h - self._sent_here(now_ns)
        self._tokens = min(self._tokens, self._capacity())

    def clear(self) -> None:
        """Fill the bucket and forget the day."""
        self._day.clear()
        self._own = 0
        self._offset = 0.0
        self._filled_ns = None
        self.switches = AccountSwitches()
        self._tokens = self._capacity()

    def sent(self, now_ns: int) -> float:
        """Recipients counted to the quota in the last 24 hours."""
        return max(0.0, self._sent_here(now_ns) + self._offset)

    def left(self, now_ns: int) -> float:
        """Recipients the quota still has room for."""
        return float("inf") if self.quota < 0 else max(0.0, self.quota - self.sent(now_ns))

    def check_open(self) -> None:
        """Refuse every call while the account is shut or paused."""
        if self.switches.enforcement == "SHUTDOWN":
            msg = (
                "The message can't be sent because the account's ability to send email"
                " has been permanently restricted."
            )
            raise RefusalError("AccountSuspendedException", msg)
        if not self.switches.sending_enabled:
            msg = (
                "Sending paused for this account. For more information, please check the inbox"
                " of the email address associated with your AWS account."
            )
            raise RefusalError("SendingPausedException", msg)

    def check_sender(self, sender: str) -> None:
        """Refuse a From address this account has not verified."""
        if self.switches.unverified_from:
            raise RefusalError("MessageRejected", self.unverified_text([bare(sender)]))

    def unverified(self, addresses: list[str]) -> list[str]:
        """List the recipients a sandbox account may not write to."""
        if self.switches.production_access:
            return []
        allowed = {address.lower() for address in self.switches.verified_recipients}
        return [a for a in addresses if not (is_mailbox_simulator(a) or a.lower() in allowed)]

    def unverified_text(self, identities: list[str]) -> str:
        """Say which identities are not verified, in SES's words."""
        return (
            "Email address is not verified. The following identities failed the check in region"
            f" {self._region.upper()}: {', '.join(identities)}"
        )

    def check_quota(self, counted: int, now_ns: int) -> None:
        """Refuse what the daily quota has no room for."""
        if counted > self.left(now_ns):
            msg = "Daily message quota exceeded."
            raise RefusalError("LimitExceededException", msg)

    def check_rate(self, now_ns: int) -> None:
        """Refuse while the bucket is empty or in debt; a large call is let through into debt."""
        enforced = self.switches.enforced_rate
        rate = self.rate if enforced is None else enforced
        if self._filled_ns is not None:
            # Stamped before a call that was read sooner: time has passed for both already.
            now_ns = max(now_ns, self._filled_ns)
            gained = (now_ns - self._filled_ns) * rate / _SECOND
            self._tokens = min(self._capacity(), self._tokens + gained)
        self._filled_ns = now_ns
        if self._tokens <= 0:
            msg = "Maximum sending rate exceeded."
            raise RefusalError("TooManyRequestsException", msg)

    def spend(self, recipients: int, counted: int, now_ns: int) -> None:
        """Take accepted recipients from the bucket, and the counted ones from the day."""
        self._tokens -= recipients
        minute = now_ns - now_ns % _GRAIN
        if self._day and self._day[-1][0] == minute:
            self._day[-1] = (minute, self._day[-1][1] + counted)
        else:
            self._day.append((minute, counted))
        self._own += counted

    def told(self, now_ns: int) -> dict[str, Any]:
        """Answer GetAccount, or refuse it as the switches say."""
        if self.switches.getaccount == "denied":
            msg = (
                "User: arn:aws:iam::123456789012:user/simulator is not authorized to perform:"
                " ses:GetAccount because no identity-based policy allows the ses:GetAccount action"
            )
            raise RefusalError("AccessDeniedException", msg)
        if self.switches.getaccount == "missing":
            msg = "Not Found"
            raise RefusalError("UnknownOperationException", msg, 404)
        return {
            "DedicatedIpAutoWarmupEnabled": False,
            "EnforcementStatus": self.switches.enforcement,
            "ProductionAccessEnabled": self.switches.production_access,
            "SendQuota": {
                "Max24HourSend": float(self.quota),
                "MaxSendRate": float(self.rate),
                "SentLast24Hours": self.sent(now_ns),
            },
            "SendingEnabled": self.switches.sending_enabled,
            "SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
            "Details": {"MailType": "MARKETING", "ReviewDetails": {"Status": "GRANTED"}},
            "VdmAttributes": {"VdmEnabled": "DISABLED"},
        }

    def _capacity(self) -> float:
        return self._burst if self._burst > 0 else max(1.0, self.rate / 10)

    def _sent_here(self, now_ns: int) -> int:
        while self._day and self._day[0][0] <= now_ns - _DAY:
            self._own -= self._day.popleft()[1]
        return self._own
