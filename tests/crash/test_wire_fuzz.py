"""Garbage on the sockets: a frame is a whole message of ours, or it is dropped and counted."""

import enum
import random
import socket
import struct
import types
import typing
from collections import Counter
from typing import Any

import msgspec
import pytest
import zmq

from shared import wire
from shared.errors import FrameError
from shared.protocol import INBOXES, EarOpen, Message
from shared.wire import Budget, Letter, Mailbox
from tests.contract.test_protocol import MESSAGES
from tests.contract.test_protocol import struct as example

FRAMES = 100_000
ON_SOCKETS = 4_000
SEED = 20_260_901
MB = 1024 * 1024


# ── frames ──


class Frames:
    """Frames nobody of ours would send; every throw of the dice is the seed's."""

    def __init__(self) -> None:
        self.dice = random.Random(SEED)
        self.genuine = [msgspec.msgpack.encode(example(kind)) for kind in MESSAGES.values()]
        self._of_inbox = {
            name: [msgspec.msgpack.encode(example(kind)) for kind in kinds_of(name)]
            for name in INBOXES
        }

    def make(self, mailbox: str) -> bytes:
        """Make a frame for a mailbox, mostly out of one that it takes."""
        of_inbox = self._of_inbox[mailbox.partition("-")[0]]
        frame = self.dice.choice(self.genuine if self.dice.random() < 0.1 else of_inbox)
        match self.dice.randrange(8):
            case 0:
                return self.dice.randbytes(self.dice.randint(0, 64))
            case 1:
                return frame[: self.dice.randrange(len(frame))]
            case 2:
                return self._version(frame)
            case 3:
                return frame + self.dice.choice([b"\0", frame, self.dice.randbytes(9)])
            case 4:
                return self._huge(frame)
            case 5:
                at, until = sorted(self.dice.choices(range(len(frame) + 1), k=2))
                other = self.dice.choice(self.genuine)
                return frame[:at] + other[at:until] + frame[until:]
            case _:
                return self._flipped(frame)

    def _flipped(self, frame: bytes) -> bytes:
        octets = bytearray(frame)
        for _ in range(self.dice.randint(1, 3)):
            octets[self.dice.randrange(len(octets))] ^= 1 << self.dice.randrange(8)
        return bytes(octets)

    def _version(self, frame: bytes) -> bytes:
        """Speak another release's language: another name, fields less or more, other types."""
        name, *fields = msgspec.msgpack.decode(frame)
        match self.dice.randrange(4):
            case 0:
                name = f"{name}2"
            case 1:
                del fields[self.dice.randrange(len(fields)) :]
            case 2:
                at = self.dice.randrange(len(fields))
                fields[at] = self.dice.choice([None, -1, 2**64 - 1, 1e308, "x", b"x", [], {}, True])
            case _:
                self.dice.shuffle(fields)
        return msgspec.msgpack.encode([name, *fields])

    def _huge(self, frame: bytes) -> bytes:
        """Announce gigabytes, or nest without end."""
        size = struct.pack(">I", self.dice.choice([2**32 - 1, 2**31, 10**8]))
        head = self.dice.choice([b"\xdd", b"\xdf", b"\xdb", b"\xc6"])
        deep = self.dice.choice([b"\x91", b"\x81\xa1x"]) * 5000
        at = self.dice.randrange(len(frame))
        longer = bytes([min(frame[0] + 1, 0x9F)]) + frame[1:]  # a field nobody knows is skipped
        return self.dice.choice(
            [head + size, frame[:at] + head + size + frame[at:], deep, longer + deep, longer + head]
        )


def fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a type, down to the last field; written apart from msgspec."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(kind, "__supertype__"):
        return fits(value, kind.__supertype__)
    if origin in {types.UnionType, typing.Union}:
        return any(fits(value, one) for one in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and _items_fit(value, arguments)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in value.items()
        )
    if kind in {None, type(None)}:
        return value is None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return type(value) is kind and all(
            fits(getattr(value, field), hint) for field, hint in hints_of(kind).items()
        )
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return isinstance(value, kind)
    return type(value) is kind or (kind is float and type(value) is int)


def _items_fit(value: tuple, arguments: tuple) -> bool:
    if arguments[-1:] == (...,):
        return all(fits(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(fits, value, arguments))


def hints_of(kind: type, known: dict[type, dict[str, Any]] = {}) -> dict[str, Any]:  # noqa: B006
    if kind not in known:
        hints = typing.get_type_hints(kind)
        known[kind] = {name: hints[name] for name in kind.__struct_fields__}
    return known[kind]


def hear(mailbox: Mailbox, until: Message) -> list[Message]:
    """Drain up to a message, at most ten seconds."""
    heard: list[Message] = []
    while until not in heard:
        assert mailbox.socket.poll(10_000), len(heard)
        heard += mailbox.drain(Budget())
    return heard


@pytest.mark.against("Q2")
def test_q2_a_hundred_thousand_frames_are_a_whole_message_or_none(connect):
    own = connect()
    boxes = [own.mailbox(f"{name}-0" if name == "sender" else name) for name in INBOXES]
    frames, fared = Frames(), Counter()
    for number in range(FRAMES):
        box = boxes[number % len(boxes)]
        frame = frames.make(box.name)
        try:
            message = box.decode(frame)
        except FrameError:
            fared["dropped"] += 1
            continue
        fared[type(message).__name__] += 1
        assert type(message) in kinds_of(box.name), frame
        assert fits(message, type(message)), frame
    # Neither all nor none: some changes leave a whole message, with another number in it.
    assert FRAMES / 2 < fared["dropped"] < 0.95 * FRAMES
    assert len(fared) == 1 + len({kind for name in INBOXES for kind in kinds_of(name)})


def kinds_of(mailbox: str) -> tuple[type, ...]:
    inbox = INBOXES[mailbox.partition("-")[0]]
    return typing.get_args(inbox) or (inbox,)


@pytest.mark.against("Q2", "A30")
def test_q2_what_is_dropped_on_a_socket_is_counted_and_the_next_letter_read(connect, folder):
    own = connect()
    box = own.mailbox("writer")
    frames, sent = Frames(), 0
    stranger = zmq.Context()
    push = stranger.socket(zmq.PUSH)
    push.set(zmq.LINGER, 0)
    push.connect(f"ipc://{folder}/writer.sock")
    heard: list[Message] = []
    try:
        for _ in range(ON_SOCKETS // 500):
            for _ in range(500):
                push.send(frames.make("writer"))
            sent += 500
            mark = EarOpen(-sent)
            push.send(msgspec.msgpack.encode(mark))
            heard += hear(box, mark)
    finally:
        stranger.destroy(linger=0)
    assert box.frames == sent + ON_SOCKETS // 500
    assert box.bad_frames == box.frames - len(heard) > sent / 2
    assert all(fits(message, type(message)) for message in heard)


GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"


@pytest.mark.against("Q2", "A30")
def test_q2_raw_bytes_on_a_bound_socket_harm_nobody(connect, folder, monkeypatch):
    monkeypatch.setattr(wire, "MAX_FRAME", MB)
    own = connect()
    box = own.mailbox("writer")
    dice = random.Random(SEED)
    large = struct.pack(">Q", 2**62)
    said = [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        *(dice.randbytes(dice.randint(1, 4000)) for _ in range(60)),
        GREETING[:20],
        *(GREETING + dice.randbytes(200) for _ in range(20)),
        GREETING + READY[:9],
        GREETING + READY + b"\x02" + large,  # a frame of four exabytes
        GREETING + READY + b"\x02" + struct.pack(">Q", MB + 1) + bytes(MB + 1),
        GREETING + READY + b"\x01\x01x" * 50,  # parts that never end
        GREETING.replace(b"NULL", b"PLAI") + READY,
        *(GREETING + READY + dice.randbytes(300) for _ in range(20)),
    ]
    for octets in said:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(5)
            stranger.connect(str(folder / "writer.sock"))
            try:
                stranger.sendall(octets)
            except (BrokenPipeError, ConnectionResetError):
                continue  # it was shown the door in the middle of its word
    sender = connect()
    while not sender.send(Letter("writer", EarOpen(7))):
        pass
    assert [one for one in hear(box, EarOpen(7)) if one != EarOpen(7)] == []


@pytest.mark.against("Q2", "A30")
@pytest.mark.parametrize(
    "name",
    ["", "nobody", "../x", "writer/../../x", "a" * 300, "writer\0", "sender-", "sender-12345"],
)
def test_q2_an_answer_to_no_mailbox_opens_no_path_and_is_dropped(connect, folder, name):
    own = connect()
    assert not own.send(Letter(name, EarOpen(1)))
    assert own.dropped == 1
    assert own._outgoing == {}


@pytest.mark.against("A30")
def test_strangers_find_a_closed_folder_and_a_limit(connect, folder):
    box = connect().mailbox("writer")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert box.socket.get(zmq.MAXMSGSIZE) == wire.MAX_FRAME == 64 * MB
    assert box.socket.get(zmq.LAST_ENDPOINT).startswith(b"ipc://")
    assert zmq.zmq_version_info() >= (4, 3, 5)
