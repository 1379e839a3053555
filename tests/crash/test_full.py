"""A full disk under a whole installation: all waits, nothing is lost, all goes on by itself."""

import resource
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.system.stack import Stack, until

MAILS = 400


@pytest.fixture
def stack(tmp_path) -> Iterator[Stack]:
    stack = Stack(tmp_path, SIMULATOR_RATE="100", ON_UNKNOWN="confirm_then_hold")
    yield stack
    stack.close()


def limit(stack: Stack, *names: str, to: int) -> None:
    """Let processes write no file beyond that size: what a full disk does, without privileges."""
    pids = stack.pids()
    for pid in (pids[name] for name in names):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (to, hard))


def recorded(stack: Stack) -> tuple[int, int]:
    """Answer how many calls SES has seen, and how many attempts were recorded by then."""
    seen = len(stack.ledger())
    ((attempts,),) = stack.sql("SELECT sum(attempts) FROM recipient")
    return seen, attempts


def wait_unready(stack: Stack, why: str) -> None:
    def told() -> bool:
        answer = stack.http.get("/ready")
        return answer.status_code == 503 and why in answer.json()["checks"]["storing"]

    until("/ready says so", told, 20)


@pytest.mark.against("D1", "D2")
def test_d1_a_full_disk_stops_everything_and_all_goes_on_by_itself(stack):
    stack.start()
    stack.connect_events()
    assert stack.post([f"u{n}@example.com" for n in range(MAILS)]).status_code == 200
    until("some are sent", lambda: stack.counts().get("Sent", 0) >= 20)

    # The database cannot be written.
    processes = stack.pids()
    limit(stack, "writer", to=0)
    wait_unready(stack, "cannot write the database")
    refused = stack.post(["refused@example.com"])
    assert refused.status_code == 503
    assert refused.json()["code"] == "storage_unavailable"
    assert "cannot write the database" in refused.json()["error"]
    assert "nothing of this request was stored" in refused.json()["error"]
    assert refused.headers["retry-after"]
    seen, attempts = recorded(stack)
    assert seen <= attempts < MAILS
    limit(stack, "writer", to=resource.RLIM_INFINITY)
    until("it can be stored again", stack.ready, 20)

    # The journals cannot be written.
    before = stack.counts().get("Sent", 0)
    until("it goes on", lambda: stack.counts().get("Sent", 0) > before)
    senders = [name for name in stack.pids() if name.startswith("sender")]
    limit(stack, *senders, to=0)
    until("both have noticed", lambda: said(stack, "no call starts until the journal") == 2)
    seen, attempts = recorded(stack)
    assert seen <= attempts
    assert stack.counts().get("Sent", 0) < MAILS, "some still wait"
    limit(stack, *senders, to=resource.RLIM_INFINITY)

    # The database is moved away, and back.
    database = stack.folder / "data" / "ses-sender.db"
    away = database.rename(database.with_name("away.db"))
    wait_unready(stack, "ses-sender.db was deleted or replaced")
    refused = stack.post(["refused@example.com"])
    assert refused.status_code == 503
    assert "was deleted or replaced" in refused.json()["error"]
    assert not database.exists()
    away.rename(database)
    until("it can be stored again", stack.ready, 20)

    assert stack.post(["last@example.com"]).status_code == 200
    stack.wait_counts({"Sent": MAILS + 1})
    accepted = stack.accepted()
    assert len(accepted) == MAILS + 1
    assert max(accepted.values()) == 1
    assert stack.sql("SELECT count(*) FROM recipient WHERE email = 'refused@example.com'") == [(0,)]
    assert stack.sql("PRAGMA integrity_check") == [("ok",)]
    attempts = dict(stack.sql("SELECT email, attempts FROM recipient"))
    calls = Counter(row["address"] for row in stack.ledger())
    assert all(calls[email] <= attempts[email] for email in calls), "each call was recorded before"
    assert stack.pids() == processes, "nobody died of it"


def said(stack: Stack, words: str) -> int:
    return sum(words in line for line in stack.log_lines())
