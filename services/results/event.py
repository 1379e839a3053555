"""What SES says in a post: from the JSON text to one event for each recipient.

Shapes: SES developer guide, "Contents of event data" (eventType, with tags) and "Contents of
notifications" (notificationType, of identities, without tags). Unknown fields and kinds pass.
"""

from typing import Any

import msgspec
from msgspec import Struct

from services.results import moment
from shared.domain import Feedback, RecipientId, parse_mid
from shared.protocol import Event

_MOST_RECIPIENTS = 50
"""What SES allows in one mail."""

_MOST_DETAIL = 500
_MOST_SUBTYPE = 100
_MOST_ID = 256

_KINDS: dict[str, tuple[Feedback, str]] = {
    "Send": (Feedback.SEND, "send"),
    "DeliveryDelay": (Feedback.DELIVERY_DELAY, "delivery_delay"),
    "Delivery": (Feedback.DELIVERY, "delivery"),
    "Bounce": (Feedback.BOUNCE, "bounce"),
    "Reject": (Feedback.REJECT, "reject"),
    "Rendering Failure": (Feedback.RENDERING_FAILURE, "failure"),
    "Complaint": (Feedback.COMPLAINT, "complaint"),
    "Open": (Feedback.OPEN, "open"),
    "Click": (Feedback.CLICK, "click"),
    "Subscription": (Feedback.SUBSCRIPTION, "subscription"),
}
"""What each kind is to us, and under which field its particulars stand."""


class Affected(Struct, rename="camel"):
    """One recipient of a bounce, complaint or delay."""

    email_address: str
    diagnostic_code: str | None = None


class Particulars(Struct, rename="camel"):
    """The object beside `mail`; each kind fills a few fields of its own."""

    timestamp: str | None = None
    recipients: list[str] | None = None
    bounced_recipients: list[Affected] | None = None
    complained_recipients: list[Affected] | None = None
    delayed_recipients: list[Affected] | None = None
    bounce_type: str | None = None
    bounce_sub_type: str | None = None
    complaint_feedback_type: str | None = None
    complaint_sub_type: str | None = None
    delay_type: str | None = None
    is_bot_event: str | None = None
    source: str | None = None
    reason: str | None = None
    error_message: str | None = None
    link: str | None = None

    @property
    def affected(self) -> list[Affected]:
        """The recipients it names, if it names any."""
        listed = self.bounced_recipients or self.complained_recipients or self.delayed_recipients
        return listed or [Affected(email) for email in self.recipients or ()]

    @property
    def subtype(self) -> str:
        """What kind of its kind it is, as in `Permanent/General`."""
        words = (
            self.bounce_type,
            self.bounce_sub_type,
            self.complaint_feedback_type,
            self.complaint_sub_type,
            self.delay_type,
            self.is_bot_event,
            self.source,
        )
        return "/".join(word for word in words if word)[:_MOST_SUBTYPE]

    @property
    def detail(self) -> str:
        """The one text that explains it."""
        return self.reason or self.error_message or self.link or ""


class Mailed(Struct, rename="camel"):
    """The mail an event is about."""

    timestamp: str | None = None
    message_id: str = ""
    destination: list[str] | None = None
    # Whatever stands there must not cost us the event: it can still be found by its MessageId.
    tags: Any = None


class Notification(Struct, rename="camel"):
    """An event of a configuration set, or a notification of an identity."""

    event_type: str | None = None
    notification_type: str | None = None
    mail: Mailed | None = None
    send: Particulars | None = None
    delivery_delay: Particulars | None = None
    delivery: Particulars | None = None
    bounce: Particulars | None = None
    reject: Particulars | None = None
    failure: Particulars | None = None
    complaint: Particulars | None = None
    open: Particulars | None = None
    click: Particulars | None = None
    subscription: Particulars | None = None


_decoder = msgspec.json.Decoder(Notification)
_NOTHING = Particulars()


def read(text: str, install: str, published_at: int) -> tuple[Event, ...]:
    """Read the events out of a verified text, one for each recipient; none if it holds none.

    `published_at` (milliseconds) stands in for a time that SES does not give.
    """
    try:
        said = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ()
    named = _KINDS.get(said.event_type or said.notification_type or "")
    if named is None or said.mail is None:
        return ()
    kind, part = named
    particulars: Particulars = getattr(said, part) or _NOTHING
    return _events(kind, particulars, said.mail, (install, published_at))


def _events(
    kind: Feedback, said: Particulars, mail: Mailed, context: tuple[str, int]
) -> tuple[Event, ...]:
    install, published_at = context
    recipient = _recipient(mail.tags, install)
    affected = said.affected or [Affected(email) for email in mail.destination or ()]
    if len(affected) > _MOST_RECIPIENTS or not (mail.message_id or recipient):
        return ()
    sent_at = moment.read(mail.timestamp) or published_at
    at = moment.read(said.timestamp) or sent_at
    attempt, subtype, detail = _attempt(mail.tags), said.subtype, said.detail
    return tuple(
        Event(
            kind=kind,
            email=_bare(one.email_address),
            message_id=mail.message_id[:_MOST_ID],
            at=at,
            sent_at=sent_at,
            recipient=recipient,
            attempt=attempt,
            subtype=subtype,
            detail=(one.diagnostic_code or detail)[:_MOST_DETAIL],
        )
        for one in affected
    )


def _bare(address: str) -> str:
    """Take the address out of `Name <a@b>`, as SES repeats it from the header."""
    if address.endswith(">"):
        return address[address.rfind("<") + 1 : -1]
    return address.strip()


def _tag(tags: Any, name: str) -> str:
    """Read the first value of a message tag; SES gives a list for each name."""
    values = tags.get(name) if isinstance(tags, dict) else None
    first = values[0] if isinstance(values, list) and values else None
    return first if isinstance(first, str) else ""


def _recipient(tags: Any, install: str) -> RecipientId | None:
    return parse_mid(_tag(tags, "mid"), install)


def _attempt(tags: Any) -> int:
    text = _tag(tags, "att")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
