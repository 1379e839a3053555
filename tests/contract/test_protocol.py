"""The bytes of every message as they were: a newer release reads them, and only adds at the end.

Actors restart one by one, so two releases may speak with each other for a moment. golden.txt
holds one frame a message. To add the frames of new messages:

    python tests/contract/test_protocol.py >> tests/contract/golden.txt

A line that is there already is changed only for a release that stops every process first.
"""

import enum
import sys
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared import protocol
from shared.protocol import INBOXES, Message, Part

GOLDEN = Path(__file__).parent / "golden.txt"
MESSAGES: dict[str, type[Message]] = {
    name: kind
    for name, kind in vars(protocol).items()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
}
FRAMES = dict(line.split() for line in GOLDEN.read_text().splitlines()) if GOLDEN.exists() else {}


def example(kind: Any, name: str = "x") -> Any:
    """Make a value of a type: every field set, nothing at its default."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(kind, "__supertype__"):
        return example(kind.__supertype__, name)
    if origin in {types.UnionType, typing.Union}:
        return example(next(a for a in arguments if a is not type(None)), name)
    if origin is tuple:
        inner = arguments[:1] if arguments[-1:] == (...,) else arguments
        return tuple(example(argument, name) for argument in inner)
    if origin is dict:
        return {example(arguments[0], name): example(arguments[1], name)}
    return struct(kind) if issubclass(kind, msgspec.Struct) else plain(kind, name)


def struct(kind: type[msgspec.Struct]) -> msgspec.Struct:
    hints = typing.get_type_hints(kind)
    return kind(**{field: example(hints[field], field) for field in kind.__struct_fields__})


def plain(kind: type, name: str) -> Any:
    if issubclass(kind, enum.Enum):
        return list(kind)[-1]
    return {bool: True, int: 1000 + len(name), float: 0.5, str: name, bytes: name.encode()}[kind]


def is_grown_from(old: object, new: object) -> bool:
    """Tell whether a raw frame is an old one with fields added at the end, at any depth."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) <= len(new) and all(map(is_grown_from, old, new))
    return old == new


def raw(frame: bytes) -> list:
    return msgspec.msgpack.decode(frame)


def test_every_message_has_its_golden_frame_and_every_frame_its_message():
    assert set(FRAMES) == set(MESSAGES)


@pytest.mark.against("Q2")
@pytest.mark.parametrize("name", sorted(FRAMES))
def test_the_golden_frame_is_read_and_fields_were_only_added(name):
    frame = bytes.fromhex(FRAMES[name])
    kind = MESSAGES[name]
    message = msgspec.msgpack.decode(frame, type=kind)
    assert is_grown_from(raw(frame), raw(msgspec.msgpack.encode(message)))
    assert is_grown_from(raw(frame), raw(msgspec.msgpack.encode(struct(kind))))


@pytest.mark.against("Q2")
@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_field_of_a_newer_release_is_no_trouble(name):
    kind = MESSAGES[name]
    newer = msgspec.msgpack.encode([*raw(msgspec.msgpack.encode(struct(kind))), "new"])
    assert msgspec.msgpack.decode(newer, type=kind) == struct(kind)


@pytest.mark.against("Q2")
@pytest.mark.parametrize("name", sorted(INBOXES))
def test_each_inbox_tells_its_messages_apart_by_their_tag(name):
    decoder = msgspec.msgpack.Decoder(INBOXES[name])
    kinds = typing.get_args(INBOXES[name]) or (INBOXES[name],)
    for kind in kinds:
        assert decoder.decode(msgspec.msgpack.encode(struct(kind))) == struct(kind)
    strangers = set(MESSAGES.values()) - set(kinds)
    for kind in strangers:
        with pytest.raises(msgspec.ValidationError):
            decoder.decode(msgspec.msgpack.encode(struct(kind)))


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(protocol).values()
        if isinstance(kind, type) and issubclass(kind, Message | Part)
    ],
    ids=lambda kind: kind.__name__,
)
def test_everything_on_the_wire_is_frozen_and_an_array(kind):
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.array_like


if __name__ == "__main__":
    for name in sorted(set(MESSAGES) - set(FRAMES)):
        sys.stdout.write(f"{name} {msgspec.msgpack.encode(struct(MESSAGES[name])).hex()}\n")
