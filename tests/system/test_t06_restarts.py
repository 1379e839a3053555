"""SIGTERM under load, five times: calls on the wire finish, nothing is unknown, nothing doubled."""

import pytest

from tests.system.stack import until


@pytest.mark.against("S1")
@pytest.mark.timeout(300)
def test_five_restarts_under_load_leave_nothing_unknown(make_stack):
    stack = make_stack(SIMULATOR_RATE="300").start()
    stack.connect_events()
    stack.post([f"u{n}@example.com" for n in range(3000)])
    for step in range(1, 6):
        goal = step * 300
        until(f"{goal} are sent", lambda goal=goal: len(stack.ledger()) >= goal)
        stack.stop()
        assert stack.sql("SELECT count(*) FROM recipient WHERE state = 5") == [(0,)]
        stack.start_without_waiting()  # the next goal is met by those who are up and well
    stack.wait_counts({"Sent": 3000}, seconds=120)
    accepted = stack.accepted()
    assert len(accepted) == 3000
    assert max(accepted.values()) == 1
