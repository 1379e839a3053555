"""A small HTTP client: one post at a time on each connection, to this machine only."""

import asyncio
from typing import Final, cast
from urllib.parse import urlsplit

import httptools
from typing_extensions import override

_MOST_IDLE_S: Final = 1.0  # web servers close idle connections; one about to be closed is no use


class _Line(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: asyncio.Future[int] | None = None
        self._status: int | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop has a class of its own

    @override
    def data_received(self, data: bytes) -> None:
        try:
            if self._parser is not None:
                self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.fail(ConnectionError("the answer is not HTTP"))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._status is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(self._status)  # an answer without a length ends with the line
        self.fail(ConnectionError("the connection was lost"))

    def on_headers_complete(self) -> None:
        """Take the status, which is all SNS looks at (httptools calls this)."""
        if self._parser is not None:
            self._status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        """Take the end of an answer (httptools calls this)."""
        parser, self._parser = self._parser, None
        if parser is not None and not parser.should_keep_alive():
            self.close()
        if parser is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(parser.get_status_code())

    def fail(self, error: Exception) -> None:
        """End the post under way, if there is one."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    @property
    def is_open(self) -> bool:
        """Tell whether another post can go out here."""
        return self._transport is not None and not self._transport.is_closing()

    async def post(self, request: bytes) -> int:
        """Send a request and wait for its status."""
        if self._transport is None:
            msg = "the connection is closed"
            raise ConnectionError(msg)
        self._parser = httptools.HttpResponseParser(self)
        self._status = None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


class Poster:
    """Posts over as few connections as are needed at once."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._idle: dict[tuple[str, int], list[_Line]] = {}

    async def post(self, endpoint: str, request: bytes) -> int | None:
        """Post and give the status, or None when there was no answer in time."""
        parts = urlsplit(endpoint)
        place = (parts.hostname or "127.0.0.1", parts.port or 80)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._once(place, request)
        except (OSError, TimeoutError):
            return None

    async def _once(self, place: tuple[str, int], request: bytes) -> int:
        line = self._reused(place)
        if line is not None:
            try:
                return await self._over(line, place, request)
            except ConnectionError:
                pass  # it was closed under our hands: that is no failed attempt
        loop = asyncio.get_running_loop()
        _transport, line = await loop.create_connection(_Line, *place)
        return await self._over(line, place, request)

    async def _over(self, line: _Line, place: tuple[str, int], request: bytes) -> int:
        kept = False
        try:
            status = await line.post(request)
            kept = line.is_open
        finally:
            if kept:
                line.idle_since = asyncio.get_running_loop().time()
                self._idle.setdefault(place, []).append(line)
            else:
                line.close()
        return status

    def _reused(self, place: tuple[str, int]) -> _Line | None:
        idle = self._idle.get(place)
        oldest = asyncio.get_running_loop().time() - _MOST_IDLE_S
        while idle:
            line = idle.pop()
            if line.is_open and line.idle_since >= oldest:
                return line
            line.close()
        return None
