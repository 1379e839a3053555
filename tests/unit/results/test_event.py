"""SES's words: every kind of event in both shapes, and everything that is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.results import event
from shared.domain import Feedback
from shared.protocol import Event

PUBLISHED = 1788256803000
SENT = 1788256800000
MAIL = {
    "timestamp": "2026-09-01T10:00:00.000Z",
    "messageId": "0100abc-1",
    "source": "News <n@ex.org>",
    "destination": ["r@dest.example"],
    "headers": [{"name": "Subject", "value": "Hi"}],
    "tags": {
        "ses:configuration-set": ["bulk"],
        "mid": ["abcd1234-9001"],
        "att": ["2"],
    },
}
BOUNCE = {
    "bounceType": "Permanent",
    "bounceSubType": "General",
    "timestamp": "2026-09-01T10:00:02.000Z",
    "feedbackId": "0100fb-1",
    "bouncedRecipients": [
        {
            "emailAddress": "r@dest.example",
            "action": "failed",
            "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 unknown user",
        }
    ],
}
COMPLAINT = {
    "timestamp": "2026-09-01T11:00:00.000Z",
    "complaintSubType": None,
    "complainedRecipients": [{"emailAddress": "r@dest.example"}],
    "complaintFeedbackType": "abuse",
}
DELIVERY = {
    "timestamp": "2026-09-01T10:00:02.000Z",
    "processingTimeMillis": 1900,
    "recipients": ["r@dest.example"],
    "smtpResponse": "250 ok",
}
DELAY = {
    "timestamp": "2026-09-01T10:05:00.000Z",
    "delayType": "MailboxFull",
    "delayedRecipients": [
        {
            "emailAddress": "r@dest.example",
            "status": "4.2.2",
            "diagnosticCode": "smtp; 452 4.2.2 full",
        }
    ],
}
CLICK = {
    "timestamp": "2026-09-01T12:01:00.000Z",
    "link": "https://ex.org/a",
    "linkTags": {"pos": ["top"]},
    "isBotEvent": "Unlikely",
}
FAILURE = {"templateName": "t1", "errorMessage": "Attribute 'name' is not present."}
SUBSCRIPTION = {"contactList": "L", "timestamp": "2026-09-01T13:00:00Z", "source": "Unsubscribe"}


def read(said):
    return event.read(json.dumps(said) + "\n", "abcd1234", PUBLISHED)


def one(kind, part, said, **mail):
    (found,) = read({"eventType": kind, "mail": {**MAIL, **mail}, part: said})
    return found


@pytest.mark.parametrize(
    ("word", "part", "said", "expected"),
    [
        ("Send", "send", {}, (Feedback.SEND, 0, "", "")),
        ("Delivery", "delivery", DELIVERY, (Feedback.DELIVERY, 2, "", "")),
        (
            "Bounce",
            "bounce",
            BOUNCE,
            (Feedback.BOUNCE, 2, "Permanent/General", "smtp; 550 5.1.1 unknown user"),
        ),
        ("Complaint", "complaint", COMPLAINT, (Feedback.COMPLAINT, 3600, "abuse", "")),
        ("Reject", "reject", {"reason": "Bad content"}, (Feedback.REJECT, 0, "", "Bad content")),
        ("Open", "open", {**CLICK, "link": None}, (Feedback.OPEN, 7260, "Unlikely", "")),
        ("Click", "click", CLICK, (Feedback.CLICK, 7260, "Unlikely", "https://ex.org/a")),
        (
            "Rendering Failure",
            "failure",
            FAILURE,
            (Feedback.RENDERING_FAILURE, 0, "", "Attribute 'name' is not present."),
        ),
        (
            "DeliveryDelay",
            "deliveryDelay",
            DELAY,
            (Feedback.DELIVERY_DELAY, 300, "MailboxFull", "smtp; 452 4.2.2 full"),
        ),
        (
            "Subscription",
            "subscription",
            SUBSCRIPTION,
            (Feedback.SUBSCRIPTION, 10800, "Unsubscribe", ""),
        ),
    ],
)
def test_every_kind_of_event_is_read(word, part, said, expected):
    kind, seconds, subtype, detail = expected
    assert one(word, part, said) == Event(
        kind=kind,
        email="r@dest.example",
        message_id="0100abc-1",
        at=SENT + seconds * 1000,
        sent_at=SENT,
        recipient=9001,
        attempt=2,
        subtype=subtype,
        detail=detail,
    )


def test_every_feedback_the_domain_knows_is_read():
    assert {kind for kind, _ in event._KINDS.values()} == set(Feedback)
    assert all(kind.word == word for word, (kind, _) in event._KINDS.items())


@pytest.mark.against("H56")
@pytest.mark.parametrize(
    ("word", "part", "said"),
    [
        ("Bounce", "bounce", {**BOUNCE, "remoteMtaIp": "192.0.2.5"}),
        ("Complaint", "complaint", COMPLAINT),
        ("Delivery", "delivery", DELIVERY),
    ],
)
def test_a_notification_of_an_identity_has_no_tags_and_is_found_by_its_id(word, part, said):
    mail = {name: value for name, value in MAIL.items() if name != "tags"}
    (found,) = read({"notificationType": word, "mail": mail, part: said})
    assert found.kind.word == word
    assert (found.recipient, found.attempt, found.message_id) == (None, 0, "0100abc-1")


def test_several_recipients_make_several_events():
    bounced = [
        {"emailAddress": "a@x.example", "diagnosticCode": "550 a"},
        {"emailAddress": "B <b@x.example>", "status": "5.0.0"},
    ]
    found = read(
        {"eventType": "Bounce", "mail": MAIL, "bounce": {**BOUNCE, "bouncedRecipients": bounced}}
    )
    assert [(e.email, e.detail) for e in found] == [("a@x.example", "550 a"), ("b@x.example", "")]
    sent = read({"eventType": "Send", "mail": {**MAIL, "destination": ["a@x.de", "<b@x.de>"]}})
    assert [e.email for e in sent] == ["a@x.de", "b@x.de"]


def test_the_mid_of_another_installation_is_not_ours():
    for mid in (
        "ffff0000-9001",
        "9001",
        "abcd1234-",
        "abcd1234-x",
        "abcd1234--1",
        "abcd1234-\u0661",
        "",
    ):
        assert one("Send", "send", {}, tags={"mid": [mid]}).recipient is None


@pytest.mark.against("H56")
@pytest.mark.parametrize(
    "tags",
    [
        None,
        "mid",
        7,
        ["mid"],
        {"mid": "abcd1234-9001"},
        {"mid": []},
        {"mid": [9001]},
        {"mid": None},
        {"mid": [["abcd1234-9001"]]},
        {},
    ],
)
def test_odd_tags_cost_the_tag_and_not_the_event(tags):
    found = one("Send", "send", {}, tags=tags)
    assert (found.recipient, found.message_id) == (None, "0100abc-1")


@pytest.mark.parametrize("att", ["", "x", "-1", "1.5", "٢", "9" * 10, None, 2])
def test_an_odd_attempt_counts_as_none(att):
    found = one("Send", "send", {}, tags={"mid": ["abcd1234-9001"], "att": [att]})
    assert (found.recipient, found.attempt) == (9001, 0)


def test_a_missing_or_odd_time_falls_back_to_the_mails_and_then_to_snss():
    assert one("Delivery", "delivery", {**DELIVERY, "timestamp": "soon"}).at == SENT
    assert one("Delivery", "delivery", {**DELIVERY, "timestamp": None}).at == SENT
    odd = one("Delivery", "delivery", {**DELIVERY, "timestamp": ""}, timestamp="?")
    assert (odd.at, odd.sent_at) == (PUBLISHED, PUBLISHED)


def test_times_keep_their_milliseconds_and_zone():
    for text in ("2026-09-01T10:00:02.345Z", "2026-09-01T12:00:02.345+02:00"):
        found = one("Delivery", "delivery", {**DELIVERY, "timestamp": text})
        assert found.at == SENT + 2345
    assert one("Delivery", "delivery", {**DELIVERY, "timestamp": "2026-09-01T10:00:02"}).at == (
        SENT + 2000
    )


def test_long_texts_are_cut():
    found = one("Reject", "reject", {"reason": "x" * 9999}, messageId="m" * 9999)
    assert (len(found.detail), len(found.message_id)) == (500, 256)


def test_particulars_may_be_missing():
    (found,) = read({"eventType": "Bounce", "mail": MAIL})
    assert (found.kind, found.email, found.subtype) == (Feedback.BOUNCE, "r@dest.example", "")


@pytest.mark.against("H55", "H56")
@pytest.mark.parametrize(
    "text",
    [
        "Successfully validated SNS topic for Amazon SES event publishing.",
        "",
        "null",
        "[]",
        "{}",
        '{"eventType":"Send"}',
        '{"eventType":"Send","mail":null}',
        '{"eventType":"Send","mail":{}}',
        '{"eventType":"Send","mail":{"messageId":"m"}}',
        '{"eventType":"Send","mail":{"destination":["a@b.de"]}}',
        '{"eventType":"Teleport","mail":{"messageId":"m","destination":["a@b.de"]}}',
        '{"notificationType":"Received","mail":{"messageId":"m","destination":["a@b.de"]}}',
        '{"eventType":{"a":1},"mail":{"messageId":"m","destination":["a@b.de"]}}',
        '{"eventType":"Send","mail":{"messageId":1,"destination":["a@b.de"]}}',
        '{"eventType":"Send","mail":' + "[" * 100_000,
        '{"eventType":"Send","mail":{"tags":' + "[" * 100_000,
        '{"x":' * 100_000,
    ],
)
def test_a_text_without_an_event_is_none_and_never_raises(text):
    assert event.read(text, "abcd1234", PUBLISHED) == ()


def test_more_recipients_than_ses_allows_are_no_event_of_ses():
    assert read({"eventType": "Send", "mail": {**MAIL, "destination": ["a@b.de"] * 51}}) == ()


@pytest.mark.against("H55")
@given(st.text(max_size=400))
def test_random_text_holds_no_event_and_never_raises(text):
    assert event.read(text, "abcd1234", PUBLISHED) == ()


WORDS = ["timestamp", "messageId", "destination", "tags", "bounceType", "bouncedRecipients"]
ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WORDS, "emailAddress", "mid"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.against("H56")
@given(ANYTHING, ANYTHING)
def test_random_shapes_never_raise(mail, bounce):
    read({"eventType": "Bounce", "mail": mail, "bounce": bounce})
    read({"eventType": "Bounce", "mail": {**MAIL, "tags": mail}, "bounce": bounce})
