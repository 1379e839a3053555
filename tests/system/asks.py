"""Every call that the API answers or refuses, and what it must say: the walk's itinerary."""

import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx2

MESSAGES = "/v1/messages"
RESULTS = "/v1/events/results"
OPEN = "/v1/events/open"
SENT = "/v1/events/counts/sent"
PNG = b"\x89PNG\r\n\x1a\n"
LATER = (datetime.now(UTC) + timedelta(days=300)).replace(microsecond=0)
"""Mail that is accepted on the walk is due then, and cancelled at the walk's end."""
IN_UTC = LATER.isoformat()

Check = Callable[[httpx2.Response], bool]


class Ask(NamedTuple):
    """One call and the answer it must get: status, code of a refusal, pointer of its first fault.

    `key` None: the right key; a list: these instead. `fits` looks at the rest of the answer.
    """

    what: str
    method: str
    path: str
    status: int
    code: str = ""
    pointer: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None  # bytes go as they are, anything else as JSON
    key: list[str] | None = None
    fits: Check = lambda _answer: True


def mail(**changes: Any) -> dict[str, Any]:
    """Answer a whole message with some fields changed; None takes one away."""
    whole = {
        "topic_id": "walk",
        "emails": ["success@simulator.amazonses.com"],
        "subject": "A walk",
        "content": "<p>Hello</p>",
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def body(*mails: Any, at: Any = IN_UTC, **more: Any) -> dict[str, Any]:
    return {"messages": list(mails), "scheduled_at": at, **more}


def has(**wanted: Any) -> Check:
    """Check that an answer has these fields, among others."""
    return lambda answer: wanted.items() <= answer.json().items()


def repeated(ask: Ask, other: Any) -> Iterator[Ask]:
    """Make a call twice with one Idempotency-Key, then the same key with another body."""
    headers = (*ask.headers, ("idempotency-key", secrets.token_hex(8)))
    keyed = ask._replace(headers=headers)
    first: list[Any] = []
    yield keyed._replace(
        what=f"{ask.what}, with a key",
        fits=lambda a: not first.append(a.json()) and _replayed(a) is None and ask.fits(a),
    )
    yield keyed._replace(
        what="the same key: the same answer",
        fits=lambda a: _replayed(a) == "true" and [a.json()] == first,
    )
    yield keyed._replace(
        what="the same key with another body",
        status=422,
        code="idempotency_mismatch",
        body=other,
        fits=lambda _: True,
    )


def _replayed(answer: httpx2.Response) -> str | None:
    return answer.headers.get("idempotent-replayed")


def skipped_hour(zone: ZoneInfo) -> str | None:
    """Find the next time that this zone's clocks skip, as a caller would write it."""
    moment = datetime.now(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    for hours in range(24, 24 * 360):
        naive = moment + timedelta(hours=hours, minutes=30)
        real = naive.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
        if real.replace(tzinfo=None) != naive:
            return f"{naive:%Y-%m-%d %H:%M:%S}"
    return None


# ── without a key, beside the routes ──


def strangers() -> Iterator[Ask]:
    ready = {"status": "ok", "db": "connected"}.items()
    yield Ask("alive", "GET", "/health", 200, fits=lambda a: a.json() == {"status": "ok"})
    yield Ask("ready", "GET", "/ready", 200, fits=lambda a: ready <= a.json().items())
    for what, key in (("no key", []), ("a wrong key", ["x" * 32]), ("an empty key", [""])):
        yield Ask(what, "POST", MESSAGES, 401, "no_key", body=body(mail()), key=key)
    twice = ["x" * 32, "y" * 32]
    yield Ask("two keys", "POST", MESSAGES, 401, "no_key", body=body(mail()), key=twice)
    for method, path in (("GET", "/v1/topics/walk"), ("DELETE", "/v1/topics/walk"), ("GET", SENT)):
        yield Ask("no key", method, path, 401, "no_key", key=[])
    for path in ("/", "/v1/messages/", "/v1/topics/", "/v1/events", "/v1/account/", "/ready/"):
        yield Ask("no such route", "GET", path, 404, "not_found")
    for method, path, allow in NOT_ALLOWED:
        ask = Ask("not that method", method, path, 405, "method_not_allowed")
        yield ask._replace(fits=lambda a, allow=allow: allowed(a) == set(allow.split()))


NOT_ALLOWED = (
    ("PUT", MESSAGES, "GET HEAD POST"),
    ("DELETE", f"{MESSAGES}/1", "GET HEAD"),
    ("GET", f"{MESSAGES}/1/cancel", "POST"),
    ("GET", f"{MESSAGES}/1/resolve", "POST"),
    ("POST", "/v1/topics", "GET HEAD"),
    ("POST", "/v1/topics/walk", "DELETE GET HEAD PATCH"),
    ("PUT", "/v1/topics/walk/pause", "POST"),
    ("PUT", "/v1/topics/walk/resume", "POST"),
    ("PUT", "/v1/topics/walk/retry-failed", "POST"),
    ("POST", "/v1/topics/walk/recipients.csv", "GET HEAD"),
    ("PATCH", "/v1/suppressions", "DELETE GET HEAD POST"),
    ("POST", "/v1/suppressions.csv", "GET HEAD"),
    ("POST", "/v1/suppressions/a@example.com", "DELETE GET HEAD"),
    ("POST", "/v1/account", "GET HEAD PATCH"),
    ("GET", "/v1/account/resume", "POST"),
    ("GET", RESULTS, "POST"),
    ("POST", OPEN, "GET HEAD"),
    ("POST", SENT, "GET HEAD"),
    ("DELETE", "/health", "GET HEAD"),
    ("POST", "/ready", "GET HEAD"),
)
"""A method that each route does not know, and those that it does."""


def allowed(answer: httpx2.Response) -> set[str]:
    return set(answer.headers["allow"].split(", "))


def keyless() -> Iterator[Ask]:
    """Call every route that wants a key without one.

    More than a stranger may: for an installation of our own, where this machine is not limited.
    """
    for _, path, methods in NOT_ALLOWED:
        if path not in {RESULTS, OPEN, "/health", "/ready"}:
            for method in methods.split():
                code = "" if method == "HEAD" else "no_key"
                yield Ask("no key", method, path, 401, code, key=[])


# ── POST /v1/messages: refused ──


def unreadable() -> Iterator[Ask]:
    """What is no JSON, or does not say that it is."""
    plain = json.dumps(body(mail())).encode()
    for kind in ("", "text/plain", "application/json; charset=latin-1", "application/jsonx"):
        headers = (("content-type", kind),)
        what = f"Content-Type: {kind}"
        yield Ask(what, "POST", MESSAGES, 415, "not_json_type", headers=headers, body=plain)
    typed = ("content-type", "application/json")
    packed = (typed, ("content-encoding", "gzip"))
    yield Ask("gzip", "POST", MESSAGES, 415, "unsupported_encoding", headers=packed, body=plain)
    for what, raw in (
        ("empty body", b""),
        ("half a body", plain[:-1]),
        ("two bodies", plain + plain),
        ("single quotes", b"{'messages':[]}"),
        ("not UTF-8", b'{"messages":"\xff"}'),
        ("NaN", b'{"messages":NaN}'),
        ("a number out of range", b'{"messages":1e999}'),
        ("nested too deeply", b"[" * 100_000),
        ("JSON broken behind a wrong shape", b'{"messages":5,"x":'),
    ):
        yield Ask(what, "POST", MESSAGES, 400, "not_json", headers=(typed,), body=raw)
    unfit = Ask("Idempotency-Key", "POST", MESSAGES, 400, "bad_idempotency_key", body=plain)
    for what, keys in (("two", ["a", "b"]), ("a blank", ["a b"]), ("256 letters", ["k" * 256])):
        headers = (typed, *(("idempotency-key", key) for key in keys))
        yield unfit._replace(what=f"Idempotency-Key: {what}", headers=headers)


def misshapen() -> Iterator[Ask]:
    """JSON of another shape: the place of the first fault is told."""
    for what, wrong, pointer in (
        ("a list", [], ""),
        ("no messages", {"scheduled_at": None}, "/messages"),
        ("messages are null", {"messages": None}, "/messages"),
        ("an unknown field", body(mail(), sender="a"), "/sender"),
        ("an unknown field of a mail", body(mail(text="a")), "/messages/0/text"),
        ("a mail is a text", body(mail(), "a"), "/messages/1"),
        ("no subject", body(mail(subject=None)), "/messages/0/subject"),
        ("no content", body(mail(content=None)), "/messages/0/content"),
        ("no emails", body(mail(emails=None)), "/messages/0/emails"),
        ("emails are a text", body(mail(emails="a@example.com")), "/messages/0/emails"),
        ("an email is a number", body(mail(emails=["a@b.co", 5])), "/messages/0/emails/1"),
        ("topic_id is a number", body(mail(topic_id=5)), "/messages/0/topic_id"),
        ("headers are a list", body(mail(headers=[])), "/messages/0/headers"),
        ("priority is a number", body(mail(priority=1)), "/messages/0/priority"),
        ("scheduled_at is a number", body(mail(), at=5), "/scheduled_at"),
        ("expires_at is a number", body(mail(), expires_at=5), "/expires_at"),
        ("expires_at of a mail", body(mail(expires_at=IN_UTC)), "/messages/0/expires_at"),
        ("priority of all", body(mail(), priority="urgent"), "/priority"),
    ):
        yield Ask(what, "POST", MESSAGES, 422, "wrong_shape", pointer, body=wrong)


def invalid(zone: ZoneInfo) -> Iterator[Ask]:
    """The right shape, but not to be sent."""
    many = [f"u{n}@example.com" for n in range(10_001)]
    for what, wrong, pointer in (
        ("no mail", body(), "/messages"),
        ("10,001 mails", body(*[mail()] * 10_001), "/messages"),
        ("10,001 addresses", body(mail(emails=many)), "/messages"),
        ("no address", body(mail(), mail(emails=[])), "/messages/1/emails"),
        ("topic_id is empty", body(mail(topic_id="")), "/messages/0/topic_id"),
        ("topic_id is long", body(mail(topic_id="t" * 256)), "/messages/0/topic_id"),
        ("topic_id has a line break", body(mail(topic_id="a\nb")), "/messages/0/topic_id"),
        ("subject is empty", body(mail(subject="")), "/messages/0/subject"),
        ("subject has CR LF", body(mail(subject="a\r\nBcc: b@c.de")), "/messages/0/subject"),
        ("subject has CR", body(mail(subject="a\rb")), "/messages/0/subject"),
        ("subject has LF", body(mail(subject="a\nb")), "/messages/0/subject"),
        ("subject has U+2028", body(mail(subject="a\u2028b")), "/messages/0/subject"),
        ("subject turns direction", body(mail(subject="a\u202eb")), "/messages/0/subject"),
        ("subject is long", body(mail(subject="s" * 999)), "/messages/0/subject"),
        ("content is empty", body(mail(content="")), "/messages/0/content"),
        ("content is large", body(mail(content="c" * (10 * 2**20 + 1))), "/messages/0/content"),
        ("the second mail is wrong", body(mail(), mail(subject="")), "/messages/1/subject"),
        ("priority in words", body(mail(priority="high")), "/messages/0/priority"),
        ("priority in capitals", body(mail(priority="Urgent")), "/messages/0/priority"),
        ("priority is empty", body(mail(priority="")), "/messages/0/priority"),
    ):
        yield Ask(what, "POST", MESSAGES, 422, "invalid", pointer, body=wrong)
    three = body(mail(subject="", content=""), at="soon")
    ask = Ask("three faults, all told", "POST", MESSAGES, 422, "invalid", body=three)
    places = ["/messages/0/subject", "/messages/0/content", "/scheduled_at"]
    yield ask._replace(fits=lambda a: [f["pointer"] for f in a.json()["errors"]] == places)
    nobody = body(mail(emails=["a", "ä@example.com", "a@b@c.de"]))
    yield Ask(
        "no address can be sent to",
        "POST",
        MESSAGES,
        422,
        "no_valid_address",
        "/messages/0/emails/0",
        body=nobody,
        fits=lambda a: len(a.json()["errors"]) == 3,
    )
    yield from bad_times(zone)
    yield from bad_headers()


def bad_times(zone: ZoneInfo) -> Iterator[Ask]:
    now = datetime.now(UTC)
    times = [
        ("a time in words", "tomorrow"),
        ("a date alone", "2027-01-01"),
        ("Unix seconds", "1790000000"),
        ("a day that no month has", f"{LATER.year}-02-30 09:00:00"),
        ("a T without an offset", f"{LATER:%Y-%m-%dT%H:%M:%S}"),
        ("six minutes ago", (now - timedelta(minutes=6)).isoformat()),
        ("more than a year ahead", (now + timedelta(days=367)).isoformat()),
        ("blanks around", f" {LATER.isoformat()}"),
    ]
    skipped = skipped_hour(zone)
    if skipped is not None:
        times.append(("an hour that the clocks skip", skipped))
    for what, text in times:
        wrong = body(mail(), at=text)
        yield Ask(f"{what}: {text}", "POST", MESSAGES, 422, "invalid", "/scheduled_at", body=wrong)
    for what, text in (
        ("in words", "never"),
        ("a second ago", (now - timedelta(seconds=1)).isoformat()),
        ("when it is due", IN_UTC),
        ("before it is due", (LATER - timedelta(days=1)).isoformat()),
        ("more than a year and a day ahead", (now + timedelta(days=368)).isoformat()),
    ):
        ask = Ask(f"expires_at {what}: {text}", "POST", MESSAGES, 422, "invalid", "/expires_at")
        yield ask._replace(body=body(mail(), expires_at=text))
    both = body(mail(), at="soon", expires_at="later")
    ask = Ask("both times are wrong", "POST", MESSAGES, 422, "invalid", body=both)
    places = ["/scheduled_at", "/expires_at"]
    yield ask._replace(fits=lambda a: [f["pointer"] for f in a.json()["errors"]] == places)


def bad_headers() -> Iterator[Ask]:
    place = "/messages/0/headers"
    post = "List-Unsubscribe-Post"
    one_click = {post: "List-Unsubscribe=One-Click"}
    mailto = {"List-Unsubscribe": "<mailto:a@b.co>"}
    for what, headers, pointer in (
        ("From", {"From": "a@b.co"}, f"{place}/From"),
        ("Bcc", {"Bcc": "a@b.co"}, f"{place}/Bcc"),
        ("DKIM-Signature", {"DKIM-Signature": "v=1"}, f"{place}/DKIM-Signature"),
        ("SES's own", {"X-SES-MESSAGE-TAGS": "a=b"}, f"{place}/X-SES-MESSAGE-TAGS"),
        ("a blank in the name", {"X A": "b"}, f"{place}/X A"),
        ("CR LF in the value", {"X-A": "b\r\nBcc: a@b.co"}, f"{place}/X-A"),
        ("a value that is not ASCII", {"X-A": "ü"}, f"{place}/X-A"),
        ("an empty value", {"X-A": ""}, f"{place}/X-A"),
        ("a long value", {"X-A": "v" * 996}, f"{place}/X-A"),
        ("twice in two spellings", {"X-A": "b", "x-a": "c"}, f"{place}/x-a"),
        ("sixteen", {f"X-{n}": "a" for n in range(16)}, place),
        ("One-Click misspelt", {post: "yes"}, f"{place}/{post}"),
        ("One-Click without a URL", one_click, f"{place}/{post}"),
        ("One-Click by mail", one_click | mailto, f"{place}/{post}"),
    ):
        wrong = body(mail(headers=headers))
        yield Ask(f"headers: {what}", "POST", MESSAGES, 422, "invalid", pointer, body=wrong)


# ── POST /v1/messages: taken ──


TAKEN = 10_000 + 2 + 6


def taken(topic: str, zone: ZoneInfo) -> Iterator[Ask]:
    """Well-formed requests for TAKEN mails; all is due much later and cancelled before."""
    one = mail(topic_id=topic)
    one_only = has(total=1, success=1, errors=0, duplicates=0, scheduled=True)
    local = f"{LATER.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    utc = LATER.isoformat().replace("+00:00", "Z")
    for what, given, fits in (
        ("a mail, RFC 3339", body(one), has(scheduled_at_utc=utc)),
        ("in local time", body(one, at=local), has(scheduled_at_utc=utc)),
        ("one mail", body(one), one_only),
        (
            "a wrong address and a repeat are told",
            body(mail(topic_id=topic, emails=["a@example.com", "A@example.com", "b", "c@b.co"])),
            has(total=4, success=2, errors=1, duplicates=1),
        ),
        (
            "headers",
            body(mail(topic_id=topic, headers={"List-Unsubscribe": "<https://a.b/c>", "X-A": "b"})),
            one_only,
        ),
        ("an IDN domain", body(mail(topic_id=topic, emails=["a@bücher.example.com"])), one_only),
        ("10,000 addresses", body(mail(topic_id=topic, emails=_ten_thousand())), has(errors=0)),
    ):
        yield Ask(what, "POST", MESSAGES, 200, body=given, fits=fits)
    typed = ("content-type", "application/json; charset=utf-8")
    raw, other = (json.dumps(body(mail(topic_id=topic, subject=s))).encode() for s in "ab")
    yield from repeated(Ask("a mail", "POST", MESSAGES, 200, headers=(typed,), body=raw), other)


def _ten_thousand() -> list[str]:
    return [f"u{n}@example.com" for n in range(10_000)]


# ── counts, pixels ──


def counts() -> Iterator[Ask]:
    """Ask how many were sent."""
    for hours in ("", "?hours=1", "?hours=8760"):
        yield Ask("counts", "GET", SENT + hours, 200, fits=lambda a: a.json()["count"] >= 0)
    for hours in ("0", "8761", "-1", "1.5", "all", ""):
        yield Ask(f"hours={hours}", "GET", f"{SENT}?hours={hours}", 422, "invalid", "")


def pixels(token: str | None = None) -> Iterator[Ask]:
    """An open pixel is a picture, whatever was asked."""
    for what, query in (
        ("no token", ""),
        ("no token of ours", "?request_id=12345"),
        ("a forged token", "?request_id=" + "A" * 32),
        ("a long token", "?request_id=" + "A" * 4000),
        *([("a genuine token", f"?request_id={token}")] if token else []),
    ):
        picture = Ask(what, "GET", OPEN + query, 200, key=[])
        yield picture._replace(fits=lambda a: a.content.startswith(PNG))
    yield Ask("HEAD", "HEAD", OPEN, 200, key=[])
