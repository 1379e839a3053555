"""One HTTP connection on httptools: no framework, because this is the load rig as well."""

import asyncio
import functools
from collections import deque
from typing import Final

import httptools

from services.simulator.desk import Request
from services.simulator.dice import Dice, uuid_of
from services.simulator.front import Front
from services.simulator.reply import Reply
from services.simulator.stream import Stream

# Length comes before comparison: a call has a dozen headers, and this is its hot path.
_LONG: Final = len(b"authorization")
_SHORT: Final = len(b"expect")
_MOST_BODY: Final = 64 * 1024 * 1024
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Edge:
    """What every connection shares."""

    def __init__(self, front: Front, dice: Dice, *, keep_headers: bool) -> None:
        self.front = front
        self.dice = dice
        self.keep_headers = keep_headers
        self.open: set[Connection] = set()


class Connection:
    """Reads requests, answers them in order, one at a time."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._stream: Stream | None = None
        self._arrived_ns = 0
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._queue: deque[tuple[Request, bool]] = deque()
        self._busy = False

    def opened(self, stream: Stream) -> None:
        """Take the stream to answer on."""
        self._stream = stream
        self._edge.open.add(self)

    def closed(self) -> None:
        """Learn that nobody waits for an answer any more."""
        self._stream = None
        self._edge.open.discard(self)

    def feed(self, data: bytes, arrived_ns: int) -> None:
        """Take bytes, and when they arrived."""
        self._arrived_ns = arrived_ns
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            self.close()

    def on_message_begin(self) -> None:
        """Start a request (httptools calls this)."""
        self._url = b""
        self._headers = {}
        self._body = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address (httptools calls this)."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that matter (httptools calls this)."""
        if self._edge.keep_headers or (len(name) == _LONG and name.lower() == b"authorization"):
            self._headers[name.lower().decode("latin-1")] = value.decode("latin-1")
        if len(name) == _SHORT and name.lower() == b"expect":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body (httptools calls this)."""
        self._size += len(body)
        if self._size <= _MOST_BODY:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Stamp a whole request and pass it on (httptools calls this)."""
        if self._size > _MOST_BODY:
            self._write(b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n")
            self.close()
            return
        request = Request(
            self._parser.get_method().decode("latin-1"),
            self._url.decode("latin-1"),
            self._headers,
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
            self._arrived_ns,
        )
        self._body = []
        keep = self._parser.should_keep_alive()
        if self._busy:
            self._queue.append((request, keep))
        else:
            self._start(request, keep)

    def close(self) -> None:
        """Close the connection; what is under way is still decided, only not answered."""
        if self._stream is not None:
            self._stream.close()

    def _start(self, request: Request, keep: bool) -> None:  # noqa: FBT001 - HTTP's keep-alive
        self._busy = True
        self._edge.front.take(request, functools.partial(self._carry, keep))

    def _carry(self, keep: bool, reply: Reply) -> None:  # noqa: FBT001 - bound by partial
        if reply.manner == "hang":
            return
        if reply.manner == "close":
            self.close()
            return
        whole = self._head(reply) + reply.body
        if reply.manner == "slow_drip":
            self._drip(whole, 0, reply.drip_s)
            return
        if reply.manner == "truncate":
            self._write(whole[: len(whole) - len(reply.body) // 2 - 1])
            self.close()
            return
        self._write(whole)
        self._busy = False
        if not keep:
            self.close()
        elif self._queue:
            self._start(*self._queue.popleft())

    def _drip(self, whole: bytes, sent: int, pause_s: float) -> None:
        if self._stream is None:
            return
        self._write(whole[sent : sent + 1])
        if sent + 1 >= len(whole):
            self.close()
            return
        loop = asyncio.get_running_loop()
        loop.call_later(pause_s, self._drip, whole, sent + 1, pause_s)

    def _head(self, reply: Reply) -> bytes:
        request_id = uuid_of(self._edge.dice)
        start = _start_of(reply.status, reply.content_type, reply.code)
        return (
            f"{start}Content-Length: {len(reply.body)}\r\nx-amzn-RequestId: {request_id}\r\n\r\n"
        ).encode()

    def _write(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.write(data)


@functools.lru_cache(maxsize=256)
def _start_of(status: int, content_type: str, code: str | None) -> str:
    kind = "" if code is None else f"x-amzn-ErrorType: {code}\r\n"
    return (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\n"
        f"Content-Type: {content_type}\r\n{kind}"
    )
