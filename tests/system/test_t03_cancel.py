"""DELETE in mid-send: what was stopped and what was sent make up what was accepted."""

import time

from tests.system.stack import until


def test_cancel_of_immediate_mail_in_mid_send(make_stack):
    stack = make_stack(SIMULATOR_RATE="200", MAX_SEND_PER_SECOND="200").start()
    stack.connect_events()
    stack.post([f"u{n}@example.com" for n in range(2000)])
    until("some are sent", lambda: stack.counts().get("Sent", 0) > 200)
    answer = stack.http.delete("/v1/topics/news").json()
    answered_ns = time.monotonic_ns()  # the clock the ledger stamps with
    assert answer["status"] == "ok"
    until("nothing is open", lambda: set(stack.counts()) <= {"Sent", "Stopped"})
    counts = stack.counts()
    assert counts["Sent"] + counts["Stopped"] == 2000
    ledger = stack.ledger()
    assert sum(row["verdict"] == "accepted" for row in ledger) == counts["Sent"]
    assert answer["stopped"] <= counts["Stopped"] <= answer["stopped"] + answer["in_flight"]
    # What arrived after the answer had been let through before it, and was counted in it.
    assert len([row for row in ledger if row["arrival_ns"] > answered_ns]) <= answer["in_flight"]
    later = stack.post(["new@example.com"])
    assert later.status_code == 200
    until("later mail goes", lambda: stack.accepted()["new@example.com"] == 1)
