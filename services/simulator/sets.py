"""Configuration sets and their event destinations."""

from typing import Any, Final

import msgspec

from services.simulator.errors import RefusalError, bad_request
from services.simulator.limits import check_set_name
from services.simulator.parcels import EventRoute

EVENT_TYPES: Final = frozenset(
    [
        "SEND",
        "REJECT",
        "BOUNCE",
        "COMPLAINT",
        "DELIVERY",
        "OPEN",
        "CLICK",
        "RENDERING_FAILURE",
        "DELIVERY_DELAY",
        "SUBSCRIPTION",
    ]
)
_TYPES: Final = tuple(EVENT_TYPES)  # a tuple may be asked about anything, hashable or not
MOST_DESTINATIONS: Final = 10


class ConfigurationSet(msgspec.Struct):
    """A configuration set: its options as given, its destinations by name."""

    name: str
    options: dict[str, Any] = {}
    destinations: dict[str, dict[str, Any]] = {}


class ConfigurationSets:
    """All configuration sets of the account."""

    def __init__(self) -> None:
        self.by_name: dict[str, ConfigurationSet] = {}

    def find(self, name: str) -> ConfigurationSet:
        """Give the set of that name, or refuse."""
        found = self.by_name.get(name)
        if found is None:
            msg = f"Configuration set <{name}> does not exist."
            raise RefusalError("NotFoundException", msg)
        return found

    def check_sending(self, name: str) -> None:
        """Refuse a send through a set that is unknown or switched off."""
        options = self.find(name).options.get("SendingOptions") or {}
        if options.get("SendingEnabled") is False:
            msg = f"Sending is paused for configuration set <{name}>."
            raise RefusalError("SendingPausedException", msg)

    def create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateConfigurationSet."""
        name = _text(wanted, "ConfigurationSetName")
        check_set_name(name)
        if name in self.by_name:
            msg = f"Configuration set <{name}> already exists."
            raise RefusalError("AlreadyExistsException", msg)
        options = {key: value for key, value in wanted.items() if key.endswith("Options")}
        if not all(isinstance(value, dict) for value in options.values()):
            msg = "Every group of options must be an object."
            raise bad_request(msg)
        options["Tags"] = wanted.get("Tags") or []
        self.by_name[name] = ConfigurationSet(name, options)
        return {}

    def get(self, name: str) -> dict[str, Any]:
        """Answer GetConfigurationSet."""
        found = self.find(name)
        defaults = {
            "DeliveryOptions": {"TlsPolicy": "OPTIONAL"},
            "ReputationOptions": {"ReputationMetricsEnabled": False},
            "SendingOptions": {"SendingEnabled": True},
        }
        return {"ConfigurationSetName": name, **defaults, **found.options}

    def names(self) -> dict[str, Any]:
        """Answer ListConfigurationSets."""
        return {"ConfigurationSets": sorted(self.by_name)}

    def delete(self, name: str) -> dict[str, Any]:
        """Answer DeleteConfigurationSet."""
        del self.by_name[self.find(name).name]
        return {}

    def create_destination(self, name: str, wanted: dict[str, Any]) -> str | None:
        """Add an event destination and give its topic, which SES then writes to."""
        found = self.find(name)
        label = _text(wanted, "EventDestinationName")
        check_set_name(label)
        if label in found.destinations:
            msg = f"An event destination already exists: <{label}>."
            raise RefusalError("AlreadyExistsException", msg)
        if len(found.destinations) >= MOST_DESTINATIONS:
            msg = f"A configuration set has at most {MOST_DESTINATIONS} event destinations."
            raise RefusalError("LimitExceededException", msg)
        destination = _destination(wanted)
        found.destinations[label] = destination
        return topic_of(destination)

    def update_destination(self, name: str, label: str, wanted: dict[str, Any]) -> None:
        """Replace an event destination, whole."""
        self._destination(name, label)
        self.find(name).destinations[label] = _destination(wanted)

    def delete_destination(self, name: str, label: str) -> dict[str, Any]:
        """Answer DeleteConfigurationSetEventDestination."""
        self._destination(name, label)
        del self.find(name).destinations[label]
        return {}

    def destinations(self, name: str) -> dict[str, Any]:
        """Answer GetConfigurationSetEventDestinations."""
        found = self.find(name).destinations
        return {"EventDestinations": [{"Name": label, **one} for label, one in found.items()]}

    def routes(self) -> dict[str, list[EventRoute]]:
        """Say, set by set, which events go to which topic."""
        return {
            one.name: [
                EventRoute(d["MatchingEventTypes"], topic)
                for d in one.destinations.values()
                if d["Enabled"] and (topic := topic_of(d)) is not None
            ]
            for one in self.by_name.values()
        }

    def _destination(self, name: str, label: str) -> dict[str, Any]:
        found = self.find(name).destinations.get(label)
        if found is None:
            msg = f"Event destination <{label}> does not exist."
            raise RefusalError("NotFoundException", msg)
        return found


def topic_of(destination: dict[str, Any]) -> str | None:
    """Give the SNS topic of an event destination that has one."""
    sns = destination.get("SnsDestination")
    return sns.get("TopicArn") if isinstance(sns, dict) else None


def _text(wanted: dict[str, Any], key: str) -> str:
    value = wanted.get(key)
    if not isinstance(value, str) or not value:
        msg = f"1 validation error detected: Value null at '{key}' must not be null"
        raise bad_request(msg)
    return value


def _destination(wanted: dict[str, Any]) -> dict[str, Any]:
    given = wanted.get("EventDestination")
    if not isinstance(given, dict):
        msg = "1 validation error detected: Value null at 'EventDestination' must not be null"
        raise bad_request(msg)
    types = given.get("MatchingEventTypes")
    if not isinstance(types, list) or not types or not all(t in _TYPES for t in types):
        msg = "MatchingEventTypes must name at least one known event type."
        raise bad_request(msg)
    if sum(key.endswith("Destination") for key in given) != 1:
        msg = "An event destination needs exactly one place to publish to."
        raise bad_request(msg)
    return {**given, "Enabled": given.get("Enabled") is True}
