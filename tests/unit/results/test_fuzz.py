"""Genuine posts, changed in every way: one that is believed says what SNS signed, and no more."""

import base64
import itertools
import json
import random
import re
from collections import Counter

import pytest

from services.results import certificate, post, refusal
from services.results.post import Envelope
from services.results.trust import Sealed, Trust
from tests.unit.results.rig import CERT_URL, NOW, TOPIC

ROUNDS = 15_000
SEED = 20_260_901
TRUST = Trust(frozenset({TOPIC}))
FOREIGN = "arn:aws:sns:eu-west-1:666666666666:evil"
SIGNED = (
    "Type", "MessageId", "TopicArn", "Message", "Timestamp", "Subject", "SubscribeURL", "Token",
)  # fmt: skip
ORDERS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
LINES = "\nMessageId\nid9\nSubject\nx\nTimestamp\n2026-09-01T10:00:03.000Z\nToken\nt\nTopicArn\n"
TEXTS = (
    '{"eventType":"Send"}\n',
    "hello",
    "",
    f"a{LINES}{TOPIC}\nType\nNotification\nb{LINES}{FOREIGN}\nType\nNotification",
    f"\nSubscribeURL\nu{LINES}{TOPIC}\nType\nSubscriptionConfirmation",
    "a\nMessageId\nid9\nSubject\nx",
)


class Sender:
    """Makes genuine posts and changes them; every throw of its dice is the seed's."""

    def __init__(self, sns) -> None:
        self.dice = random.Random(SEED)
        self.genuine = [
            made
            for version, text in itertools.product("12", TEXTS)
            for made in (
                sns.notification(text, version),
                sns.notification(text, version, Subject="Amazon SES Email Event Notification"),
                sns.confirmation(version=version, Message=text),
            )
        ]

    def letter(self) -> str:
        return self.dice.choice(["a", "0", "\n", " ", "\x00", "é", "\u2028", "A", "-"])

    def text(self, fields) -> dict:
        """Change, add or take away one character of a signed field."""
        name = self.dice.choice([name for name in SIGNED if name in fields])
        old = fields[name]
        at = self.dice.randint(0, len(old))
        return {**fields, name: old[:at] + self.letter() + old[at + self.dice.randint(0, 1) :]}

    def signature(self, fields) -> dict:
        """Flip a bit of the signature, cut it, stretch it, or take another post's."""
        octets = bytearray(base64.b64decode(fields["Signature"]))
        match self.dice.randrange(5):
            case 0:
                octets[self.dice.randrange(len(octets))] ^= 1 << self.dice.randrange(8)
            case 1:
                del octets[self.dice.randrange(len(octets)) :]
            case 2:
                octets = bytearray(self.dice.randbytes(1)) + octets
            case 3:
                octets = bytearray(self.dice.randbytes(len(octets)))
            case _:
                return {**fields, "Signature": self.dice.choice(self.genuine)["Signature"]}
        return {**fields, "Signature": base64.b64encode(octets).decode()}

    def fields(self, fields) -> dict:
        """Leave fields out, swap two of them, take some from another post, or of another type."""
        made = dict(fields)
        names = self.dice.sample(list(made), 2)
        match self.dice.randrange(4):
            case 0:
                del made[names[0]]
            case 1:
                made[names[0]], made[names[1]] = made[names[1]], made[names[0]]
            case 2:
                other = self.dice.choice(self.genuine)
                made |= {name: other[name] for name in names if name in other}
            case _:
                made[names[0]] = self.dice.choice([None, 1, [], {}, "", "1", "2", TOPIC, FOREIGN])
        return made

    def cut(self, fields) -> dict:
        """Cut the signed text at other places: the signature fits whatever comes of it."""
        text = "".join(f"\n{n}\n{fields[n]}" for n in ORDERS[fields["Type"]] if n in fields)
        names = self.dice.choice(list(ORDERS.values()))
        chosen = [n for n in names if n not in {"Subject"} or self.dice.random() < 0.6]
        begins, at = [], 0
        for name in chosen:
            places = [m.start() for m in re.finditer(f"(?=\n{name}\n)", text[at:])]
            if not places:
                return self.text(fields)
            at += self.dice.choice(places)
            begins.append(at)
            at += len(name) + 1
        kept = {k: v for k, v in fields.items() if k not in SIGNED}
        ends = [*begins[1:], len(text)]
        pieces = zip(chosen, begins, ends, strict=True)
        return kept | {n: text[begin + len(n) + 2 : end] for n, begin, end in pieces}

    def octets(self, fields) -> bytes:
        """Change single bytes of the whole body."""
        body = bytearray(json.dumps(fields).encode())
        for _ in range(self.dice.randint(1, 3)):
            body[self.dice.randrange(len(body))] = self.dice.randrange(256)
        return bytes(body)


def signed_part(fields) -> dict:
    names = [*ORDERS.get(fields["Type"], ORDERS["SubscriptionConfirmation"])]
    return {name: fields[name] for name in names if fields.get(name) is not None}


def read(body: bytes) -> tuple[str, Envelope | None]:
    """Answer how a body fares, and its envelope if it is believed, as the actor goes about it."""
    try:
        header = json.loads(body)["Type"]
    except (ValueError, KeyError, TypeError):
        header = "Notification"
    envelope = post.read(body, header if isinstance(header, str) else "Notification")
    if not isinstance(envelope, Envelope):
        return envelope.code, None
    sealed = TRUST.examine(envelope)
    if not isinstance(sealed, Sealed):
        return sealed.code, None
    return ("believed", envelope) if sealed.is_genuine(read.certificate) else ("forged", None)


@pytest.mark.against("A8", "A11", "A12", "H53", "H57")
def test_no_change_of_a_genuine_post_makes_it_say_anything_else(sns):
    sender = Sender(sns)
    read.certificate = certificate.load(
        sns.pem, TRUST.examine(envelope_of(sender)).source, NOW.wall
    )
    true = [signed_part(fields) for fields in sender.genuine]
    fared = Counter()
    ways = (sender.text, sender.signature, sender.fields, sender.cut, sender.octets)
    for number in range(ROUNDS):
        way = ways[number % len(ways)]
        made = way(sender.dice.choice(sender.genuine))
        body = made if isinstance(made, bytes) else json.dumps(made).encode()
        how, envelope = read(body)
        fared[way.__name__, how] += 1
        if envelope is not None:
            assert envelope.topic_arn == TOPIC
            assert signed_part(json.loads(body)) in true, (way.__name__, body)
    # The dice reached the signature itself, and what is unchanged is still believed.
    for way in ways:
        assert (
            sum(count for (name, _), count in fared.items() if name == way.__name__) == ROUNDS / 5
        )
    assert fared["signature", "forged"] > 1000
    assert fared["text", "forged"] > 1000
    assert fared["cut", "believed"] > 50
    assert fared["cut", refusal.ODD_ID.code] > 50
    assert fared["cut", refusal.ODD_FIELD.code] > 50
    assert fared["octets", "believed"] > 0


def envelope_of(sender) -> Envelope:
    fields = sender.genuine[0]
    envelope = post.read(json.dumps(fields).encode(), fields["Type"])
    assert isinstance(envelope, Envelope)
    assert envelope.signing_cert_url == CERT_URL
    return envelope


@pytest.mark.against("A8")
def test_random_bytes_are_never_believed(sns):
    dice = random.Random(SEED)
    heads = (b"", b"{", b'{"Type":"Notification"', b'{"Type":"Notification","MessageId":"')
    for _ in range(10_000):
        body = dice.choice(heads) + dice.randbytes(dice.randint(0, 200))
        assert post.read(body, "Notification") in (refusal.NOT_JSON, refusal.NO_ENVELOPE)
