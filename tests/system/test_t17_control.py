"""Suppression, quota, expiry, reputation and the live rate, on the whole product."""

from datetime import UTC, datetime, timedelta

from scripts.benches.oracle import worst_second
from tests.system.stack import until


def test_a_bounced_address_is_not_mailed_again_until_it_is_taken_off(stack):
    bounced = "gone@example.com"
    stack.http.post(
        "/v1/suppressions", json={"email": "manual@example.com", "reason": "unsubscribed"}
    )
    stack.post(["bounce@simulator.amazonses.com", "success@simulator.amazonses.com"])
    stack.wait_counts({"Sent": 2})
    until("the bounce is in", lambda: stack.topic()["result_counts"].get("Bounce") == 1)
    found = stack.http.get("/v1/suppressions").json()["suppressions"]
    assert [one["email"] for one in found] == ["manual@example.com"]
    answer = stack.post(["Manual@Example.com", bounced], topic="again").json()
    assert (answer["success"], answer["suppressed"], answer["total"]) == (1, 1, 2)
    stack.wait_counts({"Sent": 1, "Suppressed": 1}, "again")
    # Listed after it was accepted: held back at the gate.
    stack.post(["late@example.com"], topic="late", scheduled_at=_in(3))
    stack.http.post("/v1/suppressions", json={"emails": ["late@example.com"]})
    stack.wait_counts({"Suppressed": 1}, "late")
    taken = stack.http.delete("/v1/suppressions/manual@example.com").json()
    assert taken["removed"] == 1
    assert taken["ses"]["refused"] == []
    stack.post(["manual@example.com"], topic="back")
    stack.wait_counts({"Sent": 1}, "back")
    copies = stack.accepted()
    assert copies["manual@example.com"] == 1
    assert copies["late@example.com"] == 0


def test_permanent_bounces_and_complaints_are_listed_by_their_events(make_stack):
    stack = make_stack(SIMULATOR_BOUNCE_SHARE="0.2", SIMULATOR_COMPLAINT_SHARE="0.1").start()
    stack.connect_events()
    emails = [f"u{number}@example.com" for number in range(200)]
    stack.post(emails)
    stack.wait_counts({"Sent": 200})
    until("all has come back", lambda: sum(_outcomes(stack)) >= 200)
    results = stack.topic()["result_counts"]
    listed = stack.http.get("/v1/suppressions?limit=1000").json()["suppressions"]
    permanent = stack.sql(
        "SELECT count(DISTINCT recipient) FROM result WHERE kind = 40 AND subtype LIKE 'Permanent%'"
    )[0][0]
    assert permanent > 0
    assert len(listed) == permanent + results["Complaint"]
    again = stack.post(emails, topic="again").json()
    assert again["suppressed"] == len(listed)
    stack.wait_counts({"Sent": 200 - len(listed), "Suppressed": len(listed)}, "again")
    copies = stack.accepted()
    assert {copies[one["email"]] for one in listed} == {1}


def test_a_used_up_quota_fails_nothing_says_why_and_goes_on(make_stack):
    stack = make_stack(SIMULATOR_QUOTA="100", MAX_SEND_PER_SECOND="200").start()
    stack.connect_events()
    stack.post([f"u{number}@example.com" for number in range(300)])
    wait = until("the quota holds", lambda: _wait_of(stack, "quota", "used up until about"))
    assert "UTC" in wait
    until("nothing is leased", lambda: "Processed" not in stack.counts())
    counts = stack.counts()
    assert set(counts) == {"Created", "Sent"}
    assert counts["Sent"] <= 100
    stack.faults(account={"max_24h": 10_000})
    stack.kill("sender-0")  # it reads the account at its start, and else every few minutes
    stack.wait_ready()
    stack.wait_counts({"Sent": 300}, seconds=120)
    assert set(stack.accepted().values()) == {1}


def test_expired_mail_is_not_sent_after_an_outage(make_stack):
    stack = make_stack(MAX_SEND_PER_SECOND="200").start()
    stack.connect_events()
    stack.stop_simulator()
    stack.post(["old@example.com"], topic="old", expires_at=_in(4))
    stack.post(["young@example.com"], topic="young", expires_at=_in(3600))
    stack.wait_counts({"Stopped": 1}, "old")
    listed = stack.http.get("/v1/messages?topic_id=old").json()["messages"]
    assert [one["code"] for one in listed] == ["expired"]
    stack.start_simulator()
    stack.wait_counts({"Sent": 1}, "young", seconds=120)
    assert stack.accepted() == {"young@example.com": 1}


def test_too_many_bounces_pause_bulk_but_not_urgent_mail(make_stack):
    stack = make_stack(SIMULATOR_BOUNCE_SHARE="0.5", MAX_SEND_PER_SECOND="1000").start()
    stack.connect_events()
    stack.post([f"u{number}@example.com" for number in range(3_000)])
    until("bulk is paused", lambda: _account(stack)["bulk"]["paused"])
    assert any("bounce" in sentence.lower() for sentence in stack.ready()["degraded"])
    until("nothing is leased", lambda: "Processed" not in stack.counts())
    rest = stack.counts().get("Created", 0)
    stack.post(["bulk@example.com"], topic="bulk")
    _post_urgent(stack, "urgent@example.com")
    stack.wait_counts({"Sent": 1}, "codes")
    assert stack.counts("bulk") == {"Created": 1}
    assert "bulk_paused" in {wait["code"] for wait in stack.topic("bulk")["waits"]}
    assert stack.counts().get("Created", 0) == rest
    stack.kill("writer")
    stack.wait_ready()
    assert _account(stack)["bulk"]["paused"]
    assert stack.http.post("/v1/account/resume").status_code == 200
    stack.wait_counts({"Sent": 1}, "bulk")
    stack.wait_counts({"Sent": 3_000}, seconds=120)
    assert not _account(stack)["bulk"]["paused"]


def test_the_rate_is_changed_live_within_what_ses_allows(make_stack):
    stack = make_stack(SIMULATOR_RATE="300", MAX_SEND_PER_SECOND="auto").start()
    stack.connect_events()
    until("the account is read", lambda: _account(stack)["rate"]["in_force"] == 300)
    refused = stack.http.patch("/v1/account", json={"max_send_per_second": 301})
    assert refused.status_code == 422
    assert "300" in refused.json()["error"]
    assert stack.http.patch("/v1/account", json={"max_send_per_second": 20}).status_code == 200
    until("it is in force", lambda: _account(stack)["rate"]["source"] == "api")
    stack.kill("writer")
    stack.wait_ready()
    stack.post([f"slow{number}@example.com" for number in range(60)])
    stack.wait_counts({"Sent": 60})
    assert worst_second(row["arrival_ns"] for row in stack.ledger()) <= 20
    assert stack.http.patch("/v1/account", json={"max_send_per_second": None}).status_code == 200
    until("the setting is back", lambda: _account(stack)["rate"]["in_force"] == 300)


def _account(stack):
    answer = stack.http.get("/v1/account")
    assert answer.status_code == 200, answer.text
    return answer.json()


def _wait_of(stack, code, words):
    """Answer why the topic waits, if it does for that reason and says so in these words."""
    told = (wait["message"] for wait in stack.topic()["waits"] if wait["code"] == code)
    return next((message for message in told if words in message), None)


def _outcomes(stack):
    results = stack.topic()["result_counts"]
    return results.get("Delivery", 0), results.get("Bounce", 0)


def _post_urgent(stack, email):
    mail = {"topic_id": "codes", "priority": "urgent", "emails": [email]}
    mail |= {"subject": "Your code", "content": "<p>1234</p>"}
    assert stack.http.post("/v1/messages", json={"messages": [mail]}).status_code == 200


def _in(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
