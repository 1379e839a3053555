"""The sender's connections to SES, against scripted servers on loopback: sent once, told truly."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

import pytest

from services.sender import connection, http
from services.sender.http import Post
from services.sender.proxied import ProxiedPost
from services.sender.reply import NoReply, Reply

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"MessageId":"m"}'
HEADERS = {"Content-Type": "application/json", "Authorization": "AWS4 …".encode().decode("latin-1")}
ACCEPTED = Reply(200, message_id="m")

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads requests, keeps them, and answers each as told; counts connections."""

    def __init__(self, *answers: bytes | None, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = asyncio.Event()
        self._answers = list(answers)
        self._tls = tls
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/base"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    def hang_up(self) -> None:
        """Close every connection from this end."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self._answers.pop(0)
                if answer is None:
                    writer.close()
                    break
                writer.write(answer)
        self.closed.set()


def play(script: Callable[[], Awaitable[object]]) -> object:
    return asyncio.run(script())


def send(server: Server, *, times: int = 1, between: Callable[[], Awaitable[None]] | None = None):
    """Send the same request so many times, one after the other; answer how each ended."""

    async def script():
        async with server:
            post = Post(server.url, ssl.create_default_context())
            endings = []
            for number in range(times):
                if number and between:
                    await between()
                endings.append(await post.send("/path", HEADERS, b"body"))
            await post.close()
            return endings

    return asyncio.run(script())


def test_a_request_is_whole_and_its_answer_is_read():
    server = Server(OK)
    assert send(server) == [ACCEPTED]
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b"body"
    assert head.split(b"\r\n") == [
        b"POST /base/path HTTP/1.1",
        b"Host: 127.0.0.1:%d" % server.port,
        b"User-Agent: ses-sender",
        b"Content-Length: 4",
        b"Content-Type: application/json",
        b"Authorization: " + "AWS4 …".encode(),
    ]


def test_a_connection_is_used_again():
    server = Server(OK, OK, OK)
    assert send(server, times=3) == [ACCEPTED] * 3
    assert server.connections == 1


def test_calls_at_once_have_a_connection_each():
    async def script():
        async with Server(OK, OK, OK) as server:
            post = Post(server.url, ssl.create_default_context())
            endings = await asyncio.gather(*(post.send("/p", HEADERS, b"") for _ in range(3)))
            await post.close()
            return endings, server.connections

    assert play(script) == ([ACCEPTED] * 3, 3)


def test_a_connection_that_rested_too_long_is_not_used(monkeypatch):
    monkeypatch.setattr(http, "IDLE_S", -1.0)
    server = Server(OK, OK)
    assert send(server, times=2) == [ACCEPTED] * 2
    assert server.connections == 2


def test_a_connection_that_the_far_end_closed_while_it_rested_is_not_used():
    server = Server(OK, OK)

    async def hang_up():
        server.hang_up()
        await server.closed.wait()
        while server.post_open():
            await asyncio.sleep(0)

    posts = []

    async def script():
        async with server:
            post = Post(server.url, ssl.create_default_context())
            posts.append(post)
            server.post_open = lambda: post._open
            first = await post.send("/p", HEADERS, b"")
            await hang_up()
            return [first, await post.send("/p", HEADERS, b"")]

    assert play(script) == [ACCEPTED] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r\nContent", b"\r\nConnection: close\r\nContent"),
        OK.replace(b"1.1", b"1.0"),
        OK + b"HTTP/1.1 200 OK\r\n",
    ],
    ids=["close", "1.0", "more than an answer"],
)
def test_such_an_answer_counts_and_its_connection_is_not_used_again(answer):
    server = Server(answer, OK)
    first, second = send(server, times=2)
    assert (first, second) == (ACCEPTED, ACCEPTED)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, ACCEPTED),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'5\r\n{"Mes\r\nc\r\nsageId":"m"}\r\n0\r\n\r\n',
            ACCEPTED,
        ),
        (
            b"HTTP/1.1 429 Slow\r\nx-amzn-ErrorType: TooManyRequestsException:http://x\r\n"
            b'Content-Length: 17\r\n\r\n{"message":"why"}',
            Reply(429, "TooManyRequestsException", "why"),
        ),
        (b"HTTP/1.1 302 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", Reply(302)),
    ],
    ids=["continue", "chunks", "error", "redirect"],
)
def test_answers(answer, reply):
    server = Server(answer)
    assert send(server) == [reply]
    assert len(server.requests) == 1


@pytest.mark.against("E3")
@pytest.mark.parametrize(
    "answer",
    [None, OK[:-1], OK[:20], b"\x16\x03\x01 no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n{"],
    ids=["closed", "cut", "cut in its head", "no HTTP", "without length"],
)
def test_without_a_whole_answer_ses_may_have_it_and_nothing_is_repeated(answer, monkeypatch):
    monkeypatch.setattr(connection, "TOTAL_S", 0.2)
    server = Server(answer)
    (ending,) = send(server)
    assert isinstance(ending, NoReply)
    assert ending.left
    assert ending.detail
    assert len(server.requests) == 1


@pytest.mark.against("E3")
def test_an_answer_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(connection, "MOST_ANSWER", 1000)
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, OK)
    first, second = send(server, times=2)
    assert first == NoReply(left=True, detail="the answer is too large")
    assert second == ACCEPTED
    assert server.connections == 2


@pytest.mark.against("E2")
def test_a_closed_port_has_seen_nothing():
    async def script():
        async with Server() as server:
            url = server.url
        post = Post(url, ssl.create_default_context())
        return await post.send("/p", HEADERS, b"")

    ending = play(script)
    assert isinstance(ending, NoReply)
    assert not ending.left
    assert "Connect" in ending.detail


@pytest.mark.against("E2")
def test_a_name_that_is_none_and_a_connection_that_never_stands_have_sent_nothing(monkeypatch):
    async def never(*_arguments: object, **_more: object) -> None:
        await asyncio.Event().wait()

    async def script():
        context = ssl.create_default_context()
        nameless = await Post("http://nowhere.invalid", context).send("/p", HEADERS, b"")
        monkeypatch.setattr(http, "CONNECT_S", 0.01)
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
        return nameless, await Post("http://127.0.0.1:9", context).send("/p", HEADERS, b"")

    for ending in play(script):
        assert isinstance(ending, NoReply)
        assert not ending.left


@pytest.mark.against("E2")
def test_a_certificate_that_is_not_trusted_gets_no_mail():
    async def script():
        async with Server(OK) as server:
            post = Post(server.url.replace("http:", "https:"), ssl.create_default_context())
            return await post.send("/p", HEADERS, b""), server.requests

    ending, requests = play(script)
    assert isinstance(ending, NoReply)
    assert not ending.left
    assert requests == []


def test_the_end_of_the_pool_ends_a_call_that_waits():
    async def script():
        async with Server(b"") as server:
            post = Post(server.url, ssl.create_default_context())
            call = asyncio.create_task(post.send("/p", HEADERS, b"body"))
            while not server.requests:
                await asyncio.sleep(0)
            await post.close()
            return await call

    ending = play(script)
    assert isinstance(ending, NoReply)
    assert ending.left


def test_through_a_proxy_the_whole_address_is_asked_for():
    async def script():
        async with Server(OK) as proxy:
            post = ProxiedPost(
                "http://ses.example/base",
                ssl.create_default_context(),
                f"http://me:word@127.0.0.1:{proxy.port}",
                4,
            )
            ending = await post.send("/path", {"Content-Type": "application/json"}, b"body")
            await post.close()
            return ending, proxy.requests

    ending, (request,) = play(script)
    assert ending == ACCEPTED
    assert request.startswith(b"POST http://ses.example/base/path HTTP/1.1\r\n")
    assert b"proxy-authorization: basic" in request.lower()
