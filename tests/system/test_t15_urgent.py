"""Urgent mail overtakes, and bulk topics share; judged on the order in which SES saw the mail."""

import time

from tests.system.stack import until

RATE = 200


def post_urgent(stack, number):
    """Post one urgent mail; answer when it was accepted, by the ledger's clock."""
    mail = {
        "topic_id": "codes",
        "priority": "urgent",
        "emails": [f"urgent{number}@example.com"],
        "subject": "Your code",
        "content": "<p>1234</p>",
    }
    answer = stack.http.post("/v1/messages", json={"messages": [mail]})
    assert answer.status_code == 200, answer.text
    return time.monotonic_ns()


def overtaken_by(ledger, accepted_ns, address):
    """Count the bulk mails that SES saw between the answer to a post and the posted mail."""
    arrived_ns = next(row["arrival_ns"] for row in ledger if row["address"] == address)
    between = [row for row in ledger if accepted_ns < row["arrival_ns"] < arrived_ns]
    return sum(not row["address"].startswith("urgent") for row in between)


def test_an_urgent_mail_passes_a_long_queue_also_after_kills(make_stack):
    stack = make_stack(SIMULATOR_RATE="1000", MAX_SEND_PER_SECOND=str(RATE)).start()
    stack.connect_events()
    for first in range(0, 50_000, 10_000):
        emails = [f"b{number}@example.com" for number in range(first, first + 10_000)]
        assert stack.post(emails, topic="newsletter").status_code == 200
    until("bulk is on its way", lambda: stack.counts("newsletter").get("Sent", 0) > RATE)
    accepted = {}
    for number in range(5):
        accepted[f"urgent{number}@example.com"] = post_urgent(stack, number)
        until("it is sent", lambda n=number: stack.counts("codes").get("Sent", 0) == n + 1)
    stack.kill("scheduler")
    stack.kill("broker")
    stack.wait_ready()
    seen = stack.counts("newsletter").get("Sent", 0)
    until("bulk goes on", lambda: stack.counts("newsletter").get("Sent", 0) > seen + RATE)
    accepted["urgent5@example.com"] = post_urgent(stack, 5)
    until("it is sent", lambda: stack.counts("codes").get("Sent", 0) == 6)
    ledger = stack.ledger()
    # A second's worth of bulk mail and two more are what the promise allows to go before it.
    passed = {address: overtaken_by(ledger, at, address) for address, at in accepted.items()}
    assert max(passed.values()) <= RATE + 2, passed
    assert stack.http.delete("/v1/topics/newsletter").status_code == 200


def test_a_second_newsletter_starts_at_once_and_gets_its_half(make_stack):
    stack = make_stack(SIMULATOR_RATE="1000", MAX_SEND_PER_SECOND=str(RATE)).start()
    stack.connect_events()
    stack.post([f"first{number}@example.com" for number in range(10_000)], topic="first")
    until("the first is on its way", lambda: stack.counts("first").get("Sent", 0) > RATE)
    stack.post([f"second{number}@example.com" for number in range(500)], topic="second")
    posted_ns = time.monotonic_ns()
    stack.wait_counts({"Sent": 500}, "second")
    ledger = stack.ledger()
    second = [row["arrival_ns"] for row in ledger if row["address"].startswith("second")]
    first = [row["arrival_ns"] for row in ledger if row["address"].startswith("first")]
    assert sum(posted_ns < at < min(second) for at in first) <= RATE
    beside = sum(min(second) < at < max(second) for at in first)
    assert 0.8 * 500 <= beside <= 1.25 * 500
    assert stack.http.delete("/v1/topics/first").status_code == 200
