"""What is no post of SNS, or none of our topic's: refused by POST /v1/events/results."""

import json
from collections.abc import Iterator
from typing import Any

from tests.system.asks import RESULTS, Ask


def posts(topic_arn: str, cert_host: str | None = None) -> Iterator[Ask]:
    """What is no post of SNS, or none of our topic's."""
    notification = ("x-amz-sns-message-type", "Notification")
    region = topic_arn.split(":")[3]
    file = f"SimpleNotificationService-{'0' * 32}.pem"
    whole = {
        "Type": "Notification",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": topic_arn,
        "Message": "{}",
        "Timestamp": "2026-11-24T00:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "AAAA",
        "SigningCertURL": f"https://sns.{region}.amazonaws.com/{file}",
    }

    def ask(what: str, status: int, code: str, *headers: tuple[str, str], **changes: Any) -> Ask:
        envelope = {k: v for k, v in (whole | changes).items() if v is not None}
        raw = json.dumps(envelope).encode()
        given = headers or (notification,)
        return Ask(what, "POST", RESULTS, status, code, headers=given, body=raw, key=[])

    def wrong(what: str, **changes: Any) -> Ask:
        return ask(what, 400, "bad_post", **changes)

    def forged(what: str, **changes: Any) -> Ask:
        return ask(what, 403, "not_believed", **changes)

    yield ask("raw delivery", 400, "raw_delivery", notification, ("x-amz-sns-rawdelivery", "true"))
    yield ask("no type header", 400, "bad_post", ("x-a", "b"))
    confirmation = ("x-amz-sns-message-type", "SubscriptionConfirmation")
    yield ask("another type header", 400, "bad_post", confirmation)
    yield ask("an unknown type", 400, "bad_post", ("x-amz-sns-message-type", "Hello"), Type="Hello")
    yield wrong("not JSON")._replace(body=b"Hello")
    yield wrong("no envelope")._replace(body=b"{}")
    yield wrong("MessageId is a number", MessageId=5)
    yield wrong("lines in the MessageId", MessageId="a\nSubject\nb")
    yield wrong("no Timestamp", Timestamp=None)
    yield wrong("513 KB")._replace(status=413, code="too_large", body=b"x" * (513 * 1024))
    yield forged("another topic", TopicArn=topic_arn + "-foreign")
    yield forged("no signature", Signature=None)
    yield forged("a signature that is no base64", Signature="?")
    yield forged("signature version 3", SignatureVersion="3")
    yield forged("no certificate", SigningCertURL=None)
    for url in (
        f"http://sns.{region}.amazonaws.com/{file}",
        f"https://sns.{region}.amazonaws.com:444/{file}",
        f"https://sns.{region}.amazonaws.com.evil.example/{file}",
        f"https://evil.example/{file}",
        f"https://a@sns.{region}.amazonaws.com/{file}",
        f"https://sns.{region}.amazonaws.com/a/{file}",
        f"https://sns.{region}.amazonaws.com/{file}?a",
        f"https://s3.amazonaws.com/{file}",
        "https://169.254.169.254/latest/meta-data",
    ):
        yield forged(f"certificate at {url}"[:60], SigningCertURL=url)
    if cert_host is not None:
        url = f"http://{cert_host}/{file}"
        yield ask("a certificate that is not there", 503, "not_committed", SigningCertURL=url)
