"""SNS as a test needs it: a key, its certificate on a port of ours, and posts signed with it."""

import json
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from services.simulator import sign


class Amazon:
    """Signs whatever it is told to; SNS_CERT_HOSTS must name its `host`."""

    def __init__(self, topic_arn: str) -> None:
        self.topic_arn = topic_arn
        self._key = sign.make_key(2048)
        pem = sign.certificate_of(self._key, datetime.now(UTC))
        path = sign.certificate_path(pem)

        class Desk(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == path
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(pem if found else b"")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._url = f"http://{self.host}{path}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def notification(self, message: str = "{}", version: str = "2", **more: str) -> dict[str, str]:
        """Answer a genuine post, signed after the changes."""
        return self._signed({"Type": "Notification", "Message": message} | more, version)

    def confirmation(self, token: str, version: str = "2", **more: str) -> dict[str, str]:
        """Answer the post that asks to confirm a subscription."""
        fields = {
            "Type": "SubscriptionConfirmation",
            "Message": "You have chosen to subscribe.",
            "Token": token,
            "SubscribeURL": f"http://{self.host}/confirm",
        }
        return self._signed(fields | more, version)

    def _signed(self, fields: dict[str, str], version: str) -> dict[str, str]:
        envelope = {
            "MessageId": str(uuid.uuid4()),
            "TopicArn": self.topic_arn,
            "Timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}",
            "SignatureVersion": version,
        } | fields
        envelope["Signature"] = sign.sign(self._key, envelope)
        return envelope | {"SigningCertURL": self._url}


def headers_of(envelope: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return (("x-amz-sns-message-type", envelope["Type"]),)


def body_of(envelope: dict[str, str]) -> bytes:
    return json.dumps(envelope).encode()
