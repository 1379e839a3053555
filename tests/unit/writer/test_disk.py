"""A full disk: nothing half-stored, everyone told, and all is well again by itself."""

import random
import resource
import signal
from collections.abc import Iterator

import apsw
import pytest

from scripts.benches import durable
from scripts.benches.forgetful import Disk, Passage
from scripts.benches.traffic import Sizes, Traffic
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, OnUnknown, Verdict
from tests.unit.writer.conftest import Desk

pytestmark = pytest.mark.against("D1")

BIG = "x" * 300_000


@pytest.fixture
def full(desk):
    """Let the database grow no more; answers a function that makes room again."""
    desk.submit(["a@example.com", "b@example.com"])
    pages = desk.store._connection.pragma("page_count")
    desk.store._connection.pragma("max_page_count", pages)
    return lambda: desk.store._connection.pragma("max_page_count", 1_000_000)


def state(desk) -> p.WriterState:
    (found,) = [x.message for x in desk.wait(1) if isinstance(x.message, p.WriterState)]
    return found


def test_a_submission_is_refused_and_nothing_of_it_is_stored(desk, full):
    many = [f"u{n}@example.com" for n in range(10_000)]
    assert desk.submit(many, number="s1", content=BIG) == p.NotStored("s1", "storage_full")
    assert desk.counts() == {"Created": 2}
    assert desk.sql("SELECT count(*) FROM email_content") == [(1,)]
    assert not state(desk).storing
    assert "cannot write" in desk.writer.notes()["trouble"]
    assert desk.store.path.name in desk.writer.notes()["trouble"]
    assert str(desk.store.path.parent) not in desk.writer.notes()["trouble"]
    full()
    assert isinstance(desk.submit(many, number="s2", content=BIG), p.Stored)
    assert state(desk).storing
    assert desk.counts() == {"Created": 10_002}


def test_events_are_refused_so_that_sns_says_them_again(desk, full):
    events = tuple(
        p.Event(Feedback.DELIVERY, "a@example.com", "m", at, at, 1, detail=BIG) for at in range(9)
    )
    post = p.EventPost("post-1", "sns-1", events)
    answer = desk.ask(p.RecordEvents(1, (post,)), p.EventsNotRecorded)
    assert answer.posts == ("post-1",)
    full()
    assert desk.ask(p.RecordEvents(1, (post,)), p.EventsRecorded).posts == ("post-1",)
    assert desk.results() == {"Delivery": 1}


def test_no_gate_opens_when_the_attempt_cannot_be_recorded(desk, full):
    (job,) = desk.claim()
    post = p.EventPost(
        "post", "sns", (p.Event(Feedback.CLICK, "a@example.com", "m", 1, 1, 1, detail=BIG),)
    )
    answers = desk.say(p.AskGate("sender-0", 1, (job.job,)), p.RecordEvents(1, (post,)))
    assert not [x for x in answers if isinstance(x, p.GateOpened)], "the turn was undone"
    full()
    assert desk.gate(job)[0].recipients
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Created": 1, "Sent": 1}


def test_an_outcome_that_cannot_be_written_is_not_acknowledged(desk, full):
    (job,) = desk.claim()
    desk.gate(job)
    big = (p.Outcome(job.job, (p.Answer(1, Verdict.PERMANENT, 1, code="x", detail=BIG),)),)
    assert desk.say(p.RecordOutcomes("sender-0", 1, 5, big)) == []
    assert desk.counts() == {"Created": 1, "Processed": 1}
    full()
    assert desk.say(p.RecordOutcomes("sender-0", 1, 5, big)) == [p.OutcomesRecorded(1, (5,))]
    assert desk.counts() == {"Created": 1, "Failed": 1}


def test_a_repeat_of_what_is_stored_gets_its_answer_although_the_turn_fails(desk):
    first = desk.submit(["a@example.com"], number="s1")
    order = p.CancelTopic("api", "o1", "news")
    cancelled = desk.ask(order, p.TopicCancelled)
    pages = desk.store._connection.pragma("page_count")
    desk.store._connection.pragma("max_page_count", pages)
    mail = p.Mail("news", "Subject", BIG, tuple(f"u{n}@example.com" for n in range(9000)))
    now = desk.now
    too_much = p.Submit("api", "s2", now.mono + 5, now.mono, now.ms, None, (mail,), p.Tally(0, 0))
    again = p.Submit("api", "s1", now.mono + 5, now.mono, now.ms, None, (mail,), p.Tally(0, 0))
    answers = desk.say(again, p.LookUp("api", "s1"), p.LookUp("api", "s3"), order, too_much)
    assert answers == [
        first,
        first,
        p.NotStored("s3", "storage_full"),
        cancelled,
        p.NotStored("s2", "storage_full"),
    ]


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.remove()


@pytest.mark.parametrize("trouble", [apsw.FullError, apsw.IOError], ids=["full", "error"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_d1_whatever_write_or_sync_the_disk_refuses_nothing_is_half_stored(disk, seed, trouble):
    class Troubled(Desk):
        vfs = disk.vfs

    desk = Troubled(disk.folder / "writer.db", OnUnknown.CONFIRM_THEN_HOLD)
    dice = random.Random(seed)
    traffic = Traffic(dice, Sizes(recipients=10, list=60, content=20_000))
    refused = []

    def refuse(passage: Passage) -> None:
        # The WAL alone: what a checkpoint meets is no commit's business (see below).
        odds = 0.3 if passage.what == "sync" else 0.01
        if passage.file.endswith("-wal") and dice.random() < odds:
            refused.append(passage.what)
            raise trouble("the disk does not want to")

    traffic.reboot(desk.writer, desk.now)
    troubled = 0
    for number in range(120):
        if number % 20 == 0:
            disk.watch = (lambda _passage: None) if number % 40 == 0 else refuse
        desk.now = Now(desk.now.mono + 0.2, desk.now.wall + 0.2)
        traffic.turn(desk.writer, desk.now, lambda name: topic_id(desk, name))
        troubled += bool(desk.writer.notes()["trouble"])
    assert {"write", "sync"} <= set(refused)
    assert 0 < troubled < 120, "it came and went"

    disk.watch = lambda _passage: None
    assert state(desk).storing, "it is well again by itself"
    traffic.ask_again(desk.writer, desk.now)
    desk.restart(boot="boot-2")
    traffic.reboot(desk.writer, desk.now)
    assert durable.judge(traffic.diary, durable.read(desk.path)) == []
    diary = traffic.diary
    assert diary.told
    assert diary.acked_events
    assert diary.acked_outcomes
    desk.store.close()


def topic_id(desk, name: str) -> int | None:
    row = desk.store.row("topic_by_name", (name,))
    return row and row[0]


def test_d1_a_checkpoint_that_fails_costs_nothing_but_a_longer_log(desk):
    desk.submit(["a@example.com"], content="x" * 3_000_000)
    connection = desk.store._connection
    connection.execute("PRAGMA wal_checkpoint(truncate)")
    connection.pragma("wal_autocheckpoint", 20)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    size, limits = desk.path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    # The log may grow to this size, the database is beyond it already.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100_000, limits[1]))
    try:
        for number in range(40):
            desk.submit([f"u{number}@example.com"], content=f"{number}" * 2000)
        assert desk.path.stat().st_size == size
        assert desk.store.wal_bytes() > 2 * 20 * 4096, "no checkpoint was possible"
        assert desk.writer.notes()["trouble"] == ""
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    desk.submit(["z@example.com"])
    assert desk.path.stat().st_size > size, "and then one was made"
    assert desk.counts() == {"Created": 42}
    assert desk.sql("PRAGMA integrity_check") == [("ok",)]
