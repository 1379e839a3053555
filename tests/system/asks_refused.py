"""What every route with parameters or an order's body refuses; nothing of it changes anything."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.system.asks import IN_UTC, LATER, MESSAGES, Ask, body, mail, skipped_hour

TOPICS = "/v1/topics"
LISTED = "/v1/suppressions"
ACCOUNT = "/v1/account"
NOBODY = 2**63 - 1
"""The largest id that a database gives: on the walk nobody has it."""

JSON = ("content-type", "application/json")
CSV = ("content-type", "text/csv")


# ── what stands in a URL ──


def parameters() -> Iterator[Ask]:
    """Parameters that a route does not know, that come twice, or that say nothing it knows."""
    yield from strange_parameters()
    limits = ("limit=0", "limit=1001", "limit=-1", "limit=1.5", "limit=all", "limit=", "limit=%2B5")
    cursors = ("after=0", "after=-1", "after=x", "after=", f"after={NOBODY + 1}", "after=1.0")
    filters = (
        *("status=sent", "status=", "status=2", "status=Sent,Failed"),
        *("result=delivery", "result=", "result=30"),
    )
    emails = ("email=", "email=nobody", "email=a@b@example.com", "email=a@localhost")
    for path, wrong in (
        (MESSAGES, (*limits, *cursors, *filters, *emails, "topic_id=")),
        (TOPICS, (*limits, *cursors)),
        (LISTED, (*limits, *emails)),
        (f"{TOPICS}/walk/recipients.csv", filters),
    ):
        for query in wrong:
            yield Ask("no such value", "GET", f"{path}?{query}", 422, "invalid", "")
    many = Ask("every fault is told", "GET", f"{MESSAGES}?limit=0&after=0&status=x&result=y", 422)
    yield many._replace(code="invalid", fits=lambda a: len(a.json()["errors"]) == 4)
    for value in ("", "id", "ids,all"):
        what, path = f"return={value}", f"{MESSAGES}?return={value}"
        yield Ask(what, "POST", path, 422, "invalid", "", body=body(mail()))


def strange_parameters() -> Iterator[Ask]:
    """A misspelt filter is refused, not passed over; so is one that comes twice."""
    for method, path, known in (
        ("GET", MESSAGES, "status=Sent"),
        ("POST", MESSAGES, "return=ids"),
        ("GET", f"{MESSAGES}/1", ""),
        ("POST", f"{MESSAGES}/1/cancel", ""),
        ("POST", f"{MESSAGES}/1/resolve", ""),
        ("GET", TOPICS, "limit=5"),
        ("GET", f"{TOPICS}/walk", ""),
        ("DELETE", f"{TOPICS}/walk", ""),
        ("PATCH", f"{TOPICS}/walk", ""),
        ("POST", f"{TOPICS}/walk/pause", ""),
        ("POST", f"{TOPICS}/walk/resume", ""),
        ("POST", f"{TOPICS}/walk/retry-failed", ""),
        ("GET", f"{TOPICS}/walk/recipients.csv", "result=Delivery"),
        ("GET", LISTED, "limit=5"),
        ("POST", LISTED, ""),
        ("DELETE", LISTED, ""),
        ("GET", f"{LISTED}.csv", ""),
        ("GET", f"{LISTED}/a@example.com", ""),
        ("DELETE", f"{LISTED}/a@example.com", ""),
        ("GET", ACCOUNT, ""),
        ("PATCH", ACCOUNT, ""),
        ("POST", f"{ACCOUNT}/resume", ""),
    ):
        yield Ask("an unknown parameter", method, f"{path}?topic=walk", 422, "invalid", "")
        if known:
            yield Ask("twice", method, f"{path}?{known}&{known}", 422, "invalid", "")


def names() -> Iterator[Ask]:
    """What a path names, and nobody is."""
    strange = ("0", "-1", "x", "1.0", "1e3", "%2B1", "%EF%BC%91", "1%0A", f"{NOBODY + 1}")
    for name in (*strange, f"{NOBODY}"):
        yield Ask("no such mail", "GET", f"{MESSAGES}/{name}", 404, "no_such_message")
    for name in (*strange[:3], f"{NOBODY}"):
        for order, given in (("cancel", None), ("resolve", {"outcome": "sent"})):
            path = f"{MESSAGES}/{name}/{order}"
            yield Ask("no such mail", "POST", path, 404, "no_such_message", body=given)
    later = {"scheduled_at": IN_UTC}
    for method, tail, given in (
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/retry-failed", None),
        ("PATCH", "", later),
    ):
        path = f"{TOPICS}/walk-that-nobody-posted{tail}"
        yield Ask("no such topic", method, path, 404, "no_such_topic", body=given)
        path = f"{TOPICS}/walk%0A{tail}"
        yield Ask("a line break at the end", method, path, 404, "not_found", body=given)
    for method, path in (
        ("GET", f"{TOPICS}/walk%0A"),
        ("DELETE", f"{TOPICS}/walk%0A"),
        ("POST", f"{TOPICS}//pause"),
        ("GET", f"{TOPICS}//recipients.csv"),
        ("GET", f"{MESSAGES}/1/2"),
        ("POST", f"{MESSAGES}/1/cancel/"),
        ("GET", f"{LISTED}.csv/"),
        ("GET", f"{LISTED}/a%0A@example.com"),
    ):
        yield Ask("nothing is there", method, path, 404, "not_found")
    for name in ("nobody", "a@b@example.com", "a@example.com%0A", ""):
        for method in ("GET", "DELETE"):
            yield Ask("no address", method, f"{LISTED}/{name}", 422, "invalid", "")
    unlisted = f"{LISTED}/walk-that-nobody-listed@example.com"
    yield Ask("not on the list", "GET", unlisted, 404, "not_listed")


# ── bodies ──


def orders() -> Iterator[Ask]:
    """Bodies of orders that cannot be read, or are of another shape; by route."""
    needed = (
        ("PATCH", f"{TOPICS}/walk", {"scheduled_at": IN_UTC}),
        ("POST", f"{MESSAGES}/{NOBODY}/resolve", {"outcome": "sent"}),
        ("POST", LISTED, {"email": "a@example.com"}),
        ("DELETE", LISTED, {"email": "a@example.com"}),
        ("PATCH", ACCOUNT, {"max_send_per_second": None}),
    )
    optional = (
        ("POST", f"{TOPICS}/walk/pause"),
        ("POST", f"{TOPICS}/walk/resume"),
        ("POST", f"{TOPICS}/walk/retry-failed"),
        ("POST", f"{MESSAGES}/{NOBODY}/cancel"),
        ("POST", f"{ACCOUNT}/resume"),
    )
    for method, path, right in needed:
        yield from _unreadable(method, path, json.dumps(right).encode(), [b""])
        [field] = right
        for what, wrong, pointer in (
            ("a list", [], ""),
            ("an unknown field", right | {"walk": 1}, "/walk"),
            ("another type", {field: {}}, f"/{field}"),
        ):
            yield Ask(what, method, path, 422, "wrong_shape", pointer, body=wrong)
    for method, path in optional:
        yield from _unreadable(method, path, b"{}", [])
        for what, wrong, pointer in (("a list", [], ""), ("a field", {"walk": 1}, "/walk")):
            yield Ask(what, method, path, 422, "wrong_shape", pointer, body=wrong)


def _unreadable(method: str, path: str, right: bytes, more: list[bytes]) -> Iterator[Ask]:
    for kind in ("", "text/plain", "application/json; charset=latin-1"):
        ask = Ask(f"Content-Type: {kind}", method, path, 415, "not_json_type", body=right)
        yield ask._replace(headers=(("content-type", kind),))
    packed = (JSON, ("content-encoding", "gzip"))
    yield Ask("gzip", method, path, 415, "unsupported_encoding", headers=packed, body=right)
    for raw in (right[:-1], right + right, b'{"walk":"\xff"}', b"{'a':1}", *more):
        yield Ask("no JSON", method, path, 400, "not_json", headers=(JSON,), body=raw)
    if method == "POST":
        for keys in (("a", "b"), ("a b",), ("k" * 256,), ("",)):
            ask = Ask("Idempotency-Key", method, path, 400, "bad_idempotency_key", body=right)
            yield ask._replace(headers=(JSON, *(("idempotency-key", key) for key in keys)))
    if not path.startswith(LISTED):
        large = b" " * (64 * 1024) + right
        yield Ask("64 KB and more", method, path, 413, "too_large", headers=(JSON,), body=large)


def fields(zone: ZoneInfo) -> Iterator[Ask]:
    """Every field of an order, missing, of another type, and beyond what it may say."""
    pause, resolve = f"{TOPICS}/walk/pause", f"{MESSAGES}/{NOBODY}/resolve"
    for method, path, given, code, pointer in (
        ("POST", pause, {"reason": 5}, "wrong_shape", "/reason"),
        ("POST", pause, {"reason": "a\nb"}, "invalid", "/reason"),
        ("POST", pause, {"reason": "r" * 501}, "invalid", "/reason"),
        ("PATCH", f"{TOPICS}/walk", {}, "wrong_shape", "/scheduled_at"),
        ("PATCH", f"{TOPICS}/walk", {"scheduled_at": 5}, "wrong_shape", "/scheduled_at"),
        ("POST", resolve, {}, "wrong_shape", "/outcome"),
        ("POST", resolve, {"outcome": None}, "wrong_shape", "/outcome"),
        ("POST", resolve, {"outcome": ""}, "invalid", "/outcome"),
        ("POST", resolve, {"outcome": "Sent"}, "invalid", "/outcome"),
    ):
        yield Ask(f"{given}"[:42], method, path, 422, code, pointer, body=given)
    yield from _times(zone)
    yield from rates()
    yield from addresses()
    yield from sheets()


def _times(zone: ZoneInfo) -> Iterator[Ask]:
    now = datetime.now(UTC)
    texts = ["tomorrow", "2027-01-01", f"{LATER:%Y-%m-%dT%H:%M:%S}", f" {IN_UTC}"]
    texts += [(now - timedelta(minutes=6)).isoformat(), (now + timedelta(days=367)).isoformat()]
    skipped = skipped_hour(zone)
    for text in texts if skipped is None else [*texts, skipped]:
        ask = Ask(text, "PATCH", f"{TOPICS}/walk", 422, "invalid", "/scheduled_at")
        yield ask._replace(body={"scheduled_at": text})


def rates() -> Iterator[Ask]:
    """A rate that is none, or that nobody can send at."""
    field = "/max_send_per_second"
    for rate in ("fast", True, [5]):
        wrong = {"max_send_per_second": rate}
        yield Ask(f"{rate}", "PATCH", ACCOUNT, 422, "wrong_shape", field, body=wrong)
    yield Ask("no rate", "PATCH", ACCOUNT, 422, "wrong_shape", field, body={})
    for number in (0, -1, 0.009, 100_001):
        wrong = {"max_send_per_second": number}
        yield Ask(f"{number}", "PATCH", ACCOUNT, 422, "invalid", field, body=wrong)
    for raw in (b'{"max_send_per_second":NaN}', b'{"max_send_per_second":1e999}'):
        yield Ask(raw.decode(), "PATCH", ACCOUNT, 400, "not_json", headers=(JSON,), body=raw)


def addresses() -> Iterator[Ask]:
    """What is not put on the suppression list, and not taken off it."""
    many = [f"u{n}@example.com" for n in range(10_001)]
    good: dict[str, Any] = {"email": "a@example.com"}
    for what, wrong, code, pointer in (
        ("neither email nor emails", {"reason": "walk"}, "invalid", ""),
        ("email and emails", good | {"emails": ["b@example.com"]}, "invalid", ""),
        ("no address", {"emails": []}, "invalid", "/emails"),
        ("10,001 addresses", {"emails": many}, "invalid", "/emails"),
        ("emails are a text", {"emails": "a@example.com"}, "wrong_shape", "/emails"),
        ("an email is a number", {"emails": ["a@example.com", 5]}, "wrong_shape", "/emails/1"),
        ("a reason of two words", good | {"reason": "two words"}, "invalid", "/reason"),
        ("an empty reason", good | {"reason": ""}, "invalid", "/reason"),
        ("a long reason", good | {"reason": "r" * 101}, "invalid", "/reason"),
        ("a reason that is a number", good | {"reason": 5}, "wrong_shape", "/reason"),
        ("a line break in the detail", good | {"detail": "a\nb"}, "invalid", "/detail"),
        ("a long detail", good | {"detail": "d" * 501}, "invalid", "/detail"),
        ("a detail that is a list", good | {"detail": []}, "wrong_shape", "/detail"),
        ("no address is one", {"emails": ["a", "b@c@d.ef"]}, "no_valid_address", "/emails/0"),
        ("the address is none", {"email": ""}, "no_valid_address", "/email"),
    ):
        yield Ask(what, "POST", LISTED, 422, code, pointer, body=wrong)
    for what, wrong, code, pointer in (
        ("neither email nor emails", {}, "invalid", ""),
        ("email and emails", good | {"emails": ["b@example.com"]}, "invalid", ""),
        ("101 addresses", {"emails": many[:101]}, "invalid", "/emails"),
        ("an email is a number", {"emails": [5]}, "wrong_shape", "/emails/0"),
        ("one of two is none", {"emails": ["a@example.com", "b"]}, "invalid", "/emails/1"),
        ("a reason", good | {"reason": "walk"}, "wrong_shape", "/reason"),
    ):
        yield Ask(what, "DELETE", LISTED, 422, code, pointer, body=wrong)


def sheets() -> Iterator[Ask]:
    """CSV that cannot be read, or holds no address."""
    rows = b"".join(b"u%d@example.com\n" % n for n in range(100_001))
    for what, raw, status, code in (
        ("not UTF-8", b"email\na\xff@example.com\n", 400, "not_csv"),
        ("an open quote", b'email\n"a@example.com\n', 400, "not_csv"),
        ("an empty file", b"", 422, "invalid"),
        ("a head alone", b"email,reason\r\n", 422, "invalid"),
        ("no column of addresses", b"name,mail\nAnn,a@example.com\n", 422, "invalid"),
        ("two columns of addresses", b"email,email\na@example.com,b@example.com\n", 422, "invalid"),
        ("100,001 rows", rows, 422, "invalid"),
        ("no row has an address", b"email\nnobody\nsomebody\n", 422, "no_valid_address"),
        ("a reason of two words", b"email,reason\na@b.co,two words\n", 422, "no_valid_address"),
    ):
        ask = Ask(f"CSV: {what}", "POST", LISTED, status, code, headers=(CSV,), body=raw)
        yield ask._replace(pointer="" if status == 422 else None)
    latin = (("content-type", "text/csv; charset=latin-1"),)
    ask = Ask("CSV in Latin-1", "POST", LISTED, 415, "not_json_type", body=b"email\na@b.co\n")
    yield ask._replace(headers=latin)
    yield Ask("CSV", "DELETE", LISTED, 415, "not_json_type", headers=(CSV,), body=b"a@b.co\n")
