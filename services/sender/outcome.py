"""What SES's answer means for each recipient: the one place that decides it.

Facts: the models of sesv2 2019-09-27 in botocore, the SES developer guide, and the texts that
SES is known to answer with. Where a name is unknown, a refusal counts as "for now" (4xx) and
anything else as "SES may have it".
"""

import re
from typing import NamedTuple

from services.sender.reply import Ending, Entry, NoReply, Reply
from shared.domain import Verdict


class Finding(NamedTuple):
    """The verdict on one recipient; for ACCOUNT, `code` is the reason of the hold."""

    verdict: Verdict
    code: str = ""
    detail: str = ""
    message_id: str = ""


class BulkFault(NamedTuple):
    """SES took nothing of a bulk call, for a reason that the single lane does not share.

    `kind` is refused (never again) | call_rate (not for a while) | content (not this content).
    """

    kind: str
    detail: str


_THROTTLES = frozenset(
    {
        "TooManyRequestsException",
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "SlowDown",
    }
)
_CREDENTIALS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_HOLDS = {
    "AccountSuspendedException": "suspended",
    "SendingPausedException": "sending_paused",
    "AccountSendingPausedException": "sending_paused",
    "ConfigurationSetSendingPausedException": "configuration",
    "MailFromDomainNotVerifiedException": "not_verified",
    "MailFromDomainNotVerified": "not_verified",
    "NotFoundException": "configuration",
    "ConfigurationSetDoesNotExist": "configuration",
    "ConfigurationSetDoesNotExistException": "configuration",
}
_PERMANENT = frozenset(
    {
        "BadRequestException",
        "InvalidParameterValue",
        "RequestEntityTooLarge",
        "RequestEntityTooLargeException",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)
_AMBIGUOUS = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "InternalServiceErrorException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_UNKNOWN_OPERATION = frozenset(
    {"UnknownOperationException", "UnknownOperation", "InvalidAction", "NotImplemented"}
)
_ENTRY_HOLDS = {
    "ACCOUNT_DAILY_QUOTA_EXCEEDED": "quota",
    "ACCOUNT_SUSPENDED": "suspended",
    "ACCOUNT_SENDING_PAUSED": "sending_paused",
    "CONFIGURATION_SET_SENDING_PAUSED": "configuration",
    "CONFIGURATION_SET_NOT_FOUND": "configuration",
    "CONFIGURATION_SET_DOES_NOT_EXIST": "configuration",
    "INVALID_SENDING_POOL_NAME": "configuration",
    "TEMPLATE_NOT_FOUND": "configuration",
    "TEMPLATE_DOES_NOT_EXIST": "configuration",
    "MAIL_FROM_DOMAIN_NOT_VERIFIED": "not_verified",
}
_ENTRY_PERMANENT = frozenset({"INVALID_PARAMETER", "INVALID_PARAMETER_VALUE"})

_QUOTA = re.compile(r"\bdaily\b|\bquota\b|24.hour", re.IGNORECASE)
_RATE = re.compile(r"\brate\b", re.IGNORECASE)
_CALL_RATE = re.compile(r"^rate exceeded|too many (calls|requests)|(call|request) rate", re.I)
_NOT_VERIFIED = re.compile(r"not verified", re.IGNORECASE)
_PAUSED = re.compile(r"sending (is |has been )?(currently )?(paused|disabled)", re.IGNORECASE)
_SUSPENDED = re.compile(r"(sending|account) (is |has been )?suspended", re.IGNORECASE)
_REGION_LIST = re.compile(r"\bin region [^:]*:(.*)", re.IGNORECASE | re.DOTALL)
_IDENTITY = re.compile(r"[^\s,;:<>()\"']+")
_ADDRESS = re.compile(r"<?([^<>\s]+@[^<>\s]+?)>?\s*$")


def judge_single(ending: Ending, our_from: str) -> Finding:
    """Say what the end of a SendEmail call means for its one recipient."""
    if isinstance(ending, NoReply):
        return _without_reply(ending)
    if not 200 <= ending.status < 300:
        return _refused(ending, our_from)
    return _accepted(ending.message_id)


def judge_bulk(ending: Ending, entries: int, our_from: str) -> tuple[Finding, ...] | BulkFault:
    """Say what the end of a SendBulkEmail call means for each of its recipients, in order."""
    if isinstance(ending, NoReply):
        return (_without_reply(ending),) * entries
    if not 200 <= ending.status < 300:
        return _bulk_fault(ending) or _whole_call(ending, entries, our_from)
    if ending.entries is None or len(ending.entries) != entries:
        counted = "no list" if ending.entries is None else f"{len(ending.entries)} answers"
        detail = f"SES answered a bulk call of {entries} with {counted}"
        return (Finding(Verdict.UNKNOWN, "ShortAnswer", detail),) * entries
    return tuple(_entry(entry, our_from) for entry in ending.entries)


def _whole_call(reply: Reply, entries: int, our_from: str) -> tuple[Finding, ...] | BulkFault:
    found = _refused(reply, our_from)
    if found.verdict in {Verdict.PERMANENT, Verdict.FOR_NOW}:
        # One recipient or the template offends, and the others must not fail with it: alone,
        # each gets its own verdict.
        return BulkFault("content", f"{found.code}: {found.detail}")
    return (found,) * entries


def _bulk_fault(reply: Reply) -> BulkFault | None:
    """Recognise what SES refuses about SendBulkEmail itself."""
    said = f"{reply.code or reply.status}: {reply.message}"
    if reply.code in {"AccessDenied", "AccessDeniedException"}:
        return BulkFault("refused", said)
    if reply.code in _UNKNOWN_OPERATION or (not reply.code and reply.status in {404, 405, 501}):
        return BulkFault("refused", said)
    if (reply.code in _THROTTLES or reply.status == 429) and _CALL_RATE.search(reply.message):
        return BulkFault("call_rate", said)
    return None


def _without_reply(ending: NoReply) -> Finding:
    if ending.left:
        return Finding(Verdict.UNKNOWN, "NoAnswer", ending.detail)
    return Finding(Verdict.NOT_SENT, "NotConnected", ending.detail)


def _refused(reply: Reply, our_from: str) -> Finding:
    code = reply.code or f"HTTP {reply.status}"
    detail = reply.message or f"SES answered {code}"
    if reply.code in _THROTTLES:
        return _throttled(code, detail)
    if reply.code in _HOLDS:
        return Finding(Verdict.ACCOUNT, _HOLDS[reply.code], detail)
    if reply.code in _CREDENTIALS:
        return Finding(Verdict.ACCOUNT, "credentials", detail)
    if reply.code in {"MessageRejected", "MessageRejectedException"}:
        return _rejected(code, detail, our_from)
    if reply.code == "LimitExceededException":
        return _limited(code, reply.message)
    return _by_status(reply, code, detail)


def _by_status(reply: Reply, code: str, detail: str) -> Finding:
    if reply.code in _PERMANENT:
        return Finding(Verdict.PERMANENT, code, detail)
    # 408 says that SES gave up waiting, a redirect that SES never answered: neither is a no.
    if reply.code in _AMBIGUOUS or reply.status == 408 or not 400 <= reply.status < 500:
        return Finding(Verdict.UNKNOWN, code, detail)
    if reply.status == 429:
        return _throttled(code, detail)
    if not reply.code and reply.status in {401, 403, 407}:
        return Finding(Verdict.ACCOUNT, "credentials", detail)
    if reply.status == 413:
        return Finding(Verdict.PERMANENT, code, detail)
    return Finding(Verdict.FOR_NOW, code, detail)


def _throttled(code: str, detail: str) -> Finding:
    """Tell the rate from the daily quota: SES uses the same names, only the text differs."""
    if _QUOTA.search(detail) and not _RATE.search(detail):
        return Finding(Verdict.ACCOUNT, "quota", detail)
    return Finding(Verdict.THROTTLED, code, detail)


def _limited(code: str, message: str) -> Finding:
    """Read LimitExceededException: the daily quota, unless its text names something else."""
    if _QUOTA.search(message) or not message:
        return Finding(Verdict.ACCOUNT, "quota", message or "SES answered LimitExceededException")
    if _RATE.search(message):
        return Finding(Verdict.THROTTLED, code, message)
    return Finding(Verdict.FOR_NOW, code, message)


def _rejected(code: str, text: str, our_from: str) -> Finding:
    """Tell our own trouble (From not verified, paused) from a mail that SES will not have."""
    if _PAUSED.search(text):
        return Finding(Verdict.ACCOUNT, "sending_paused", text)
    if _SUSPENDED.search(text):
        return Finding(Verdict.ACCOUNT, "suspended", text)
    if _NOT_VERIFIED.search(text) and names_our_from(text, our_from):
        return Finding(Verdict.ACCOUNT, "not_verified", text)
    return Finding(Verdict.PERMANENT, code, text)


def names_our_from(text: str, our_from: str) -> bool:
    """Tell whether our From address or its domain is among the identities that failed.

    In the sandbox SES lists recipients too. A text without a list is taken to mean ours: to hold
    all mail is mended by one probe, to fail all mail is not.
    """
    listed = _REGION_LIST.search(text)
    if listed is None:
        return True
    address = bare_address(our_from)
    domain = address.rpartition("@")[2]
    named = {word.strip(".").lower() for word in _IDENTITY.findall(listed[1])}
    return address in named or any(
        "@" not in name and (domain == name or domain.endswith(f".{name}")) for name in named
    )


def bare_address(our_from: str) -> str:
    """Cut `Name <a@example.com>` down to the address, in lower case."""
    found = _ADDRESS.search(our_from)
    return (found[1] if found else our_from).lower()


def _entry(entry: Entry, our_from: str) -> Finding:
    status, said = entry.status, entry.error or f"SES answered {entry.status}"
    if status == "SUCCESS":
        return _accepted(entry.message_id)
    if status in _ENTRY_HOLDS:
        return Finding(Verdict.ACCOUNT, _ENTRY_HOLDS[status], said)
    if status == "ACCOUNT_THROTTLED":
        return _throttled(status, said)
    if status == "MESSAGE_REJECTED":
        return _rejected(status, said, our_from)
    if not status or entry.message_id:
        return Finding(Verdict.UNKNOWN, status or "NoStatus", said)
    # TRANSIENT_FAILURE, FAILED, and whatever SES may add: refused, but not for a reason we know.
    verdict = Verdict.PERMANENT if status in _ENTRY_PERMANENT else Verdict.FOR_NOW
    return Finding(verdict, status, said)


def _accepted(message_id: str) -> Finding:
    if message_id:
        return Finding(Verdict.ACCEPTED, message_id=message_id)
    return Finding(Verdict.UNKNOWN, "NoMessageId", "SES answered without a MessageId")
