"""A full disk: nothing half-stored, everyone told, and all is well again by itself."""

import pytest

from shared import protocol as p
from shared.domain import Feedback, Verdict

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
