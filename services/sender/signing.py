"""Signature Version 4 for a POST whose headers never change: what many calls share is made once.

botocore builds and takes apart a request for every signature; that is a third of what a mail costs
a sender. So botocore signs the first call of each path, day and set of credentials, and what is
derived here must come to the very same headers, or botocore goes on to sign all of them (`Aws`).
"""

import hmac
from hashlib import sha256
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

CONTENT_TYPE = "application/json"
STAMP = "%Y%m%dT%H%M%SZ"


class Mould(NamedTuple):
    """All of a signature but time and body."""

    key: bytes
    day: str
    token: str | None
    scope: str
    credential: str
    start: str
    signed: str

    def headers(self, stamp: str, body: bytes) -> dict[str, str]:
        """Answer the headers of a call at that second of this day (`20261124T120000Z`)."""
        token = f"x-amz-security-token:{self.token}\n" if self.token else ""
        request = (
            f"{self.start}x-amz-date:{stamp}\n{token}\n{self.signed}\n{sha256(body).hexdigest()}"
        )
        digest = sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{self.scope}\n{digest}"
        signature = hmac.digest(self.key, text.encode(), "sha256").hex()
        headers = {"Content-Type": CONTENT_TYPE, "X-Amz-Date": stamp}
        if self.token:
            headers["X-Amz-Security-Token"] = self.token
        headers["Authorization"] = f"{self.credential}, Signature={signature}"
        return headers


class Keys(Protocol):
    """Credentials as botocore freezes them."""

    @property
    def access_key(self) -> str | None:
        """The public part."""

    @property
    def secret_key(self) -> str | None:
        """The secret part."""

    @property
    def token(self) -> str | None:
        """The session token of a role."""


def mould(url: str, keys: Keys, place: tuple[str, str], day: str) -> Mould:
    """Make what the calls to one URL share on a day (`20261124`); `place` is region and service."""
    parts = urlsplit(url)
    key = f"AWS4{keys.secret_key}".encode()
    for step in (day, *place, "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    scope = "/".join((day, *place, "aws4_request"))
    signed = "content-type;host;x-amz-date" + (";x-amz-security-token" if keys.token else "")
    return Mould(
        key=key,
        day=day,
        token=keys.token,
        scope=scope,
        credential=f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={signed}",
        start=f"POST\n{parts.path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{parts.netloc}\n",
        signed=signed,
    )
