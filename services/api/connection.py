"""One HTTP connection, bounded: how many, how large a head, how long it may take.

uvicorn's own protocol waits for ever for a head to end and takes a head of any size.
"""

import asyncio

import httptools
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.api.envelope import ALWAYS
from services.api.refusal import RefusalError
from services.api.replies import refusal_reply

MOST_CONNECTIONS = 800
"""Fewer than the 1,024 open files that a process may have by default on Linux."""
LARGEST_HEAD = 16 * 1024
HEAD_S = 10.0
LINGER_S = 2.0
LINGER_OCTETS = 1024 * 1024
"""After an early answer this much of the body is still taken and thrown away: closing at once
resets the connection, and the client may lose the answer that says why."""

_BAD = RefusalError(400, "bad_request", "This is no HTTP/1.1 request.")
_LONG = RefusalError(431, "head_too_large", f"The head is larger than {LARGEST_HEAD // 1024} KB.")
_BUSY = RefusalError(503, "busy", "Too many connections; try again.", headers={"Retry-After": "1"})


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits."""

    _in_head = True
    _moved_on = False
    _head = 0
    _discarded = 0
    _refusal = _BAD
    _timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(_BUSY)
        else:
            self._close_in(HEAD_S)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stay()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        was_in_head, self._moved_on = self._in_head, False
        super().data_received(data)
        if was_in_head and not self._moved_on and not self.transport.is_closing():
            # All of it was head: the parser keeps an unfinished line to itself, however long.
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self._refuse(_LONG)

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head, self._discarded = True, 0, 0
        if self._timer is None:
            self._close_in(HEAD_S)

    @override
    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > LARGEST_HEAD:
            self._refusal = _LONG
            raise httptools.HttpParserError(_LONG.sentence)
        self._in_head, self._moved_on = False, True
        self._stay()
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > LINGER_OCTETS:
                self.transport.close()

    @override
    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head = True, 0
        if self.cycle.response_complete:
            # Answered before the body had ended: only now the connection is idle.
            self._stay()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head and self.cycle.response_complete:
            self._close_in(LINGER_S)

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal)

    def _refuse(self, refusal: RefusalError) -> None:
        """Answer outside of any request, and close."""
        reply = refusal_reply(refusal)
        lines = [b"HTTP/1.1 %d Refused" % refusal.status]
        headers = [*reply.raw_headers, *ALWAYS, (b"connection", b"close")]
        lines += [name + b": " + value for name, value in headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(reply.body)]))
        self.transport.close()

    def _close_in(self, seconds: float) -> None:
        self._stay()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stay(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
