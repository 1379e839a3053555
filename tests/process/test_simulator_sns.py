"""The simulator's SNS: boto3's calls, the handshake, signatures, events, retries and forgeries."""

import json
import socket
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from tests.process.test_simulator_rig import Webhook, simulator

AGENT = "Amazon Simple Notification Service Agent"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with simulator(tmp_path_factory.mktemp("sns"), SIMULATOR_RATE=100000) as rig:
        yield rig


@pytest.fixture
def rig(shared):
    shared.post("/_simulator/reset?all=1", {})
    return shared


@pytest.fixture
def webhook():
    with Webhook() as hook:
        yield hook


def send(rig, to="user@example.com", **more):
    return rig.send(to, ConfigurationSetName="bulk", **more)["MessageId"]


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_handshake_from_subscribe_to_the_first_event(rig, webhook, version):
    arn = rig.sns.create_topic(Name="t", Attributes={"SignatureVersion": version})["TopicArn"]
    subscribed = rig.sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=webhook.url)
    assert subscribed["SubscriptionArn"] == "pending confirmation"
    asked = webhook.next()
    document = asked.document
    assert asked.headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
    assert asked.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert asked.headers["User-Agent"] == AGENT
    assert asked.headers["x-amz-sns-topic-arn"] == arn
    assert "x-amz-sns-subscription-arn" not in asked.headers
    assert (document["Type"], document["SignatureVersion"]) == ("SubscriptionConfirmation", version)
    assert rig.is_genuine(asked)
    rig.sns.publish(TopicArn=arn, Message="too early")
    with pytest.raises(rig.sns.exceptions.InvalidParameterException):
        rig.sns.confirm_subscription(TopicArn=arn, Token="wrong")
    confirmed = rig.sns.confirm_subscription(
        TopicArn=arn, Token=document["Token"], AuthenticateOnUnsubscribe="true"
    )["SubscriptionArn"]
    rig.ses.create_configuration_set(ConfigurationSetName="bulk")
    rig.ses.create_configuration_set_event_destination(
        ConfigurationSetName="bulk",
        EventDestinationName="d",
        EventDestination={
            "Enabled": True,
            "MatchingEventTypes": ["SEND"],
            "SnsDestination": {"TopicArn": arn},
        },
    )
    validated = webhook.next()
    assert validated.document["Message"] == (
        "Successfully validated SNS topic for Amazon SES event publishing."
    )
    assert "Subject" not in validated.document
    assert rig.is_genuine(validated)
    message_id = send(rig, EmailTags=[{"Name": "mid", "Value": "m1"}])
    post = webhook.next()
    assert post.headers["x-amz-sns-subscription-arn"] == confirmed
    assert post.headers["x-amz-sns-message-id"] == post.document["MessageId"]
    assert post.document["Subject"] == "Amazon SES Email Event Notification"
    assert post.document["Message"].endswith("\n")
    assert rig.is_genuine(post)
    assert post.event["eventType"] == "Send"
    assert post.event["mail"]["messageId"] == message_id
    assert post.event["mail"]["tags"]["mid"] == ["m1"]
    assert post.event["mail"]["tags"]["ses:configuration-set"] == ["bulk"]
    assert rig.until(lambda s: s["events_total"]["pending"] == 0)["events_total"]["acked"] == 3


def test_the_subscribe_url_confirms_as_well(rig, webhook):
    arn = rig.sns.create_topic(Name="t")["TopicArn"]
    rig.sns.subscribe(
        TopicArn=arn, Protocol="http", Endpoint=webhook.url, ReturnSubscriptionArn=True
    )
    urllib.request.urlopen(webhook.next().document["SubscribeURL"]).read()
    (one,) = rig.sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert one["SubscriptionArn"].startswith(arn)
    assert one["Endpoint"] == webhook.url
    rig.sns.publish(TopicArn=arn, Message="m", Subject="s")
    urllib.request.urlopen(webhook.next().document["UnsubscribeURL"]).read()
    assert rig.sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []


def test_topics_and_their_attributes(rig):
    arn = rig.sns.create_topic(Name="t", Attributes={"SignatureVersion": "2"})["TopicArn"]
    assert arn == "arn:aws:sns:ap-northeast-2:123456789012:t"
    same = rig.sns.create_topic(Name="t", Attributes={"SignatureVersion": "2"})
    assert same["TopicArn"] == arn
    with pytest.raises(rig.sns.exceptions.InvalidParameterException):
        rig.sns.create_topic(Name="t", Attributes={"SignatureVersion": "1"})
    rig.sns.set_topic_attributes(TopicArn=arn, AttributeName="SignatureVersion", AttributeValue="1")
    policy = json.dumps({"a": "<&>"})
    rig.sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    attributes = rig.sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert attributes["SignatureVersion"] == "1"
    assert attributes["Policy"] == policy
    assert attributes["SubscriptionsConfirmed"] == "0"
    for name, value in (("SignatureVersion", "3"), ("Nonsense", "1"), ("DeliveryPolicy", "{")):
        with pytest.raises(rig.sns.exceptions.InvalidParameterException):
            rig.sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=value)
    with pytest.raises(rig.sns.exceptions.NotFoundException):
        rig.sns.get_topic_attributes(TopicArn=arn + "x")
    with pytest.raises(rig.sns.exceptions.NotFoundException):
        rig.sns.publish(TopicArn=arn + "x", Message="m")


def test_it_never_posts_off_this_machine(rig):
    arn = rig.sns.create_topic(Name="t")["TopicArn"]
    for endpoint in (
        "http://example.com/hook",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://10.0.0.1/",
        "http://127.0.0.1:99999/",
    ):
        with pytest.raises(rig.sns.exceptions.InvalidParameterException):
            rig.sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=endpoint)
    for protocol in ("https", "email", "sqs"):
        with pytest.raises(rig.sns.exceptions.InvalidParameterException):
            rig.sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint="https://127.0.0.1/")


def test_message_attributes_and_raw_delivery(rig, webhook):
    arn = rig.wire(webhook, attributes={"RawMessageDelivery": "true"})
    attributes = {"kind": {"DataType": "String", "StringValue": "x"}}
    rig.sns.publish(TopicArn=arn, Message="bare 안", MessageAttributes=attributes)
    post = webhook.next()
    assert post.headers["x-amz-sns-rawdelivery"] == "true"
    assert post.body == "bare 안".encode()


@pytest.mark.parametrize(
    ("mailbox", "types"),
    [
        ("success", ["Send", "Delivery"]),
        ("bounce", ["Send", "Bounce"]),
        ("complaint", ["Send", "Delivery", "Complaint"]),
        ("ooto", ["Send", "Delivery", "Bounce"]),
        ("suppressionlist", ["Send", "Bounce"]),
    ],
)
def test_the_mailbox_simulators_addresses(rig, webhook, mailbox, types):
    rig.wire(webhook)
    address = f"{mailbox}+label@simulator.amazonses.com"
    send(rig, address)
    events = {post.event["eventType"]: post.event for post in webhook.take(len(types))}
    assert sorted(events) == sorted(types)
    bounce = events.get("Bounce", {}).get("bounce", {})
    kind = (bounce.get("bounceType"), bounce.get("bounceSubType"))
    wanted = {
        "bounce": ("Permanent", "General"),
        "ooto": ("Transient", "General"),
        "suppressionlist": ("Permanent", "Suppressed"),
    }
    assert kind == wanted.get(mailbox, (None, None))
    if bounce:
        assert bounce["bouncedRecipients"][0]["emailAddress"] == address
    assert rig.summary()["suppressed_addresses"] == 0


def test_a_listed_address_bounces_and_is_not_delivered(rig, webhook):
    rig.wire(webhook)
    rig.ses.put_suppressed_destination(EmailAddress="User@example.com", Reason="BOUNCE")
    send(rig)
    events = {post.event["eventType"]: post.event for post in webhook.take(2)}
    assert set(events) == {"Send", "Bounce"}
    assert events["Bounce"]["bounce"]["bounceSubType"] == "OnAccountSuppressionList"


def test_only_matching_event_types_are_posted(rig, webhook):
    arn = rig.wire(webhook)
    destination = {
        "Enabled": True,
        "MatchingEventTypes": ["BOUNCE"],
        "SnsDestination": {"TopicArn": arn},
    }
    where = {"ConfigurationSetName": "bulk", "EventDestinationName": "sns"}
    rig.ses.update_configuration_set_event_destination(**where, EventDestination=destination)
    send(rig)
    send(rig, "bounce@simulator.amazonses.com")
    assert webhook.next().event["eventType"] == "Bounce"
    total = rig.until(lambda s: s["events_total"]["pending"] == 0)["events_total"]
    assert (total["acked"], total["unrouted"]) == (2, 4), (
        "unrouted: validation, Send, Delivery, Send"
    )
    off = {**destination, "Enabled": False}
    rig.ses.update_configuration_set_event_destination(**where, EventDestination=off)
    send(rig, "bounce@simulator.amazonses.com")
    assert rig.summary()["events_total"]["made"] == 2


def test_a_virus_is_accepted_and_then_rejected(rig, webhook):
    rig.wire(webhook)
    eicar = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    content = {
        "Simple": {
            "Subject": {"Data": "s"},
            "Body": {"Text": {"Data": "t"}},
            "Attachments": [{"FileName": "a.txt", "RawContent": eicar}],
        }
    }
    send(rig, Content=content)
    assert webhook.next().event["reject"] == {"reason": "Bad content"}


def test_trouble_is_retried_and_a_4xx_never(rig, webhook):
    arn = rig.wire(webhook)
    for status in (500, 503):
        webhook.statuses.put(status)
    rig.sns.publish(TopicArn=arn, Message="again")
    posts = webhook.take(3)
    assert len({post.headers["x-amz-sns-message-id"] for post in posts}) == 1
    assert len({post.body for post in posts}) == 1
    webhook.statuses.put(403)
    rig.sns.publish(TopicArn=arn, Message="refused")
    webhook.next()
    summary = rig.until(lambda s: s["events_total"]["pending"] == 0)
    assert summary["events"]["Publish"] == {
        "made": 2,
        "copies": 0,
        "posted": 4,
        "acked": 1,
        "refused": 1,
        "failed": 0,
        "dropped": 0,
        "pending": 0,
    }


def test_after_its_retries_sns_gives_up(rig, webhook):
    policy = json.dumps({"healthyRetryPolicy": {"numRetries": 1, "minDelayTarget": 1}})
    arn = rig.wire(webhook, attributes={"DeliveryPolicy": policy})
    for _ in range(2):
        webhook.statuses.put(500)
    rig.sns.publish(TopicArn=arn, Message="lost")
    webhook.take(2)
    summary = rig.until(lambda s: s["events_total"]["pending"] == 0)
    assert summary["events"]["Publish"]["failed"] == 1


def test_a_webhook_that_is_down_loses_nothing_until_the_retries_end(rig):
    with Webhook() as hook:
        arn = rig.wire(hook)
    rig.sns.publish(TopicArn=arn, Message="m")
    summary = rig.until(lambda s: s["events_total"]["pending"] == 0)
    assert summary["events"]["Publish"]["failed"] == 1
    assert summary["events"]["Publish"]["posted"] == 4


def test_events_can_be_held_and_let_go(rig, webhook):
    rig.wire(webhook)
    rig.faults(events={"hold": True})
    send(rig)
    assert rig.summary()["events_total"]["pending"] == 2
    assert webhook.posts.empty()
    rig.faults()
    assert {post.event["eventType"] for post in webhook.take(2)} == {"Send", "Delivery"}


def test_events_can_come_twice_late_and_shuffled(rig, webhook):
    rig.wire(webhook)
    rig.faults(events={"duplicate": 1, "delay_s": 0.02, "shuffle": True, "shuffle_s": 0.02})
    send(rig)
    ids = [post.document["MessageId"] for post in webhook.take(4)]
    assert len(set(ids)) == 2
    rig.faults(events={"duplicate": 1, "duplicate_new_id": True})
    send(rig)
    ids = [post.document["MessageId"] for post in webhook.take(4)]
    assert len(set(ids)) == 4


def test_events_can_come_before_the_answer(rig, webhook):
    rig.wire(webhook)
    rig.faults(events={"before_answer": True})
    message_id = send(rig)
    seen = [webhook.posts.get_nowait().event for _ in range(2)]
    assert {event["mail"]["messageId"] for event in seen} == {message_id}


def test_events_can_be_forged_or_dropped(rig, webhook):
    arn = rig.wire(webhook)
    rig.faults(events={"forge": "bad_signature"})
    send(rig)
    assert not any(rig.is_genuine(post) for post in webhook.take(2))
    rig.faults(events={"forge": "foreign_topic"})
    send(rig)
    for post in webhook.take(2):
        assert post.document["TopicArn"] != arn
        assert rig.is_genuine(post)
    rig.faults(events={"forge": "unsigned"})
    send(rig)
    assert all("Signature" not in post.document for post in webhook.take(2))
    rig.faults(events={"drop_share": 1})
    send(rig)
    assert rig.summary()["events_total"]["dropped"] == 2


def test_an_unsigned_call_and_an_unknown_action_are_refused(rig):
    with pytest.raises(ClientError) as caught:
        rig.sns.list_topics(NextToken="x") and rig.sns.delete_endpoint(EndpointArn="x")
    assert caught.value.response["Error"]["Code"] == "InvalidAction"
    request = urllib.request.Request(rig.url + "/", b"Action=ListTopics", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403
    assert b"<Code>MissingAuthenticationToken</Code>" in refused.value.read()
    refused.value.close()


def test_sns_calls_can_be_told_to_fail(rig):
    rig.rule("throttle", match={"api": "CreateTopic", "count": 1})
    with pytest.raises(ClientError) as caught:
        rig.sns.create_topic(Name="t")
    assert caught.value.response["Error"]["Code"] == "Throttling"
    rig.sns.create_topic(Name="t")


def test_an_answer_that_ends_with_its_connection_is_an_answer(rig):
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}/"
        arn = rig.sns.create_topic(Name="t")["TopicArn"]
        rig.sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=endpoint)
        line, _address = server.accept()
        with line:
            line.recv(65536)
            line.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        total = rig.until(lambda s: s["events_total"]["pending"] == 0)["events_total"]
    assert (total["posted"], total["acked"]) == (1, 1)
