"""The envelope SNS posts: from raw bytes and the type header to a typed one, or a refusal."""

import re
from typing import Final

import msgspec
from msgspec import Struct, field

from services.results import moment, refusal
from services.results.refusal import Refusal

NOTIFICATION: Final = "Notification"
SUBSCRIPTION: Final = "SubscriptionConfirmation"
UNSUBSCRIPTION: Final = "UnsubscribeConfirmation"
_TYPES = frozenset({NOTIFICATION, SUBSCRIPTION, UNSUBSCRIPTION})

# The signed text is a list of lines, so a genuine one could be cut into other fields: a Subject
# drawn into the MessageId makes an old post look new. So every field but the Message is one line,
# which leaves one way to cut.
_ID = re.compile(r"[0-9A-Za-z-]{1,100}")
_TIMESTAMP = re.compile(r"[0-9TZ:.+-]{1,40}")


class Envelope(Struct, frozen=True, rename="pascal"):
    """A post of SNS, not yet believed."""

    type: str
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str | None = None
    signature: str | None = None
    signing_cert_url: str | None = field(default=None, name="SigningCertURL")
    subject: str | None = None
    token: str | None = None
    subscribe_url: str | None = field(default=None, name="SubscribeURL")

    @property
    def published_at(self) -> int:
        """When SNS took the message, in milliseconds: the same in every repeat of the post.

        Zero for what is no time: the clock in its place would make each repeat another event.
        """
        return moment.read(self.timestamp) or 0


_decoder = msgspec.json.Decoder(Envelope)


def read(body: bytes, message_type: str) -> Envelope | Refusal:
    """Read a post; the header must name the type that the body has."""
    try:
        envelope = _decoder.decode(body)
    except msgspec.ValidationError:
        return refusal.NO_ENVELOPE
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return refusal.NOT_JSON
    return _fault(envelope, message_type) or envelope


def _fault(envelope: Envelope, message_type: str) -> Refusal | None:
    if not message_type:
        return refusal.NO_TYPE
    if envelope.type != message_type:
        return refusal.OTHER_TYPE
    if envelope.type not in _TYPES:
        return refusal.UNKNOWN_TYPE
    if not (_ID.fullmatch(envelope.message_id) and _TIMESTAMP.fullmatch(envelope.timestamp)):
        return refusal.ODD_ID
    others = (envelope.subject, envelope.subscribe_url, envelope.token)
    return refusal.ODD_FIELD if any("\n" in (text or "") for text in others) else None
