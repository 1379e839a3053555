"""Unpatched boto3 against the simulator's SNS: the calls that take things away again."""

import pytest
from botocore.exceptions import ClientError

from tests.process.test_simulator_rig import Webhook, simulator


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with simulator(tmp_path_factory.mktemp("topics")) as rig:
        yield rig


def test_a_subscription_and_its_topic_are_taken_away(rig):
    with Webhook() as webhook:
        arn = rig.sns.create_topic(Name="gone", Attributes={"SignatureVersion": "2"})["TopicArn"]
        rig.sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=webhook.url)
        token = webhook.next().document["Token"]
        subscription = rig.sns.confirm_subscription(TopicArn=arn, Token=token)["SubscriptionArn"]
        rig.sns.publish(TopicArn=arn, Message="heard")
        assert webhook.next().document["Message"] == "heard"

        rig.sns.unsubscribe(SubscriptionArn=subscription)
        rig.sns.unsubscribe(SubscriptionArn=subscription)  # once more is no error, as in SNS
        assert rig.sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []
        rig.sns.publish(TopicArn=arn, Message="to nobody")

        rig.sns.delete_topic(TopicArn=arn)
        rig.sns.delete_topic(TopicArn=arn)
        with pytest.raises(rig.sns.exceptions.NotFoundException):
            rig.sns.get_topic_attributes(TopicArn=arn)
        with pytest.raises(rig.sns.exceptions.NotFoundException):
            rig.sns.publish(TopicArn=arn, Message="to nothing")


def test_what_the_simulator_does_not_know_is_refused_by_name(rig):
    with pytest.raises(ClientError, match="InvalidAction") as refused:
        rig.sns.list_phone_numbers_opted_out()
    assert "ListPhoneNumbersOptedOut" in str(refused.value)
    with pytest.raises(ClientError, match="UnknownOperation"):
        rig.ses.list_contact_lists()
