"""The API as a process: real HTTP, real ipc sockets, a writer that is killed and comes back."""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx2
import pytest

from shared.domain import RecipientId
from shared.protocol import (
    CancelMail,
    CancelTopic,
    CheckPost,
    EarOpen,
    LookUp,
    Order,
    PauseTopic,
    RecordOpens,
    ReleaseAtSes,
    RescheduleTopic,
    ResolveMail,
    ResumeBulk,
    ResumeTopic,
    RetryFailed,
    Submit,
    Suppress,
)
from shared.store.write import Store
from shared.token import open_token
from tests.process.api_rig import KEY, Api, running, stored, until

POST = {"messages": [{"emails": ["ann@example.com"], "subject": "s", "content": "c"}]}


@pytest.fixture
def api(tmp_path):
    with running(tmp_path) as process:
        yield process


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """Answer one process for all those who leave it as it was."""
    with running(tmp_path_factory.mktemp("api")) as process:
        yield process


def read_all(connection: socket.socket) -> bytes:
    chunks = []
    try:
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    except ConnectionResetError:
        pass
    return b"".join(chunks)


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "Host: x", f"X-API-KEY: {KEY}", "", ""]).encode()


def test_every_route_answers(api):
    assert api.client.post("/v1/messages", json=POST).json()["success"] == 1
    assert api.client.post("/v1/messages?return=ids", json=POST).json()["ids"][0]["id"] == 1
    assert api.client.get("/v1/topics/a%2Fb").json()["topic_id"] == "a/b"
    assert api.client.delete("/v1/topics/a%2Fb").json()["stopped"] == 2
    assert api.client.get("/v1/topics").json()["topics"] == []
    assert api.client.get("/v1/messages").json()["messages"] == []
    assert api.client.get("/v1/messages/7").json()["code"] == "no_such_message"
    assert api.client.get("/v1/topics/a%2Fb/recipients.csv").status_code == 200
    assert api.client.get("/v1/suppressions").json()["suppressions"] == []
    assert api.client.get("/v1/suppressions.csv").status_code == 200
    assert api.client.get("/v1/suppressions/a@b.com").json()["code"] == "not_listed"
    assert api.client.get("/v1/account").json()["rate"]["in_force"] == 24
    assert api.client.get("/v1/events/counts/sent").json() == {"count": 0}
    assert api.client.get("/v1/events/open").headers["content-type"] == "image/png"
    assert api.client.post("/v1/events/results", content=b"{}").json() == {"status": "ok"}
    assert api.client.get("/health").json() == {"status": "ok"}
    assert api.client.get("/ready").json()["db"] == "connected"
    assert [post.body for post in api.neighbours.kinds(CheckPost)] == [b"{}"]
    until(lambda: bool(api.neighbours.kinds(EarOpen)))


def test_every_order_goes_over_the_wire(api):
    def ok(method, path, **more):
        answer = api.client.request(method, path, **more)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok"), answer.text
        return answer.json()

    assert ok("POST", "/v1/topics/a%2Fb/pause", json={"reason": "r"})["topic_id"] == "a/b"
    assert ok("POST", "/v1/topics/a/b/resume")["topic_id"] == "a/b"
    ok("POST", "/v1/topics/a/b/retry-failed")
    assert ok("PATCH", "/v1/topics/a/b", json={"scheduled_at": None})["rescheduled"] == 1
    assert ok("POST", "/v1/messages/7/cancel")["id"] == 7
    ok("POST", "/v1/messages/7/resolve", json={"outcome": "sent"})
    ok("POST", "/v1/account/resume")
    orders = [message for message in api.neighbours.heard if isinstance(message, Order)]
    assert [type(order) for order in orders] == [
        PauseTopic,
        ResumeTopic,
        RetryFailed,
        RescheduleTopic,
        CancelMail,
        ResolveMail,
        ResumeBulk,
    ]


def test_the_rate_that_is_answered_is_the_one_in_force(api):
    began = time.monotonic()
    for rate in (20, None):
        answer = api.client.patch("/v1/account", json={"max_send_per_second": rate})
        assert answer.json()["rate"]["in_force"] == (rate or 24)
        assert api.client.get("/v1/account").json()["rate"]["api"] == rate
    assert time.monotonic() - began < 3


def test_the_suppression_list_over_the_wire(api):
    rows = "email,reason\r\n" + "".join(f"user{n}@example.com,left\r\n" for n in range(100_000))
    answer = api.client.post("/v1/suppressions", content=rows, headers={"Content-Type": "text/csv"})
    assert (answer.json()["total"], answer.json()["added"]) == (100_000, 10), answer.text
    orders = {order.order: len(order.entries) for order in api.neighbours.kinds(Suppress)}
    assert list(orders.values()) == [10_000] * 10
    answer = api.client.delete("/v1/suppressions/Ann@example.com")
    assert answer.json()["ses"] == {"released": 1, "refused": []}
    assert api.client.get("/v1/suppressions").json() == {"suppressions": [], "next": None}
    assert [wish.emails for wish in api.neighbours.kinds(ReleaseAtSes)] == [("ann@example.com",)]


def test_head_and_the_missing_banner(standing):
    answer = standing.client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "server" not in answer.headers


def test_a_large_list_goes_over_the_wire(standing):
    emails = [f"user{n}@example.com" for n in range(10_000)]
    mail = {"emails": emails, "subject": "s", "content": "<p>x</p>" * 1_000_000}
    answer = standing.client.post("/v1/messages", json={"messages": [mail]})
    assert answer.json().get("success") == 10_000, answer.text


def test_a_writer_that_is_killed_and_comes_back_within_the_deadline_stores(api):
    api.neighbours.answers = lambda message: (
        None if isinstance(message, Submit) else api.neighbours.answer(message)
    )
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(api.client.post, "/v1/messages", json=POST)
        until(lambda: bool(api.neighbours.kinds(Submit)))
        api.neighbours.stop()
        api.neighbours.answers = api.neighbours.answer
        api.neighbours.start()
        assert answer.result(20).status_code == 200
    assert len({submit.submission for submit in api.neighbours.kinds(Submit)}) == 1


def test_a_lost_answer_is_looked_up(api):
    def forgetful(message):
        said = api.neighbours.answer(message)
        return None if isinstance(message, Submit) else said

    api.neighbours.answers = forgetful
    assert api.client.post("/v1/messages", json=POST).status_code == 200
    assert api.neighbours.kinds(LookUp)


def test_without_a_writer_it_is_a_503_and_ready_says_so(api):
    api.neighbours.stop()
    until(lambda: api.client.get("/ready").status_code == 503)
    began = time.monotonic()
    answer = api.client.post("/v1/messages", json=POST)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert time.monotonic() - began < 1
    api.neighbours.start()
    until(lambda: api.client.get("/ready").status_code == 200)
    assert api.client.post("/v1/messages", json=POST).status_code == 200


@pytest.mark.against("H49")
def test_of_fifty_identical_posts_with_one_key_one_is_stored(api):
    seen = {}

    def once(message):
        if not isinstance(message, Submit):
            return api.neighbours.answer(message)
        first = seen.setdefault(message.idempotency.key, stored(message))
        kept = {"original": first.original, "replayed": first.submission != message.submission}
        return type(first)(
            message.submission, kept["original"], 1, 1, 0, 1, None, first.tally, kept["replayed"]
        )

    api.neighbours.answers = once
    with ThreadPoolExecutor(50) as pool:
        headers = {"Idempotency-Key": "one"}
        posts = [
            pool.submit(api.client.post, "/v1/messages", json=POST, headers=headers)
            for _ in range(50)
        ]
        answers = [post.result(30) for post in posts]
    assert {answer.status_code for answer in answers} <= {200, 409}
    good = [answer for answer in answers if answer.status_code == 200]
    assert len({answer.json()["submission_id"] for answer in good}) == 1
    assert len(seen) == 1


def test_opens_reach_the_writer_and_are_flushed_at_the_end(tmp_path):
    secret = b"s" * 32
    store = Store(tmp_path / "ses-sender.db", 1, 0)
    store.begin()
    store.run("add_install", ("abc", secret, 1))
    store.commit()
    with running(tmp_path) as api:
        token = open_token(secret, RecipientId(7))
        api.client.get("/v1/events/open", params={"request_id": token})
        until(lambda: bool(api.neighbours.kinds(RecordOpens)))
        for _ in range(3):
            api.client.get("/v1/events/open", params={"request_id": token})
        assert api.terminate() == 0
        opens = [one for batch in api.neighbours.kinds(RecordOpens) for one in batch.opens]
        assert [one.recipient for one in opens] == [7] * 4


def test_sigterm_lets_running_requests_end_and_exits_with_zero(api):
    late = threading.Event()
    api.neighbours.answers = lambda message: (
        None
        if isinstance(message, Submit) and not late.is_set()
        else api.neighbours.answer(message)
    )
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(api.client.post, "/v1/messages", json=POST)
        until(lambda: bool(api.neighbours.kinds(Submit)))
        api.process.send_signal(signal.SIGTERM)
        until(lambda: _refuses(api))
        late.set()
        assert answer.result(20).status_code == 200
    assert api.process.wait(20) == 0
    lines = [json.loads(line) for line in api.log.read_text().splitlines()]
    assert lines[-1]["event"] == "stopped"


def test_a_stop_does_not_wait_for_ever_for_a_writer_that_is_gone(tmp_path):
    with running(tmp_path) as api:
        api.neighbours.stop()
        began = time.monotonic()
        assert api.terminate() == 0
        assert time.monotonic() - began < 5


def test_a_port_that_is_taken_ends_the_process_and_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        api = Api(tmp_path, port=taken.getsockname()[1])
        assert api.process.wait(20) not in {0, 78}
        api.client.close()
    assert "address already in use" in api.log.read_text()


def _refuses(api) -> bool:
    try:
        api.connect().close()
    except OSError:
        return True
    return False


@pytest.mark.against("A28")
def test_the_log_holds_no_secret(api):
    canary = "ann.canary@example.com"
    mail = {"emails": [canary], "subject": "canary-subject", "content": "canary-content"}
    api.client.post("/v1/messages", json={"messages": [mail]})
    api.client.get("/v1/topics/canary-topic")
    api.client.post("/v1/topics/canary-topic/pause", json={"reason": "canary-reason"})
    api.client.get(f"/v1/messages?email={canary}")
    api.client.delete(f"/v1/suppressions/{canary}")
    api.client.post("/v1/suppressions", json={"emails": [canary, "bad.canary"], "reason": "canary"})
    api.client.get("/v1/events/open", params={"request_id": "canary-token"})
    api.terminate()
    log = api.log.read_text()
    assert '"path":"/v1/topics/{topic_id}"' in log
    assert '"path":"/v1/suppressions/{email}"' in log
    assert "canary" not in log
    assert KEY not in log


# Connections


class Ending(NamedTuple):
    """What a connection was answered, and after how many seconds it was closed."""

    said: bytes
    seconds: float


EARLY = {
    b"415": head("POST /v1/messages HTTP/1.1", "Content-Length: 3000000000"),
    b"413": head(
        "POST /v1/messages HTTP/1.1",
        "Content-Type: application/json",
        "Content-Length: 3000000000",
    ),
    b"401": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000000\r\n\r\n",
}
SAID = {
    "nothing": [b""],
    "half a head": [b"GET /health HTTP/1.1\r\nHost: x\r\n"],
    "one request": [head("GET /health HTTP/1.1")],
    "a body, late": [head("POST /v1/messages HTTP/1.1", "Content-Length: 10"), b"0123456789"],
    **{status: [start + b" " * 500_000] for status, start in EARLY.items()},
}
"""What is said on a connection; what stands behind the first is said after its answer."""


@pytest.fixture(scope="module")
def endings(standing):
    """Say each of these on a connection of its own; all are then waited for together."""

    def wait(first: bytes, *later: bytes) -> Ending:
        with standing.connect() as connection:
            connection.sendall(first)
            for said in later:
                answer = b""
                while not answer.endswith(b"}"):
                    answer += connection.recv(65536)
                assert answer.startswith(b"HTTP/1.1 415")
                connection.sendall(said)
            began = time.monotonic()
            return Ending(read_all(connection), time.monotonic() - began)

    with ThreadPoolExecutor(len(SAID)) as pool:
        yield {what: pool.submit(wait, *said) for what, said in SAID.items()}


@pytest.mark.against("A6")
@pytest.mark.parametrize("what", ["nothing", "half a head"])
def test_a_client_that_says_nothing_is_cut_off(endings, what):
    ending = endings[what].result()
    assert ending.said == b""
    assert 8 < ending.seconds < 13


def test_a_connection_between_requests_is_closed_after_a_while(endings):
    ending = endings["one request"].result()
    assert b'{"status":"ok"}' in ending.said
    assert 4 < ending.seconds < 7


@pytest.mark.against("A3", "A5", "H14")
@pytest.mark.parametrize("status", EARLY)
def test_an_early_answer_is_read_by_a_client_that_is_still_sending(endings, status):
    assert endings[status].result().said.startswith(b"HTTP/1.1 " + status)


def test_a_body_that_ends_after_an_early_answer_leaves_the_connection_usable(standing):
    with standing.connect() as connection:
        connection.sendall(head("POST /v1/messages HTTP/1.1", "Content-Length: 10"))
        until(lambda: connection.recv(65536).startswith(b"HTTP/1.1 415"))
        # The next request says that it is the last, so that its answer ends the connection.
        last = head("GET /health HTTP/1.1", "Connection: close")
        connection.sendall(b"0123456789" + last)
        assert b'{"status":"ok"}' in read_all(connection)


def test_after_an_early_answer_an_idle_connection_has_its_time(endings):
    ending = endings["a body, late"].result()
    assert ending.said == b""
    assert ending.seconds > 4


@pytest.mark.against("A6")
def test_a_head_without_end_is_refused_at_its_limit(standing):
    for start in (head("GET /health HTTP/1.1")[:-2] + b"X-Long: ", b"GET /", b"X" * 10):
        with standing.connect() as connection:
            connection.sendall(start + b"x" * 40_000)
            answer = read_all(connection)
        assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
        assert b'"code":"' in answer


@pytest.mark.against("A6")
def test_a_head_that_is_whole_and_too_large_is_a_431(standing):
    answer = standing.client.get("/health", headers={f"X-{n}": "x" * 1000 for n in range(20)})
    assert answer.status_code == 431
    assert answer.json()["code"] == "head_too_large"
    assert standing.client.get("/health", headers={"X-A": "x" * 12_000}).status_code == 200


@pytest.mark.against("A5", "H15")
def test_an_endless_chunked_body_is_refused_at_the_limit(standing):
    def chunks():
        while True:
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    try:
        answer = standing.client.post("/v1/messages", content=chunks(), headers=headers)
    except (httpx2.WriteError, httpx2.ReadError):
        pass  # closed while still sending: as good
    else:
        assert answer.status_code == 413
    assert standing.client.get("/health").status_code == 200


TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.mark.against("A7")
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(TLS_HELLO, marks=pytest.mark.against("H73")),
        pytest.param(b"\0" * 100, marks=pytest.mark.against("H73")),
        pytest.param(b"\xf7\x03\x9c" * 50, marks=pytest.mark.against("H73")),
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nGET /",
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\nGET /",
        b"POST / HTTP/1.1\r\nContent-Length: 5 5\r\n\r\nGET /",
        b"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nGET /",
        b"GET /health HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX: a\rX-API-KEY: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
        b"CONNECT mail.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        pytest.param(
            b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", marks=pytest.mark.against("H68")
        ),
    ],
    ids=repr,
)
def test_what_is_no_http_is_a_400_and_closed(standing, raw):
    with standing.connect() as connection:
        connection.sendall(raw)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"nosniff" in answer


@pytest.mark.against("A7")
def test_a_body_with_a_bad_chunk_is_a_400_and_what_follows_is_no_request(standing):
    heard = len(standing.neighbours.heard)
    start = head("POST /v1/events/results HTTP/1.1", "Transfer-Encoding: chunked")
    for chunk in (b"-1\r\n", b"0x1\r\nx\r\n", b"1\r\nxx", b"ffffffffffffffffff\r\n"):
        with standing.connect() as connection:
            connection.sendall(start + chunk + head("DELETE /v1/topics/t HTTP/1.1"))
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 400"), answer
        assert answer.count(b"nosniff") == 1, "one answer, not two"
    later = standing.neighbours.heard[heard:]
    assert [one for one in later if isinstance(one, CheckPost | CancelTopic)] == []


@pytest.mark.against("A7")
def test_what_stands_behind_a_body_is_no_header_of_its_request(standing):
    """A trailer must not be what a proxy never looked at: here it would be the key."""
    with standing.connect() as connection:
        connection.sendall(
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n"
            + f"X-API-KEY: {KEY}\r\n\r\n".encode()
        )
        assert read_all(connection).startswith(b"HTTP/1.1 401")


def test_an_offer_of_another_protocol_is_passed_over_and_the_body_is_read(standing):
    """Java's HttpClient offers HTTP/2 with its first request to every plain address."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    typed = ("Content-Type: application/json", "Content-Length: {}")
    raw = json.dumps(POST).encode()
    start = head("POST /v1/messages HTTP/1.1", *offer, *typed).replace(b"{}", b"%d" % len(raw))
    last = head("POST /v1/messages HTTP/1.1", *offer, *typed, "Connection: close")
    last = last.replace(b"{}", b"%d" % len(raw))
    for pieces in ([start + raw + last + raw], [start, raw, last, raw]):
        with standing.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            answer = read_all(connection)
        assert answer.count(b"HTTP/1.1 200") == 2, answer
        assert answer.count(b'"success":1') == 2


def test_a_client_that_asks_before_it_sends_its_body_gets_its_answer_first(standing):
    """curl asks so, with `Expect: 100-continue`, where a body is large."""
    raw = json.dumps(POST).encode()
    more = ("Expect: 100-continue", "Connection: close", f"Content-Length: {len(raw)}")
    asking = head("POST /v1/messages HTTP/1.1", "Content-Type: application/json", *more)
    with standing.connect() as connection:
        connection.sendall(asking)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(raw)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"success":1' in answer


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/topics/%ff%fe", b"200"),
        ("/%ff%fe", b"404"),
        ("/v1/nothing/%ff%fe", b"404"),
        ("/" + "a" * 8192, b"404"),
        ("/..//", b"404"),
        ("//../../etc/passwd", b"404"),
        ("/v1/topics/../../etc/passwd", b"200"),
        ("/v1/messages/..%2f..%2fetc%2fpasswd", b"404"),
        ("*", b"404"),
    ],
)
@pytest.mark.against("H68")
def test_h68_strange_paths(standing, path, status):
    """What stands behind /v1/topics/ is a name, whatever it is: one that nobody has."""
    with standing.connect() as connection:
        connection.sendall(head(f"GET {path} HTTP/1.1", "Connection: close"))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert b"root:" not in answer


@pytest.mark.against("A6")
def test_many_connections_are_bounded(api):
    held = []
    try:
        held += [api.connect() for _ in range(801)]
        assert read_all(held[-1]).startswith(b"HTTP/1.1 503")
        held[0].sendall(head("GET /health HTTP/1.1"))
        assert held[0].recv(65536).startswith(b"HTTP/1.1 200")
    finally:
        for connection in held:
            connection.close()
    assert api.process.poll() is None
