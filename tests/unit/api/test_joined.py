"""An answer's head goes out with what follows it: one write for a short answer, none is lost."""

import asyncio

import pytest
from uvicorn.server import ServerState

from services.api.joined import Joined
from tests.unit.api.test_connection import CONFIG, Connection, Transport


class Counting(Transport):
    """Keeps each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, octets: bytes) -> None:
        super().write(octets)
        self.writes.append(octets)


@pytest.fixture
def transport():
    return Counting()


def test_head_and_body_are_one_write(transport):
    joined = Joined(transport)
    joined.write(b"head ")
    assert transport.writes == []
    joined.write(b"body")
    joined.end()
    assert transport.writes == [b"head body"]


def test_the_rest_of_a_long_body_goes_as_it_comes(transport):
    joined = Joined(transport)
    for piece in (b"head ", b"1", b"2", b"3"):
        joined.write(piece)
    assert transport.writes == [b"head 1", b"2", b"3"]


def test_a_head_without_a_body_goes_at_the_end(transport):
    joined = Joined(transport)
    joined.write(b"head")
    joined.end()
    assert transport.writes == [b"head"]


def test_a_head_goes_before_the_connection_is_closed(transport):
    joined = Joined(transport)
    joined.write(b"head")
    joined.close()
    assert (transport.writes, transport.closing) == ([b"head"], True)


def test_each_answer_has_a_head_of_its_own(transport):
    joined = Joined(transport)
    for answer in (b"1", b"2"):
        joined.write(b"head ")
        joined.write(answer)
        joined.end()
    assert transport.writes == [b"head 1", b"head 2"]


def test_an_interim_answer_waits_for_nothing(transport):
    joined = Joined(transport)
    joined.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    joined.write(b"HTTP/1.1 200 OK\r\n\r\n")
    joined.write(b"body")
    assert transport.writes[1:] == [b"HTTP/1.1 200 OK\r\n\r\nbody"]


def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(transport):
    async def talk() -> None:
        protocol = Connection(CONFIG, ServerState(), {}, asyncio.get_running_loop())
        protocol.connection_made(transport)
        protocol.data_received(
            b"POST /read HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        for _ in range(6):
            await asyncio.sleep(0)
        assert transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
        protocol.data_received(b"abc")
        for _ in range(6):
            await asyncio.sleep(0)
        protocol.connection_lost(None)

    asyncio.run(talk())
    assert [octets.partition(b"\r\n")[0] for octets in transport.writes[1:]] == [b"HTTP/1.1 200 OK"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_connection_answers_every_request_with_one_write(transport, method):
    async def talk() -> None:
        protocol = Connection(CONFIG, ServerState(), {}, asyncio.get_running_loop())
        protocol.connection_made(transport)
        protocol.data_received(2 * (method + b" / HTTP/1.1\r\nHost: a\r\n\r\n"))
        for _ in range(12):
            await asyncio.sleep(0)
        protocol.connection_lost(None)

    asyncio.run(talk())
    assert [octets.partition(b"\r\n")[0] for octets in transport.writes] == [b"HTTP/1.1 200 OK"] * 2
