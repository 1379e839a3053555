"""The signature of an SNS post: its octets, its digest, and the text it was made over."""

import base64
import binascii
from typing import NamedTuple

from services.results.certificate import Digest
from services.results.post import NOTIFICATION, Envelope

_DIGESTS = {"1": Digest.SHA1, "2": Digest.SHA256}
"""The digest follows from SignatureVersion alone, never from the certificate or the length."""

_LONGEST = 2048
"""Characters; a signature of an 8192-bit key has 1368."""


class Signature(NamedTuple):
    """A signature that can be checked."""

    octets: bytes
    digest: Digest


def read(envelope: Envelope) -> Signature | None:
    """Read the signature of a post, or None if there is none of a known version."""
    digest = _DIGESTS.get(envelope.signature_version or "")
    text = envelope.signature
    if digest is None or not text or len(text) > _LONGEST or not text.isascii():
        return None
    try:
        octets = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return Signature(octets, digest) if octets else None


def signed_text(envelope: Envelope) -> bytes:
    """Answer the text SNS signs: name and value of each signed field that is present, a line each.

    The fields and their order: SNS developer guide, "Verifying the signatures of messages".
    """
    timestamp = _lines("Timestamp", envelope.timestamp)
    if envelope.type == NOTIFICATION:
        middle = _lines("Subject", envelope.subject) + timestamp
    else:
        url, token = _lines("SubscribeURL", envelope.subscribe_url), _lines("Token", envelope.token)
        middle = url + timestamp + token
    head = _lines("Message", envelope.message) + _lines("MessageId", envelope.message_id)
    tail = _lines("TopicArn", envelope.topic_arn) + _lines("Type", envelope.type)
    return (head + middle + tail).encode()


def _lines(name: str, value: str | None) -> str:
    return "" if value is None else f"{name}\n{value}\n"
