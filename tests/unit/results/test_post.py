"""The envelope: what is one, and what each other thing is answered."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.results import post, refusal
from services.results.post import Envelope
from services.results.refusal import Refusal

FIELDS = {
    "Type": "Notification",
    "MessageId": "165545c9-2a5c",
    "TopicArn": "arn",
    "Message": "hello",
    "Timestamp": "2026-09-01T10:00:03.000Z",
}


def read(header="Notification", **changes):
    fields = {k: v for k, v in {**FIELDS, **changes}.items() if v is not None}
    return post.read(json.dumps(fields).encode(), header)


def test_an_envelope_is_read_whole():
    found = read(SigningCertURL="https://x", Subject="s", Signature="c2ln", SignatureVersion="1")
    assert isinstance(found, Envelope)
    assert (found.signing_cert_url, found.subject) == ("https://x", "s")
    assert found.published_at == 1788256803000


def test_a_time_that_is_none_is_the_same_in_every_repeat():
    found = read(Timestamp="2026-99-01T10:00:03.000Z")
    assert isinstance(found, Envelope)
    assert found.published_at == 0


def test_unknown_fields_are_let_pass():
    assert isinstance(read(MessageAttributes={"a": {"Type": "String"}}, New=[1]), Envelope)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", refusal.NOT_JSON),
        (b"Successfully validated SNS topic", refusal.NOT_JSON),
        (b"\xef\xbb\xbf{}", refusal.NOT_JSON),
        (b"\xff\xfe{\x00}\x00", refusal.NOT_JSON),
        (b'{"Type":"\xff"}', refusal.NOT_JSON),
        (b'{"Type":"\\ud800"}', refusal.NOT_JSON),
        (b'{"x":' + b"[" * 100_000, refusal.NOT_JSON),
        (b"[]", refusal.NO_ENVELOPE),
        (b"null", refusal.NO_ENVELOPE),
        (b'{"eventType":"Send","mail":{}}', refusal.NO_ENVELOPE),
    ],
)
def test_what_is_no_envelope_is_named(body, expected):
    assert post.read(body, "Notification") == expected


@pytest.mark.against("H60")
@pytest.mark.parametrize("code", [refusal.NOT_JSON, refusal.NO_ENVELOPE])
def test_a_body_without_envelope_hints_at_raw_delivery(code):
    assert code.status == 400
    assert "raw message delivery" in code.reason


@pytest.mark.against("A15", "H57", "H58")
@pytest.mark.parametrize(
    ("header", "changes", "expected"),
    [
        ("", {}, refusal.NO_TYPE),
        ("SubscriptionConfirmation", {}, refusal.OTHER_TYPE),
        ("notification", {}, refusal.OTHER_TYPE),
        ("Alarm", {"Type": "Alarm"}, refusal.UNKNOWN_TYPE),
        ("Notification", {"Message": {"an": "object"}}, refusal.NO_ENVELOPE),
        ("Notification", {"MessageId": ""}, refusal.ODD_ID),
        ("Notification", {"MessageId": "id\nSubject\nhello"}, refusal.ODD_ID),
        ("Notification", {"MessageId": "id\n"}, refusal.ODD_ID),
        ("Notification", {"Timestamp": "2026-09-01\n10:00:00Z"}, refusal.ODD_ID),
        ("Notification", {"Timestamp": "yesterday"}, refusal.ODD_ID),
        ("Notification", {"Subject": "s\nMessageId\nid"}, refusal.ODD_FIELD),
        ("Notification", {"Token": "t\n"}, refusal.ODD_FIELD),
        ("Notification", {"SubscribeURL": "\nhttps://x"}, refusal.ODD_FIELD),
    ],
)
def test_each_fault_of_an_envelope_has_its_sentence(header, changes, expected):
    assert read(header, **changes) == expected
    assert expected.status == 400


@pytest.mark.against("A8")
@given(st.binary(max_size=300), st.sampled_from(["Notification", "", "x"]))
def test_random_bytes_are_refused_and_never_raise(body, header):
    assert isinstance(post.read(body, header), Refusal)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*FIELDS, "x"]), inner),
    )
)
def test_random_json_never_raises(value):
    found = post.read(json.dumps(value).encode(), "Notification")
    assert isinstance(found, Refusal | Envelope)
