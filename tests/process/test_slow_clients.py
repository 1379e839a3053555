"""Clients that take their time, or would go on for ever: none holds the API, all are cut off."""

import json
import select
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from services.api import body, connection
from tests.process.api_rig import KEY, Api, running, until

SHORT = """
from services.api import body, connection
connection.HEAD_S, connection.LINGER_S, connection.STALL_S = 6.0, 1.0, 3.0
body.PATIENCE_S = 7.0
"""
"""The same deadlines, shortened so that a test can wait for them."""

SLOW = 500
GOOD = 20
TOO_MUCH = 32 * 1024 * 1024
TYPED = b"Host: x\r\nContent-Type: application/json\r\nX-API-KEY: " + KEY.encode() + b"\r\n"
POSTS = b"POST /v1/events/results HTTP/1.1\r\nHost: x\r\n"
ASKED = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

KINDS = {
    "silent": (b"", b""),
    "half a word": (b"GE", b""),
    "half a head": (b"GET /health HTTP/1.1\r\nHost: x\r\n", b""),
    "a head, octet by octet": (b"GET /", b"x"),
    "headers without end": (b"GET /health HTTP/1.1\r\n", b"X-A: b\r\n"),
    "half a body": (POSTS + b"Content-Length: 1000\r\n\r\n{", b""),
    "a body, octet by octet": (
        b"POST /v1/messages HTTP/1.1\r\n" + TYPED + b"Content-Length: 100000\r\n\r\n",
        b" ",
    ),
    "chunks without end": (POSTS + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a chunk's name without end": (POSTS + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailers without end": (
        POSTS + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        b"X-A: b\r\n",
    ),
    "a body nobody waits for": (b"POST /nowhere HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", b"x"),
    "nothing after an answer": (ASKED, b""),
    "blank lines after an answer": (ASKED + b"\r\n", b"\r\n"),
    "half a head after an answer": (ASKED + b"GET /health HTTP/1.1\r\n", b"X"),
    "noise after an offer": (ASKED[:-2] + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\nGE", b"T"),
}
"""What is said at once, and what again and again."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api"), before=SHORT) as process:
        yield process


class Crowd:
    """Slow connections of every kind, and who of them is still there."""

    def __init__(self, api: Api) -> None:
        self._poll = select.poll()
        self._kinds: dict[int, str] = {}
        self._ends: dict[int, socket.socket] = {}
        self._done = threading.Event()
        self._dripping = threading.Thread(target=self._drip, daemon=True)
        kinds = list(KINDS)
        for number in range(SLOW):
            end = api.connect()
            end.setblocking(False)
            kind = kinds[number % len(kinds)]
            self.add(end, kind)
            end.send(KINDS[kind][0])
        self._dripping.start()

    def add(self, end: socket.socket, kind: str) -> None:
        self._ends[end.fileno()] = end
        self._kinds[end.fileno()] = kind
        self._poll.register(end, select.POLLRDHUP)

    def left(self) -> Counter[str]:
        """Count those that are open, by kind; nothing is read from them."""
        gone = {number for number, _ in self._poll.poll(0)}
        return Counter(kind for number, kind in self._kinds.items() if number not in gone)

    def close(self) -> None:
        self._done.set()
        self._dripping.join()
        for end in self._ends.values():
            end.close()

    def _drip(self) -> None:
        while not self._done.wait(0.3):
            for number, kind in self._kinds.items():
                if KINDS.get(kind, (b"", b""))[1]:
                    self._say(self._ends[number], KINDS[kind][1])

    def _say(self, end: socket.socket, octets: bytes) -> None:
        try:
            end.send(octets)
        except OSError:
            return


def who_never_reads(api: Api) -> socket.socket:
    """Ask for more answers than all buffers hold, 10 KB each, and take none."""
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    end.connect(("127.0.0.1", api.port))
    wrong = json.dumps({"messages": [{"emails": ["a"] * 100, "subject": "s", "content": "c"}]})
    length = b"Content-Length: %d\r\n\r\n" % len(wrong)
    end.sendall((b"POST /v1/messages HTTP/1.1\r\n" + TYPED + length + wrong.encode()) * 800)
    return end


@pytest.mark.against("A6")
@pytest.mark.timeout(90)
def test_a6_five_hundred_slow_clients_do_not_hold_up_a_good_one_and_are_cut_off(
    api, record_property
):
    crowd = Crowd(api)
    try:
        seconds = []
        for _ in range(GOOD):
            began = time.monotonic()
            posted = {"messages": [{"emails": ["a@b.co"], "subject": "s", "content": "c"}]}
            # A connection of its own: it must be let in beside all the others.
            headers = {"Connection": "close"}
            answer = api.client.post("/v1/messages", json=posted, headers=headers)
            seconds.append(time.monotonic() - began)
            assert answer.status_code == 200, answer.text
        still = crowd.left()
        # Those that were answered, or said what is no HTTP, may have gone; the others wait.
        assert still.total() > SLOW * 0.6, still
        record_property("slowest_good_answer_s", round(max(seconds), 3))
        assert statistics.median(seconds) < 1
        crowd.add(who_never_reads(api), "never reads")
        until(lambda: not crowd.left(), 20)
    finally:
        crowd.close()
    assert api.client.get("/health").status_code == 200


@pytest.mark.against("A6")
@pytest.mark.parametrize("line", [b"x" * 8192, b"X-A: b\r\n" * 1024], ids=["one", "many"])
@pytest.mark.parametrize(
    "start",
    [
        b"GET /health HTTP/1.1\r\nX: ",
        POSTS + b"Transfer-Encoding: chunked\r\n\r\n1;",
        POSTS + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ],
    ids=["head", "chunk", "trailer"],
)
def test_a6_what_has_no_end_is_cut_off_before_it_costs_memory(api, start, line):
    # What has been sent when the connection ends lies for the most part in the sockets' buffers.
    with api.connect() as end:
        end.sendall(start)
        sent = 0
        try:
            while sent < TOO_MUCH:
                end.sendall(line)
                sent += len(line)
        except OSError:
            assert 0 < sent < TOO_MUCH
    assert sent < TOO_MUCH
    assert api.client.get("/health").status_code == 200


@pytest.mark.against("A6")
def test_a6_the_deadlines_that_are_in_force():
    assert connection.HEAD_S == 10
    assert body.PATIENCE_S == 30
    assert connection.LARGEST_HEAD == 16 * 1024
    assert connection.MOST_OF_ONE < connection.MOST_CONNECTIONS < 1024
