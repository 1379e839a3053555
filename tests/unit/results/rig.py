"""An SNS of our own that signs posts, and an actor with its hands tied to it."""

import base64
import contextlib
import datetime
import json
import logging
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import NameOID
from typing_extensions import override

from services.results.actor import Results
from services.results.certificate import Fetched
from services.results.keyring import Keyring
from services.results.trust import Trust
from shared.clock import Now
from shared.protocol import CheckPost, EarOpen, EventsRecorded, PostChecked, RecordEvents

TOPIC = "arn:aws:sns:eu-west-1:111122223333:ses-events"
CERT_URL = f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{'0a' * 16}.pem"
WALL = datetime.datetime(2026, 9, 1, 10, 0, 5, tzinfo=datetime.UTC)
NOW = Now(1000.0, WALL.timestamp())
INSTALL = "abcd1234"
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


def make_pem(key, name="sns.amazonaws.com", begins=-1, ends=30):
    """Make a certificate; `begins` and `ends` are days from now."""
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(names)
        .issuer_name(names)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(WALL + datetime.timedelta(days=begins))
        .not_valid_after(WALL + datetime.timedelta(days=ends))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


class Sns:
    """Signs posts as the SNS developer guide says, independently of the code under test."""

    TOPIC = TOPIC
    CERT_URL = CERT_URL

    def __init__(self, key):
        self.key = key
        self.pem = make_pem(key)

    def notification(self, message="{}", version="2", **fields):
        """Make a signed Notification; a field given as None is left out."""
        return self.sign({**self._common("Notification", message), **fields}, version)

    def confirmation(self, kind="SubscriptionConfirmation", version="2", **fields):
        """Make a signed SubscriptionConfirmation or UnsubscribeConfirmation."""
        own = {
            "Token": "f00d" * 64,
            "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        }
        return self.sign({**self._common(kind, "You have chosen…"), **own, **fields}, version)

    def sign(self, fields, version="2", digest=None):
        """Sign fields by the version, or with another digest than the version says."""
        fields = {name: value for name, value in fields.items() if value is not None}
        digest = digest or {"1": hashes.SHA1()}.get(version, hashes.SHA256())
        octets = self.key.sign(self.text(fields), padding.PKCS1v15(), digest)
        return {
            "SigningCertURL": CERT_URL,
            **fields,
            "SignatureVersion": version,
            "Signature": base64.b64encode(octets).decode(),
        }

    @staticmethod
    def text(fields):
        names = _NOTIFICATION if fields["Type"] == "Notification" else _CONFIRMATION
        return "".join(f"{n}\n{fields[n]}\n" for n in names if n in fields).encode()

    @staticmethod
    def _common(kind, message):
        return {
            "Type": kind,
            "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
            "TopicArn": TOPIC,
            "Message": message,
            "Timestamp": "2026-09-01T10:00:03.000Z",
        }


class TiedFetch:
    """Notes what is asked for, and hands out what the test puts in."""

    def __init__(self):
        self.asked = []
        self.fetched = []

    def ask(self, source):
        self.asked.append(source.url)

    def take(self):
        fetched, self.fetched = self.fetched, []
        return fetched


class Desk:
    """The actor, turned as the run loop turns it."""

    def __init__(self, sns, topics=(TOPIC,), cert_hosts=(), install=INSTALL):
        self.sns = sns
        self.now = NOW
        self.fetch = TiedFetch()
        self.install = install
        trust = Trust(frozenset(topics), tuple(cert_hosts))
        self.actor = Results(7, trust, Keyring(self.fetch), lambda: self.install)

    def turn(self, *messages):
        """One turn of the loop: all mail, then settle, then tick when it is due."""
        letters = []
        for message in messages:
            letters += self.actor.receive(message, self.now)
        letters += self.actor.settle(self.now)
        if self.now.mono >= self.actor.next_tick(self.now):
            letters += self.actor.tick(self.now)
        return letters

    def wait(self, seconds, *messages):
        """Let time pass, then turn."""
        self.now = Now(self.now.mono + seconds, self.now.wall + seconds)
        return self.turn(*messages)

    def post(self, fields, post="p1", header=None):
        """Post fields as the API hands them over."""
        header = fields.get("Type", "Notification") if header is None else header
        return self.turn(check(fields, post, header))

    def serve(self, pem=None, error="", url=CERT_URL):
        """Let the certificate come that was asked for."""
        self.fetch.fetched.append(Fetched(url, self.sns.pem if pem is None else pem, error))
        return self.turn()

    def learn(self):
        """Have the certificate at hand, through a post that is then done with."""
        self.post(self.sns.notification("learned"), "learn")
        self.serve()
        self.turn(EventsRecorded(7, ("learn",)))
        self.fetch.asked.clear()
        self.now = Now(self.now.mono + 0.02, self.now.wall + 0.02)  # quiet again: no bundling
        return self


def check(fields, post="p1", header="Notification"):
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return CheckPost("api", post, header, body)


def answers(letters):
    """What the API is told, as (post, status)."""
    told = [letter.message for letter in letters if letter.to == "api"]
    assert all(isinstance(one, PostChecked) for one in told)
    return [(one.post, one.status) for one in told]


def recorded(letters):
    """The posts sent to the writer."""
    sent = [letter.message for letter in letters if letter.to == "writer"]
    return [one for frame in sent if isinstance(frame, RecordEvents) for one in frame.posts]


def ears(letters):
    """The signs to the writer that the webhook is up."""
    return [letter.message for letter in letters if isinstance(letter.message, EarOpen)]


@contextlib.contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """Hear our own log lines, before anything is taken out of them."""
    lines: list[dict[str, Any]] = []

    class Ear(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.msg, dict):
                lines.append({**record.msg, "level": record.levelname})

    root, ear = logging.getLogger(), Ear()
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(ear)
        root.setLevel(level)
