"""What SNS posts: the envelope around a text, signed, with its headers."""

import base64
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from services.simulator.events import stamp
from services.simulator.parcels import RetryPolicy
from services.simulator.sign import sign

AGENT: Final = "Amazon Simple Notification Service Agent"
_encode: Final = msgspec.json.Encoder().encode
CONTENT_TYPE: Final = "text/plain; charset=UTF-8"


class Notice(msgspec.Struct):
    """One post on its way to one endpoint; the body is made at the first attempt."""

    kind: str  # how it is tallied
    type: str  # Notification or SubscriptionConfirmation
    endpoint: str
    topic_arn: str
    message_id: str
    text: str
    signature_version: str
    retry: RetryPolicy
    at_s: float
    subject: str | None = None
    subscription_arn: str | None = None
    token: str | None = None
    raw: bool = False
    attributes: dict[str, dict[str, str]] | None = None
    forge: str = "none"
    ticket: int = 0
    tried: int = 0
    era: int = 0
    request: bytes = b""


class Sealer(msgspec.Struct, frozen=True):
    """Makes signed requests out of notices."""

    key: rsa.RSAPrivateKey
    cert_url: str
    base_url: str

    def request(self, notice: Notice) -> bytes:
        """Give the whole HTTP request of a notice."""
        parts = urlsplit(notice.endpoint)
        body = notice.text.encode() if notice.raw else self._body(notice)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"POST {path} HTTP/1.1",
            f"x-amz-sns-message-type: {notice.type}",
            f"x-amz-sns-message-id: {notice.message_id}",
            f"x-amz-sns-topic-arn: {_topic(notice)}",
        ]
        if notice.subscription_arn:
            lines.append(f"x-amz-sns-subscription-arn: {notice.subscription_arn}")
        if notice.raw:
            lines.append("x-amz-sns-rawdelivery: true")
        lines += [
            f"Content-Length: {len(body)}",
            f"Content-Type: {CONTENT_TYPE}",
            f"Host: {parts.netloc}",
            "Connection: Keep-Alive",
            f"User-Agent: {AGENT}",
            "Accept-Encoding: gzip,deflate",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _body(self, notice: Notice) -> bytes:
        envelope = self._envelope(notice)
        envelope["Signature"] = _spoiled(sign(self.key, envelope), notice.forge)
        envelope["SigningCertURL"] = self.cert_url
        if notice.type == "Notification":
            arn = notice.subscription_arn or ""
            envelope["UnsubscribeURL"] = (
                f"{self.base_url}/?Action=Unsubscribe&SubscriptionArn={arn}"
            )
        if notice.forge == "unsigned":
            for key in ("Signature", "SigningCertURL", "SignatureVersion"):
                del envelope[key]
        rows = [f'  "{name}" : {_json(value)}' for name, value in envelope.items()]
        if notice.attributes:
            rows.append(f'  "MessageAttributes" : {_json(notice.attributes)}')
        return ("{\n" + ",\n".join(rows) + "\n}").encode()

    def _envelope(self, notice: Notice) -> dict[str, str]:
        envelope = {
            "Type": notice.type,
            "MessageId": notice.message_id,
            "TopicArn": _topic(notice),
            "Message": notice.text,
            "Timestamp": stamp(notice.at_s),
            "SignatureVersion": notice.signature_version,
        }
        if notice.subject is not None:
            envelope["Subject"] = notice.subject
        if notice.token is not None:
            envelope["Token"] = notice.token
            envelope["SubscribeURL"] = (
                f"{self.base_url}/?Action=ConfirmSubscription&TopicArn={notice.topic_arn}"
                f"&Token={notice.token}"
            )
        return envelope


def _topic(notice: Notice) -> str:
    return notice.topic_arn + ("-foreign" if notice.forge == "foreign_topic" else "")


def _spoiled(signature: str, forge: str) -> str:
    if forge != "bad_signature":
        return signature
    raw = bytearray(base64.b64decode(signature))
    raw[0] ^= 1
    return base64.b64encode(raw).decode()


def _json(value: object) -> str:
    return _encode(value).decode()
