"""What the front and the courier say to each other, in order, over one socket pair."""

from typing import Final

import msgspec

from services.simulator.verdict import Fate

DEFAULT_RETRIES: Final = 3
DEFAULT_DELAY_S: Final = 20.0


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often, and how far apart, SNS posts again."""

    retries: int = DEFAULT_RETRIES
    min_delay_s: float = DEFAULT_DELAY_S
    max_delay_s: float = DEFAULT_DELAY_S
    no_delay: int = 0
    at_min: int = 0
    at_max: int = 0


class SubscriptionRoute(msgspec.Struct, frozen=True):
    """A confirmed subscription."""

    arn: str
    endpoint: str
    raw: bool
    retry: RetryPolicy


class TopicRoute(msgspec.Struct, frozen=True):
    """A topic with its confirmed subscriptions."""

    signature_version: str
    subscriptions: list[SubscriptionRoute]


class EventRoute(msgspec.Struct, frozen=True):
    """An enabled SNS event destination of a configuration set."""

    types: list[str]
    topic_arn: str


class EventSwitches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fault script may do to events."""

    hold: bool = False
    duplicate: int = 0
    duplicate_new_id: bool = False
    shuffle: bool = False
    shuffle_s: float = 0.5
    delay_s: float = 0.0
    before_answer: bool = False
    forge: str = "none"
    drop_share: float = 0.0


class Start(msgspec.Struct, frozen=True, tag=True):
    """front -> courier: the signing key, its certificate's address and ours."""

    key_pem: bytes
    cert_url: str
    base_url: str
    region: str


class Routes(msgspec.Struct, frozen=True, tag=True):
    """front -> courier: where events go from now on, whole."""

    topics: dict[str, TopicRoute]
    sets: dict[str, list[EventRoute]]


class Switches(msgspec.Struct, frozen=True, tag=True):
    """front -> courier: what the fault script does to events from now on."""

    events: EventSwitches


class Mail(msgspec.Struct, frozen=True, tag=True):
    """front -> courier: an accepted mail, of which to tell the events."""

    message_id: str
    at_s: float
    source: str
    to: list[str]
    cc: list[str]
    bcc: list[str]
    subject: str
    headers: list[tuple[str, str]]
    tags: list[tuple[str, str]]
    configuration_set: str
    operation: str
    fates: list[Fate]
    error: str = ""
    ticket: int = 0


class Publish(msgspec.Struct, frozen=True, tag=True):
    """front -> courier: a text published to a topic through the API or by SES itself."""

    topic_arn: str
    message_id: str
    text: str
    subject: str | None = None
    attributes: dict[str, dict[str, str]] | None = None


class Confirm(msgspec.Struct, frozen=True, tag=True):
    """front -> courier: ask a new subscription's endpoint to confirm."""

    topic_arn: str
    message_id: str
    signature_version: str
    endpoint: str
    token: str
    retry: RetryPolicy


class Report(msgspec.Struct, frozen=True, tag=True):
    """front -> courier: say how far you are, counting all that was handed over before."""

    number: int


class Forget(msgspec.Struct, frozen=True, tag=True):
    """front -> courier: drop what is pending and count from zero."""


class Tally(msgspec.Struct):
    """How one type of notification fares."""

    made: int = 0
    copies: int = 0
    posted: int = 0
    acked: int = 0
    refused: int = 0
    failed: int = 0
    dropped: int = 0

    @property
    def pending(self) -> int:
        """Notifications that are neither answered nor given up."""
        ended = self.acked + self.refused + self.failed + self.dropped
        return self.made + self.copies - ended


class Reported(msgspec.Struct, frozen=True, tag=True):
    """courier -> front: how far the courier is."""

    number: int
    tallies: dict[str, Tally]
    unrouted: int
    cpu_s: float


class Told(msgspec.Struct, frozen=True, tag=True):
    """courier -> front: a mail's events were posted once each; its answer may go out."""

    ticket: int


ToCourier = Start | Routes | Switches | Mail | Publish | Confirm | Report | Forget
ToFront = Reported | Told

_LENGTH: Final = 4
_encode: Final = msgspec.msgpack.Encoder().encode
_courier_decoder: Final = msgspec.msgpack.Decoder(list[ToCourier])
_front_decoder: Final = msgspec.msgpack.Decoder(list[ToFront])


def frame(parcels: list[ToCourier] | list[ToFront]) -> bytes:
    """Pack parcels into one frame with its length in front."""
    body = _encode(parcels)
    return len(body).to_bytes(_LENGTH) + body


def for_courier(body: bytes) -> list[ToCourier]:
    """Unpack a frame at the courier."""
    return _courier_decoder.decode(body)


def for_front(body: bytes) -> list[ToFront]:
    """Unpack a frame at the front."""
    return _front_decoder.decode(body)


class Unframer:
    """Cuts the byte stream back into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take what came and give the frames that are whole."""
        self._rest += chunk
        bodies: list[bytes] = []
        start = 0
        while len(self._rest) - start >= _LENGTH:
            end = start + _LENGTH + int.from_bytes(self._rest[start : start + _LENGTH])
            if end > len(self._rest):
                break
            bodies.append(bytes(self._rest[start + _LENGTH : end]))
            start = end
        del self._rest[:start]
        return bodies
