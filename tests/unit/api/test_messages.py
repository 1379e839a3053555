"""POST /v1/messages: the way of a submission, and every way it can end."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from shared.protocol import IdempotencyKey, LookUp, NotStored, Stored, Submit
from tests.unit.api.rig import KEY, WALL, Rig, at, body, mail, not_stored, stored, writer_state


@pytest.fixture
def rig():
    return Rig()


@pytest.mark.against("H42")
def test_the_ancestors_request_is_answered_with_the_ancestors_fields(rig):
    emails = ["user1@example.com", "user2@example.com"]
    sent = mail(topic_id="newsletter_2027_01", emails=emails)
    answer = rig.send(body(sent, scheduled_at="2027-01-16 09:00:00"))
    (submit,) = rig.sent(Submit)
    assert answer.status_code == 200
    assert answer.json() == {
        "total": 2,
        "success": 2,
        "errors": 0,
        "duplicates": 0,
        "suppressed": 0,
        "duration_ms": 7,
        "scheduled": True,
        "submission_id": submit.submission,
        "rejected": [],
        "scheduled_at": "2027-01-16T09:00:00+09:00",
        "scheduled_at_utc": "2027-01-16T00:00:00Z",
    }


def test_what_the_writer_is_told(rig):
    rig.send(body(mail(topic_id="t")))
    (letter,) = rig.letters
    assert letter.to == "intake"
    submit = letter.message
    assert submit.reply_to == "api"
    assert submit.deadline == at(5).mono
    assert submit.began_mono == at(0).mono
    assert submit.accepted_at == int(WALL * 1000)
    assert submit.scheduled_at is None
    assert submit.idempotency is None
    assert submit.mails[0].topic == "t"


def test_a_time_that_has_just_passed_is_now(rig):
    answer = rig.send(body(scheduled_at="2027-01-15T07:58:00Z")).json()
    assert answer["scheduled"] is False
    assert "scheduled_at" not in answer


@pytest.mark.against("H34")
def test_bad_addresses_and_repeats_are_counted_and_the_rest_is_stored(rig):
    emails = ["a@example.com", "bad", "A@example.com", "x@localhost", "b@example.com"]
    answer = rig.send(body(mail(emails=emails))).json()
    assert (answer["total"], answer["success"]) == (5, 2)
    assert (answer["errors"], answer["duplicates"]) == (2, 1)
    assert [(one["message"], one["index"], one["email"]) for one in answer["rejected"]] == [
        (0, 1, "bad"),
        (0, 3, "x@localhost"),
    ]
    assert all(one["reason"] for one in answer["rejected"])
    assert "rejected_truncated" not in answer


def test_a_cut_list_of_rejected_addresses_says_so(rig):
    answer = rig.send(body(mail(emails=["bad"] * 101 + ["a@example.com"]))).json()
    assert answer["errors"] == 101
    assert len(answer["rejected"]) == 100
    assert answer["rejected_truncated"] is True


def test_suppressed_mail_is_counted_by_the_writer(rig):
    rig.answer = lambda submit: stored(submit, success=1, suppressed=1, total=2)
    answer = rig.send(body(mail(emails=["a@example.com", "b@example.com"]))).json()
    assert (answer["success"], answer["suppressed"]) == (1, 1)


def test_a_large_list_is_checked_on_a_thread_and_answered_the_same(rig):
    emails = [f"user{n}@example.com" for n in range(10_000)]
    assert rig.send(body(mail(emails=emails))).json()["success"] == 10_000


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("late", 503),
        ("absent", 503),
        ("storage_full", 503),
        ("storage_failed", 503),
        ("something_new", 503),
        ("idempotency_mismatch", 422),
        ("poisonous", 500),
    ],
)
def test_what_the_writer_refuses(rig, code, status):
    rig.answer = not_stored(code)
    answer = rig.send(body())
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    "state",
    [writer_state(seq=2, storing=False, trouble="the disk is full"), writer_state(seq=2)],
)
def test_without_a_writer_nothing_is_sent_at_all(rig, state):
    rig.hear(state)
    rig.now = at(0 if not state.storing else 4)
    answer = rig.send(body())
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert rig.letters == []
    assert rig.send(b"{").status_code == 400


def test_too_much_waiting_mail_is_refused_at_once(rig):
    rig.actor.submissions.octets = 64 * 1024 * 1024
    answer = rig.send(body())
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert rig.letters == []


def test_a_lost_answer_is_looked_up(rig):
    rig.answer = lambda message: stored(message_of(rig)) if isinstance(message, LookUp) else None
    answer = rig.send(body())
    assert answer.status_code == 200
    assert len(rig.sent(Submit)) > 5


def test_a_submission_that_never_arrived_is_a_503(rig):
    rig.answer = lambda message: (
        NotStored(message.submission, "absent") if isinstance(message, LookUp) else None
    )
    assert rig.send(body()).status_code == 503


def test_a_writer_that_says_nothing_leaves_the_outcome_unknown(rig):
    rig.answer = lambda _: None
    answer = rig.send(body())
    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown")
    assert answer.json()["submission_id"] == message_of(rig).submission


def test_when_the_writer_has_ended_the_database_knows(rig):
    rig.answer = lambda _: None
    rig.writer_alive = False
    assert rig.send(body()).json()["code"] == "storage_unavailable"
    rig.store.submissions["any"] = stored(message_of(rig))
    assert rig.send(body()).status_code == 200
    rig.store.broken = True
    assert rig.send(body()).status_code == 504


def message_of(rig) -> Submit:
    return rig.sent(Submit)[-1]


# Priority, expiry, ids


def test_urgent_mail_and_its_expiry_reach_the_writer_and_the_answer(rig):
    sent = body(mail(priority="urgent"), mail(), expires_at="2027-01-15 18:00:00")
    answer = rig.send(sent).json()
    submit = message_of(rig)
    assert [one.urgent for one in submit.mails] == [True, False]
    assert submit.expires_at == 1_800_003_600_000
    assert answer["expires_at"] == "2027-01-15T18:00:00+09:00"
    assert answer["expires_at_utc"] == "2027-01-15T09:00:00Z"
    assert "expires_at" not in rig.send(body()).json()


def test_ids_are_told_if_they_are_wanted(rig):
    mails = [
        mail(emails=["a@example.com", "bad", "A@example.com", "b@example.com"]),
        mail(emails=["worse"]),
        mail(emails=["c@example.com"]),
    ]
    answer = rig.ask("POST", "/v1/messages?return=ids", body(*mails)).json()
    assert answer["ids"] == [
        {"message": 0, "email": "a@example.com", "id": 1001},
        {"message": 0, "email": "b@example.com", "id": 1002},
        {"message": 2, "email": "c@example.com", "id": 1003},
    ]
    assert "ids" not in rig.send(body()).json()


def test_ids_are_those_of_the_first_request_also_when_its_answer_was_lost(rig):
    first = rig.ask("POST", "/v1/messages?return=ids", body(), idempotency_key="k")
    original = message_of(rig)
    rig.answer = lambda submit: stored(original, submission=submit.submission, replayed=True)
    again = rig.ask("POST", "/v1/messages?return=ids", body(), idempotency_key="k")
    assert again.json()["ids"] == first.json()["ids"]
    rig.answer = lambda message: stored(message_of(rig)) if isinstance(message, LookUp) else None
    assert rig.ask("POST", "/v1/messages?return=ids", body()).json()["ids"][0]["id"] == 1001


def test_ids_that_an_older_writer_did_not_keep_are_null(rig):
    rig.answer = lambda submit: stored(submit, firsts=())
    assert rig.ask("POST", "/v1/messages?return=ids", body()).json()["ids"] is None


@pytest.mark.parametrize(
    "query", ["return=id", "return=", "return=ids&return=ids", "returns=ids", "return=ids&x=1"]
)
def test_a_query_that_is_not_understood_stores_nothing(rig, query):
    answer = rig.ask("POST", f"/v1/messages?{query}", body())
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert rig.letters == []


PASSED = {"scheduled_at": "2027-01-15T07:00:00Z", "expires_at": "2027-01-15T07:59:00Z"}


@pytest.mark.against("H43")
@pytest.mark.parametrize("name", PASSED)
def test_mail_whose_time_has_passed_is_refused(rig, name):
    answer = rig.send(body(**{name: PASSED[name]}))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{name}")
    assert rig.letters == []
    rig.answer = not_stored("late")
    answer = rig.send(body(**{name: PASSED[name]}), idempotency_key="k")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{name}")
    assert message_of(rig).deadline < at(0).mono, "the writer stores nothing anew"


def test_a_repeat_after_its_time_has_passed_gets_the_same_answer(rig):
    """Repeating must be safe: what has expired since was not refused the first time."""
    sent = body(scheduled_at="2027-01-15T08:10:00Z", expires_at="2027-01-15T08:20:00Z")
    first = rig.send(sent, idempotency_key="k")
    original = message_of(rig)
    rig.now = at(3600)
    rig.level()
    rig.answer = lambda submit: stored(original, submission=submit.submission, replayed=True)
    again = rig.send(sent, idempotency_key="k")
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"


# Idempotency keys


def test_a_key_goes_to_the_writer_as_hashes(rig):
    rig.send(body(), idempotency_key="k1")
    rig.send(body(), idempotency_key="k1")
    rig.send(body(mail(subject="x")), idempotency_key="k1")
    rig.send(body(), idempotency_key="k2")
    keys = [message.idempotency for message in rig.sent(Submit)]
    assert all(isinstance(key, IdempotencyKey) and len(key.key) == 32 for key in keys)
    assert keys[0] == keys[1]
    assert (keys[2].key, keys[2].body == keys[0].body) == (keys[0].key, False)
    assert (keys[3].key == keys[0].key, keys[3].body) == (False, keys[0].body)


@pytest.mark.against("H45")
def test_a_replay_is_the_same_answer_with_a_header(rig):
    first = rig.send(body(), idempotency_key="k1")
    original = message_of(rig)
    rig.answer = lambda submit: stored(
        original, submission=submit.submission, original=original.submission, replayed=True
    )
    second = rig.send(body(), idempotency_key="k1")
    assert second.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.against("H48")
@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "a\x7f", "\xe9"])
def test_bad_keys(rig, key):
    answer = rig.send(body(), idempotency_key=key.encode("latin-1"))
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_idempotency_key")


@pytest.mark.against("H48")
def test_two_keys_at_once(rig):
    headers = [("X-API-KEY", KEY), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = rig.client.post("/v1/messages", json=body(), headers=headers)
    assert answer.status_code == 400


@pytest.mark.against("H47")
def test_a_key_whose_request_is_running_is_a_409_and_is_free_again_after(rig):
    with TestClient(rig.app, client=("127.0.0.1", 1)) as client, ThreadPoolExecutor(1) as pool:
        asked = threading.Event()

        def slowly(message):
            if isinstance(message, Submit):
                asked.set()

        rig.answer = slowly
        rig.pass_time = lambda: None  # nobody gives up: the answer comes later
        post = {"json": body(), "headers": {"X-API-KEY": KEY, "Idempotency-Key": "k"}}
        first = pool.submit(client.post, "/v1/messages", **post)
        assert asked.wait(5)
        twin = client.post("/v1/messages", **post)
        assert (twin.status_code, twin.json()["code"]) == (409, "still_running")
        client.portal.call(rig.hear, stored(message_of(rig)))
        assert first.result(5).status_code == 200
    rig.answer = stored
    assert rig.send(body(), idempotency_key="k").status_code == 200


def test_a_refused_request_frees_its_key(rig):
    rig.answer = not_stored("storage_full")
    assert rig.send(body(), idempotency_key="k").status_code == 503
    assert rig.send(body(), idempotency_key="k").status_code == 503


def test_bodies_on_their_way_have_room_together(rig):
    """What was read for a refused request does not stay counted."""
    for raw in (b"{", b"[]", json.dumps(body()).encode()):
        rig.send(raw)
    assert rig.room().taken == 0


def test_the_answer_is_made_of_what_the_writer_kept(rig):
    """A replay of an older request shows that request's numbers."""
    rig.answer = lambda submit: Stored(
        submit.submission, "older", 9, 8, 0, 3, None, submit.tally, replayed=True
    )
    answer = rig.send(body(), idempotency_key="k").json()
    assert (answer["total"], answer["success"], answer["submission_id"]) == (9, 8, "older")
