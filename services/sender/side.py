"""Calls beside the mail, on a thread of their own: account, subscriptions, SES's own list."""

import asyncio
import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from services.sender.aws import Aws
from services.sender.releases import Ended
from shared.clock import Now
from shared.protocol import AccountRead, ConfirmTopic, TopicConfirmed

T = TypeVar("T")

READ_EVERY_S = 180.0
RETRY_AFTER_S = 60.0

THROTTLED = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling"})
FORBIDDEN = 403
"""Whatever its name: wrong, expired or unknown credentials, the same for every address."""


class AccountWatch:
    """When the account is to be read: at the start, then every three minutes, give or take.

    `jitter` is 0 to 1; None: this process never reads it.
    """

    def __init__(self, jitter: float | None) -> None:
        self._stretch = 0.9 + 0.2 * (jitter or 0.0)
        self.next_at = math.inf if jitter is None else -math.inf

    def is_due(self, now: float) -> bool:
        """Tell whether to read now; until `read` no second one is due."""
        if now < self.next_at:
            return False
        self.next_at = math.inf
        return True

    def read(self, found: AccountRead, now: float) -> None:
        """Note that it was read; an error is tried again sooner."""
        self.next_at = now + self._stretch * (RETRY_AFTER_S if found.error else READ_EVERY_S)


def read_account(ses: Any, sender: str, now: Now) -> AccountRead:
    """Ask SES, through a plain client, for the account's rate, quota and standing."""
    try:
        found: dict[str, Any] = ses.get_account()
    except (ClientError, BotoCoreError) as error:
        return AccountRead(sender, now.ms, error=f"{type(error).__name__}: {error}"[:500])
    quota = found.get("SendQuota", {})
    most = quota.get("Max24HourSend")
    return AccountRead(
        sender=sender,
        at=now.ms,
        max_rate=quota.get("MaxSendRate"),
        # -1 stands for an account without a daily quota.
        quota=None if most is None or most < 0 else most,
        sent_24h=quota.get("SentLast24Hours", 0.0),
        sending_enabled=found.get("SendingEnabled", True),
        sandbox=not found.get("ProductionAccessEnabled", True),
        enforcement=found.get("EnforcementStatus", ""),
    )


def confirm(aws: Aws, message: ConfirmTopic) -> TopicConfirmed:
    """Confirm a subscription by the API, in the region that its topic names."""
    try:
        aws.client("sns", message.topic_arn.split(":")[3]).confirm_subscription(
            TopicArn=message.topic_arn, Token=message.token, AuthenticateOnUnsubscribe="true"
        )
    except (ClientError, BotoCoreError) as error:
        return TopicConfirmed(message.post, f"{type(error).__name__}: {error}"[:500])
    return TopicConfirmed(message.post)


def release(ses: Any, email: str) -> Ended:
    """Take an address off SES's own suppression list; one that is not on it is as good."""
    try:
        ses.delete_suppressed_destination(EmailAddress=email)
    except ClientError as error:
        return _refused(error)
    except BotoCoreError as error:
        return Ended(f"{type(error).__name__}: {error}"[:500], concerns_all=True)
    return Ended()


def _refused(error: ClientError) -> Ended:
    code = error.response.get("Error", {}).get("Code", "")
    if code == "NotFoundException":
        return Ended()
    if code in {"AccessDenied", "AccessDeniedException"}:
        allow = "the credentials need the IAM action ses:DeleteSuppressedDestination"
        return Ended(f"{code}: {allow}.", concerns_all=True)
    if code in THROTTLED:
        return Ended(f"{code}: SES wants fewer calls; try again later.", again=True)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = error.response.get("Error", {}).get("Message", "")
    return Ended(f"{code}: {message}"[:500], concerns_all=status == FORBIDDEN)


class SideThread:
    """The thread, and the account's watch."""

    def __init__(self, aws: Aws, sender: str, watch: AccountWatch) -> None:
        self.watch = watch
        self._aws = aws
        self._sender = sender
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="side")

    @functools.cached_property
    def _ses(self) -> Any:
        # Kept: making one takes a quarter of a second that the calls in the air would feel.
        return self._aws.client("sesv2")

    async def account(self, now: Now) -> AccountRead:
        """Read the account."""
        return await self._call(lambda: read_account(self._ses, self._sender, now))

    async def confirm(self, message: ConfirmTopic) -> TopicConfirmed:
        """Confirm a subscription."""
        return await self._call(lambda: confirm(self._aws, message))

    async def release(self, email: str) -> Ended:
        """Take an address off SES's own suppression list."""
        return await self._call(lambda: release(self._ses, email))

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def close(self) -> None:
        """Start no call any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
