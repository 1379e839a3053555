"""Sockets whose bytes come with the kernel's time of arrival.

A process that waits for the CPU reads late, and what came in over a tenth of a second would seem
to have come at once. The kernel stamps a segment when it arrives (SO_TIMESTAMPNS, socket(7); for
TCP the stamp of the newest segment that a read takes).
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol

_SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h; Python has no name for it
_TIMESPEC: Final = struct.Struct("qq")
_MOST_READ: Final = 256 * 1024
_SECOND: Final = 1_000_000_000


class Clock(Protocol):
    """What stamps are made of."""

    def now_ns(self) -> int:
        """Read the monotonic clock."""

    def wall_ns(self) -> int:
        """Read the wall clock, which the kernel stamps with."""


class Reader(Protocol):
    """Whoever takes the bytes of one connection."""

    def opened(self, stream: "Stream") -> None:
        """Take the stream to answer on."""

    def closed(self) -> None:
        """Learn that the other side is gone, or that we closed."""

    def feed(self, data: bytes, arrived_ns: int) -> None:
        """Take bytes, and when the newest of them arrived (monotonic)."""


class Stream:
    """One accepted connection; writes never block, what does not fit waits."""

    def __init__(self, sock: socket.socket, reader: Reader, clock: Clock) -> None:
        self._sock = sock
        self._reader = reader
        self._clock = clock
        self._waiting = b""
        self._closing = False
        self._open = True
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader.opened(self)
        self._loop.add_reader(sock, self._read)

    def write(self, data: bytes) -> None:
        """Send bytes, in order."""
        if not self._open or self._closing:
            return
        if self._waiting:
            self._waiting += data
            return
        self._send(data)
        if self._waiting and self._open:
            self._loop.add_writer(self._sock, self._write_on)

    def close(self) -> None:
        """Close once all is written."""
        self._closing = True
        if self._open and not self._waiting:
            self._end()

    def _read(self) -> None:
        try:
            data, notes, _flags, _peer = self._sock.recvmsg(_MOST_READ, 64)
        except BlockingIOError:
            return
        except OSError:
            data, notes = b"", []
        if not data:
            self._end()
            return
        self._reader.feed(data, self._arrival(notes))

    def _arrival(self, notes: list[tuple[int, int, bytes]]) -> int:
        now_ns = self._clock.now_ns()
        for level, kind, value in notes:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, rest = _TIMESPEC.unpack(value)
                stamp_ns: int = seconds * _SECOND + rest
                # A wall clock that is set meanwhile must not make a stamp of the future.
                return now_ns - max(0, self._clock.wall_ns() - stamp_ns)
        return now_ns

    def _send(self, data: bytes) -> None:
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end()
            return
        self._waiting = data[sent:]

    def _write_on(self) -> None:
        self._send(self._waiting)
        if not self._waiting and self._open:
            self._loop.remove_writer(self._sock)
            if self._closing:
                self._end()

    def _end(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._reader.closed()


class Listener:
    """Accepts connections on 127.0.0.1."""

    def __init__(self, port: int, make: Callable[[], Reader], clock: Clock) -> None:
        self._sock = socket.create_server(("127.0.0.1", port), backlog=4096)
        # Accepted sockets inherit it, so that the first segment of each is stamped too.
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._make = make
        self._clock = clock
        self.port: int = self._sock.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept no more."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                Stream(self._sock.accept()[0], self._make(), self._clock)
