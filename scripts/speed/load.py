"""Clients that keep a server busy and note how long each answer took; one process, little CPU."""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import uvloop
from typing_extensions import override

from scripts.speed.machine import Idle

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Answered(NamedTuple):
    """What came back: answers of 200 a second, each one's time in ms, how many were others."""

    rate: float
    times_ms: Sequence[float]
    refused: int
    idle: float = 1.0
    """The machine's idle share meanwhile."""

    @property
    def p50_ms(self) -> float:
        """The median time to an answer."""
        return statistics.median(self.times_ms)

    @property
    def p99_ms(self) -> float:
        """The time that one in a hundred answers exceeds."""
        return percentile(self.times_ms, 0.99)


class RefusedError(Exception):
    """Something else than 200 was answered where nothing else may be."""


def percentile(values: Sequence[float], share: float) -> float:
    """Answer the value that so large a share keeps within."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def whole(answered: Answered) -> Answered:
    """Insist that everything was answered with 200."""
    if answered.refused:
        raise RefusedError(f"{answered.refused} of the requests were refused")
    return answered


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Write a POST as its bytes."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return head.encode() + body


def press(port: int, requests: Sequence[bytes], clients: int) -> Answered:
    """Send all requests over so many connections, each waiting for its answer; answer when done."""
    return uvloop.run(_press(port, requests, clients))


async def _press(port: int, requests: Sequence[bytes], clients: int) -> Answered:
    loop = asyncio.get_running_loop()
    book, left = _Book(), iter(requests)
    made = [
        await loop.create_connection(lambda: _Client(left, book), "127.0.0.1", port)
        for _ in range(clients)
    ]
    idle, began = Idle.now(), time.perf_counter()
    for _, client in made:
        client.ask()
    await asyncio.gather(*(client.done for _, client in made))
    took = time.perf_counter() - began
    return Answered(len(book.times_ms) / took, book.times_ms, book.refused, idle.share())


class _Book:
    """What the clients of one run note."""

    def __init__(self) -> None:
        self.times_ms: list[float] = []
        self.refused = 0

    def note(self, status: bytes, took: float) -> None:
        """Note an answer."""
        if status == b"200":
            self.times_ms.append(took * 1000)
        else:
            self.refused += 1


class _Client(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last one is whole."""

    def __init__(self, left: Iterator[bytes], book: _Book) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._left = left
        self._book = book
        self._answer = b""
        self._began = 0.0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def ask(self) -> None:
        """Send the next request, or end if there is none."""
        one = next(self._left, None)
        if one is None:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._began = time.perf_counter()
            self._transport.write(one)

    @override
    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data
        end = answer.find(_END)
        if end < 0:
            return
        head = answer[:end].lower()
        at = head.find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0
        if len(answer) >= end + len(_END) + length:
            self._answer = b""
            self._book.note(head[9:12], time.perf_counter() - self._began)
            self.ask()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"the server hung up: {exc}"))
