"""What a walk can only do on an installation of its own: send, break, stop."""

import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2

from shared.store.read import Reader
from shared.token import open_token
from tests.system import asks
from tests.system.amazon import Amazon, body_of, headers_of
from tests.system.asks import MESSAGES, RESULTS, Ask, body, has, mail, repeated
from tests.system.asks_refused import ACCOUNT, LISTED
from tests.system.stack import Stack, until
from tests.system.walker import Walk


def everything(walk: Walk, stack: Stack, amazon: Amazon) -> None:
    walk.all(asks.keyless())
    genuine_posts(walk, amazon)
    genuine_pixel(walk, stack)
    guessing(walk)
    ended(walk, stack)
    on_its_way(walk, stack)
    in_doubt(walk, stack)
    steered_account(walk, stack)
    writer_stopped(walk, stack, amazon)


def slow_body(walk: Walk) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\nHost: walk\r\nContent-Type: application/json\r\n"
    head += b"X-API-KEY: " + walk.key.encode() + b"\r\nContent-Length: 100\r\n"
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


# ── mail that is sent, failed, on its way, in doubt ──


def post_one(stack: Stack, name: str, topic: str | None = None) -> int:
    """Post a mail that is due now; answer its id. By default its topic is called like it."""
    mails = [mail(topic_id=topic or f"walk-{name}", emails=[f"walk-{name}@example.com"])]
    answer = stack.http.post(f"{MESSAGES}?return=ids", json=body(*mails, at=None))
    [one] = answer.json()["ids"]
    return int(one["id"])


def order(number: int, name: str, status: int = 200, code: str = "", **more: Any) -> Ask:
    """Make an order over one mail."""
    what = more.pop("what", f"{name} of a mail")
    return Ask(what, "POST", f"{MESSAGES}/{number}/{name}", status, code, **more)


def refused(status: int, address: str, code: str) -> dict[str, Any]:
    match = {"address_re": f"walk-{address}"}
    return {"do": "error", "status": status, "code": code, "message": "No.", "match": match}


def ended(walk: Walk, stack: Stack) -> None:
    """Mail that SES has, and mail that it refused: neither can be cancelled; one can be retried."""
    stack.faults(rules=[refused(400, "bad", "MessageRejected")])
    sent, bad = post_one(stack, "good"), post_one(stack, "bad")
    stack.wait_counts({"Sent": 1}, "walk-good", 20)
    stack.wait_counts({"Failed": 1}, "walk-bad", 20)
    for number, state in ((sent, "Sent"), (bad, "Failed")):
        told = has(state=state)
        walk.call(order(number, "cancel", 409, "final", what=f"it is {state}", fits=told))
        over = order(number, "resolve", 409, "not_unknown", body={"outcome": "sent"}, fits=told)
        walk.call(over._replace(what=f"it is {state}"))
    of_bad = f"{MESSAGES}?topic_id=walk-bad&status=Failed"
    why = Ask("why it failed", "GET", of_bad, 200)
    said = {"id": bad, "code": "MessageRejected", "detail": "No.", "sent_at": None}.items()
    walk.call(why._replace(fits=lambda a: said <= a.json()["messages"][0].items()))
    stack.faults()
    retry = Ask("retry the failed", "POST", "/v1/topics/walk-bad/retry-failed", 200)
    walk.all(repeated(retry._replace(fits=has(status="ok", retried=1)), {}))
    stack.wait_counts({"Sent": 1}, "walk-bad", 20)
    walk.call(retry._replace(what="nobody is left", fits=has(retried=0)))
    heard = f"{MESSAGES}?topic_id=walk-bad&result=Delivery"
    until("its event is in", lambda: stack.topic("walk-bad")["result_counts"].get("Delivery"), 20)
    story = {"status": "Sent", "code": None, "result": "Delivery"}.items()
    asked = Ask("who was delivered to", "GET", heard, 200)
    walk.call(asked._replace(fits=lambda a: story <= a.json()["messages"][0].items()))
    told = Ask("its history", "GET", f"{MESSAGES}/{bad}", 200)
    words = ["accepted", "attempt", "sent", "event"]
    walk.call(told._replace(fits=lambda a: is_within(words, history(a)) and not a.json()["waits"]))


def history(answer: httpx2.Response) -> list[str]:
    return [entry["what"] for entry in answer.json()["history"]]


def is_within(words: list[str], found: list[str]) -> bool:
    """Tell whether these come in this order, whatever stands between."""
    rest = iter(found)
    return all(word in rest for word in words)


def on_its_way(walk: Walk, stack: Stack) -> None:
    """A mail whose call has begun cannot be stopped, and is counted."""
    stack.faults(latency_ms=5000)
    number = post_one(stack, "slow")
    calls = "SELECT 1 FROM lease WHERE gated_at IS NOT NULL"
    until("the call is permitted", lambda: stack.sql(calls), 20)
    told = has(state="Processed")
    walk.call(order(number, "cancel", 409, "in_flight", what="it is on its way", fits=told))
    flying = has(waiting=0, in_flight=1)
    pause = Ask("it is on its way", "POST", "/v1/topics/walk-slow/pause", 200, fits=flying)
    walk.call(pause)
    walk.call(pause._replace(method="DELETE", path="/v1/topics/walk-slow", fits=has(in_flight=1)))
    stack.faults()


def in_doubt(walk: Walk, stack: Stack) -> None:
    """Mail whose answer was lost: taken for sent, not sent again, sent again."""
    stack.faults(rules=[refused(500, "lost", "InternalFailure")])
    first, second, third = (post_one(stack, f"lost-{n}") for n in range(3))
    for n in range(3):
        stack.wait_counts({"Unknown": 1}, f"walk-lost-{n}", 20)
    stack.faults()
    listed = Ask("those in doubt", "GET", f"{MESSAGES}?status=Unknown", 200)
    ids = [third, second, first]
    walk.call(listed._replace(fits=lambda a: [m["id"] for m in a.json()["messages"]] == ids))
    sent, resend = {"outcome": "sent"}, {"outcome": "resend"}
    settle = order(first, "resolve", body=sent, fits=has(id=first, state="Sent"))
    walk.all(repeated(settle._replace(what="take it for sent"), resend))
    over = order(first, "resolve", 409, "not_unknown", body=sent, fits=has(state="Sent"))
    walk.call(over._replace(what="it is settled"))
    for _ in range(2):
        walk.call(order(second, "cancel", what="never again", fits=has(state="Unknown")))
    never = order(second, "resolve", 409, "cancelled", body=resend, fits=has(state="Unknown"))
    walk.call(never._replace(what="it was cancelled"))
    walk.call(order(second, "resolve", body=sent, fits=has(state="Sent"), what="take it for sent"))
    settle = order(third, "resolve", body=resend, fits=has(id=third, state="Created"))
    walk.all(repeated(settle._replace(what="send it again"), sent))
    for topic in ("walk-lost-2", "walk-slow"):
        stack.wait_counts({"Sent": 1}, topic, 20)
    marked = Ask("it is marked", "GET", f"{MESSAGES}/{third}", 200)
    flags = has(status="Sent", maybe_duplicate=True, duplicate_suspected=False)
    words = ["accepted", "resent", "sent"]
    walk.call(marked._replace(fits=lambda a: flags(a) and is_within(words, history(a))))


def steered_account(walk: Walk, stack: Stack) -> None:
    """The rate is changed and given back; bulk mail that goes on goes on."""

    def rate(wanted: Any, **told: Any) -> Ask:
        given = {"max_send_per_second": wanted}
        ask = Ask(f"a rate of {wanted}", "PATCH", ACCOUNT, 200, body=given)
        return ask._replace(fits=lambda a: told.items() <= a.json()["rate"].items())

    before = stack.http.get(ACCOUNT).json()["rate"]
    own = {"source": before["source"], "api": None, "in_force": before["in_force"]}
    for wanted in (20, 20, 0.5):
        walk.call(rate(wanted, source="api", api=wanted, in_force=wanted, setting="auto"))
    high = rate(100_000)._replace(what="100,000", status=422, code="rate_too_high")
    walk.call(high._replace(pointer="/max_send_per_second", fits=lambda _: True))
    walk.call(rate(None, **own))
    now = Ask("the rate is back", "GET", ACCOUNT, 200)
    walk.call(now._replace(fits=lambda a: own.items() <= a.json()["rate"].items()))
    going = has(status="ok", bulk={"paused": False, "reason": None, "since": None})
    walk.all(repeated(Ask("bulk mail", "POST", f"{ACCOUNT}/resume", 200, fits=going), {}))


# ── without a writer ──


def writer_stopped(walk: Walk, stack: Stack, amazon: Amazon) -> None:
    """SIGSTOP to the writer: at first nobody knows, then the API says so at once."""
    letter = asks.body(asks.mail(topic_id="walk-stopped"), at=None)
    key = (("idempotency-key", "stopped"),)
    genuine = amazon.notification()
    pause = Ask("the writer is stopped", "POST", "/v1/topics/walk-pixel/pause", 503)
    pause = pause._replace(code="not_confirmed", headers=key)
    sent = Ask("the writer is stopped", "POST", MESSAGES, 504, "outcome_unknown", headers=key)
    known = sent._replace(body=letter, fits=lambda a: len(a.json()["submission_id"]) == 32)
    late = post("the writer is stopped", 503, "not_committed", genuine)
    stack.kill("writer", signal.SIGSTOP)
    with ThreadPoolExecutor(20) as pool:
        hang: list[Future[None]] = [pool.submit(walk.call, ask) for ask in (known, pause, late)]
        threading.Event().wait(0.5)
        again = Ask("the same key meanwhile", "POST", MESSAGES, 409, "still_running", headers=key)
        walk.call(again._replace(body=letter))
        walk.call(pause._replace(what="the same key meanwhile", status=409, code="still_running"))
        hang += [pool.submit(walk.call, ask) for ask in unconfirmed()]
        until("it is missed", lambda: stack.http.get("/ready").status_code == 503, 20)
        missed = Ask("the writer is missed", "POST", MESSAGES, 503, "storage_unavailable")
        walk.call(missed._replace(body=letter))
        walk.call(Ask("the writer is missed", "GET", "/ready", 503))
        walk.call(Ask("the writer is missed", "GET", ACCOUNT, 503, "writer_not_heard"))
        for path in ("/health", "/v1/topics/walk-stopped", "/v1/topics", MESSAGES, LISTED):
            walk.call(Ask("the writer is missed", "GET", path, 200))
        for future in hang:
            future.result()
    stack.kill("writer", signal.SIGCONT)
    until("the writer is heard", stack.ready, 20)
    walk.call(post("what SNS posts again", 200, "", genuine))
    walk.call(Ask("nothing was stored", "GET", "/v1/topics/walk-stopped", 200, fits=is_unused))
    walk.call(Ask("the same key again", "POST", MESSAGES, 200, headers=key, body=letter))


def unconfirmed() -> list[Ask]:
    """Every order, while nobody carries it out."""
    reason, resolve = {"reason": "walk"}, {"outcome": "sent"}
    return [
        Ask("the writer is stopped", method, path, 503, "not_confirmed", body=given)
        for method, path, given in (
            ("DELETE", "/v1/topics/walk-pixel", None),
            ("POST", "/v1/topics/walk-pixel/pause", reason),
            ("POST", "/v1/topics/walk-pixel/resume", None),
            ("POST", "/v1/topics/walk-pixel/retry-failed", None),
            ("PATCH", "/v1/topics/walk-pixel", {"scheduled_at": None}),
            ("POST", f"{MESSAGES}/1/cancel", None),
            ("POST", f"{MESSAGES}/1/resolve", resolve),
            ("POST", LISTED, {"email": "walk-stopped@example.com"}),
            ("DELETE", LISTED, {"email": "walk-stopped@example.com"}),
            ("DELETE", f"{LISTED}/walk-stopped@example.com", None),
            ("PATCH", ACCOUNT, {"max_send_per_second": None}),
            ("POST", f"{ACCOUNT}/resume", None),
        )
    ]


def is_unused(answer: httpx2.Response) -> bool:
    return not any(answer.json()["request_counts"].values())


def unlisted(walk: Walk, amazon: Amazon) -> None:
    """Without SNS_TOPIC_ARN a genuine post is put off, and the topic is named."""
    told = post("genuine, but no topic is listed", 503, "not_committed", amazon.notification())
    walk.call(
        told._replace(fits=lambda a: f"SNS_TOPIC_ARN={amazon.topic_arn}" in a.json()["error"])
    )
    forged = amazon.notification() | {"Message": "[]"}
    walk.call(post("forged, and no topic is listed", 403, "not_believed", forged))
    ready = Ask("the topic is named", "GET", "/ready", 200)
    named = f"{amazon.topic_arn} posts events, but SNS_TOPIC_ARN does not name it"
    until("the monitor has heard", lambda: named in walk.http.get("/ready").text, 10)
    walk.call(ready._replace(fits=lambda a: named in " ".join(a.json()["degraded"])))
