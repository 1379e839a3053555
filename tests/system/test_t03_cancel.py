"""DELETE in mid-send: what was stopped and what was sent make up what was accepted."""

from tests.system.stack import until


def test_cancel_of_immediate_mail_in_mid_send(make_stack):
    stack = make_stack(SIMULATOR_RATE="200", MAX_SEND_PER_SECOND="200").start()
    stack.connect_events()
    stack.post([f"u{n}@example.com" for n in range(2000)])
    until("some are sent", lambda: stack.counts().get("Sent", 0) > 200)
    before = len(stack.ledger())
    answer = stack.http.delete("/v1/topics/news").json()
    assert answer["status"] == "ok"
    until("nothing is open", lambda: set(stack.counts()) <= {"Sent", "Stopped"})
    counts = stack.counts()
    assert counts["Sent"] + counts["Stopped"] == 2000
    ledger = stack.ledger()
    assert len(ledger) == counts["Sent"]
    # Between our look at the ledger and the answer some more went: those are not bounded by it.
    assert answer["stopped"] <= counts["Stopped"] <= answer["stopped"] + answer["in_flight"]
    assert len(ledger) <= 2000 - answer["stopped"]
    assert len(ledger) >= before
    later = stack.post(["new@example.com"])
    assert later.status_code == 200
    until("later mail goes", lambda: stack.accepted()["new@example.com"] == 1)
