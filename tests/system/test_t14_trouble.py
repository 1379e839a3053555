"""Trouble of the account and of the line: the queue waits, says why, loses nothing, goes on."""

import itertools
import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.system.stack import SECRET, Stack, until

MAILS = 600


def begin(make_stack, **more: str) -> Stack:
    """Start, post, and be in the middle of it."""
    stack = make_stack(SIMULATOR_RATE="200", ON_UNKNOWN="confirm_then_hold", **more).start()
    stack.connect_events()
    assert stack.post([f"u{n}@example.com" for n in range(MAILS)]).status_code == 200
    until("some are sent", lambda: stack.counts().get("Sent", 0) >= 100)
    return stack


def degraded(stack: Stack) -> str:
    return " ".join(stack.ready()["degraded"])


def wait_for_hold(stack: Stack, why: str) -> None:
    until(f"/ready says: {why}", lambda: f"Sending waits: {why}" in degraded(stack), 20)
    assert f"next try at {datetime.now(UTC):%Y-%m-%dT}" in degraded(stack)


def topic_says(stack: Stack, why: str) -> None:
    """Who looks at a topic whose mail waits is told too."""
    assert why in " ".join(wait["message"] for wait in stack.topic()["waits"])


def all_went_once(stack: Stack, accepted: Counter[str] | None = None) -> None:
    stack.wait_counts({"Sent": MAILS}, seconds=40)
    accepted = accepted or stack.accepted()
    assert len(accepted) == MAILS
    assert max(accepted.values()) == 1
    until("nothing is degraded any more", lambda: stack.ready()["degraded"] == [], 10)


@pytest.mark.against("E6", "E7")
@pytest.mark.parametrize(
    ("switch", "why"),
    [
        ({"sending_enabled": False}, "SES has paused sending"),
        ({"max_24h": 300}, "the 24-hour quota is used up"),
        ({"unverified_from": True}, "the From address is not verified"),
    ],
    ids=["paused", "quota", "from"],
)
def test_trouble_that_comes_in_mid_run_and_goes(make_stack, switch, why):
    stack = begin(make_stack)
    stack.faults(account=switch)
    wait_for_hold(stack, why)
    topic_says(stack, why)
    until("nothing is in hand", lambda: set(stack.counts()) == {"Created", "Sent"}, 10)
    sent = len(stack.accepted())
    asked = len(stack.ledger())
    assert sent < MAILS
    assert stack.post(["late@example.com"], "other").status_code == 200, "mail is still taken in"
    assert len(stack.ledger()) - asked <= 1, "nothing but a probe is tried meanwhile"
    assert len(stack.accepted()) == sent
    stack.faults()
    stack.wait_counts({"Sent": 1}, "other", 40)
    stack.wait_counts({"Sent": MAILS})
    accepted = stack.accepted()
    del accepted["late@example.com"]
    all_went_once(stack, accepted)


@pytest.mark.against("E7")
def test_an_account_that_is_paused_from_the_start_is_seen_before_a_mail_is_tried(make_stack):
    stack = make_stack()
    stack.start_simulator()
    stack.faults(account={"sending_enabled": False})
    stack.start()
    stack.connect_events()
    wait_for_hold(stack, "SES has paused sending")
    stack.post(["a@example.com"])
    topic_says(stack, "SES has paused sending")
    assert "Sending is switched off for the SES account." in degraded(stack)
    stack.faults()
    stack.wait_counts({"Sent": 1}, seconds=30)
    until("what SES said of it is over", lambda: stack.ready()["degraded"] == [], 5)


@pytest.mark.against("E6")
def test_our_own_count_stops_before_ses_has_to_refuse(make_stack):
    stack = make_stack(SIMULATOR_RATE="200", SIMULATOR_QUOTA="150").start()
    stack.connect_events()
    until("the quota is known", lambda: stack.ready()["account"]["quota"] == 150)
    stack.post([f"u{n}@example.com" for n in range(MAILS)])
    wait_for_hold(stack, "the 24-hour quota is used up")
    topic_says(stack, "the 24-hour quota is used up")
    assert "LimitExceededException" not in {row["verdict"] for row in stack.ledger()}
    # A job is not cut for the last of the quota: at most one call's recipients stay unused.
    assert 100 <= len(stack.accepted()) <= 150
    assert stack.counts().keys() <= {"Created", "Processed", "Sent"}
    # The account is read every few minutes, and by a sender that starts.
    stack.faults(account={"max_24h": 10_000})
    stack.kill("sender-0", 15)
    all_went_once(stack)


@pytest.mark.against("E2")
def test_an_outage_of_the_line_loses_nothing(make_stack):
    stack = begin(make_stack, SIMULATOR_LEDGER_FILE="1")
    stack.stop_simulator()
    until("/ready says so", lambda: "Sending waits" in degraded(stack), 20)
    assert set(stack.counts()) <= {"Created", "Processed", "Sent", "Unknown"}
    assert stack.post(["late@example.com"], "other").status_code == 200
    stack.start_simulator()
    stack.wait_counts({"Sent": 1}, "other", 40)
    until("nothing waits for its turn", lambda: set(stack.counts()) <= {"Sent", "Unknown"}, 40)
    assert sum(stack.counts().values()) == MAILS
    # Calls that the end of the far side cut off are in doubt: held, and tried by no means again.
    in_doubt = {email for (email,) in stack.sql("SELECT email FROM recipient WHERE state = 5")}
    assert len(in_doubt) <= 50
    accepted = accepted_in_both_lives(stack)
    everybody = {f"u{n}@example.com" for n in range(MAILS)} | {"late@example.com"}
    assert accepted.keys() | in_doubt == everybody
    assert max(accepted.values()) == 1
    if in_doubt:
        assert f"SES's answer was lost for {len(in_doubt)} mail" in degraded(stack)


def accepted_in_both_lives(stack: Stack) -> Counter[str]:
    stack.ledger()  # what it answers it has written to its file as well
    rows = map(json.loads, (stack.folder / "simulator" / "ledger.jsonl").read_text().splitlines())
    return Counter(row["address"] for row in rows if row["verdict"] == "accepted")


@pytest.mark.parametrize("how", ["denied", "missing"])
def test_without_getaccount_the_settings_rate_holds_and_ready_says_so(make_stack, how):
    stack = make_stack(MAX_SEND_PER_SECOND="40")
    stack.start_simulator()
    stack.faults(account={"getaccount": how})
    stack.start()
    stack.connect_events()
    why = {"denied": "not authorized", "missing": "Not Found"}[how]
    told = until("it is told", lambda: why in (d := degraded(stack)) and d, 20)
    assert "GetAccount has no answer" in told
    assert "the rate is 40/s by setting" in told
    stack.post([f"u{n}@example.com" for n in range(60)])
    stack.wait_counts({"Sent": 60}, seconds=20)
    stamps = sorted(row["arrival_ns"] / 1e9 for row in stack.ledger())
    assert stamps[-1] - stamps[0] > 0.9 * 60 / 40 - 0.25, "no faster than the setting"


def test_auto_without_getaccount_is_one_a_second(make_stack):
    stack = make_stack(MAX_SEND_PER_SECOND="auto")
    stack.start_simulator()
    stack.faults(account={"getaccount": "denied"})
    stack.start()
    stack.connect_events()
    until("it is told", lambda: "the rate is 1/s" in degraded(stack), 20)
    stack.post([f"u{n}@example.com" for n in range(5)])
    stack.wait_counts({"Sent": 5}, seconds=20)
    stamps = sorted(row["arrival_ns"] / 1e9 for row in stack.ledger())
    assert all(after - before >= 1.0 for before, after in itertools.pairwise(stamps))


@pytest.mark.against("E7")
def test_keys_that_ses_refuses_hold_the_queue_until_they_are_mended(make_stack):
    stack = make_stack(SIMULATOR_CHECK_SIGNATURES="1").start()
    stack.connect_events()
    stack.halt()
    stack.settings(AWS_SECRET_ACCESS_KEY="not-the-secret")
    stack.start()
    stack.post([f"u{n}@example.com" for n in range(50)])
    wait_for_hold(stack, "the AWS credentials are refused")
    topic_says(stack, "the AWS credentials are refused")
    assert "not-the-secret" not in stack.http.get("/ready").text
    stack.halt()
    stack.settings(AWS_SECRET_ACCESS_KEY=SECRET)
    stack.start()
    stack.wait_counts({"Sent": 50}, seconds=30)
    assert set(stack.accepted().values()) == {1}


@pytest.mark.against("E8")
def test_in_the_sandbox_only_the_recipients_ses_does_not_know_fail(make_stack):
    stack = make_stack()
    stack.start_simulator()
    stack.faults(account={"production_access": False, "verified_recipients": ["me@example.com"]})
    stack.start()
    stack.connect_events()
    stack.post(["me@example.com", "you@example.com", "success@simulator.amazonses.com"])
    stack.wait_counts({"Sent": 2, "Failed": 1}, seconds=20)
    [(email, status, code)] = stack.sql(
        "SELECT email, status, status_code FROM email_request WHERE status = 'Failed'"
    )
    assert (email, status, code) == ("you@example.com", "Failed", "MessageRejected")
    assert "sandbox" in degraded(stack)
    assert "Sending waits" not in degraded(stack)
