"""The door to ZeroMQ: mailboxes that are bound, letters that are pushed, never blocking.

One PULL socket a mailbox, one PUSH socket a destination, ipc in a folder of mode 0700. A frame is
one msgpack message of shared/protocol.py. Sending never waits: what cannot go now is dropped, and
its owner, who still holds it, sends it again.
"""

import fcntl
import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec
import zmq

from shared import clock
from shared.errors import AlreadyRunningError, FrameError
from shared.protocol import INBOXES, Message
from shared.setting_rules import LONGEST_SOCKET

MAX_FRAME = 64 * 1024 * 1024
"""Bytes; the largest request is 25 MB of JSON, and msgpack is never larger."""

HIGH_WATER = 2000
"""What may wait in one direction before more is dropped: lone frames, or those of a turn."""

MOST_PARTS = 16
"""Frames that go as one."""

LOCK_WAIT_S = 30.0
"""How long a fresh process waits for its predecessor to finish draining."""

_FIRST_CONNECT_MS = 20

_NAME = re.compile(rf"(?:{'|'.join(INBOXES)})(?:-[0-9]{{1,4}})?")

_LONGEST_NAME = "/ctl.sock.4194304"
"""supervisord first binds its socket under a name that ends in its pid, at most 4194304."""

M = TypeVar("M", bound=Message)


class Letter(NamedTuple):
    """A message and the mailbox it is for."""

    to: str
    message: Message


class Budget(NamedTuple):
    """How much one turn may take from a mailbox before the others have their turn."""

    frames: int = 1000
    octets: int = 8 * 1024 * 1024


def run_folder(data_dir: Path) -> Path:
    """Make and answer the folder of sockets and locks, 0700.

    Inside the data folder, unless that makes socket paths too long for the kernel: then a folder
    in /tmp named after the data folder.
    """
    folder = (data_dir / "run").absolute()
    if len(os.fsencode(folder)) + len(_LONGEST_NAME) > LONGEST_SOCKET:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        folder = Path("/tmp") / f"ses-sender-{os.getuid()}-{name}"  # noqa: S108 - checked below
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise AlreadyRunningError(f"{folder} belongs to another user")
    folder.chmod(0o700)
    return folder


class Lock:
    """An exclusive lock on a name, held until the process ends, however it ends."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.lock"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Take the lock if it is free, and write the pid into it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        return True

    def holder(self) -> str:
        """Answer the pid of whoever took the lock last."""
        return os.pread(self._fd, 32, 0).decode() or "?"


def is_held(folder: Path, name: str) -> bool:
    """Tell whether a living process holds the lock of this name."""
    try:
        fd = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


class Mailbox(Generic[M]):
    """A bound PULL socket and the decoder of the messages it takes."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", folder: Path, name: str) -> None:
        self.name = name
        self.bad_frames = 0
        self.frames = 0
        self.full = False
        self._decoder = msgspec.msgpack.Decoder(INBOXES[name.partition("-")[0]])
        self.socket = context.socket(zmq.PULL)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RCVHWM, HIGH_WATER)
        self.socket.set(zmq.MAXMSGSIZE, MAX_FRAME)
        self.socket.bind(f"ipc://{folder / name}.sock")

    def drain(self, budget: Budget) -> Iterator[M]:
        """Yield what is waiting, within the budget; `full` tells whether more may be there.

        A frame that is no message of ours is counted and dropped: its sender still holds the
        truth and will say it again, or is not one of us.
        """
        frames = octets = 0
        while frames < budget.frames and octets < budget.octets:
            try:
                frame: bytes = self.socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                self.full = False
                return
            frames += 1
            octets += len(frame)
            self.frames += 1
            try:
                yield self.decode(frame)
            except FrameError:
                self.bad_frames += 1
        self.full = True

    def decode(self, frame: bytes) -> M:
        """Turn bytes into a message, or raise FrameError."""
        try:
            message: M = self._decoder.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FrameError(str(error), frame) from error
        return message


class Wire:
    """All sockets of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epoch = clock.new_epoch(clock.read())
        self.dropped = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._outgoing: dict[str, zmq.Socket[bytes]] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._poller: zmq.Poller | None = None

    def mailbox(self, name: str) -> Mailbox[Message]:
        """Bind a mailbox; the caller holds the lock of that name."""
        return Mailbox(self._context, self.folder, name)

    def post(self, letters: Iterable[Letter]) -> None:
        """Push the letters of a turn without waiting.

        Those for one mailbox arrive together, as the parts of one message of ZeroMQ's: whoever
        reads them finds all at once, and commits, say, all at once.
        """
        sorted_: dict[str, list[Message]] = {}
        for to, message in letters:
            sorted_.setdefault(to, []).append(message)
        for to, messages in sorted_.items():
            for begin in range(0, len(messages), MOST_PARTS):
                self._push(to, messages[begin : begin + MOST_PARTS])

    def send(self, letter: Letter) -> bool:
        """Push one message without waiting; False if it was dropped."""
        return self._push(letter.to, [letter.message])

    def _push(self, to: str, messages: list[Message]) -> bool:
        """Push messages as one; whom to answer is often said by a frame: no name opens a path."""
        socket = self._outgoing.get(to)
        if socket is None and not _NAME.fullmatch(to):
            self.dropped += len(messages)
            return False
        socket = socket or self._connect(to)
        encode, (*parts, last) = self._encoder.encode, messages
        try:
            for part in parts:
                socket.send(encode(part), zmq.DONTWAIT | zmq.SNDMORE)
            socket.send(encode(last), zmq.DONTWAIT)
        except zmq.Again:
            self.dropped += len(messages)
            return False
        return True

    def publisher(self, address: str) -> "zmq.Socket[bytes]":
        """Bind a PUB socket (the stats socket; nothing of worth ever travels on it)."""
        socket = self._context.socket(zmq.PUB)
        socket.set(zmq.LINGER, 0)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            reason = f"STATS_SOCKET {address} is not to be had: {error.strerror}"
            raise AlreadyRunningError(reason) from error
        return socket

    def poll(self, mailboxes: list[Mailbox[Message]], wake: int, seconds: float) -> None:
        """Wait until a mailbox or the wake-up descriptor has something, or time is up.

        A process always waits for the same ones: the poller is made once.
        """
        if self._poller is None:
            self._poller = zmq.Poller()
            for mailbox in mailboxes:
                self._poller.register(mailbox.socket, zmq.POLLIN)
            self._poller.register(wake, zmq.POLLIN)
        self._poller.poll(math.ceil(max(0.0, seconds) * 1000))

    def close(self, linger_ms: int = 0) -> None:
        """Close every socket; what has not left by then is dropped."""
        self._context.destroy(linger=linger_ms)

    def _connect(self, to: str) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.PUSH)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, HIGH_WATER)
        # Frames wait for a living peer only: none piles up for a dead one, to arrive stale later.
        socket.set(zmq.IMMEDIATE, 1)
        socket.set(zmq.RECONNECT_IVL, 20)
        socket.set(zmq.RECONNECT_IVL_MAX, 200)
        socket.connect(f"ipc://{self.folder / to}.sock")
        # A living peer is there within a millisecond; without this the first frame finds no way.
        socket.poll(_FIRST_CONNECT_MS, zmq.POLLOUT)
        self._outgoing[to] = socket
        return socket


def subscribe(address: str) -> "zmq.Socket[bytes]":
    """Connect a SUB socket to the stats socket."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SUBSCRIBE, b"")
    socket.connect(address)
    return socket


def readable(mailbox: Mailbox[Message]) -> bool:
    """Tell whether a mailbox has a frame; its descriptor is edge-triggered and must be re-asked."""
    return bool(int(mailbox.socket.get(zmq.EVENTS)) & zmq.POLLIN)


def descriptor(mailbox: Mailbox[Message]) -> int:
    """Answer the file descriptor that becomes readable when a mailbox may have something."""
    return int(mailbox.socket.get(zmq.FD))
