"""Log lines: structured, one line each, no address in them; Sentry gets the same, cleaned."""

import contextvars
import gzip
import http.server
import io
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import log
from shared.config import check

ROOT = Path(__file__).parents[3]
GOOD = {
    "SERVER_URL": "https://mail.example.com",
    "API_KEY": "0123456789abcdef",
    "AWS_SES_FROM_EMAIL": "news@example.com",
}


@pytest.fixture
def written(monkeypatch):
    """Log into a buffer, as JSON; answer the buffer."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    buffer = io.StringIO()
    monkeypatch.setattr(sys, "stderr", buffer)
    log.recent_errors.clear()
    log.configure(check({**GOOD, "LOG_FORMAT": "json"}), "sender-0")
    yield buffer
    root.handlers[:], root.level = handlers, level
    log.recent_errors.clear()


@pytest.fixture
def lines(written):
    """Answer a function that reads the lines written so far."""
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


def fresh_logger() -> log.Logger:
    return log.get("sender")


def test_a_line_is_json_whatever_is_in_it(lines):
    odd = {1: "a", None: float("nan"), "big": 2**80}
    fresh_logger().info("odd", half="\ud83d", text="café 메일", given=odd)
    (line,) = lines()
    assert line["half"] == "�"
    assert line["text"] == "café 메일"
    assert line["given"] == {"1": "a", "None": None, "big": 2**80}


# ── masking ──


@pytest.mark.parametrize(
    "text",
    [
        "bob@example.com",
        "mail to <bob@example.com>, refused",
        "bob+tag.x@example.com",
        '"bob smith"@example.com',
        "bob@사이트.한국",
        "bob@[127.0.0.1]",
        "to=bob@example.com;cc=bob@example.org",
        "밥@example.com",
    ],
)
def test_the_local_part_of_an_address_is_hidden(text):
    masked = log.mask(text)
    assert "bob" not in masked
    assert "밥" not in masked
    assert "@" in masked


def test_the_same_address_has_the_same_mask_so_that_lines_can_be_followed():
    assert log.mask("Bob@Example.com").split("@")[0] == log.mask("bob@example.com").split("@")[0]
    assert log.mask("bob@example.com") != log.mask("eve@example.com")


def test_text_without_an_address_stays():
    assert log.mask("12 mails @ 24/s, topic a.b") == "12 mails @ 24/s, topic a.b"


@pytest.mark.against("A27")
def test_a_megabyte_without_an_address_is_masked_in_a_moment():
    """Quadratic here means minutes, and the test's time limit."""
    assert log.mask("a" * 1_000_000).startswith("aaa")
    assert log.mask("a@" * 200_000)


@pytest.mark.against("A27")
@given(st.recursive(st.text() | st.integers() | st.none() | st.binary(), st.lists))
def test_nothing_scrubbed_can_break_a_line_or_a_terminal(value):
    def texts(value):
        if isinstance(value, str):
            yield value
        for item in value if isinstance(value, list) else ():
            yield from texts(item)

    for text in texts(log.scrub(value)):
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)
        assert len(text) <= 2100


@pytest.mark.against("A28")
@pytest.mark.parametrize("before", range(1980, 2010))
def test_an_address_at_the_place_where_a_text_is_cut_is_masked_first(before):
    text = "y" * (before - 1) + " bob.smith@example.com and so on"
    assert "bob" not in log.scrub(text)
    assert len(log.scrub(text)) <= 2000


@pytest.mark.against("A27")
def test_what_is_logged_is_capped_whatever_its_kind(lines, written):
    million = "x" * 1_000_000
    try:
        {}[f"bob@example.com {million}"]
    except KeyError:
        fresh_logger().exception(
            million, a=million, b=[million] * 1000, c={f"{n}": n for n in range(10_000)}
        )
    [line] = lines()
    assert (len(line["event"]), len(line["a"])) == (2000, 2000)
    assert (len(line["b"]), len(line["c"])) == (100, 100)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].count("\n") >= 3
    assert "bob" not in line["exception"]
    assert len(line["exception"]) < 21_000
    assert written.getvalue().count("\n") == 1


@pytest.mark.against("A27")
def test_half_a_character_breaks_no_line(lines):
    fresh_logger().info("\ud800", to="\ud800bob@example.com", path="a\udcffb")
    [line] = lines()
    assert "bob" not in line["to"]


@pytest.mark.against("A28")
@pytest.mark.parametrize(
    "actor", sorted(p.parent.name for p in ROOT.glob("services/*/__main__.py"))
)
def test_no_actors_logger_shows_an_address_or_the_bytes_of_a_body(lines, actor):
    log.get(actor).warning(
        "refused bob@example.com", detail={"bob@example.com": b"secret"}, to=["bob@example.com"]
    )
    logging.getLogger(actor).error("for %s: %r", "bob@example.com", b"body")
    first, second = lines()
    assert first["logger"] == second["logger"] == actor
    assert "bob" not in json.dumps([first, second])
    assert "secret" not in json.dumps(first)


def test_keys_and_nested_values_and_odd_objects_are_scrubbed_too():
    scrubbed = log.scrub(
        {
            "bob@x.org": [("bob@x.org", {"a": {"bob@x.org"}})],
            "error": ValueError("bob@x.org"),
            "n": 1.5,
        }
    )
    assert "bob" not in str(scrubbed)
    assert scrubbed["n"] == 1.5


@pytest.mark.against("A28")
def test_bytes_are_only_counted():
    assert log.scrub(b"secret body") == "11 bytes"


# ── lines ──


def test_a_line_names_process_and_logger_and_hides_addresses(lines):
    fresh_logger().info("sent", to="bob@example.com", count=3)
    [line] = lines()
    assert (line["process"], line["logger"], line["event"]) == ("sender-0", "sender", "sent")
    assert (line["level"], line["count"]) == ("info", 3)
    assert line["at"].endswith("Z")
    assert "bob" not in line["to"]


@pytest.mark.against("A27")
def test_a_line_break_in_a_value_makes_no_second_line(lines):
    fresh_logger().warning('refused\n{"event":"forged"}', subject="a\r\nb\x1b[31m\u2028")
    [line] = lines()
    assert line["event"].startswith("refused\ufffd")
    assert line["subject"] == "a\ufffd\ufffdb\ufffd[31m\ufffd"


@pytest.mark.against("A27", "A28")
def test_a_traceback_keeps_its_lines_and_loses_its_addresses(lines):
    try:
        {}["no such mailbox bob@example.com \x1b[2J"]
    except KeyError:
        fresh_logger().exception("crashed")
    [line] = lines()
    assert line["exception"].count("\n") >= 3
    assert "bob" not in line["exception"]
    assert "\x1b" not in line["exception"]
    assert log.recent_errors[-1].startswith("crashed: KeyError: 'no such mailbox")
    assert "bob" not in log.recent_errors[-1]


@pytest.mark.against("A28")
def test_libraries_log_in_the_same_form(lines):
    logging.getLogger("uvicorn.error").error("cannot answer %s", "bob@example.com")
    logging.getLogger("botocore").info("chatter")
    [line] = lines()
    assert (line["logger"], line["process"]) == ("uvicorn.error", "sender-0")
    assert "bob" not in line["event"]
    assert list(log.recent_errors) == [line["event"]]


def test_only_the_newest_five_errors_are_remembered_and_no_warnings(lines):
    logger = fresh_logger()
    for number in range(7):
        logger.error("error", number=number)
        logger.warning("warning")
    assert list(log.recent_errors) == ["error"] * 5
    assert len(lines()) == 14


def test_the_level_is_kept(lines):
    log.configure(check({**GOOD, "LOG_FORMAT": "json", "LOG_LEVEL": "error"}), "sender-0")
    fresh_logger().info("quiet")
    assert lines() == []


def test_a_cause_may_be_handed_over_or_be_the_one_at_hand(lines):
    error = KeyError("bob@example.com")
    fresh_logger().warning("handed over", exc_info=error)
    try:
        raise error
    except KeyError:
        fresh_logger().error("at hand", exc_info=True)
    fresh_logger().error("none at hand", exc_info=True)
    first, second, third = lines()
    assert first["exception"].startswith("KeyError")
    assert second["exception"].startswith("Traceback")
    assert "exception" not in third
    assert "bob" not in json.dumps([first, second])
    assert list(log.recent_errors)[-1] == "none at hand"


def test_bound_words_are_on_every_line_of_their_task(lines):
    def work():
        log.bind(request="r1")
        fresh_logger().info("ours")
        logging.getLogger("uvicorn.error").warning("a library's")

    contextvars.copy_context().run(work)
    fresh_logger().info("after")
    assert [line.get("request") for line in lines()] == ["r1", "r1", None]


def test_text_on_a_terminal_is_coloured_and_a_traceback_stands_below(written, monkeypatch):
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(written, "isatty", lambda: True)
    log.configure(check(GOOD), "sender-0")
    fresh_logger().error("crashed", exc_info=ValueError("a b"), why="a b")
    first, *below = written.getvalue().splitlines()
    assert "\x1b[31merror" in first
    assert "why='a b'" in first
    assert below == ["ValueError: a b"]


def test_text_on_demand(written, monkeypatch):
    monkeypatch.setattr(sys, "stderr", written)
    log.configure(check({**GOOD, "LOG_FORMAT": "text"}), "sender-0")
    fresh_logger().info("sent", to="bob@example.com")
    assert " sent " in written.getvalue()
    assert "\x1b" not in written.getvalue()  # colours are for terminals
    assert "bob" not in written.getvalue()


# ── Sentry ──

REPORTING = """
import logging, sys
from shared import log
from shared.config import check
log.configure(check({good}), "sender-0")
logger = log.get("sender")
address = "@".join(["bob", "example.com"])
logger.info("not an error", to=address)
logger.error("refused", to=address)
logging.getLogger("uvicorn.error").error("cannot answer %s", address)
try:
    raise ValueError("no such mailbox " + address)
except ValueError:
    logger.exception("crashed", body=b"secret")
log.flush()
"""


@pytest.fixture
def sentry():
    """A project of Sentry on loopback: its DSN and what came in."""
    taken: list[dict] = []

    class Project(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            taken.extend(json.loads(line) for line in body.splitlines()[2::2])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Project)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://key@127.0.0.1:{server.server_port}/1", taken
    server.shutdown()
    thread.join()
    server.server_close()


def run_program(text, settings):
    return subprocess.run(
        [sys.executable, "-c", text.replace("{good}", repr(settings))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.against("A28")
def test_sentry_gets_every_error_once_and_no_address(sentry):
    dsn, taken = sentry
    done = run_program(REPORTING, {**GOOD, "SENTRY_DSN": dsn, "LOG_FORMAT": "json"})
    assert done.returncode == 0, done.stderr
    events = [event for event in taken if "event_id" in event]
    said = [event.get("message") or event["exception"]["values"][0]["value"] for event in events]
    assert [text.split(" ")[0] for text in said] == ["refused", "cannot", "no"]
    assert {event["tags"]["process"] for event in events} == {"sender-0"}
    assert events[2]["exception"]["values"][0]["stacktrace"]["frames"]
    assert events[2]["contexts"]["event"]["body"] == "6 bytes"
    assert "bob@" not in json.dumps(taken)
    assert "bob@" not in done.stderr


WITHOUT = """
import sys
from shared import log
from shared.config import check
log.configure(check({good}), "sender-0")
log.flush()
sys.exit("sentry_sdk" in sys.modules)
"""


def test_without_a_dsn_sentry_is_not_even_imported():
    assert run_program(WITHOUT, GOOD).returncode == 0


def test_a_request_never_leaves_in_a_report():
    assert log.scrub_report({"request": {"data": "body"}, "message": "x"}) == {"message": "x"}
