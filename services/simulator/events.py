"""The events SES publishes about a mail, shaped as in ses-sns.md section 3."""

import datetime
from email.utils import formatdate
from typing import Any, Final

import msgspec

from services.simulator.limits import bare
from services.simulator.parcels import Mail
from services.simulator.settings import ACCOUNT_ID
from services.simulator.verdict import Fate

SUBJECT: Final = "Amazon SES Email Event Notification"
_MOST_HEADERS: Final = 10_240
_MTA: Final = "a1-2.smtp-out.amazonses.com"
_encode: Final = msgspec.json.Encoder().encode


class Event(msgspec.Struct, frozen=True):
    """One event: the API's name for its type, the JSON's name, and its text."""

    api_type: str
    event_type: str
    text: str


def stamp(at_s: float) -> str:
    """Write a time as SES and SNS do: UTC, milliseconds, Z."""
    moment = datetime.datetime.fromtimestamp(at_s, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


def events_of(mail: Mail, region: str) -> list[Event]:
    """Tell everything that becomes of a mail, in the order in which it happens."""
    about = msgspec.Raw(_encode(_about(mail, region)))
    if mail.error:
        failure = {"templateName": "InlineTemplate", "errorMessage": mail.error}
        return [_event("RENDERING_FAILURE", "Rendering Failure", about, ("failure", failure))]
    if Fate.REJECT in mail.fates:
        return [_event("REJECT", "Reject", about, ("reject", {"reason": "Bad content"}))]
    told = [_event("SEND", "Send", about, ("send", {}))]
    addresses = [*mail.to, *mail.cc, *mail.bcc]
    for number, (address, fate) in enumerate(zip(addresses, mail.fates, strict=True)):
        told += _ends(mail, about, f"{mail.message_id}-{number}", (address, fate))
    return told


def _ends(mail: Mail, about: msgspec.Raw, feedback_id: str, end: tuple[str, Fate]) -> list[Event]:
    address, fate = end
    bounce = _BOUNCES.get(fate)
    told: list[Event] = []
    if fate in (Fate.DELIVERY, Fate.COMPLAINT, Fate.OUT_OF_OFFICE):
        told.append(_event("DELIVERY", "Delivery", about, ("delivery", _delivery(mail, address))))
    if bounce is not None:
        detail = _bounce(mail, address, bounce, feedback_id)
        told.append(_event("BOUNCE", "Bounce", about, ("bounce", detail)))
    if fate is Fate.COMPLAINT:
        detail = _complaint(mail, address, feedback_id)
        told.append(_event("COMPLAINT", "Complaint", about, ("complaint", detail)))
    return told


def _event(
    api_type: str, event_type: str, about: msgspec.Raw, detail: tuple[str, dict[str, Any]]
) -> Event:
    document = {"eventType": event_type, "mail": about, detail[0]: detail[1]}
    return Event(api_type, event_type, _encode(document).decode() + "\n")


def _about(mail: Mail, region: str) -> dict[str, Any]:
    headers, truncated = _headers(mail)
    domain = bare(mail.source).rpartition("@")[2]
    return {
        "timestamp": stamp(mail.at_s),
        "source": mail.source,
        "sourceArn": f"arn:aws:ses:{region}:{ACCOUNT_ID}:identity/{domain}",
        "sendingAccountId": ACCOUNT_ID,
        "messageId": mail.message_id,
        "destination": [*mail.to, *mail.cc, *mail.bcc],
        "headersTruncated": truncated,
        "headers": headers,
        "commonHeaders": _common(mail),
        "tags": _tags(mail),
    }


def _headers(mail: Mail) -> tuple[list[dict[str, str]], bool]:
    given = {name.lower() for name, _value in mail.headers}
    own = [("From", mail.source), ("To", ", ".join(mail.to)), ("Subject", mail.subject)]
    own.append(("MIME-Version", "1.0"))
    pairs = [*((n, v) for n, v in own if n.lower() not in given and v), *mail.headers]
    kept: list[dict[str, str]] = []
    size = 0
    for name, value in pairs:
        size += len(name) + len(value) + 4
        if size > _MOST_HEADERS:
            return kept, True
        kept.append({"name": name, "value": value})
    return kept, False


def _common(mail: Mail) -> dict[str, Any]:
    common: dict[str, Any] = {
        "from": [mail.source],
        "date": formatdate(mail.at_s),
        "to": mail.to,
        "messageId": mail.message_id,
        "subject": mail.subject,
    }
    if mail.cc:
        common["cc"] = mail.cc
    return common


def _tags(mail: Mail) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {
        "ses:operation": [mail.operation],
        "ses:configuration-set": [mail.configuration_set],
        "ses:source-ip": ["127.0.0.1"],
        "ses:from-domain": [bare(mail.source).rpartition("@")[2]],
        "ses:caller-identity": ["simulator"],
    }
    for name, value in mail.tags:
        tags.setdefault(name, []).append(value)
    return tags


def _delivery(mail: Mail, address: str) -> dict[str, Any]:
    return {
        "timestamp": stamp(mail.at_s + 0.5),
        "processingTimeMillis": 500,
        "recipients": [address],
        "smtpResponse": "250 2.0.0 OK",
        "reportingMTA": _MTA,
    }


# bounceType, bounceSubType, action, status, diagnosticCode
_Bounce = tuple[str, str, str, str, str]
_BOUNCES: Final[dict[Fate, _Bounce]] = {
    Fate.BOUNCE: (
        "Permanent",
        "General",
        "failed",
        "5.1.1",
        "smtp; 550 5.1.1 user unknown",
    ),
    Fate.OUT_OF_OFFICE: ("Transient", "General", "", "", ""),
    Fate.GLOBALLY_SUPPRESSED: (
        "Permanent",
        "Suppressed",
        "failed",
        "5.1.1",
        "Amazon SES has suppressed sending to this address because it has a recent history of"
        " bouncing as an invalid address.",
    ),
    Fate.SUPPRESSED: (
        "Permanent",
        "OnAccountSuppressionList",
        "failed",
        "5.1.1",
        "Amazon SES did not send the message to this address because it is on the suppression"
        " list for your account.",
    ),
}


def _bounce(mail: Mail, address: str, bounce: _Bounce, feedback_id: str) -> dict[str, Any]:
    bounce_type, sub_type, action, status, diagnostic = bounce
    recipient = {"emailAddress": address}
    if action:
        recipient |= {"action": action, "status": status, "diagnosticCode": diagnostic}
    return {
        "feedbackId": feedback_id,
        "bounceType": bounce_type,
        "bounceSubType": sub_type,
        "bouncedRecipients": [recipient],
        "timestamp": stamp(mail.at_s + 0.6),
        "reportingMTA": f"dsn; {_MTA}",
    }


def _complaint(mail: Mail, address: str, feedback_id: str) -> dict[str, Any]:
    return {
        "feedbackId": feedback_id,
        "complaintSubType": None,
        "complainedRecipients": [{"emailAddress": address}],
        "timestamp": stamp(mail.at_s + 0.7),
        "userAgent": "Amazon SES Mailbox Simulator",
        "complaintFeedbackType": "abuse",
        "arrivalDate": stamp(mail.at_s + 0.7),
    }
