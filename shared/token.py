"""Open-pixel tokens: an id nobody can guess, bound to its purpose."""

import base64
import binascii
import hashlib
import hmac

from shared.domain import RecipientId

_MAC_BYTES = 16
_LENGTH = 32
"""Characters: 8 bytes of id and 16 of MAC in base64url need no padding."""


def open_token(secret: bytes, recipient: RecipientId) -> str:
    """Make the token that stands in a mail's open pixel."""
    number = recipient.to_bytes(8, "big")
    return base64.urlsafe_b64encode(number + _mac(secret, number)).decode()


def read_open_token(secret: bytes, token: str) -> RecipientId | None:
    """Answer whose token it is, or None for a forged one."""
    if len(token) != _LENGTH or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    number, mac = raw[:8], raw[8:]
    if not hmac.compare_digest(mac, _mac(secret, number)):
        return None
    return RecipientId(int.from_bytes(number, "big"))


def _mac(secret: bytes, number: bytes) -> bytes:
    return hmac.digest(secret, b"open\0" + number, hashlib.sha256)[:_MAC_BYTES]
