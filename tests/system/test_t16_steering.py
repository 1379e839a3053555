"""Steering a topic in mid-send, and right after kills: SES's ledger agrees with the answers."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.system.stack import until

MAILS = 2_000


@pytest.fixture
def sending(make_stack):
    """Answer an installation in the middle of a newsletter."""
    stack = make_stack(SIMULATOR_RATE="1000", MAX_SEND_PER_SECOND="200").start()
    stack.connect_events()
    stack.post([f"u{number}@example.com" for number in range(MAILS)])
    until("some are sent", lambda: stack.counts().get("Sent", 0) > 200)
    return stack


def order(stack, method, path, **body):
    """Give an order; answer what was answered, and when by the ledger's clock."""
    answer = stack.http.request(method, path, **body)
    assert answer.status_code == 200, answer.text
    return answer.json(), time.monotonic_ns()


def later_than(stack, moment_ns):
    return [row for row in stack.ledger() if row["arrival_ns"] > moment_ns]


def settle(stack):
    """Wait until nothing is in a sender's hands; answer the counters."""
    until("nothing is leased", lambda: "Processed" not in stack.counts())
    return stack.counts()


def kill_and_wait(stack):
    stack.kill("scheduler")
    stack.kill("writer")
    stack.wait_ready()


def assert_all_sent_once(stack):
    stack.wait_counts({"Sent": MAILS})
    copies = stack.accepted()
    assert len(copies) == MAILS
    assert set(copies.values()) == {1}


def test_pause_and_resume(sending):
    answer, paused_ns = order(
        sending, "POST", "/v1/topics/news/pause", json={"reason": "the price is wrong"}
    )
    assert answer["state"] == "paused"
    counts = settle(sending)
    assert counts["Created"] + counts["Sent"] == MAILS
    assert len(later_than(sending, paused_ns)) <= answer["in_flight"]
    assert answer["waiting"] <= counts["Created"] <= answer["waiting"] + answer["in_flight"]
    kill_and_wait(sending)
    sending.post(["more@example.com"])
    topic = sending.topic()
    assert topic["state"] == "paused"
    assert any("the price is wrong" in wait["message"] for wait in topic["waits"])
    # Other mail goes, so that the silence of this topic is no standstill.
    sending.post(["other@example.com"], topic="other")
    sending.wait_counts({"Sent": 1}, "other")
    assert len(later_than(sending, paused_ns)) <= answer["in_flight"] + 1
    assert sending.accepted()["more@example.com"] == 0
    order(sending, "POST", "/v1/topics/news/resume")
    kill_and_wait(sending)
    sending.wait_counts({"Sent": MAILS + 1})
    copies = sending.accepted()
    assert len(copies) == MAILS + 2
    assert set(copies.values()) == {1}


def test_reschedule_to_later_and_back(sending):
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    answer, moved_ns = order(sending, "PATCH", "/v1/topics/news", json={"scheduled_at": tomorrow})
    counts = settle(sending)
    assert len(later_than(sending, moved_ns)) <= answer["in_flight"]
    assert answer["rescheduled"] <= counts["Created"]
    assert counts["Created"] <= answer["rescheduled"] + answer["in_flight"]
    kill_and_wait(sending)
    assert sending.topic()["state"] == "scheduled"
    assert sending.counts() == counts
    order(sending, "PATCH", "/v1/topics/news", json={"scheduled_at": None})
    kill_and_wait(sending)
    assert_all_sent_once(sending)


def test_cancel_right_before_kills(sending):
    answer, cancelled_ns = order(sending, "DELETE", "/v1/topics/news")
    kill_and_wait(sending)
    until("all is final", lambda: set(sending.counts()) <= {"Sent", "Stopped"})
    counts = sending.counts()
    assert counts["Sent"] + counts["Stopped"] == MAILS
    assert answer["stopped"] <= counts["Stopped"] <= answer["stopped"] + answer["in_flight"]
    assert len(later_than(sending, cancelled_ns)) <= answer["in_flight"]
    assert sum(sending.accepted().values()) == counts["Sent"]
    until("the topic says so", lambda: sending.topic()["state"] == "cancelled")


def test_the_failed_ones_are_listed_and_retried_alone(make_stack):
    stack = make_stack(SIMULATOR_RATE="1000", MAX_SEND_PER_SECOND="300").start()
    stack.connect_events()
    refusal = {
        "do": "error",
        "code": "MessageRejected",
        "status": 400,
        "message": "Email content contains a virus.",
        "match": {"address_re": "^bad"},
    }
    stack.faults(rules=[refusal])
    stack.settings()
    good = [f"good{number}@example.com" for number in range(950)]
    bad = [f"bad{number}@example.com" for number in range(50)]
    stack.post([*good, *bad])
    stack.wait_counts({"Sent": 950, "Failed": 50})
    listed = stack.http.get("/v1/messages?topic_id=news&status=Failed&limit=1000").json()
    assert {one["email"] for one in listed["messages"]} == set(bad)
    assert all("virus" in one["detail"] for one in listed["messages"])
    stack.faults()
    answer, _ = order(stack, "POST", "/v1/topics/news/retry-failed")
    kill_and_wait(stack)
    assert answer["retried"] == 50
    stack.wait_counts({"Sent": 1000})
    copies = stack.accepted()
    assert len(copies) == 1000
    assert set(copies.values()) == {1}
    again, _ = order(stack, "POST", "/v1/topics/news/retry-failed")
    assert again["retried"] == 0
