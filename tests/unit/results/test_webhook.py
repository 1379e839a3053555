"""Every hostile SNS post, over HTTP: its status, and that it fetches, writes, confirms nothing."""

import json
import socket

import pytest
from cryptography.hazmat.primitives import hashes

from services.results import fetch
from services.results.fetch import BackgroundFetch
from services.results.keyring import Keyring
from shared.protocol import EventsNotRecorded
from tests.unit.results.rig import CERT_URL, INSTALL, TOPIC, log_lines, make_pem
from tests.unit.results.webhook import Webhook, well

MAIL = {
    "timestamp": "2026-09-01T10:00:03.000Z",
    "messageId": "0100abc-1",
    "destination": ["r@dest.example"],
    "tags": {"mid": [f"{INSTALL}-9001"], "att": ["1"]},
}
SEND = json.dumps({"eventType": "Send", "mail": MAIL})
FILE = CERT_URL.rpartition("/")[2]
FOREIGN = "arn:aws:sns:eu-west-1:666666666666:evil"


def change(**fields):
    """Make a genuine notification and change it after it was signed; None takes a field out."""

    def make(sns):
        made = {**sns.notification(SEND), **fields}
        return {name: value for name, value in made.items() if value is not None}

    return make


def signed(**fields):
    """Make a notification that SNS itself signed with these fields."""
    return lambda sns: sns.notification(SEND, **fields)


def other_digest(version, digest):
    def make(sns):
        fields = sns.notification(SEND, version)
        bare = {k: v for k, v in fields.items() if not k.startswith("Signature")}
        return sns.sign(bare, version, digest)

    return make


def imitation(sns):
    """Sign, for a stranger's topic, a text that holds the lines of ours."""
    tail = f"\nMessageId\nid1\nTimestamp\n2026-09-01T10:00:03.000Z\nTopicArn\n{TOPIC}\nType\n"
    return sns.notification(SEND + tail + "Notification\n", TopicArn=FOREIGN)


def shifted(sns):
    """Cut that post into the fields its text imitates."""
    return {**imitation(sns), "Message": SEND, "MessageId": "id1", "TopicArn": TOPIC}


def case(name, make, mark, status=403):
    return pytest.param(make, status, id=name, marks=mark)


@pytest.fixture
def webhook(sns):
    made = Webhook(sns)
    made.desk.learn()
    return made


@pytest.mark.parametrize(
    ("make", "status"),
    [
        case("unsigned", change(Signature=None, SignatureVersion=None), pytest.mark.against("A8")),
        case("an_empty_signature", change(Signature=""), pytest.mark.against("A8", "H53")),
        case(
            "anothers_text", change(Message=SEND.replace("9001", "9002")), pytest.mark.against("A8")
        ),
        case(
            "another_id",
            change(MessageId="165545c9-0000-0000-0000-000000000000"),
            pytest.mark.against("A8", "A14"),
        ),
        case("no_base64", change(Signature="%%%"), pytest.mark.against("H53")),
        case("a_signature_of_400_kb", change(Signature="A" * 400_000), pytest.mark.against("H53")),
        case(
            "a_signature_of_1_mb",
            change(Signature="A" * 1_000_000),
            pytest.mark.against("H53"),
            status=413,
        ),
        case("version_3", change(SignatureVersion="3"), pytest.mark.against("A11")),
        case("no_version", change(SignatureVersion=None), pytest.mark.against("A11")),
        case("version_1_of_a_version_2", change(SignatureVersion="1"), pytest.mark.against("A11")),
        case(
            "sha1_as_version_2", other_digest("2", hashes.SHA1()), pytest.mark.against("A11", "H53")
        ),
        case(
            "sha256_as_version_1",
            other_digest("1", hashes.SHA256()),
            pytest.mark.against("A11", "H53"),
        ),
        case("a_strangers_topic", signed(TopicArn=FOREIGN), pytest.mark.against("A12", "H51")),
        case(
            "a_topic_that_begins_like_ours",
            signed(TopicArn=TOPIC + "-evil"),
            pytest.mark.against("A12", "H51"),
        ),
        case(
            "a_topic_with_a_line_break",
            signed(TopicArn=TOPIC + "\n"),
            pytest.mark.against("A12", "H51"),
        ),
        case("a_text_that_imitates_ours", imitation, pytest.mark.against("H57")),
        case("that_text_cut_into_fields", shifted, pytest.mark.against("H57")),
        *(
            case(
                f"certificate_{name}",
                change(SigningCertURL=url),
                pytest.mark.against("A9", "A33", "H52"),
            )
            for name, url in {
                "host_suffix": f"https://sns.eu-west-1.amazonaws.com.evil.com/{FILE}",
                "user": f"https://sns.eu-west-1.amazonaws.com@evil.com/{FILE}",
                "port": f"https://sns.eu-west-1.amazonaws.com:444/{FILE}",
                "http": CERT_URL.replace("https", "http"),
                "query": CERT_URL + "?x",
                "line_break": CERT_URL + "\n",
                "bucket": f"https://sns.s3-us-west-2.amazonaws.com/{FILE}",
                "upper_case": f"https://SNS.EU-WEST-1.AMAZONAWS.COM/{FILE}",
                "other_region": f"https://sns.us-east-1.amazonaws.com/{FILE}",
                "metadata": f"http://169.254.169.254/{FILE}",
                "file": f"file:///etc/{FILE}",
            }.items()
        ),
        case(
            "more_than_half_a_megabyte",
            signed(Message="x" * 1_000_000),
            pytest.mark.against("H58"),
            status=413,
        ),
        case("raw_delivery", lambda _: SEND.encode(), pytest.mark.against("H60"), status=400),
        case("no_json", lambda _: b"\xff\xfe", pytest.mark.against("H60"), status=400),
    ],
)
def test_a_hostile_post_has_its_status_and_no_effect(webhook, sns, make, status):
    said = webhook.post(make(sns))
    assert said.status_code == status, said.text
    assert webhook.has_done_nothing
    # The very same webhook takes a genuine one: it was the post that was refused.
    assert webhook.post(sns.notification(SEND)).status_code == 200
    assert [event.recipient for post in webhook.recorded for event in post.events] == [9001]


@pytest.mark.against("A15", "H58")
@pytest.mark.parametrize("header", ["", "SubscriptionConfirmation", "notification", "Alarm"])
def test_a_header_of_another_type_or_none_is_400(webhook, sns, header):
    assert webhook.post(sns.notification(SEND), header).status_code == 400
    assert webhook.has_done_nothing


@pytest.mark.against("H60")
def test_raw_delivery_names_the_way_out_to_the_operator(webhook):
    with log_lines() as lines:
        said = webhook.post(SEND.encode())
    assert "raw message delivery" in said.json()["error"]
    assert any("raw message delivery" in line.get("reason", "") for line in lines)
    assert webhook.post(SEND.encode(), **{"x-amz-sns-rawdelivery": "true"}).status_code == 400


# ── texts without an event are never tried again for ever ──


@pytest.mark.parametrize(
    ("text", "is_note"),
    [
        pytest.param("no JSON", True, marks=pytest.mark.against("H55")),
        pytest.param(
            "Successfully validated SNS topic for Amazon SES event publishing.",
            True,
            marks=pytest.mark.against("H55"),
        ),
        *(
            pytest.param(json.dumps(said), is_note, marks=pytest.mark.against("H56"))
            for said, is_note in (
                ({"eventType": "Send"}, True),
                ({"eventType": "Send", "mail": {"destination": ["a@b.example"]}}, True),
                ({"eventType": "Teleport", "mail": MAIL}, True),
                ({"eventType": "Send", "mail": {**MAIL, "tags": "mid"}}, False),
                ({"eventType": "Send", "mail": {**MAIL, "tags": None}}, False),
                ({"notificationType": "Delivery", "mail": MAIL}, False),
            )
        ),
        pytest.param("x" * 262_144, True, marks=pytest.mark.against("H58")),
    ],
)
def test_a_genuine_post_is_200_whatever_its_text(webhook, sns, text, is_note):
    assert webhook.post(sns.notification(text)).status_code == 200
    (post,) = webhook.recorded
    assert (post.note == text[:1000]) is is_note
    assert bool(post.events) is not is_note


# ── trouble of our own is 503, so that SNS comes again ──


@pytest.mark.against("H59", "N6")
def test_while_the_writer_is_down_or_full_it_is_503_and_then_200(sns):
    webhook = Webhook(sns, lambda _: None)
    webhook.desk.learn()
    fields = sns.notification(SEND)
    assert webhook.post(fields).status_code == 503
    webhook.writer = lambda m: EventsNotRecorded(m.epoch, (m.posts[0].post,), "storage_full")
    assert webhook.post(fields).status_code == 503
    webhook.writer = well
    assert webhook.post(fields).status_code == 200


@pytest.mark.against("H59", "N6")
def test_n6_a_certificate_that_cannot_be_fetched_is_503_and_tried_again(sns):
    webhook = Webhook(sns)
    fields = sns.notification(SEND)
    webhook.served = {"error": "connection refused"}
    assert webhook.post(fields).status_code == 503
    assert webhook.post(fields).status_code == 503
    assert webhook.desk.fetch.asked == [CERT_URL], "a failure is believed for a moment"
    webhook.served = {}
    webhook.desk.wait(30)
    assert webhook.post(fields).status_code == 200


@pytest.mark.against("N6")
def test_n6_a_host_that_says_nothing_is_503_before_sns_gives_up(sns):
    webhook = Webhook(sns)
    webhook.served = None
    assert webhook.post(sns.notification(SEND)).status_code == 503
    assert webhook.recorded == []


@pytest.mark.against("A10")
@pytest.mark.parametrize("what", ["expired", "not_yet", "other_name", "inside_xml", "too_large"])
def test_a_certificate_that_is_none_of_snss_proves_nothing(sns, what):
    pem = {
        "expired": make_pem(sns.key, ends=-0.5),
        "not_yet": make_pem(sns.key, begins=1),
        "other_name": make_pem(sns.key, name="s3.amazonaws.com"),
        "inside_xml": b"<Error><Message>" + sns.pem + b"</Message></Error>",
        "too_large": sns.pem + b"\n" * 16 * 1024,
    }[what]
    webhook = Webhook(sns)
    webhook.served = {"pem": pem}
    # It may be the host's trouble, not the post's: SNS shall come again.
    assert webhook.post(sns.notification(SEND)).status_code == 503
    assert webhook.recorded == []


# ── confirmations ──


@pytest.mark.against("A13", "A33", "H54")
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
        f"https://sns.eu-west-1.amazonaws.com/?TopicArn={FOREIGN}",
    ],
)
def test_a_confirmation_that_points_elsewhere_is_forged_and_no_url_is_ever_asked(
    webhook, sns, url, monkeypatch
):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where: asked.append(where[:2]))
    assert webhook.post({**sns.confirmation(), "SubscribeURL": url}).status_code == 403
    assert webhook.post(sns.confirmation(TopicArn=FOREIGN)).status_code == 403
    assert webhook.has_done_nothing
    # Even signed by SNS the URL is only text: the topic is confirmed by the API of SNS.
    assert webhook.post(sns.confirmation(SubscribeURL=url)).status_code == 200
    assert webhook.confirmed == [TOPIC]
    assert (asked, webhook.desk.fetch.asked) == ([], [])


@pytest.mark.against("A33")
def test_the_only_host_ever_looked_up_is_that_of_the_topics_region(sns, monkeypatch):
    asked = []

    def look_up(host, *_more, **_named):
        asked.append(host)
        raise OSError("no network in this test")

    class AtOnce(BackgroundFetch):
        def ask(self, source):
            self._run(source)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    webhook = Webhook(sns)
    webhook.served = None
    webhook.desk.fetch.asked = []
    webhook.desk.actor._keyring = Keyring(AtOnce(0.1))
    hosts = ("169.254.169.254", "evil.com", "127.0.0.1:80", "sns.us-east-1.amazonaws.com")
    for url in (f"{scheme}://{host}/{FILE}" for host in hosts for scheme in ("http", "https")):
        assert webhook.post({**sns.notification(SEND), "SigningCertURL": url}).status_code == 403
    assert asked == []
    assert webhook.post(sns.notification(SEND)).status_code == 503
    assert asked == ["sns.eu-west-1.amazonaws.com"]
    assert fetch.PATIENCE_S <= 5


@pytest.mark.against("A14")
def test_the_end_of_a_subscription_is_warned_of_and_its_url_not_visited(webhook, sns):
    with log_lines() as lines:
        assert webhook.post(sns.confirmation("UnsubscribeConfirmation")).status_code == 200
    assert [line["level"] for line in lines if line.get("topic_arn") == TOPIC] == ["WARNING"]
    assert webhook.has_done_nothing


@pytest.mark.against("A28")
def test_neither_text_nor_token_nor_address_of_a_post_is_in_a_log_line(webhook, sns):
    with log_lines() as lines:
        webhook.post(sns.notification('"canary.text canary@example.com"'))
        webhook.post({**sns.notification("canary.text"), "Signature": "canary"})
        webhook.post(sns.confirmation(Token="canary" * 20))
        webhook.post({**sns.confirmation(Token="canary" * 20), "SubscribeURL": "https://canary"})
        webhook.post(b"canary", "canary")
        webhook.post(sns.notification("{}", TopicArn="arn:aws:sns:eu-west-1:1:canary"))
    assert {line["event"] for line in lines} == {
        "refused a post",
        "subscription confirmed",
        "request",
    }
    assert "canary" not in json.dumps(lines, default=str)
