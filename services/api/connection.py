"""One HTTP connection, bounded: how many, how large a head, how long everything may take.

uvicorn's own protocol waits for ever for a head to end and for a client to take its answer, and
takes a head of any size. Here an open connection always has a deadline, or a request that is
being worked on.
"""

import asyncio
import socket
import struct
from collections import Counter
from typing import cast

import httptools
from typing_extensions import override
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.api.auth import Proxies
from services.api.body import WHOLE
from services.api.envelope import ALWAYS
from services.api.joined import Joined
from services.api.refusal import RefusalError
from services.api.replies import refusal_reply

MOST_CONNECTIONS = 800
"""Fewer than the 1,024 open files that a process may have by default on Linux."""
MOST_OF_ONE = MOST_CONNECTIONS // 2
"""No single address but this machine's and trusted proxies' holds more than half of them."""
LARGEST_HEAD = 16 * 1024
HEAD_S = 10.0
LINGER_S = 2.0
LINGER_OCTETS = 1024 * 1024
"""After an early answer this much of the body is still taken and thrown away: closing at once
resets the connection, and the client may lose the answer that says why."""
STALL_S = 60.0
"""How long an answer may wait for a client that does not take it."""

_AT_ONCE = struct.pack("ii", 1, 0)
_OFFERS = frozenset({b"upgrade", b"http2-settings"})

_BAD = RefusalError(400, "bad_request", "This is no HTTP/1.1 request.")
_LONG = RefusalError(
    431, "head_too_large", f"The head, or what ends the body, is over {LARGEST_HEAD // 1024} KB."
)
_BUSY = RefusalError(503, "busy", "Too many connections; try again.", headers={"Retry-After": "1"})


class Crowd:
    """How many connections each address holds."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._held: Counter[str] = Counter()

    def enter(self, peer: str) -> bool:
        """Count a connection; False if its address has more than its share."""
        whose = self._proxies.limited(peer)
        if whose is None:
            return True
        self._held[whose] += 1
        return self._held[whose] <= MOST_OF_ONE

    def leave(self, peer: str) -> None:
        """Count a connection off that has ended."""
        whose = self._proxies.limited(peer)
        if whose is not None:
            self._held[whose] -= 1
            if self._held[whose] <= 0:
                del self._held[whose]


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits."""

    crowd = Crowd(Proxies(()))

    _method = b""
    _in_head = True
    """Before a request, or in its head; `_has_begun` tells which."""
    _has_begun = False
    _moved_on = False
    _unheard = 0
    """Octets since the parser handed anything on: it keeps what is unfinished to itself."""
    _discarded = 0
    _answered: RequestResponseCycle | None = None
    """What is, or was last, worked on; uvicorn's `cycle` is the one that came in last."""
    _refusal = _BAD
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._joined = Joined(transport)
        has_room = self.crowd.enter(self._peer())
        if len(self.connections) > MOST_CONNECTIONS or not has_room:
            self._refuse(_BUSY)
        else:
            self._close_in(HEAD_S)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.leave(self._peer())
        self._stay()
        self._flowing()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    @override
    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._moved_on = False
        self._parse(data)
        self._unheard = 0 if self._moved_on else self._unheard + len(data)
        if self._unheard > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse(_LONG)
        self._keep_a_deadline()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            # The offer is passed over (RFC 9110 §7.8). The parser has passed over the body: what
            # came is parsed again, without the offer. (Java's client offers HTTP/2 with each POST.)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._parse(self._head_without_offer() + data[offer.args[0] :])
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self._refuse(self._refusal)

    def _head_without_offer(self) -> bytes:
        lines = [b"%b %b HTTP/1.1" % (self._method, self.url)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [one for one in value.split(b",") if one.strip().lower() not in _OFFERS]
                lines.append(b"connection:" + b",".join(kept))
            elif name not in _OFFERS:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._has_begun, self._unheard, self._discarded = True, True, 0, 0

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what stands behind a body is no header of the request
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value)
        if size > LARGEST_HEAD:
            self._refusal = _LONG
            raise httptools.HttpParserError(_LONG.sentence)
        self._method = self.parser.get_method()
        if self._method == b"CONNECT":
            raise httptools.HttpParserError("This is no proxy.")
        if self.parser.should_upgrade():
            return
        self._in_head, self._has_begun, self._moved_on = False, False, True
        self._stay()
        super().on_headers_complete()
        self.cycle.transport = cast("asyncio.Transport", self._joined)  # it writes, and closes

    @override
    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._moved_on = True
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > LINGER_OCTETS:
                self._end()

    @override
    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        # The parser goes through all that came before anybody works on the request.
        self.scope["extensions"] = {WHOLE: {}}
        self._in_head, self._moved_on = True, True
        if self.cycle.response_complete:
            # Answered before the body had ended: only now the connection is idle.
            self._stay()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    @override
    def on_response_complete(self) -> None:
        self._joined.end()
        super().on_response_complete()
        if self.transport.is_closing():
            self._end()
        elif not self._in_head and self.cycle.response_complete:
            self._close_in(LINGER_S)

    @override
    def timeout_keep_alive_handler(self) -> None:
        self._end()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALL_S, self._cut)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._flowing()

    def _refuse(self, refusal: RefusalError) -> None:
        """Answer outside of any request, and close; a request that is running is answered first."""
        running = self._is_working()
        if running and (self._in_head or self.cycle.response_started or self.pipeline):
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            self._stay()
            return
        if running or self._in_head:
            reply = refusal_reply(refusal)
            lines = [b"HTTP/1.1 %d Refused" % refusal.status]
            headers = [*reply.raw_headers, *ALWAYS, (b"connection", b"close")]
            lines += [name + b": " + value for name, value in headers]
            self.transport.write(b"\r\n".join([*lines, b"", bytes(reply.body)]))
        self._end()

    def _keep_a_deadline(self) -> None:
        """Give a head that is not whole its time.

        Whatever else was said (blank lines, say) does not keep the connection open.
        """
        has_one = self._timer is not None or self.timeout_keep_alive_task is not None
        if (self._has_begun and self._timer is None) or not (has_one or self._is_working()):
            self._close_in(HEAD_S)

    def _is_working(self) -> bool:
        return self._answered is not None and not self._answered.response_complete

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _close_in(self, seconds: float) -> None:
        self._stay()
        self._timer = self.loop.call_later(seconds, self._end)

    def _end(self) -> None:
        """Close, and do not wait for ever for the client to take what was answered."""
        self._stay()
        self.transport.close()
        self._timer = self.loop.call_later(STALL_S, self._cut)

    def _cut(self) -> None:
        """Close at once; what was not taken is thrown away, by the kernel too."""
        connected = self.transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _stay(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flowing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _peer(self) -> str:
        return self.client[0] if self.client else ""


def limited(proxies: Proxies) -> type[Connection]:
    """Make the kind of connection that knows which addresses are proxies."""
    return type("Connection", (Connection,), {"crowd": Crowd(proxies)})
