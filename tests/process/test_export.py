"""Exports over a real socket: what a client sees of a fault, and what is read for a slow one."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time

import pytest
import uvicorn

from services.api import export
from services.api.connection import Connection
from shared.errors import StoreError
from tests.unit.api.rig import KEY, Rig
from tests.unit.api.shelf import Shelf

PATH = "/v1/topics/t/recipients.csv"
RECIPIENTS = 30_000


class Serving:
    """An API on a port, in a thread; counts the steps of its exports, and breaks off as told."""

    def __init__(self, shelf, monkeypatch):
        self.steps = 0
        self.break_after = None
        up = shelf.reader.listing.up

        def step(*values):
            self.steps += 1
            if self.break_after is not None and self.steps > self.break_after:
                raise StoreError("cannot read the database: broken")
            return up(*values)

        monkeypatch.setattr(shelf.reader.listing, "up", step)
        self.socket = socket.create_server(("127.0.0.1", 0))
        # Small buffers: what the client has not read soon waits at the server.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.port = self.socket.getsockname()[1]
        config = uvicorn.Config(
            Rig(reader=shelf.reader).app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
        )
        self.server = uvicorn.Server(config)
        serve = self.server.serve([self.socket])
        self.thread = threading.Thread(target=lambda: asyncio.run(serve))
        self.thread.start()

    def close(self):
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()

    @contextlib.contextmanager
    def get(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", PATH, headers={"X-API-KEY": KEY})
            yield connection.getresponse()

    def ask(self, version="1.1"):
        client = socket.create_connection(("127.0.0.1", self.port), 10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"GET {PATH} HTTP/{version}\r\nHost: x\r\nX-API-KEY: {KEY}\r\n\r\n"
        client.sendall(head.encode())
        return client


@pytest.fixture
def serving(tmp_path, monkeypatch):
    shelf = Shelf(tmp_path)
    topic = shelf.topic("t")
    shelf.sql.execute("BEGIN")
    shelf.batch(topic, *(f"somebody.{number}@example.com" for number in range(RECIPIENTS)))
    shelf.sql.execute("COMMIT")
    serving = Serving(shelf, monkeypatch)
    yield serving
    serving.close()


def test_a_whole_file_ends_as_one(serving):
    with serving.get() as answer:
        assert answer.read().count(b"\r\n") == RECIPIENTS + 1


def test_a_fault_in_mid_stream_breaks_the_connection(serving):
    serving.break_after = 3
    with serving.get() as answer:
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


def test_a_proxy_that_speaks_http_1_0_sees_the_break_too(serving):
    serving.break_after = 3
    with serving.ask("1.0") as client:
        whole = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert b"transfer-encoding: chunked" in whole.lower()
    assert not whole.endswith(b"0\r\n\r\n")


def test_a_slow_client_holds_a_few_pages_and_one_that_goes_away_none(serving):
    pages = RECIPIENTS // export.ROWS
    with serving.ask() as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        held = settled(serving)
        assert held < pages / 2, "the rest is not read before the client takes what there is"
    assert settled(serving) <= held + 1


def settled(serving):
    """Answer how many steps there were, once there have been no more for a while."""
    known = -1
    while known != serving.steps:
        known = serving.steps
        time.sleep(0.3)
    return known
