"""SES v2's other operations: account, suppression list, configuration sets."""

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from services.simulator.dice import uuid_of
from services.simulator.errors import UNREADABLE, bad_request
from services.simulator.parcels import Publish
from services.simulator.sends import World, unreadable
from services.simulator.sns import Sns

_VALIDATED: Final = "Successfully validated SNS topic for Amazon SES event publishing."


class Call(msgspec.Struct):
    """One call of an operation that sends no mail."""

    world: World
    sns: Sns
    now_ns: int
    parts: list[str]
    query: dict[str, list[str]]
    body: bytes

    def document(self) -> dict[str, Any]:
        """Decode the body, or refuse it."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=dict[str, Any])
        except UNREADABLE as error:
            raise unreadable(error) from None

    @property
    def now_s(self) -> float:
        """Give the wall clock's time of the call."""
        return self.world.wall_s(self.now_ns)


Answer = dict[str, Any]


def _get_account(call: Call) -> Answer:
    return call.world.account.told(call.now_ns)


def _put_suppressed(call: Call) -> Answer:
    wanted = call.document()
    address, reason = str(wanted.get("EmailAddress", "")), str(wanted.get("Reason", ""))
    return call.world.suppression.put(address, reason, call.now_s)


def _get_suppressed(call: Call) -> Answer:
    return call.world.suppression.get(call.parts[0])


def _delete_suppressed(call: Call) -> Answer:
    return call.world.suppression.delete(call.parts[0])


def _list_suppressed(call: Call) -> Answer:
    return call.world.suppression.page(call.query)


def _create_set(call: Call) -> Answer:
    return call.world.sets.create(call.document())


def _get_set(call: Call) -> Answer:
    return call.world.sets.get(call.parts[0])


def _list_sets(call: Call) -> Answer:
    return call.world.sets.names()


def _delete_set(call: Call) -> Answer:
    return call.world.sets.delete(call.parts[0])


def _create_destination(call: Call) -> Answer:
    wanted = call.document()
    _check_topic(call, wanted)
    topic = call.world.sets.create_destination(call.parts[0], wanted)
    if topic is not None:
        call.sns.publish(Publish(topic, uuid_of(call.world.dice), _VALIDATED))
    return {}


def _update_destination(call: Call) -> Answer:
    wanted = call.document()
    _check_topic(call, wanted)
    call.world.sets.update_destination(call.parts[0], call.parts[1], wanted)
    return {}


def _check_topic(call: Call, wanted: dict[str, Any]) -> None:
    """Refuse a topic SES could not publish to, before anything is changed."""
    destination = wanted.get("EventDestination")
    sns = destination.get("SnsDestination") if isinstance(destination, dict) else None
    if isinstance(sns, dict) and str(sns.get("TopicArn")) not in call.sns.topics:
        topic = sns.get("TopicArn")
        msg = f"SNS topic <{topic}> not found or SES may not publish to it."
        raise bad_request(msg)


def _get_destinations(call: Call) -> Answer:
    return call.world.sets.destinations(call.parts[0])


def _delete_destination(call: Call) -> Answer:
    return call.world.sets.delete_destination(call.parts[0], call.parts[1])


Operation = Callable[[Call], Answer]
_SETS: Final = "configuration-sets"
_TABLE: Final[tuple[tuple[str, str, str, Operation], ...]] = (
    ("GET", "account", "GetAccount", _get_account),
    ("PUT", "suppression/addresses", "PutSuppressedDestination", _put_suppressed),
    ("GET", "suppression/addresses", "ListSuppressedDestinations", _list_suppressed),
    ("GET", "suppression/addresses/*", "GetSuppressedDestination", _get_suppressed),
    ("DELETE", "suppression/addresses/*", "DeleteSuppressedDestination", _delete_suppressed),
    ("POST", _SETS, "CreateConfigurationSet", _create_set),
    ("POST", "list-configuration-sets", "ListConfigurationSets", _list_sets),
    ("GET", _SETS, "ListConfigurationSets", _list_sets),
    ("GET", f"{_SETS}/*", "GetConfigurationSet", _get_set),
    ("DELETE", f"{_SETS}/*", "DeleteConfigurationSet", _delete_set),
    (
        "POST",
        f"{_SETS}/*/event-destinations",
        "CreateConfigurationSetEventDestination",
        _create_destination,
    ),
    (
        "GET",
        f"{_SETS}/*/event-destinations",
        "GetConfigurationSetEventDestinations",
        _get_destinations,
    ),
    (
        "PUT",
        f"{_SETS}/*/event-destinations/*",
        "UpdateConfigurationSetEventDestination",
        _update_destination,
    ),
    (
        "DELETE",
        f"{_SETS}/*/event-destinations/*",
        "DeleteConfigurationSetEventDestination",
        _delete_destination,
    ),
)
_ROUTES: Final = [
    (method, re.compile("/v2/email/" + path.replace("*", "([^/]+)") + "/?"), name, operation)
    for method, path, name, operation in _TABLE
]


class Found(msgspec.Struct, frozen=True):
    """The operation a method and a path mean."""

    name: str
    operation: Operation
    parts: list[str]


def find(method: str, path: str) -> Found | None:
    """Find the operation a method and a path mean."""
    for wanted, pattern, name, operation in _ROUTES:
        match = pattern.fullmatch(path) if wanted == method else None
        if match is not None:
            return Found(name, operation, [unquote(part) for part in match.groups()])
    return None


def query_of(query: str) -> dict[str, list[str]]:
    """Read the query part of an address."""
    return parse_qs(query, keep_blank_values=True)
