"""The signature: which posts are genuine, and which are not."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from services.results import certificate, post, refusal
from services.results.post import Envelope
from services.results.trust import Sealed, Trust
from tests.unit.results.rig import CERT_URL, NOW, TOPIC, Sns

TRUST = Trust(frozenset({TOPIC}))
EVIL_TOPIC = "arn:aws:sns:eu-west-1:666666666666:evil"


def examine(fields, trust=TRUST):
    envelope = post.read(json.dumps(fields).encode(), fields["Type"])
    assert isinstance(envelope, Envelope), envelope
    return trust.examine(envelope)


def is_genuine(sns, fields, trust=TRUST):
    sealed = examine(fields, trust)
    assert isinstance(sealed, Sealed), sealed
    return sealed.is_genuine(certificate.load(sns.pem, sealed.source, NOW.wall))


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [None, "", "Amazon SES Email Event Notification"])
def test_a_notification_of_either_version_is_genuine_with_and_without_subject(
    sns, version, subject
):
    assert is_genuine(sns, sns.notification("ü\n\u2028", version, Subject=subject))


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_confirmation_of_either_version_is_genuine(sns, version, kind):
    assert is_genuine(sns, sns.confirmation(kind, version))


@pytest.mark.against("A8")
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "change",
    [
        {"Message": "hello!"},
        {"Message": ""},
        {"MessageId": "165545c9"},
        {"Subject": "t"},
        {"Subject": None},
        {"Timestamp": "2026-09-01T10:00:04.000Z"},
    ],
)
def test_a_notification_with_any_signed_field_changed_is_forged(sns, version, change):
    fields = {**sns.notification("hello", version, Subject="s"), **change}
    assert not is_genuine(sns, {k: v for k, v in fields.items() if v is not None})


@pytest.mark.against("A8", "A13")
@pytest.mark.parametrize("field", ["Message", "MessageId", "SubscribeURL", "Token"])
def test_a_confirmation_with_any_signed_field_changed_is_forged(sns, field):
    fields = sns.confirmation()
    assert not is_genuine(sns, {**fields, field: fields[field] + "1"})


@pytest.mark.against("A8", "A12")
def test_the_type_and_the_topic_are_signed_too(sns):
    fields = sns.confirmation()
    assert not is_genuine(sns, {**fields, "Type": "UnsubscribeConfirmation"})
    both = Trust(frozenset({TOPIC, EVIL_TOPIC}))
    assert not is_genuine(sns, {**fields, "TopicArn": EVIL_TOPIC}, both)


def test_unsigned_fields_may_differ(sns):
    assert is_genuine(sns, {**sns.notification(), "UnsubscribeURL": "https://evil", "Token": "x"})


@pytest.mark.against("A8")
def test_another_key_signs_nothing(sns, other_key):
    assert not is_genuine(sns, Sns(other_key).notification())


@pytest.mark.against("A11", "H53")
def test_the_digest_follows_from_the_version_alone(sns):
    for version, other in (("1", hashes.SHA256()), ("2", hashes.SHA1())):
        fields = sns.notification(version=version)
        bare = {k: v for k, v in fields.items() if k not in ("Signature", "SignatureVersion")}
        assert is_genuine(sns, fields)
        assert not is_genuine(sns, sns.sign(bare, version, other))
        assert not is_genuine(sns, {**fields, "SignatureVersion": "12".replace(version, "")})


@pytest.mark.against("A8", "A11", "H53")
@pytest.mark.parametrize(
    "changes",
    [
        {"Signature": None},
        {"Signature": ""},
        {"Signature": "no base64!"},
        {"Signature": "AAA"},
        {"Signature": "ÄÄÄÄ"},
        {"Signature": "AA AA\n"},
        {"Signature": "A" * 1_000_000},
        {"SignatureVersion": None},
        {"SignatureVersion": ""},
        {"SignatureVersion": "0"},
        {"SignatureVersion": "3"},
        {"SignatureVersion": "2 "},
        {"SignatureVersion": "٢"},
    ],
)
def test_a_missing_or_unreadable_signature_is_refused_before_any_fetch(sns, changes):
    fields = {k: v for k, v in {**sns.notification(), **changes}.items() if v is not None}
    assert examine(fields) == refusal.NO_SIGNATURE
    assert refusal.NO_SIGNATURE.status == 403


@pytest.mark.against("A12", "H51")
@pytest.mark.parametrize(
    "arn",
    [
        EVIL_TOPIC,
        TOPIC + "-evil",
        TOPIC[:-1],
        TOPIC + "\n",
        TOPIC.upper(),
        "evil," + TOPIC,
        "",
    ],
)
def test_a_foreign_topic_is_refused_however_well_signed(sns, arn):
    assert examine(sns.notification(TopicArn=arn)) == refusal.FOREIGN_TOPIC
    assert refusal.FOREIGN_TOPIC.status == 403


@pytest.mark.against("H57")
def test_a_post_signed_for_another_topic_cannot_be_shifted_into_ours(sns):
    """The signed text ends with the true topic, whatever lines stand before it."""
    tail = f"\nMessageId\nid1\nTimestamp\n2026-09-01T10:00:03.000Z\nTopicArn\n{TOPIC}\nType\n"
    theirs = sns.notification("X" + tail + "Notification", TopicArn=EVIL_TOPIC)
    text = sns.text(theirs).decode()
    ours = {
        **theirs,
        "Message": "X",
        "MessageId": "id1",
        "TopicArn": TOPIC,
        "Type": text.partition(f"TopicArn\n{TOPIC}\nType\n")[2][:-1],
    }
    assert sns.text({**ours, "Type": "Notification"}) != sns.text(theirs)
    envelope = post.read(json.dumps(ours).encode(), ours["Type"])
    assert envelope == refusal.UNKNOWN_TYPE
    stretched = {**theirs, "Message": "X", "MessageId": "id1", "TopicArn": TOPIC + EVIL_TOPIC}
    assert examine(stretched) == refusal.FOREIGN_TOPIC
    assert not is_genuine(sns, {**ours, "Type": "Notification"})


@pytest.mark.against("A14", "H57")
def test_a_genuine_post_cannot_be_cut_into_other_fields(sns):
    """The Subject drawn into the MessageId would sign the same and make an old post look new."""
    fields = sns.notification("hello", Subject="s")
    recut = {**fields, "MessageId": fields["MessageId"] + "\nSubject\ns"}
    del recut["Subject"]
    assert Sns.text(recut) == Sns.text(fields)
    assert post.read(json.dumps(recut).encode(), "Notification") == refusal.ODD_ID


@pytest.mark.parametrize("url", [None, CERT_URL.replace("https", "http"), CERT_URL + "\n"])
def test_a_certificate_elsewhere_is_refused(sns, url):
    fields = {k: v for k, v in {**sns.notification(), "SigningCertURL": url}.items() if v}
    assert examine(fields) == refusal.CERTIFICATE_URL
    assert refusal.CERTIFICATE_URL.status == 403


def test_without_a_listed_topic_any_topic_of_sns_is_examined(sns):
    anyone = Trust()
    assert is_genuine(sns, sns.notification(TopicArn=EVIL_TOPIC), anyone)
    assert examine(sns.notification(TopicArn="arn:x"), anyone) == refusal.CERTIFICATE_URL


@pytest.mark.against("A8", "H53")
@given(st.binary(min_size=1, max_size=600), st.sampled_from(["1", "2"]))
def test_random_signatures_never_raise_and_never_verify(sns, octets, version):
    fields = {
        **sns.notification(version=version),
        "Signature": base64.b64encode(octets).decode(),
    }
    assert not is_genuine(sns, fields)


@pytest.mark.against("A8")
@given(st.data())
def test_a_changed_character_of_the_message_is_always_forged(sns, data):
    fields = sns.notification("The quick brown fox", "1")
    place = data.draw(st.integers(0, len(fields["Message"]) - 1))
    letter = data.draw(st.characters(codec="utf-8"))
    changed = fields["Message"][:place] + letter + fields["Message"][place + 1 :]
    assert is_genuine(sns, {**fields, "Message": changed}) == (changed == fields["Message"])
