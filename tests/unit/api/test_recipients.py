"""Recipients as the API tells them: listed by page, and each with its history."""

import pytest

from services.api import recipients
from shared.domain import SEEN_BITS, Feedback, State
from shared.store import listing
from tests.unit.api.rig import KEY, Rig, at
from tests.unit.api.shelf import Shelf

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


def ids(rig, query=""):
    page = get(rig, f"/v1/messages?{query}")
    assert page["next"] is None
    return [one["id"] for one in page["messages"]]


def test_nothing_is_listed_of_nothing(rig):
    assert get(rig, "/v1/messages") == {"messages": [], "next": None}
    assert get(rig, "/v1/messages?topic_id=nobody") == {"messages": [], "next": None}


def test_a_recipient_is_told_with_all_its_fields(rig, shelf):
    topic = shelf.topic("a/b")
    one = shelf.batch(
        topic, "Ann@x.example", urgent=1, accepted_at=MS, due_at=MS + 1000, scheduled=1,
        expires_at=MS + 2500,
    )  # fmt: skip
    seen = SEEN_BITS[Feedback.DELIVERY] | SEEN_BITS[Feedback.OPEN] | 1 << 16
    shelf.set(
        one, state=2, attempts=2, feedback=30, seen=seen, flags=3, sent_at=MS + 1250, message_id="m"
    )
    shelf.add("opening", recipient=one, first_at=1, last_at=2, hits=4)
    assert get(rig, "/v1/messages") == {
        "messages": [
            {
                "id": one,
                "topic_id": "a/b",
                "email": "Ann@x.example",
                "status": "Sent",
                "code": None,
                "detail": None,
                "attempts": 2,
                "priority": "urgent",
                "message_id": "m",
                "accepted_at": "2027-01-15T08:00:00.000Z",
                "scheduled_at": "2027-01-15T17:00:01+09:00",
                "scheduled_at_utc": "2027-01-15T08:00:01Z",
                "expires_at": "2027-01-15T17:00:02.500+09:00",
                "expires_at_utc": "2027-01-15T08:00:02.500Z",
                "sent_at": "2027-01-15T08:00:01.250Z",
                "result": "Delivery",
                "results": ["Delivery", "Open"],
                "opens": 4,
                "maybe_duplicate": True,
                "duplicate_suspected": True,
            }
        ],
        "next": None,
    }


def test_pages_follow_each_other_without_gap_or_repeat(rig, shelf):
    first = shelf.batch(1, *(f"{number}@x.example" for number in range(25)))
    seen, query = [], "limit=7"
    while query:
        page = get(rig, f"/v1/messages?{query}")
        seen += [one["id"] for one in page["messages"]]
        query = page["next"] and f"limit=7&after={page['next']}"
    assert seen == list(range(first + 24, first - 1, -1))


def test_filters_go_together(rig, shelf):
    news, other = shelf.topic("new/s ü'\""), shelf.topic("other")
    a = shelf.batch(news, "Ann@x.example", "ben@x.example")
    b = shelf.batch(other, "ann@X.example")
    shelf.set(a, state=3, seen=SEEN_BITS[Feedback.RENDERING_FAILURE])
    shelf.add("failure", recipient=a, topic=news)
    shelf.add("topic_result", topic=news, kind=Feedback.RENDERING_FAILURE, recipients=1)
    news_id = "new%2Fs%20%C3%BC%27%22"
    assert ids(rig, "email=ANN%40x.example") == [b, a]
    assert ids(rig, f"email=ann%40x.example&topic_id={news_id}") == [a]
    assert ids(rig, "status=Created") == [b, a + 1]
    assert ids(rig, f"status=Failed&topic_id={news_id}") == [a]
    assert ids(rig, "status=Failed&topic_id=other") == []
    assert ids(rig, "result=Rendering%20Failure") == [a]
    assert ids(rig, f"result=Rendering%20Failure&topic_id={news_id}&status=Failed") == [a]
    assert ids(rig, f"result=Bounce&topic_id={news_id}") == []
    assert ids(rig, "email=nobody%40x.example") == []


def test_one_whose_counter_is_zero_is_not_looked_for(rig, shelf, monkeypatch):
    shelf.batch(shelf.topic("t"), "a@x.example")
    monkeypatch.setattr(shelf.reader.listing, "down", None)
    assert ids(rig, "topic_id=t&status=Sent") == []
    assert ids(rig, "topic_id=t&result=Click") == []


def test_a_search_ends_with_its_budget_and_says_where_to_go_on(rig, shelf, monkeypatch):
    monkeypatch.setattr(listing, "ROOM", 10)
    shelf.sql.execute("BEGIN")
    for number in range(100):
        shelf.batch(1, f"{number}@x.example")
    shelf.sql.execute("COMMIT")
    steps = 0
    down = shelf.reader.listing.down

    def slow(*values):
        nonlocal steps
        steps += 1
        rig.now = at(rig.now.mono - at(0).mono + recipients.BUDGET_S / 3)
        return down(*values)

    monkeypatch.setattr(shelf.reader.listing, "down", slow)
    page = get(rig, "/v1/messages?email=4%40x.example")
    assert (page, steps) == ({"messages": [], "next": 71}, 3)
    pages = 1
    while not page["messages"]:
        page = get(rig, f"/v1/messages?email=4%40x.example&after={page['next']}")
        pages += 1
    assert ([one["id"] for one in page["messages"]], page["next"], pages) == ([5], None, 4)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("topic=x", "topic"),
        ("topic_id=", "topic_id"),
        ("status=sent", "Created, Processed"),
        ("status=", "status"),
        ("result=Nothing", "Rendering Failure"),
        ("email=", "email"),
        ("email=a", "email"),
        ("email=a%40x.example&email=b%40x.example", "twice"),
        ("after=0", "after"),
        ("after=-5", "after"),
        ("after=9223372036854775808", "after"),
        ("after=abc", "after"),
        ("limit=1001", "limit"),
        ("email=%ED%A0%80%40x.example", "email"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(rig, query, word):
    answer = get(rig, f"/v1/messages?{query}", 422)
    assert word in answer["error"]


def test_all_that_is_wrong_is_named_at_once(rig):
    answer = get(rig, "/v1/messages?limit=x&after=x&status=x&result=x&email=x&topic_id=", 422)
    assert len(answer["errors"]) == 6


def test_cursors_at_either_end(rig, shelf):
    one = shelf.batch(1, "a@x.example")
    assert ids(rig, "after=9223372036854775807") == [one]
    assert ids(rig, "after=1") == []
    assert ids(rig, "limit=1") == [one], "below the first id there is nothing"


# One recipient


def told(rig, one):
    return get(rig, f"/v1/messages/{one}")


def whats(rig, one):
    return [entry["what"] for entry in told(rig, one)["history"]]


@pytest.mark.parametrize("one", ["0", "-1", "x", "77", "9" * 30, "1.0", "%D9%A3", "1%0A"])
def test_an_id_that_no_mail_has_is_404(rig, shelf, one):
    shelf.batch(1, "a@x.example")
    assert get(rig, f"/v1/messages/{one}", 404)["code"] == "no_such_message"


def test_one_has_the_fields_of_the_list_and_its_subject(rig, shelf):
    one = shelf.batch(shelf.topic("t"), "a@x.example", subject="Januar 🎉")
    (listed,) = get(rig, "/v1/messages")["messages"]
    found = told(rig, one)
    assert {name: found[name] for name in listed} == listed
    assert found["subject"] == "Januar 🎉"
    assert "<p>" not in str(found)


def test_a_long_history_is_told_in_order(rig, shelf):
    one = shelf.batch(shelf.topic("t"), "a@x.example", accepted_at=MS)
    refusals = ((10, 1, "for_now", "TooBusy", "try later"), (20, 2, "unknown", "lost", "reset"))
    for at_, attempt, verdict, code, detail in (*refusals, (30, 2, "resent", "", "by an order")):
        shelf.add(
            "refusal", recipient=one, at=MS + at_, attempt=attempt, verdict=verdict, code=code,
            detail=detail,
        )  # fmt: skip
    shelf.set(one, state=2, attempts=3, sent_at=MS + 40, message_id="m", feedback=40)
    for kind, at_, subtype in ((40, 60, "Permanent/General"), (10, 45, None), (1, 70, None)):
        shelf.add("result", recipient=one, kind=kind, at=MS + at_, subtype=subtype, detail=None)
    shelf.add("opening", recipient=one, first_at=MS + 65, last_at=MS + 80, hits=2)
    moments = [
        (entry.pop("at")[-5:], entry.pop("what"), entry) for entry in told(rig, one)["history"]
    ]
    opened = {"first_at": "2027-01-15T08:00:00.065Z", "last_at": "2027-01-15T08:00:00.080Z"}
    assert moments == [
        (".000Z", "accepted", {}),
        (
            ".010Z",
            "attempt",
            {"attempt": 1, "verdict": "for_now", "code": "TooBusy", "detail": "try later"},
        ),
        (
            ".020Z",
            "attempt",
            {"attempt": 2, "verdict": "unknown", "code": "lost", "detail": "reset"},
        ),
        (".030Z", "resent", {"attempt": 2, "code": None, "detail": "by an order"}),
        (".040Z", "sent", {"attempt": 3, "message_id": "m"}),
        (".045Z", "event", {"kind": "Send", "subtype": None, "detail": None}),
        (".060Z", "event", {"kind": "Bounce", "subtype": "Permanent/General", "detail": None}),
        (".065Z", "opened", {**opened, "hits": 2}),
    ]


def test_the_history_of_one_that_never_left(rig, shelf):
    topic = shelf.topic("t", cancelled_at=MS + 5, cancelled_upto=1)
    unswept = shelf.batch(topic, "a@x.example", accepted_at=MS)
    assert whats(rig, unswept) == ["accepted", "cancelled"]
    assert told(rig, unswept)["status"] == "Stopped"
    swept = shelf.batch(topic, "b@x.example", accepted_at=MS)
    shelf.set(swept, state=4, code="cancelled")
    assert whats(rig, swept) == ["accepted", "cancelled"]
    shelf.add(
        "refusal", recipient=swept, at=MS + 3, attempt=0, verdict="cancelled", code="", detail=""
    )
    assert whats(rig, swept) == ["accepted", "cancelled"], "told once"
    expired = shelf.batch(topic, "c@x.example", accepted_at=MS, expires_at=MS + 9)
    shelf.set(expired, state=4, code="expired")
    assert whats(rig, expired) == ["accepted", "expired"]
    listed = shelf.batch(topic, "d@x.example", accepted_at=MS)
    shelf.set(listed, state=6, code="suppressed")
    assert whats(rig, listed) == ["accepted", "suppressed"]


def test_a_lost_answer_is_told_while_it_is_lost(rig, shelf):
    one = shelf.batch(1, "a@x.example", accepted_at=MS)
    shelf.set(one, state=5, attempts=1)
    shelf.add("unknown", recipient=one, job=1, since=MS + 7, cancelled=1)
    entry = told(rig, one)["history"][-1]
    assert entry == {"at": "2027-01-15T08:00:00.007Z", "what": "answer_lost", "cancelled": True}
    assert [wait["code"] for wait in told(rig, one)["waits"]] == ["unknown"]


def test_one_that_waits_says_why(rig, shelf):
    paused = shelf.topic("p", paused_at=MS)
    first = shelf.batch(paused, "a@x.example", due_at=MS + 60_000)
    second = shelf.batch(1, "b@x.example", due_at=MS)
    third = shelf.batch(1, "c@x.example", due_at=MS)
    shelf.set(third, attempts=1)
    shelf.add("retry", recipient=third, topic=1, urgent=0, due_at=MS + 60_000)
    codes = [[wait["code"] for wait in told(rig, one)["waits"]] for one in (first, second, third)]
    assert codes == [["paused", "scheduled"], ["turn"], ["retry"]]
    shelf.set(third, state=State.SENT)
    assert told(rig, third)["waits"] == []


@pytest.mark.parametrize("is_under_way", [False, True])
def test_one_that_was_rescheduled_does_not_say_that_it_was_refused(rig, shelf, is_under_way):
    due_at = MS + 60_000
    order = {"redated_upto": 9, "redate_due": due_at, "redate_upto": 9 if is_under_way else 0}
    topic = shelf.topic("later", **order)
    one = shelf.batch(topic, "a@x.example", due_at=MS)
    shelf.set(one, attempts=1)  # its call was let through the gate and not made: it was given back
    retry_at = MS + 5 if is_under_way else due_at
    shelf.add("retry", recipient=one, topic=topic, urgent=0, due_at=retry_at)
    (wait,) = told(rig, one)["waits"]
    assert wait == {"code": "scheduled", "message": "It is due at 2027-01-15T08:01:00Z."}


def test_an_unreadable_database_is_503(tmp_path):
    rig = Rig()
    rig.store.broken = True
    rig.store.down = rig.store.story = lambda *_: rig.store._work()
    for path in ("/v1/messages", "/v1/messages/1", "/v1/topics/t"):
        assert get(rig, path, 503)["code"] == "store_unavailable"
