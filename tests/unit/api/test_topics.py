"""Topics as the API tells them, out of a real database."""

import pytest

from shared.domain import State
from shared.protocol import AccountHold, AccountState
from tests.unit.api.rig import KEY, Rig, at, writer_state
from tests.unit.api.shelf import Shelf

STATES = ["Created", "Processed", "Sent", "Failed", "Stopped", "Unknown", "Suppressed"]
MS = at(0).ms


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


@pytest.fixture
def rig(shelf):
    return Rig(reader=shelf.reader)


def get(rig, path, status=200):
    answer = rig.client.get(path, headers={"X-API-KEY": KEY})
    assert answer.status_code == status, answer.text
    return answer.json()


def test_an_unknown_topic_has_zeros(rig):
    assert get(rig, "/v1/topics/nobody") == {
        "topic_id": "nobody",
        "state": "idle",
        "total": 0,
        "remaining": 0,
        "created_at": None,
        "last_sent_at": None,
        "request_counts": dict.fromkeys(STATES, 0),
        "result_counts": {},
        "notes": [],
        "waits": [],
        "rate_now": 0,
        "eta": None,
        "eta_s": None,
        "first_sent_at": None,
        "next_due_at": None,
        "paused": None,
        "cancelled_at": None,
    }


def test_a_topic_that_is_being_sent_tells_its_pace_and_its_end(rig, shelf):
    topic = shelf.topic(
        "news", created_at=MS - 20_000, first_sent_at=MS - 15_000, last_sent_at=MS - 5,
        pace_slot=MS // 10_000, pace_count=0, pace_before=20,
    )  # fmt: skip
    shelf.batch(topic, *(f"{n}@x.example" for n in range(10)), due_at=MS - 20_000)
    shelf.add("work", topic=topic, urgent=0, next_due=MS - 20_000)
    shelf.add("topic_result", topic=topic, kind=30, recipients=4)
    told = get(rig, "/v1/topics/news")
    assert (told["state"], told["total"], told["remaining"]) == ("sending", 10, 10)
    assert (told["rate_now"], told["eta_s"]) == (2, 5)
    assert told["eta"] == "2027-01-15T08:00:05.000Z"
    assert told["created_at"] == "2027-01-15T07:59:40.000Z"
    assert told["first_sent_at"] == "2027-01-15T07:59:45.000Z"
    assert told["last_sent_at"] == "2027-01-15T07:59:59.995Z"
    assert told["next_due_at"] == "2027-01-15T07:59:40.000Z"
    assert told["result_counts"] == {"Delivery": 4}
    assert told["waits"] == []


def test_the_time_left_is_rounded_up(rig, shelf):
    topic = shelf.topic("news")
    shelf.batch(topic, "a@x.example", due_at=MS)
    assert get(rig, "/v1/topics/news")["eta_s"] == 1  # at 24/s


def test_a_paused_topic_says_why_and_when_its_mail_would_be_due(rig, shelf):
    topic = shelf.topic("news", paused_at=MS, pause_reason="a typo")
    shelf.batch(topic, "a@x.example", due_at=MS + 3_600_000)
    told = get(rig, "/v1/topics/news")
    assert told["state"] == "paused"
    assert told["paused"] == {"reason": "a typo", "since": "2027-01-15T08:00:00.000Z"}
    assert told["next_due_at"] == "2027-01-15T09:00:00.000Z"
    assert [wait["code"] for wait in told["waits"]] == ["paused", "scheduled"]


def test_a_cancelled_topic_whose_rows_are_behind(rig, shelf):
    topic = shelf.topic("news", cancelled_upto=1, cancelled_at=MS)
    shelf.batch(topic, "a@x.example", "b@x.example", due_at=1)
    shelf.sql.execute("UPDATE topic SET created = 0, stopped = 2 WHERE id = ?", (topic,))
    told = get(rig, "/v1/topics/news")
    assert (told["state"], told["remaining"], told["next_due_at"]) == ("cancelled", 0, None)
    assert told["cancelled_at"] == "2027-01-15T08:00:00.000Z"
    assert told["request_counts"]["Stopped"] == 2


def test_a_hold_of_the_account_is_told(rig, shelf):
    shelf.batch(shelf.topic("news"), "a@x.example")
    hold = AccountHold("quota", "Daily message quota exceeded", 1, MS + 1000)
    account = AccountState(rate=24, rate_source="setting", read_at=1, hold=hold)
    rig.hear(writer_state(seq=2, account=account))
    told = get(rig, "/v1/topics/news")
    assert [wait["code"] for wait in told["waits"]] == ["quota"]
    assert told["eta"] is None


def test_topics_are_listed_newest_first_page_by_page(rig, shelf):
    shelf.batch(1, "none@x.example")
    names = [f"a/b {number} ü'\"" for number in range(5)]
    for name in names:
        shelf.topic(name)
    seen, path = [], "/v1/topics?limit=2"
    while path:
        page = get(rig, path)
        assert len(page["topics"]) <= 2
        seen += page["topics"]
        path = page["next"] and f"/v1/topics?limit=2&after={page['next']}"
    assert [one["topic_id"] for one in seen] == [*reversed(names), None]
    assert seen[-1]["request_counts"] == dict.fromkeys(STATES, 0) | {"Created": 1}
    assert set(seen[0]) == {
        "topic_id", "state", "total", "remaining", "created_at", "last_sent_at", "request_counts",
    }  # fmt: skip


def test_mail_without_a_topic_is_listed_only_if_there_is_any(rig):
    assert get(rig, "/v1/topics") == {"topics": [], "next": None}


def test_a_list_and_the_topic_itself_agree(rig, shelf):
    topic = shelf.topic("t")
    for state in State:
        shelf.set(shelf.batch(topic, f"{state}@x.example", due_at=MS + 5), state=state)
    (listed,) = get(rig, "/v1/topics")["topics"]
    told = get(rig, "/v1/topics/t")
    assert {name: told[name] for name in listed} == listed
    assert (listed["total"], listed["remaining"]) == (7, 3)


@pytest.mark.parametrize(
    "query", ["limit=0", "after=-1", "after=x", "aftr=1", "limit=1&limit=2", "limit=5&after="]
)
def test_a_wrong_parameter_is_refused(rig, query):
    assert get(rig, f"/v1/topics?{query}", 422)["code"] == "invalid"


def test_the_largest_cursor_is_the_beginning(rig, shelf):
    shelf.topic("t")
    assert len(get(rig, "/v1/topics?after=9223372036854775807")["topics"]) == 1
    assert get(rig, "/v1/topics?after=1") == {"topics": [], "next": None}
