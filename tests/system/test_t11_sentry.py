"""An error in each actor reaches Sentry, named by its process, and tells nothing of anybody."""

import gzip
import json
import math
import secrets
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared import wire
from shared.protocol import (
    AccountHold,
    AccountState,
    ConfirmTopic,
    Mail,
    Message,
    RateDigest,
    Submit,
    Tally,
    WriterState,
)
from shared.wire import Letter, Wire
from tests.system.stack import KEY, SECRET, Stack, free_port, until

PERSON = "victim.person"
TEXTS = (PERSON, KEY, SECRET, "confidential-subject", "confidential-body")
FAR = 2**63
"""More than a column of SQLite holds, and than any calendar has milliseconds."""


class Sentry:
    """Takes envelopes as Sentry does, and keeps the events in them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.said = ""
        sentry = self

        class Desk(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                packed = self.headers.get("content-encoding") == "gzip"
                sentry._take(gzip.decompress(body) if packed else body)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self.dsn = f"http://public@127.0.0.1:{self._server.server_port}/1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, process: str) -> list[dict[str, Any]]:
        """Answer the errors of one process."""
        return [event for event in self.events if event["tags"]["process"] == process]

    def _take(self, envelope: bytes) -> None:
        self.said += envelope.decode()
        lines = envelope.split(b"\n")
        for head, item in zip(lines[1::2], lines[2::2], strict=False):
            if json.loads(head)["type"] == "event":
                self.events.append(json.loads(item))


@pytest.fixture
def sentry():
    sentry = Sentry()
    yield sentry
    sentry.close()


def push(stack: Stack, to: str, message: Message) -> None:
    """Say something well-formed and impossible on a mailbox of a running process."""
    voice = Wire(wire.run_folder(stack.folder / "data"))
    try:
        assert until(f"{to} is there", lambda: voice.send(Letter(to, message)), 20)
        threading.Event().wait(0.2)  # LINGER is 0: the frame must have left before the close
    finally:
        voice.close()


def cause(event: dict[str, Any]) -> str:
    """Answer the exception's type; what has none has no stack to look at."""
    [*_, last] = event["exception"]["values"]
    assert last["stacktrace"]["frames"]
    return last["type"]


def submit(accepted_at: int) -> Submit:
    to = (f"{PERSON}@example.com",)
    mail = Mail("news", "confidential-subject", "<p>confidential-body</p>", to)
    return Submit("api", secrets.token_hex(16), 1e12, 1.0, accepted_at, None, (mail,), Tally(0, 0))


def test_an_error_of_each_actor_arrives_and_names_nobody(make_stack, sentry):
    stack = make_stack(SENTRY_DSN=sentry.dsn).start()
    stack.connect_events()
    assert sentry.events == []
    push(stack, "intake", submit(accepted_at=FAR))
    # Started anew, these find something else where their mailbox should be.
    run_folder = wire.run_folder(stack.folder / "data")
    taken = [run_folder / f"{name}.sock" for name in ("scheduler", "results")]
    for mailbox in taken:
        mailbox.unlink()
        mailbox.mkdir()
        stack.kill(mailbox.stem)
    push(stack, "broker", RateDigest(FAR, 1, math.inf))
    push(stack, "sender-1", ConfirmTopic("p" * 32, f"{PERSON}@example.com", "token"))
    hold = AccountHold("quota", f"<{PERSON}@example.com> is refused", 0, FAR)
    push(stack, "api", WriterState(FAR, 1, True, "", AccountState(1.0, "setting", hold=hold)))
    ready = stack.http.get("/ready")
    assert ready.status_code == 500
    wanted = {
        "api": "ValueError",
        "writer": "OverflowError",
        "scheduler": "ZMQError",
        "broker": "OverflowError",
        "sender-1": "IndexError",
        "results": "ZMQError",
    }
    until("all are in", lambda: all(sentry.of(process) for process in wanted), 20)
    for mailbox in taken:
        mailbox.rmdir()
    assert {e["tags"]["process"]: cause(e) for e in sentry.events} == wanted
    assert sentry.of("api")[0]["contexts"]["event"]["request"] == ready.headers["x-request-id"]
    assert_discreet(sentry)


def test_a_monitor_that_cannot_have_its_port_says_so(make_stack, sentry):
    port = free_port()
    stack = make_stack(SENTRY_DSN=sentry.dsn, STATS_SOCKET=f"tcp://127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", port)):
        stack.start_without_waiting()
        event = until("it is in", lambda: sentry.of("monitor"))[0]
    assert cause(event) == "AlreadyRunningError"
    assert f"{port} is not to be had" in event["exception"]["values"][-1]["value"]
    stack.wait_ready()
    assert_discreet(sentry)


def test_a_broken_database_is_told_by_all_who_read_it(make_stack, sentry):
    stack = make_stack(SENTRY_DSN=sentry.dsn).start()
    stack.post([f"{PERSON}@example.com"], scheduled_at="2027-06-01 09:00:00")
    stack.halt()
    database = stack.folder / "data" / "ses-sender.db"
    database.write_bytes(b"SQLite format 4\0" + database.read_bytes()[16:])
    stack.start_without_waiting()
    until("the API answers", lambda: stack.http.get("/health").is_success)
    assert stack.http.get("/v1/topics/news").status_code == 503
    ready = stack.http.get("/ready")
    assert ready.status_code == 503
    assert "cannot be opened or read" in ready.json()["checks"]["reading"]
    until("both are in", lambda: sentry.of("api") and sentry.of("writer"))
    assert cause(sentry.of("api")[0]) == cause(sentry.of("writer")[0]) == "StoreError"
    assert_discreet(sentry)


def assert_discreet(sentry: Sentry) -> None:
    for text in TEXTS:
        assert text not in sentry.said
    assert all("request" not in event for event in sentry.events)
    assert '"vars"' not in sentry.said
