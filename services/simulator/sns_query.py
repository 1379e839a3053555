"""SNS's query protocol: forms in, XML out."""

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from services.simulator.dice import uuid_of
from services.simulator.errors import RefusalError
from services.simulator.parcels import Publish
from services.simulator.sns import Sns, Subscription, invalid

_OURS: Final = 500  # from here on HTTP blames the server
_NAMESPACE: Final = "http://sns.amazonaws.com/doc/2010-03-31/"
Form = dict[str, str]


def form_of(query: bytes, body: bytes) -> Form:
    """Read a form from the address or from the body."""
    source = (body or query).decode("utf-8", "replace")
    return dict(parse_qsl(source, keep_blank_values=True))


def answer_xml(action: str, inner: str, request_id: str) -> bytes:
    """Wrap a result the way SNS does."""
    return (
        f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{inner}</{action}Result>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    ).encode()


def refusal_xml(refusal: RefusalError, request_id: str) -> bytes:
    """Word a refusal the way SNS does."""
    side = "Sender" if refusal.status < _OURS else "Receiver"
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{side}</Type>'
        f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def perform(sns: Sns, form: Form) -> str:
    """Do one action and give the inside of its answer."""
    action = _ACTIONS.get(form.get("Action", ""))
    if action is None:
        msg = f"The action {form.get('Action', '')} is not valid for this endpoint."
        raise RefusalError("InvalidAction", msg)
    return action(sns, form)


def _need(form: Form, name: str) -> str:
    value = form.get(name)
    if not value:
        raise invalid(name)
    return value


def _entries(form: Form, prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    number = 1
    while (key := form.get(f"{prefix}.entry.{number}.key")) is not None:
        found[key] = form.get(f"{prefix}.entry.{number}.value", "")
        number += 1
    return found


def _message_attributes(form: Form) -> dict[str, dict[str, str]] | None:
    found: dict[str, dict[str, str]] = {}
    number = 1
    while (name := form.get(f"MessageAttributes.entry.{number}.Name")) is not None:
        value = f"MessageAttributes.entry.{number}.Value"
        text = form.get(f"{value}.StringValue") or form.get(f"{value}.BinaryValue", "")
        found[name] = {"Type": form.get(f"{value}.DataType", "String"), "Value": text}
        number += 1
    return found or None


def _tag(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>"


def _create_topic(sns: Sns, form: Form) -> str:
    arn = sns.create(_need(form, "Name"), _entries(form, "Attributes"))
    return _tag("TopicArn", arn)


def _set_topic_attributes(sns: Sns, form: Form) -> str:
    value = form.get("AttributeValue", "")
    sns.set_attribute(_need(form, "TopicArn"), _need(form, "AttributeName"), value)
    return ""


def _get_topic_attributes(sns: Sns, form: Form) -> str:
    pairs = sns.attributes(_need(form, "TopicArn")).items()
    rows = (f"<entry>{_tag('key', key)}{_tag('value', value)}</entry>" for key, value in pairs)
    return f"<Attributes>{''.join(rows)}</Attributes>"


def _delete_topic(sns: Sns, form: Form) -> str:
    sns.topics.pop(_need(form, "TopicArn"), None)
    return ""


def _subscribe(sns: Sns, form: Form) -> str:
    made = sns.subscribe(
        _need(form, "TopicArn"),
        _need(form, "Protocol"),
        _need(form, "Endpoint"),
        _entries(form, "Attributes"),
    )
    told = made.confirmed or form.get("ReturnSubscriptionArn", "").lower() == "true"
    return _tag("SubscriptionArn", made.arn if told else "pending confirmation")


def _confirm_subscription(sns: Sns, form: Form) -> str:
    authenticated = form.get("AuthenticateOnUnsubscribe", "").lower() == "true"
    arn = sns.confirm(_need(form, "TopicArn"), _need(form, "Token"), authenticated=authenticated)
    return _tag("SubscriptionArn", arn)


def _unsubscribe(sns: Sns, form: Form) -> str:
    sns.unsubscribe(_need(form, "SubscriptionArn"))
    return ""


def _publish(sns: Sns, form: Form) -> str:
    arn = form.get("TopicArn") or _need(form, "TargetArn")
    parcel = Publish(
        arn,
        uuid_of(sns.dice),
        _need(form, "Message"),
        form.get("Subject") or None,
        _message_attributes(form),
    )
    return _tag("MessageId", sns.publish(parcel))


def _row(one: Subscription) -> str:
    arn = one.arn if one.confirmed else "PendingConfirmation"
    return (
        f"<member>{_tag('TopicArn', one.topic_arn)}{_tag('Protocol', one.protocol)}"
        f"{_tag('SubscriptionArn', arn)}{_tag('Owner', one.topic_arn.split(':')[4])}"
        f"{_tag('Endpoint', one.endpoint)}</member>"
    )


def _list_subscriptions(sns: Sns, form: Form) -> str:
    rows = sns.find(_need(form, "TopicArn")).subscriptions.values()
    return f"<Subscriptions>{''.join(_row(one) for one in rows)}</Subscriptions>"


def _list_topics(sns: Sns, _form: Form) -> str:
    rows = "".join(f"<member>{_tag('TopicArn', arn)}</member>" for arn in sns.topics)
    return f"<Topics>{rows}</Topics>"


_ACTIONS: Final[dict[str, Callable[[Sns, Form], str]]] = {
    "CreateTopic": _create_topic,
    "DeleteTopic": _delete_topic,
    "SetTopicAttributes": _set_topic_attributes,
    "GetTopicAttributes": _get_topic_attributes,
    "ListTopics": _list_topics,
    "Subscribe": _subscribe,
    "ConfirmSubscription": _confirm_subscription,
    "Unsubscribe": _unsubscribe,
    "Publish": _publish,
    "ListSubscriptionsByTopic": _list_subscriptions,
}
