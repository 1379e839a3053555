"""kill -9 of each process once, and of supervisord, in mid-send: all is sent, nothing twice."""

import os
import signal
from pathlib import Path

import pytest

from tests.system.stack import until

# The senders last: once a call of theirs is lost, the ear must have no gap for absence to count.
NAMES = ["api", "writer", "scheduler", "broker", "results", "monitor", "sender-0", "sender-1"]
# SNS must not give up while the API starts anew: events it dropped would leave nothing to prove by.
RULES = {"SIMULATOR_RATE": "250", "UNKNOWN_AFTER": "20", "SIMULATOR_RETRY_SECONDS": "5"}


@pytest.mark.timeout(300)
def test_every_process_may_be_killed_and_comes_back(make_stack):
    stack = make_stack(**RULES).start()
    stack.connect_events()
    stack.post([f"u{n}@example.com" for n in range(5000)])
    former = stack.pids()
    for step, name in enumerate(NAMES, start=1):
        goal = step * 400
        until(f"{goal} are sent", lambda goal=goal: len(stack.ledger()) >= goal, 90)
        stack.kill(name)
    until("all have come back", lambda: is_new(stack, former), 90)
    wait_all_accounted(stack)


@pytest.mark.against("S2")
@pytest.mark.timeout(300)
def test_supervisord_may_be_killed_and_started_again(make_stack):
    stack = make_stack(**RULES).start()
    stack.connect_events()
    stack.post([f"u{n}@example.com" for n in range(5000)])
    until("some are sent", lambda: len(stack.ledger()) >= 500)
    former = stack.pids()
    os.kill(stack.supervisord.pid, signal.SIGKILL)
    stack.supervisord.wait()
    stack.start()
    until("all are new", lambda: is_new(stack, former))
    # Senders end what they have begun, while their successors wait for their locks.
    until("none is left", lambda: not any(is_living(former[name]) for name in NAMES))
    wait_all_accounted(stack)


def is_living(pid: int) -> bool:
    """Tell whether a process is there; what has ended and was not buried is not."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def is_new(stack, former: dict[str, int]) -> bool:
    """Tell whether every process of ours runs, and is another than before."""
    now = stack.pids()
    return stack.missing() == [] and all(now.get(n, former[n]) != former[n] for n in NAMES)


def wait_all_accounted(stack) -> None:
    """All are sent once.

    A call that had begun when its sender was killed is proven by its event, or, when events prove
    that SES never had it, made again.
    """
    until("nothing waits or is in doubt", lambda: set(stack.counts()) == {"Sent"}, 150)
    accepted = stack.accepted()
    assert len(accepted) == 5000
    assert max(accepted.values()) == 1
