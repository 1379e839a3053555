"""Orders over topics and single mails: what goes to the writer, and what its answers mean."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from shared.domain import State
from shared.protocol import (
    CancelMail,
    CancelTopic,
    OrderDone,
    OrderFailed,
    OrderRefused,
    PauseTopic,
    RescheduleTopic,
    ResolveMail,
    ResumeTopic,
    RetryFailed,
)
from tests.unit.api.rig import KEY, Rig, at, refusing

ORDERS = (
    CancelMail
    | CancelTopic
    | PauseTopic
    | RescheduleTopic
    | ResolveMail
    | ResumeTopic
    | RetryFailed
)
TOPIC = "/v1/topics/news"
LATER = {"scheduled_at": "2027-01-16 09:00:00"}


@pytest.fixture
def rig():
    return Rig()


def order_of(rig):
    """Answer the one order that was given; it went to the writer's own mailbox."""
    (letter,) = rig.letters
    assert letter.to == "writer"
    assert letter.message.reply_to == "api"
    return letter.message


def refused(answer, status, code):
    """Check the form of an error, and answer its sentence."""
    error = answer.json()
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert isinstance(error["errors"], list)
    return error["error"]


# Topics


def test_pause(rig):
    answer = rig.ask("POST", f"{TOPIC}/pause", {"reason": "the price is wrong"})
    assert answer.json() == {
        "status": "ok",
        "topic_id": "news",
        "state": "paused",
        "waiting": 3,
        "in_flight": 1,
    }
    order = order_of(rig)
    assert (order.topic, order.reason) == ("news", "the price is wrong")


@pytest.mark.parametrize("body", [None, b"", b"  ", {}, {"reason": None}, {"reason": ""}])
def test_a_pause_needs_no_reason(rig, body):
    assert rig.ask("POST", f"{TOPIC}/pause", body).status_code == 200
    assert order_of(rig).reason == ""


@pytest.mark.against("A22")
@pytest.mark.parametrize("reason", ["x" * 501, "a\nb", "a\0", "\x9b", "\u2028"])
def test_bad_reasons(rig, reason):
    answer = rig.ask("POST", f"{TOPIC}/pause", {"reason": reason})
    refused(answer, 422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/reason"
    assert rig.letters == []


def test_a_reason_may_have_five_hundred_characters(rig):
    rig.ask("POST", f"{TOPIC}/pause", {"reason": "한" * 500})
    assert order_of(rig).reason == "한" * 500


def test_resume(rig):
    answer = rig.ask("POST", f"{TOPIC}/resume")
    assert answer.json() == {"status": "ok", "topic_id": "news", "waiting": 3}
    assert isinstance(order_of(rig), ResumeTopic)


def test_retry_failed(rig):
    assert rig.ask("POST", f"{TOPIC}/retry-failed").json() == {"status": "ok", "retried": 3}
    assert isinstance(order_of(rig), RetryFailed)


def test_reschedule(rig):
    answer = rig.ask("PATCH", TOPIC, LATER)
    assert answer.json() == {
        "status": "ok",
        "rescheduled": 3,
        "in_flight": 1,
        "scheduled_at": "2027-01-16T09:00:00+09:00",
        "scheduled_at_utc": "2027-01-16T00:00:00Z",
    }
    assert order_of(rig).due_at == 1_800_057_600_000


@pytest.mark.parametrize("when", [None, "", "2027-01-15T07:58:00Z"])
def test_reschedule_to_now(rig, when):
    answer = rig.ask("PATCH", TOPIC, {"scheduled_at": when}).json()
    assert (answer["scheduled_at"], answer["scheduled_at_utc"]) == (None, None)
    assert order_of(rig).due_at is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "wrong_shape"),
        ({"scheduled_at": 5}, "wrong_shape"),
        ({"scheduled_at": "tomorrow"}, "invalid"),
        ({"scheduled_at": "2027-01-15T07:00:00Z"}, "invalid"),
        ({"scheduled_at": "2028-02-01T07:00:00Z"}, "invalid"),
    ],
)
def test_bad_times(rig, body, code):
    answer = rig.ask("PATCH", TOPIC, body)
    refused(answer, 422, code)
    assert answer.json()["errors"][0]["pointer"] == "/scheduled_at"
    assert rig.letters == []


@pytest.mark.parametrize(
    ("path", "topic"),
    [
        ("a/b", "a/b"),
        ("a%2Fb", "a/b"),
        ("x/pause", "x/pause"),
        ("a//b", "a//b"),
        ("..%2F..%2Fx", "../../x"),
        ("%F0%9F%8E%89", "🎉"),
        ("100%25%20%3Fx%23", "100% ?x#"),
        ("x/", "x/"),
    ],
)
def test_what_stands_before_the_last_word_is_the_topic(rig, path, topic):
    for word in ("pause", "resume", "retry-failed"):
        assert rig.ask("POST", f"/v1/topics/{path}/{word}").status_code == 200
    rig.ask("DELETE", f"/v1/topics/{path}")
    rig.ask("PATCH", f"/v1/topics/{path}", LATER)
    assert [letter.message.topic for letter in rig.letters] == [topic] * 5


def test_a_topic_whose_name_ends_like_an_order_is_deleted_and_moved_under_it(rig):
    rig.ask("DELETE", "/v1/topics/x/pause")
    rig.ask("PATCH", "/v1/topics/x/pause", LATER)
    assert [letter.message.topic for letter in rig.letters] == ["x/pause"] * 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/topics//pause", None),
        ("DELETE", "/v1/topics/", None),
        ("DELETE", "/v1/topics/a%0A", None),
        ("POST", "/v1/topics/a/pause%0A", None),
        ("PATCH", "/v1/topics/a%0A", LATER),
    ],
)
def test_what_names_no_topic_steers_none(rig, method, path, body):
    """The router drops a line break at the end: `a` is not what was named."""
    refused(rig.ask(method, path, body), 404, "not_found")
    assert rig.letters == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{TOPIC}/pause", None),
        ("POST", f"{TOPIC}/resume", None),
        ("POST", f"{TOPIC}/retry-failed", None),
        ("PATCH", TOPIC, LATER),
    ],
)
def test_what_the_writer_says_no_to(rig, method, path, body):
    rig.answer = refusing("no_such_topic")
    assert "'news'" in refused(rig.ask(method, path, body), 404, "no_such_topic")
    rig.answer = refusing("something_new")
    refused(rig.ask(method, path, body), 409, "something_new")
    rig.answer = lambda order: OrderFailed(order.order, "storage_full")
    refused(rig.ask(method, path, body), 503, "storage_full")
    rig.answer = lambda order: OrderFailed(order.order, "poisonous")
    refused(rig.ask(method, path, body), 500, "poisonous")
    rig.answer = lambda _: None
    answer = rig.ask(method, path, body)
    refused(answer, 503, "not_confirmed")
    assert answer.headers["retry-after"]


# Single mails


def test_cancel_one_mail(rig):
    rig.answer = lambda order: OrderDone(order.order, 1, state=State.STOPPED)
    answer = rig.ask("POST", "/v1/messages/77/cancel")
    assert answer.json() == {"status": "ok", "id": 77, "state": "Stopped"}
    assert order_of(rig).recipient == 77


def test_a_cancelled_unknown_mail_stays_unknown(rig):
    rig.answer = lambda order: OrderDone(order.order, 1, state=State.UNKNOWN)
    assert rig.ask("POST", "/v1/messages/77/cancel").json()["state"] == "Unknown"


@pytest.mark.parametrize(
    ("outcome", "resend", "state"), [("sent", False, "Sent"), ("resend", True, "Created")]
)
def test_resolve_one_mail(rig, outcome, resend, state):
    answer = rig.ask("POST", "/v1/messages/77/resolve", {"outcome": outcome})
    assert answer.json() == {"status": "ok", "id": 77, "state": state}
    order = order_of(rig)
    assert (order.recipient, order.resend) == (77, resend)


@pytest.mark.parametrize("body", [{}, {"outcome": None}, {"outcome": "failed"}, {"outcome": True}])
def test_bad_outcomes(rig, body):
    answer = rig.ask("POST", "/v1/messages/77/resolve", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/outcome"
    assert rig.letters == []


@pytest.mark.parametrize(
    "mail", ["0", "-1", "abc", "1.0", "1e3", "9" * 19, "9" * 400, "%D9%A3", "%20", "77%0A", "+7"]
)
def test_ids_that_are_nobodys(rig, mail):
    for word, body in (("cancel", None), ("resolve", {"outcome": "sent"})):
        answer = rig.ask("POST", f"/v1/messages/{mail}/{word}", body)
        refused(answer, 404, "no_such_message")
    refused(rig.ask("POST", "/v1/messages/77/cancel%0A"), 404, "no_such_message")
    assert rig.letters == []


@pytest.mark.parametrize(
    ("word", "code", "state", "status", "told"),
    [
        ("cancel", "no_such_message", None, 404, "no mail of this id"),
        ("cancel", "in_flight", State.PROCESSED, 409, "handed to SES right now"),
        ("cancel", "final", State.SENT, 409, "is Sent: SES has it"),
        ("cancel", "final", State.FAILED, 409, "is Failed: it is not tried again, unless"),
        ("cancel", "final", State.SUPPRESSED, 409, "suppression list"),
        ("cancel", "something_new", None, 409, "not possible as things stand"),
        ("resolve", "no_such_message", None, 404, "no mail of this id"),
        ("resolve", "not_unknown", State.SENT, 409, "is Sent, not Unknown"),
        ("resolve", "cancelled", State.UNKNOWN, 409, '{"outcome":"sent"}'),
    ],
)
def test_what_cannot_be_done_to_a_mail(rig, word, code, state, status, told):
    rig.answer = refusing(code, state=state)
    body = {"outcome": "resend"} if word == "resolve" else None
    answer = rig.ask("POST", f"/v1/messages/77/{word}", body)
    assert told in refused(answer, status, code)
    assert answer.json().get("state") == (state and state.word)


# Bodies

BODIES = [
    ("POST", f"{TOPIC}/pause"),
    ("POST", f"{TOPIC}/resume"),
    ("POST", f"{TOPIC}/retry-failed"),
    ("PATCH", TOPIC),
    ("POST", "/v1/messages/77/cancel"),
    ("POST", "/v1/messages/77/resolve"),
    ("PATCH", "/v1/account"),
    ("POST", "/v1/account/resume"),
    ("POST", "/v1/suppressions"),
    ("DELETE", "/v1/suppressions"),
]


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_bodies_that_are_not_understood_change_nothing(rig, method, path):
    for raw, status in (
        (b"[]", 422),
        (b"null", 422),
        (b'"x"', 422),
        (b"1", 422),
        (b'{"unknown":1}', 422),
        (b"{", 400),
        (b"NaN", 400),
        (b'{"reason":NaN}', 400),
        (b"1e999", 400),
        (b"9" * 10_000, 400),
        (b"\xff", 400),
        (b"[" * 60_000, 400),
    ):
        answer = rig.ask(method, path, raw)
        assert answer.status_code == status, (raw[:20], answer.text)
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        refused(rig.ask(method, path, b"{}", content_type=kind), 415, "not_json_type")
    assert rig.ask(method, f"{path}?dry_run=1", b"{}").status_code == 422
    assert rig.letters == []


NEEDED = [BODIES[3], BODIES[5], BODIES[6], BODIES[8], BODIES[9]]


@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_a_body_that_is_needed_and_empty(rig, method, path):
    assert rig.ask(method, path, b"").status_code == 400
    assert rig.ask(method, path).status_code == 415
    assert rig.letters == []


@pytest.mark.parametrize(("method", "path"), BODIES[:8])
def test_a_body_of_an_order_is_small(rig, method, path):
    refused(rig.ask(method, path, b" " * (64 * 1024 + 1)), 413, "too_large")
    assert rig.letters == []


def test_a_query_is_not_ignored(rig):
    """A misspelled wish for less must not do more."""
    refused(rig.ask("DELETE", f"{TOPIC}?dry_run=true"), 422, "invalid")
    assert rig.letters == []


# Idempotency keys

POSTS = [
    (f"{TOPIC}/pause", None),
    (f"{TOPIC}/resume", None),
    (f"{TOPIC}/retry-failed", None),
    ("/v1/messages/77/cancel", None),
    ("/v1/messages/77/resolve", {"outcome": "sent"}),
    ("/v1/suppressions", {"email": "ann@example.com"}),
    ("/v1/account/resume", None),
]


@pytest.mark.parametrize(("path", "body"), POSTS)
def test_orders_of_one_key_are_known_by_it_and_by_their_body(rig, path, body):
    for key in ("k1", "k1", "k2"):
        rig.ask("POST", path, body, idempotency_key=key)
    first, again, other = (letter.message.order.split(":") for letter in rig.letters)
    assert first[:2] == again[:2]
    assert first[2] != again[2], "two requests, two orders: the writer tells a repeat by it"
    assert other[0] != first[0]
    assert other[1] == first[1]
    assert "k1" not in first[0]


def test_another_body_of_one_key_is_told_to_the_writer(rig):
    for reason in ("a", "b"):
        rig.ask("POST", f"{TOPIC}/pause", {"reason": reason}, idempotency_key="k")
    first, second = (letter.message.order.split(":") for letter in rig.letters)
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_without_a_key_each_request_is_an_order_of_its_own(rig):
    for _ in range(2):
        rig.ask("POST", f"{TOPIC}/pause")
    first, second = rig.sent(PauseTopic)
    assert first.order != second.order
    assert ":" not in first.order


def test_one_key_on_two_paths_are_two_wishes(rig):
    rig.ask("POST", f"{TOPIC}/pause", idempotency_key="k")
    rig.ask("POST", f"{TOPIC}/resume", idempotency_key="k")
    first, second = (letter.message.order.split(":")[0] for letter in rig.letters)
    assert first != second


@pytest.mark.against("H45", "H46")
@pytest.mark.parametrize(("path", "body"), POSTS)
def test_a_replay_says_so_and_another_body_is_refused(rig, path, body):
    rig.answer = lambda order: OrderDone(order.order, 3, replayed=True)
    answer = rig.ask("POST", path, body, idempotency_key="k")
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (200, "true")
    rig.answer = lambda order: OrderDone(order.order, 3)
    answer = rig.ask("POST", path, body, idempotency_key="k")
    assert "idempotent-replayed" not in answer.headers
    rig.answer = refusing("idempotency_mismatch")
    answer = rig.ask("POST", path, body, idempotency_key="k")
    refused(answer, 422, "idempotency_mismatch")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9"])
def test_bad_keys(rig, key):
    answer = rig.ask("POST", f"{TOPIC}/pause", idempotency_key=key.encode("latin-1"))
    refused(answer, 400, "bad_idempotency_key")
    assert rig.letters == []


def test_a_key_whose_order_is_running_is_a_409_and_is_free_again_after(rig):
    with TestClient(rig.app, client=("127.0.0.1", 1)) as client, ThreadPoolExecutor(1) as pool:
        asked = threading.Event()
        rig.answer = lambda _: asked.set()
        rig.pass_time = lambda: None  # nobody gives up: the answer comes later
        headers = {"X-API-KEY": KEY, "Idempotency-Key": "k"}
        first = pool.submit(client.post, f"{TOPIC}/pause", headers=headers)
        assert asked.wait(5)
        twin = client.post(f"{TOPIC}/pause", headers=headers)
        refused(twin, 409, "still_running")
        client.portal.call(rig.hear, OrderDone(rig.sent(PauseTopic)[0].order, 1))
        assert first.result(5).status_code == 200
        rig.answer = lambda order: OrderRefused(order.order, "no_such_topic")
        refused(client.post(f"{TOPIC}/pause", headers=headers), 404, "no_such_topic")


def test_orders_wait_for_the_writer_as_long_as_it_takes_to_come_back(rig):
    rig.answer = lambda _: None
    assert rig.ask("DELETE", TOPIC).status_code == 503
    assert len({order.order for order in rig.sent(CancelTopic)}) == 1
    assert len(rig.sent(CancelTopic)) > 15
    assert rig.actor.gauges(at(0))  # nothing is left open
    assert len(rig.actor.orders) == 0
