"""A connection without sockets: it always has a deadline, and its address a share."""

import asyncio

import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from services.api import connection
from services.api.auth import Proxies
from services.api.connection import Connection, Crowd, limited

STRANGER = "198.51.100.1"
PROXY = "203.0.113.9"


class Transport:
    """What asyncio hands to a protocol; it keeps what is written."""

    def __init__(self, peer: str = STRANGER) -> None:
        self.peer = peer
        self.said = b""
        self.closing = self.aborted = False

    def get_extra_info(self, name: str) -> object:
        return {"peername": (self.peer, 4711), "sockname": ("127.0.0.1", 8080)}.get(name)

    def write(self, octets: bytes) -> None:
        assert not self.closing
        self.said += octets

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def app(scope, receive, send):
    """Read the body if the path says so, then answer."""
    if scope["path"] == "/read":
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
    if scope["path"] == "/wait":  # as a long answer does
        while (await receive())["type"] != "http.disconnect":
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


CONFIG = uvicorn.Config(app, ws="none", lifespan="off", log_config=None)


def made(state: ServerState, kind: type[Connection] = Connection, peer: str = STRANGER):
    """Make a connection, with its transport."""
    protocol = kind(CONFIG, state, {}, asyncio.get_running_loop())
    transport = Transport(peer)
    protocol.connection_made(transport)
    return protocol, transport


PIECES = [
    *(b"\r\n", b"G", b"x", b"\0", b"GET /health HTTP/1.1\r\n", b"X-A: b\r\n", b": "),
    *(b"GET / HTTP/1.1\r\n\r\n", b"GET /read HTTP/1.0\r\n\r\n", b"GET /wait HTTP/1.1\r\n\r\n"),
    *(b"POST /read HTTP/1.1\r\nContent-Length: 3\r\n\r\n", b"POST / HTTP/1.1\r\n", b"abc"),
    *(b"POST /read HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b"0\r\n"),
    *(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b"Content-Length: 2\r\n"),
    *(b"POST /read HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n",),
    *(b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"Connection: close\r\n", b"x" * 20_000),
]


@pytest.mark.against("A6")
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=8))
@example([b"GET / HTTP/1.1\r\n\r\n", b"\r\n"])
@example([b"GET /wait HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
@example([b"POST /read HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n", b"x" * 20_000])
@example([b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b"x"])
def test_a6_an_open_connection_always_has_a_deadline_or_a_request(pieces):
    async def talk() -> None:
        state = ServerState()
        protocol, _ = made(state)
        for piece in [b"", *pieces]:
            if piece:
                protocol.data_received(piece)
            for _ in range(6):
                await asyncio.sleep(0)
            timers = (protocol._timer, protocol.timeout_keep_alive_task)
            has_one = any(timer is not None and not timer.cancelled() for timer in timers)
            assert has_one or protocol._is_working()
        protocol.connection_lost(None)
        for _ in range(6):
            await asyncio.sleep(0)
        assert not state.connections
        assert not state.tasks, "nothing waits for a client that is gone"

    asyncio.run(talk())


CHUNKED = b"POST /read HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"


@pytest.mark.against("A6")
@pytest.mark.parametrize("piece", [b"x" * 8192, b"X-A: b\r\n" * 1024], ids=["one", "many"])
@pytest.mark.parametrize(
    "start",
    [b"GET /health HTTP/1.1\r\nX: ", CHUNKED + b"1;", CHUNKED + b"1\r\nx\r\n0\r\nX: "],
    ids=["head", "chunk", "trailer"],
)
def test_a6_what_has_no_end_is_refused_at_its_limit(start, piece):
    async def talk() -> tuple[int, bytes]:
        protocol, transport = made(ServerState())
        protocol.data_received(start)
        pieces = 0
        while not transport.closing and pieces < 100:
            protocol.data_received(piece)
            pieces += 1
        protocol.connection_lost(None)
        return pieces, transport.said

    pieces, said = asyncio.run(talk())
    assert pieces <= 3
    assert said.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


@pytest.mark.against("A7")
def test_a7_what_stands_behind_a_body_is_no_header():
    async def talk() -> list[tuple[bytes, bytes]]:
        protocol, _ = made(ServerState())
        protocol.data_received(CHUNKED + b"1\r\nx\r\n0\r\nX-API-KEY: k\r\n\r\n")
        protocol.connection_lost(None)
        return protocol.headers

    assert asyncio.run(talk()) == [(b"transfer-encoding", b"chunked"), (b"x-a", b"b")]


@pytest.mark.against("A6")
def test_a6_an_answer_that_is_not_taken_is_thrown_away_at_its_deadline(monkeypatch):
    monkeypatch.setattr(connection, "STALL_S", 0.0)

    async def stall(*, flows: bool) -> bool:
        protocol, transport = made(ServerState())
        protocol.pause_writing()
        if flows:
            protocol.resume_writing()
        await asyncio.sleep(0.01)
        protocol.connection_lost(None)
        return transport.aborted

    assert asyncio.run(stall(flows=False))
    assert not asyncio.run(stall(flows=True))


def test_a_request_that_is_running_is_answered_before_noise_behind_it_closes_the_connection():
    async def talk() -> bytes:
        protocol, transport = made(ServerState())
        protocol.data_received(b"GET / HTTP/1.1\r\n\r\n\0\0\0")
        for _ in range(6):
            await asyncio.sleep(0)
        assert transport.closing
        protocol.connection_lost(None)
        return transport.said

    said = asyncio.run(talk())
    assert said.startswith(b"HTTP/1.1 200")
    assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.against("A6")
def test_a6_no_address_holds_more_than_half_but_this_machine_and_proxies():
    crowd = Crowd(Proxies((PROXY, "10.0.0.0/8")))
    most = connection.MOST_OF_ONE
    assert [crowd.enter(STRANGER) for _ in range(most + 1)] == [True] * most + [False]
    assert crowd.enter("198.51.100.2")
    for trusted in (PROXY, "10.1.2.3", "127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert all(crowd.enter(trusted) for _ in range(most + 1))
    one_site = [crowd.enter(f"2001:db8:1:2::{n:x}") for n in range(most + 1)]
    assert one_site.count(True) == most
    for _ in range(2):
        crowd.leave(STRANGER)
    assert crowd.enter(STRANGER)


@pytest.mark.against("A6")
def test_a6_one_too_many_of_an_address_is_a_503_and_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(connection, "MOST_OF_ONE", 1)

    async def talk() -> None:
        kind, state = limited(Proxies(())), ServerState()
        first, _ = made(state, kind)
        second, refused = made(state, kind)
        assert refused.said.startswith(b"HTTP/1.1 503")
        assert refused.closing
        for protocol in (first, second):
            protocol.connection_lost(None)
        assert not kind.crowd._held
        third, transport = made(state, kind)
        assert not transport.closing
        third.connection_lost(None)

    asyncio.run(talk())
