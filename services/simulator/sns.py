"""SNS topics and subscriptions, as the API sees them."""

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

from services.simulator.dice import Dice, uuid_of
from services.simulator.errors import RefusalError
from services.simulator.parcels import (
    Confirm,
    Publish,
    SubscriptionRoute,
    ToCourier,
    TopicRoute,
)
from services.simulator.retry import is_policy, policy_of
from services.simulator.settings import ACCOUNT_ID

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SETTABLE: Final = frozenset(
    [
        "DeliveryPolicy",
        "DisplayName",
        "Policy",
        "SignatureVersion",
        "TracingConfig",
        "KmsMasterKeyId",
    ]
)
_SUBSCRIPTION: Final = frozenset(
    ["DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy"]
)
_MOST_MESSAGE: Final = 262_144
_ENDPOINT = re.compile(r"http://(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d{1,5})?(/\S*)?")


class Subscription(msgspec.Struct):
    """One endpoint's subscription to one topic."""

    arn: str
    topic_arn: str
    endpoint: str
    token: str
    protocol: str = "http"
    confirmed: bool = False
    authenticated: bool = False
    attributes: dict[str, str] = {}


class Topic(msgspec.Struct):
    """A standard topic."""

    arn: str
    attributes: dict[str, str] = {}
    subscriptions: dict[str, Subscription] = {}


def invalid(message: str) -> RefusalError:
    """The refusal SNS gives to a parameter it cannot accept."""
    return RefusalError("InvalidParameter", f"Invalid parameter: {message}")


def not_found(what: str) -> RefusalError:
    """The refusal SNS gives to what it does not know."""
    return RefusalError("NotFound", f"{what} does not exist")


class Sns:
    """All topics of the account in one region; outgoing posts are collected in `parcels`."""

    def __init__(self, region: str, dice: Dice) -> None:
        self._region = region
        self.dice = dice
        self.topics: dict[str, Topic] = {}
        self.parcels: list[ToCourier] = []

    def find(self, arn: str) -> Topic:
        """Give a topic, or refuse."""
        found = self.topics.get(arn)
        if found is None:
            if not arn.startswith("arn:"):
                msg = "TopicArn"
                raise invalid(msg)
            msg = "Topic"
            raise not_found(msg)
        return found

    def create(self, name: str, attributes: dict[str, str]) -> str:
        """Create a topic, or find the one with that name and equal attributes."""
        if not _NAME.fullmatch(name):
            msg = "Topic Name"
            raise invalid(msg)
        arn = f"arn:aws:sns:{self._region}:{ACCOUNT_ID}:{name}"
        for key, value in attributes.items():
            _check_attribute(key, value)
        known = self.topics.get(arn)
        if known is None:
            self.topics[arn] = Topic(arn, dict(attributes))
        elif any(known.attributes.get(key) != value for key, value in attributes.items()):
            msg = "Attributes Reason: Topic already exists with different attributes"
            raise invalid(msg)
        return arn

    def set_attribute(self, arn: str, name: str, value: str) -> None:
        """Set one attribute of a topic."""
        topic = self.find(arn)
        _check_attribute(name, value)
        topic.attributes[name] = value

    def attributes(self, arn: str) -> dict[str, str]:
        """List a topic's attributes; SignatureVersion shows only where it was set."""
        topic = self.find(arn)
        confirmed = sum(one.confirmed for one in topic.subscriptions.values())
        return {
            "TopicArn": arn,
            "Owner": ACCOUNT_ID,
            "DisplayName": "",
            "SubscriptionsConfirmed": str(confirmed),
            "SubscriptionsPending": str(len(topic.subscriptions) - confirmed),
            "SubscriptionsDeleted": "0",
            **topic.attributes,
        }

    def subscribe(
        self, arn: str, protocol: str, endpoint: str, attributes: dict[str, str]
    ) -> Subscription:
        """Subscribe an endpoint on this machine and ask it to confirm."""
        topic = self.find(arn)
        _check_endpoint(protocol, endpoint, attributes)
        for known in topic.subscriptions.values():
            if known.endpoint == endpoint:
                known.attributes.update(attributes)
                self._ask(topic, known)
                return known
        made = Subscription(
            arn=f"{arn}:{uuid_of(self.dice)}",
            topic_arn=arn,
            endpoint=endpoint,
            token=f"{self.dice.getrandbits(1024):0256x}",
            attributes=dict(attributes),
        )
        topic.subscriptions[made.arn] = made
        self._ask(topic, made)
        return made

    def confirm(self, arn: str, token: str, *, authenticated: bool) -> str:
        """Confirm a subscription by the token its endpoint was sent."""
        for one in self.find(arn).subscriptions.values():
            if one.token == token:
                one.confirmed = True
                one.authenticated = one.authenticated or authenticated
                return one.arn
        msg = "Token"
        raise invalid(msg)

    def unsubscribe(self, subscription_arn: str) -> None:
        """Remove a subscription; an unknown one is no error, as in SNS."""
        for topic in self.topics.values():
            topic.subscriptions.pop(subscription_arn, None)

    def publish(self, parcel: Publish) -> str:
        """Publish a text to a topic's confirmed subscriptions."""
        self.find(parcel.topic_arn)
        if not 0 < len(parcel.text.encode()) <= _MOST_MESSAGE:
            msg = "Message too long" if parcel.text else "Empty message"
            raise invalid(msg)
        self.parcels.append(parcel)
        return parcel.message_id

    def routes(self) -> dict[str, TopicRoute]:
        """Say which confirmed endpoints each topic posts to."""
        return {topic.arn: _route(topic) for topic in self.topics.values()}

    def _ask(self, topic: Topic, one: Subscription) -> None:
        if one.confirmed:
            return
        self.parcels.append(
            Confirm(
                topic_arn=topic.arn,
                message_id=uuid_of(self.dice),
                signature_version=topic.attributes.get("SignatureVersion", "1"),
                endpoint=one.endpoint,
                token=one.token,
                retry=policy_of(
                    topic.attributes.get("DeliveryPolicy"), one.attributes.get("DeliveryPolicy")
                ),
            )
        )


def _route(topic: Topic) -> TopicRoute:
    policy = topic.attributes.get("DeliveryPolicy")
    return TopicRoute(
        topic.attributes.get("SignatureVersion", "1"),
        [
            SubscriptionRoute(
                one.arn,
                one.endpoint,
                one.attributes.get("RawMessageDelivery", "").lower() == "true",
                policy_of(policy, one.attributes.get("DeliveryPolicy")),
            )
            for one in topic.subscriptions.values()
            if one.confirmed
        ],
    )


def _check_attribute(name: str, value: str) -> None:
    if name not in _SETTABLE:
        msg = "AttributeName"
        raise invalid(msg)
    if name == "SignatureVersion" and value not in ("1", "2"):
        msg = "SignatureVersion must be 1 or 2"
        raise invalid(msg)
    if name == "DeliveryPolicy" and value and not is_policy(value):
        msg = "DeliveryPolicy: failed to parse JSON."
        raise invalid(msg)


def _check_endpoint(protocol: str, endpoint: str, attributes: dict[str, str]) -> None:
    if protocol not in ("http", "https"):
        msg = "Protocol: the simulator posts over http only"
        raise invalid(msg)
    if protocol != "http" or not _ENDPOINT.fullmatch(endpoint) or not _has_port(endpoint):
        msg = "Endpoint: the simulator posts to http:// addresses of this machine only"
        raise invalid(msg)
    unknown = attributes.keys() - _SUBSCRIPTION
    if unknown or not is_policy(attributes.get("DeliveryPolicy") or "{}"):
        msg = "Attributes: " + (", ".join(sorted(unknown)) or "DeliveryPolicy")
        raise invalid(msg)


def _has_port(endpoint: str) -> bool:
    try:
        return urlsplit(endpoint).port != 0
    except ValueError:
        return False
