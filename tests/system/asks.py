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
    for path in ("/", "/v1/messages/", "/v1/topics", "/v1/topics/", "/v1/events", "/ready/"):
        yield Ask("no such route", "GET", path, 404, "not_found")
    for method, path in (
        ("GET", MESSAGES),
        ("PUT", MESSAGES),
        ("POST", "/v1/topics/walk"),
        ("GET", RESULTS),
        ("POST", OPEN),
        ("POST", SENT),
        ("DELETE", "/health"),
        ("POST", "/ready"),
    ):
        allowed = Ask("not that method", method, path, 405, "method_not_allowed")
        yield allowed._replace(fits=lambda a: bool(a.headers["allow"]))


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
        ("scheduled_at is a number", body(mail(), at=5), "/scheduled_at"),
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


def taken(topic: str, zone: ZoneInfo) -> Iterator[Ask]:
    """Well-formed requests; all of it is due much later and cancelled before."""

    def counts(**wanted: Any) -> Check:
        return lambda answer: wanted.items() <= answer.json().items()

    one = mail(topic_id=topic)
    one_only = counts(total=1, success=1, errors=0, duplicates=0, scheduled=True)
    local = f"{LATER.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    utc = LATER.isoformat().replace("+00:00", "Z")
    for what, given, fits in (
        ("a mail, RFC 3339", body(one), counts(scheduled_at_utc=utc)),
        ("in local time", body(one, at=local), counts(scheduled_at_utc=utc)),
        ("one mail", body(one), one_only),
        (
            "a wrong address and a repeat are told",
            body(mail(topic_id=topic, emails=["a@example.com", "A@example.com", "b", "c@b.co"])),
            counts(total=4, success=2, errors=1, duplicates=1),
        ),
        (
            "headers",
            body(mail(topic_id=topic, headers={"List-Unsubscribe": "<https://a.b/c>", "X-A": "b"})),
            one_only,
        ),
        ("an IDN domain", body(mail(topic_id=topic, emails=["a@bücher.example.com"])), one_only),
        ("10,000 addresses", body(mail(topic_id=topic, emails=_ten_thousand())), counts(errors=0)),
    ):
        yield Ask(what, "POST", MESSAGES, 200, body=given, fits=fits)
    typed = ("content-type", "application/json; charset=utf-8")
    raw, other = (json.dumps(body(mail(topic_id=topic, subject=s))).encode() for s in "ab")
    headers = (typed, ("idempotency-key", secrets.token_hex(8)))
    ask = Ask("Idempotency-Key, first", "POST", MESSAGES, 200, headers=headers, body=raw)
    first: list[Any] = []
    yield ask._replace(fits=lambda a: not first.append(a.json()) and _replayed(a) is None)
    yield ask._replace(
        what="Idempotency-Key, replayed: the same answer",
        fits=lambda a: _replayed(a) == "true" and [a.json()] == first,
    )
    yield ask._replace(
        what="Idempotency-Key with another body",
        status=422,
        code="idempotency_mismatch",
        body=other,
    )


def _ten_thousand() -> list[str]:
    return [f"u{n}@example.com" for n in range(10_000)]


def _replayed(answer: httpx2.Response) -> str | None:
    return answer.headers.get("idempotent-replayed")


# ── topics and counts ──


def topics(topic: str) -> Iterator[Ask]:
    """Ask for the topic of `taken`, and stop it."""
    mails = 10_000 + 2 + 6
    waiting = {"Created": mails}.items()
    yield Ask(
        "how far a topic is",
        "GET",
        f"/v1/topics/{topic}",
        200,
        fits=lambda a: waiting <= a.json()["request_counts"].items(),
    )
    yield Ask(
        "an unknown topic has zeros",
        "GET",
        f"/v1/topics/{topic}-unknown",
        200,
        fits=lambda a: not any(a.json()["request_counts"].values()),
    )
    for name in ("a/b", "%ED%95%9C%EA%B5%AD", "100%25"):
        yield Ask("an odd name", "GET", f"/v1/topics/{name}", 200)
    for stopped in (mails, 0):
        yield Ask(
            f"stops {stopped}",
            "DELETE",
            f"/v1/topics/{topic}",
            200,
            fits=lambda a, n=stopped: a.json() == {"status": "ok", "stopped": n, "in_flight": 0},
        )
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


# ── POST /v1/events/results: refused ──


def posts(topic_arn: str, cert_host: str | None = None) -> Iterator[Ask]:
    """What is no post of SNS, or none of our topic's."""
    notification = ("x-amz-sns-message-type", "Notification")
    region = topic_arn.split(":")[3]
    file = f"SimpleNotificationService-{'0' * 32}.pem"
    whole = {
        "Type": "Notification",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": topic_arn,
        "Message": "{}",
        "Timestamp": "2026-11-24T00:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "AAAA",
        "SigningCertURL": f"https://sns.{region}.amazonaws.com/{file}",
    }

    def ask(what: str, status: int, code: str, *headers: tuple[str, str], **changes: Any) -> Ask:
        envelope = {k: v for k, v in (whole | changes).items() if v is not None}
        raw = json.dumps(envelope).encode()
        given = headers or (notification,)
        return Ask(what, "POST", RESULTS, status, code, headers=given, body=raw, key=[])

    def wrong(what: str, **changes: Any) -> Ask:
        return ask(what, 400, "bad_post", **changes)

    def forged(what: str, **changes: Any) -> Ask:
        return ask(what, 403, "not_believed", **changes)

    yield ask("raw delivery", 400, "raw_delivery", notification, ("x-amz-sns-rawdelivery", "true"))
    yield ask("no type header", 400, "bad_post", ("x-a", "b"))
    confirmation = ("x-amz-sns-message-type", "SubscriptionConfirmation")
    yield ask("another type header", 400, "bad_post", confirmation)
    yield ask("an unknown type", 400, "bad_post", ("x-amz-sns-message-type", "Hello"), Type="Hello")
    yield wrong("not JSON")._replace(body=b"Hello")
    yield wrong("no envelope")._replace(body=b"{}")
    yield wrong("MessageId is a number", MessageId=5)
    yield wrong("lines in the MessageId", MessageId="a\nSubject\nb")
    yield wrong("no Timestamp", Timestamp=None)
    yield wrong("513 KB")._replace(status=413, code="too_large", body=b"x" * (513 * 1024))
    yield forged("another topic", TopicArn=topic_arn + "-foreign")
    yield forged("no signature", Signature=None)
    yield forged("a signature that is no base64", Signature="?")
    yield forged("signature version 3", SignatureVersion="3")
    yield forged("no certificate", SigningCertURL=None)
    for url in (
        f"http://sns.{region}.amazonaws.com/{file}",
        f"https://sns.{region}.amazonaws.com:444/{file}",
        f"https://sns.{region}.amazonaws.com.evil.example/{file}",
        f"https://evil.example/{file}",
        f"https://a@sns.{region}.amazonaws.com/{file}",
        f"https://sns.{region}.amazonaws.com/a/{file}",
        f"https://sns.{region}.amazonaws.com/{file}?a",
        f"https://s3.amazonaws.com/{file}",
        "https://169.254.169.254/latest/meta-data",
    ):
        yield forged(f"certificate at {url}"[:60], SigningCertURL=url)
    if cert_host is not None:
        url = f"http://{cert_host}/{file}"
        yield ask("a certificate that is not there", 503, "not_committed", SigningCertURL=url)
