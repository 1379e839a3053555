"""Calls every route and every refusal of the API, and prints what came back, a line a call.

python -m tests.system.walk            on an installation of its own: everything
python -m tests.system.walk URL KEY    on a running one: what can be asked from outside; whatever
                                       mail is accepted is due in 300 days and cancelled at the end
Exit code 0: every answer was as expected.
"""

import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx2

from shared.store.read import Reader
from shared.token import open_token
from tests.system import asks
from tests.system.amazon import Amazon, body_of, headers_of
from tests.system.asks import MESSAGES, RESULTS, Ask
from tests.system.stack import KEY, Stack, until

TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:ses"
ZONE = "Europe/Berlin"  # its clocks skip an hour each spring


class Walk:
    """Goes from call to call, and keeps what was not as expected."""

    def __init__(self, url: str, key: str) -> None:
        self.faults: list[str] = []
        self.calls = 0
        self._key = key
        self._url = url
        self._http = httpx2.Client(base_url=url, timeout=60)

    def close(self) -> None:
        self._http.close()

    def all(self, asked: Iterable[Ask]) -> None:
        for ask in asked:
            self.call(ask)

    def call(self, ask: Ask, times: int = 1) -> None:
        """Make one call, so many times, and judge the last answer."""
        headers = [*ask.headers]
        keys = [self._key] if ask.key is None else ask.key
        headers += (("x-api-key", key) for key in keys)
        content = ask.body
        if content is not None and not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers.append(("content-type", "application/json"))
        for _ in range(times):
            answer = self._http.request(ask.method, ask.path, content=content, headers=headers)
        self._note(ask, answer, [*faults_of(ask, answer), *sealed(answer)])

    def raw(self, ask: Ask, pieces: Iterable[bytes]) -> None:
        """Say bytes that no HTTP client would, and judge the answer."""
        parts = urlsplit(self._url)
        with socket.create_connection((parts.hostname, parts.port or 80), 60) as line:
            for piece in pieces:
                line.sendall(piece)
            said = b""
            while chunk := line.recv(65536):
                said += chunk
        head, _, body = said.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        headers = [tuple(field.split(": ", 1)) for field in fields]
        answer = httpx2.Response(int(status.split()[1]), headers=headers, content=body)
        self._note(ask, answer, faults_of(ask, answer))

    def _note(self, ask: Ask, answer: httpx2.Response, faults: Iterable[str]) -> None:
        self.calls += 1
        told = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        words = f"{told.get('code', '')}: {told['error']}" if "error" in told else answer.text
        line = f"{ask.method:6} {short(ask.path, 32):32} {short(ask.what, 42):42}"
        line += f" {ask.status} {answer.status_code} {short(words, 90)}"
        faults = [*faults]
        tell("BAD" if faults else "ok ", line, *faults)
        self.faults += (f"{line}: {fault}" for fault in faults)


def tell(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - what a script is for


def short(text: str, most: int) -> str:
    text = "".join(c if c.isprintable() and c.isascii() else "." for c in text)
    return text if len(text) <= most else f"{text[: most - 2]}.."


def faults_of(ask: Ask, answer: httpx2.Response) -> Iterator[str]:
    if answer.status_code != ask.status:
        yield f"status {answer.status_code}"
        return
    if ask.code:
        told = answer.json()
        if not told["error"] or told["code"] != ask.code:
            yield f"code {told['code']} instead of {ask.code}"
        first = [fault["pointer"] for fault in told["errors"]][:1]
        if ask.pointer is not None and first != [ask.pointer]:
            yield f"pointer {first} instead of {ask.pointer}"
        if not all(fault["message"] for fault in told["errors"]):
            yield "a fault without a sentence"
    needed = {401: "www-authenticate", 409: "retry-after", 429: "retry-after", 503: "retry-after"}
    # /ready has a status to tell, and nobody to ask for patience.
    if ask.code and (name := needed.get(ask.status)) and name not in answer.headers:
        yield f"no {name}"
    if not ask.fits(answer):
        yield "another answer"


def sealed(answer: httpx2.Response) -> Iterator[str]:
    """Every answer has these."""
    for name in ("x-request-id", "x-content-type-options", "cache-control"):
        if name not in answer.headers:
            yield f"no {name}"


# ── from outside ──


def outside(walk: Walk, zone: ZoneInfo, topic_arn: str, cert_host: str | None = None) -> None:
    topic = f"walk-{secrets.token_hex(4)}"
    walk.all(asks.strangers())
    walk.all(asks.unreadable())
    walk.all(asks.misshapen())
    walk.all(asks.invalid(zone))
    walk.all(asks.taken(topic, zone))
    walk.all(asks.topics(topic))
    walk.all(asks.pixels())
    walk.all(asks.posts(topic_arn, cert_host))
    heads(walk)


def heads(walk: Walk) -> None:
    """What is refused before its body, or before it is a request."""
    host = b"Host: walk\r\nX-API-KEY: " + walk._key.encode() + b"\r\nConnection: close\r\n"
    json_ = b"Content-Type: application/json\r\n"
    large = b"POST /v1/messages HTTP/1.1\r\n" + host + json_ + b"Content-Length: 26214401\r\n\r\n"
    walk.raw(Ask("25 MB and a byte", "POST", MESSAGES, 413, "too_large"), [large])
    walk.raw(Ask("no HTTP", "HELLO", "", 400, "bad_request"), [b"HELLO\r\n\r\n"])
    long = b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 17_000 + b"\r\n\r\n"
    walk.raw(Ask("a head of 17 KB", "GET", "/health", 431, "head_too_large"), [long])


# ── on an installation of our own ──


def inside(walk: Walk, stack: Stack, amazon: Amazon) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(slow_body, walk)
        outside(walk, ZoneInfo(ZONE), TOPIC_ARN, amazon.host)
        genuine_posts(walk, amazon)
        genuine_pixel(walk, stack)
        guessing(walk)
        writer_stopped(walk, stack, amazon)
        slow.result()


def slow_body(walk: Walk) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\nHost: walk\r\nContent-Type: application/json\r\n"
    head += b"X-API-KEY: " + walk._key.encode() + b"\r\nContent-Length: 100\r\n"
    half = head + b"Connection: close\r\n\r\n{"
    walk.raw(Ask("half a body, then nothing for 30 s", "POST", MESSAGES, 408, "too_slow"), [half])


def post(what: str, status: int, code: str, envelope: dict[str, str]) -> Ask:
    headers, raw = headers_of(envelope), body_of(envelope)
    return Ask(what, "POST", RESULTS, status, code, headers=headers, body=raw, key=[])


def genuine_posts(walk: Walk, amazon: Amazon) -> None:
    for version in ("1", "2"):
        walk.call(post(f"genuine, version {version}", 200, "", amazon.notification("{}", version)))
    genuine = amazon.notification("{}", Subject="Amazon SES")
    walk.call(post("genuine, with a subject", 200, "", genuine))
    walk.call(post("the same once more", 200, "", genuine))
    changed = genuine | {"Message": '{"eventType":"Delivery"}'}
    walk.call(post("a changed byte", 403, "not_believed", changed))
    version = genuine | {"SignatureVersion": "1"}
    walk.call(post("signed by the other version", 403, "not_believed", version))
    unknown = amazon.confirmation("a-token-that-SNS-never-made")
    walk.call(post("a confirmation SNS knows nothing of", 503, "not_committed", unknown))
    forged = amazon.confirmation("a-token") | {"Token": "another-token"}
    walk.call(post("a forged confirmation", 403, "not_believed", forged))


def genuine_pixel(walk: Walk, stack: Stack) -> None:
    email = "success+pixel@simulator.amazonses.com"
    now = asks.body(asks.mail(topic_id="walk-pixel", emails=[email]), at=None)
    sent = Ask("at once", "POST", MESSAGES, 200, body=now, fits=lambda a: not a.json()["scheduled"])
    walk.call(sent)
    walk.call(sent._replace(what='scheduled_at is "": at once', body=now | {"scheduled_at": ""}))
    [(recipient,), _] = stack.sql("SELECT id FROM recipient WHERE email = ? ORDER BY id", email)
    install = Reader(stack.folder / "data" / "ses-sender.db").install()
    token = open_token(install.pixel_secret, recipient)
    walk.all(asks.pixels(token))
    until("one hit is counted", lambda: stack.sql("SELECT hits FROM opening") == [(1,)], 10)
    stack.wait_counts({"Sent": 2}, "walk-pixel", 10)
    walk.call(Ask("two were sent", "GET", asks.SENT, 200, fits=lambda a: a.json() == {"count": 2}))


def guessing(walk: Walk) -> None:
    """Somebody behind the proxy tries keys; nobody else has to wait for that."""
    guest, other = ((("x-forwarded-for", f"203.0.113.{n}"),) for n in (7, 8))
    guess = Ask("20 wrong keys of one client", "GET", asks.SENT, 401, "no_key", key=["x"])
    walk.call(guess._replace(headers=guest), times=20)
    tired = Ask("and a right one", "GET", asks.SENT, 429, "too_many_attempts", headers=guest)
    walk.call(tired)
    walk.call(Ask("another client", "GET", asks.SENT, 200, headers=other))
    feigned = (("x-forwarded-for", "203.0.113.7, 203.0.113.9"),)
    walk.call(Ask("a client that feigns to be the first", "GET", asks.SENT, 200, headers=feigned))
    walk.call(Ask("this machine", "GET", asks.SENT, 200))
    walk.call(Ask("SNS and pixels are never limited", "GET", asks.OPEN, 200, headers=guest, key=[]))


def writer_stopped(walk: Walk, stack: Stack, amazon: Amazon) -> None:
    """SIGSTOP to the writer: at first nobody knows, then the API says so at once."""
    mail = asks.body(asks.mail(topic_id="walk-stopped"), at=None)
    key = (("idempotency-key", "stopped"),)
    genuine = amazon.notification()
    stack.kill("writer", signal.SIGSTOP)
    with ThreadPoolExecutor(3) as pool:
        hang: list[Future[None]] = []
        sent = Ask("the writer is stopped", "POST", MESSAGES, 504, "outcome_unknown", headers=key)
        known = sent._replace(body=mail, fits=lambda a: len(a.json()["submission_id"]) == 32)
        hang.append(pool.submit(walk.call, known))
        threading.Event().wait(0.5)
        again = Ask("the same key meanwhile", "POST", MESSAGES, 409, "still_running", headers=key)
        walk.call(again._replace(body=mail))
        stop = Ask("the writer is stopped", "DELETE", "/v1/topics/walk-pixel", 503, "not_confirmed")
        hang.append(pool.submit(walk.call, stop))
        late = post("the writer is stopped", 503, "not_committed", genuine)
        hang.append(pool.submit(walk.call, late))
        until("it is missed", lambda: stack.http.get("/ready").status_code == 503, 20)
        missed = Ask("the writer is missed", "POST", MESSAGES, 503, "storage_unavailable")
        walk.call(missed._replace(body=mail))
        walk.call(Ask("the writer is missed", "GET", "/ready", 503))
        walk.call(Ask("the writer is missed", "GET", "/health", 200))
        walk.call(Ask("the writer is missed", "GET", "/v1/topics/walk-stopped", 200))
        for future in hang:
            future.result()
    stack.kill("writer", signal.SIGCONT)
    until("the writer is heard", stack.ready, 20)
    walk.call(post("what SNS posts again", 200, "", genuine))
    walk.call(Ask("nothing was stored", "GET", "/v1/topics/walk-stopped", 200, fits=is_unused))
    walk.call(Ask("the same key again", "POST", MESSAGES, 200, headers=key, body=mail))


def is_unused(answer: httpx2.Response) -> bool:
    return not any(answer.json()["request_counts"].values())


def unlisted(walk: Walk, amazon: Amazon) -> None:
    """Without SNS_TOPIC_ARN a genuine post is put off, and the topic is named."""
    told = post("genuine, but no topic is listed", 503, "not_committed", amazon.notification())
    walk.call(told._replace(fits=lambda a: f"SNS_TOPIC_ARN={TOPIC_ARN}" in a.json()["error"]))
    forged = amazon.notification() | {"Message": "[]"}
    walk.call(post("forged, and no topic is listed", 403, "not_believed", forged))
    ready = Ask("the topic is named", "GET", "/ready", 200)
    named = f"{TOPIC_ARN} posts events, but SNS_TOPIC_ARN does not name it"
    until("the monitor has heard", lambda: named in walk._http.get("/ready").text, 10)
    walk.call(ready._replace(fits=lambda a: named in " ".join(a.json()["degraded"])))


@contextmanager
def installation(folder: Path, amazon: Amazon, **more: str) -> Iterator[Stack]:
    stack = Stack(folder, SCHEDULE_TIMEZONE=ZONE, TRUSTED_PROXIES="127.0.0.1", **more)
    stack.settings(SNS_CERT_HOSTS=f"{stack.environment['SNS_CERT_HOSTS']},{amazon.host}")
    try:
        yield stack.start()
    finally:
        stack.close()


def everything(folder: Path) -> Walk:
    """Walk on an installation of our own, then on the same one without a listed topic."""
    with ExitStack() as ends:
        amazon = Amazon(TOPIC_ARN)
        ends.callback(amazon.close)
        stack = ends.enter_context(installation(folder, amazon))
        stack.connect_events()
        walk = Walk(stack.url, KEY)
        ends.callback(walk.close)
        inside(walk, stack, amazon)
        stack.stop()
        stack.settings(SNS_TOPIC_ARN="")
        stack.start()
        unlisted(walk, amazon)
    return walk


def main(arguments: list[str]) -> int:
    if len(arguments) == 2:
        walk = Walk(*arguments)
        zone = ZoneInfo(os.environ.get("SCHEDULE_TIMEZONE") or "Asia/Seoul")
        outside(walk, zone, os.environ.get("SNS_TOPIC_ARN") or TOPIC_ARN)
        walk.close()
    elif not arguments:
        with tempfile.TemporaryDirectory() as folder:
            walk = everything(Path(folder))
    else:
        tell(__doc__)
        return 2
    bad = len(walk.faults)
    tell(f"{walk.calls} calls, {f'{bad} not' if bad else 'all'} as expected")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
