"""One connection to SES on httptools: a request, its answer, and the next request."""

import asyncio
from typing import Protocol, cast

import httptools
from typing_extensions import override

from services.sender.reply import Ending, NoReply, read_reply

TOTAL_S = 20.0
"""A call without its whole answer after so long is over; SES may still have the mail."""

MOST_ANSWER = 1_000_000
"""Bytes of an answer's body; SES's for fifty recipients is 6 KB."""

_CUT = "the connection was closed before the whole answer"


class Pool(Protocol):
    """Who hands out connections."""

    def rest(self, connection: "Connection") -> None:
        """Take back a connection that can carry another call."""

    def gone(self, connection: "Connection") -> None:
        """Let go of a connection that is closed."""


class Connection(asyncio.Protocol):
    """Carries one call at a time."""

    def __init__(self, pool: Pool) -> None:
        self.rested_at = 0.0
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._ending: asyncio.Future[Ending] | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._error_type = b""
        self._body: list[bytes] = []
        self._size = 0

    # ── what asyncio calls ──

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        """Feed the parser; bytes that answer nothing end the connection."""
        if self._ending is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._end(NoReply(left=True, detail=f"the answer is no HTTP: {error}"))
            self.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """End the call that waits, if one does: SES may have it."""
        self._pool.gone(self)
        detail = _CUT if exc is None else f"{type(exc).__name__}: {exc}"
        self._end(NoReply(left=True, detail=detail))

    # ── what httptools calls ──

    def on_message_begin(self) -> None:
        """End the connection if nobody asked: what follows is no answer of ours."""
        if self._ending is None:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the one header that says what an error is."""
        if name.lower() == b"x-amzn-errortype":
            self._error_type = value

    def on_body(self, data: bytes) -> None:
        """Keep a stretch of the body."""
        self._size += len(data)
        if self._size <= MOST_ANSWER:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """End the call with its answer; the connection rests if both sides let it."""
        status = self._parser.get_status_code()
        if status < 200:
            self._clear()
            return
        assert self._transport is not None
        error_type = self._error_type.decode("latin-1")
        if self._size > MOST_ANSWER:
            ending: Ending = NoReply(left=True, detail="the answer is too large")
        else:
            ending = read_reply(status, error_type, b"".join(self._body))
        is_whole = self._size <= MOST_ANSWER and not self._transport.get_write_buffer_size()
        stays = self._parser.should_keep_alive() and is_whole
        self._end(ending)
        if stays:
            self._pool.rest(self)
        else:
            self.close()

    # ── what the pool calls ──

    def call(self, request: bytes, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Ending]:
        """Send a request; its ending comes in any case."""
        assert self._transport is not None
        assert self._ending is None, "one call at a time"
        self._clear()
        self._ending = loop.create_future()
        self._clock = loop.call_later(TOTAL_S, self._give_up)
        self._transport.write(request)
        return self._ending

    def close(self) -> None:
        """End the connection, and with it the call that waits; nobody gets it any more."""
        self._pool.gone(self)
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self) -> None:
        self._end(NoReply(left=True, detail=f"TimeoutError: no answer for {TOTAL_S:g} s"))
        self.close()

    def _clear(self) -> None:
        self._error_type, self._size = b"", 0
        self._body.clear()

    def _end(self, ending: Ending) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        waiting, self._ending = self._ending, None
        if waiting is not None and not waiting.done():
            waiting.set_result(ending)
