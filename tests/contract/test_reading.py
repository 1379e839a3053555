"""What the writer leaves in the database, the readers tell as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.api import history, progress
from shared import protocol as p
from shared.domain import Feedback, State, Verdict
from shared.store.listing import NEWEST, Wanted
from shared.store.read import Reader
from tests.unit.api.rig import writer_state
from tests.unit.writer.conftest import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "writer.db")
    yield desk
    desk.store.close()


@pytest.fixture
def reader(desk):
    return Reader(desk.path)


def told(reader, recipient):
    return [entry["what"] for entry in history.history(reader.listing.story(recipient))]


def state(desk, reader):
    return progress.state(reader.topic("news"), desk.now)


def hear(desk, job, kind):
    (who,) = job.addressees
    event = p.Event(
        kind=kind, at=desk.now.ms, sent_at=desk.now.ms, email=who.email, message_id="m",
        recipient=who.recipient,
    )  # fmt: skip
    desk.say(p.RecordEvents(1, (p.EventPost("post-1", "sns-1", (event,)),)))


def test_the_history_of_a_mail_is_what_happened_to_it(desk, reader):
    desk.submit(["ann@example.com"])
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.FOR_NOW)
    assert told(reader, 1) == ["accepted", "attempt"]
    assert [wait.code for wait in history.waits(reader.listing.story(1), desk.now)] == ["retry"]
    desk.wait(7200)
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.ACCEPTED, message_id="m")
    hear(desk, job, Feedback.DELIVERY)
    assert told(reader, 1) == ["accepted", "attempt", "sent", "event"]
    (one,) = reader.listing.down(Wanted(), NEWEST, 9).recipients
    assert (one.state, one.attempts, one.feedback, one.message_id) == (State.SENT, 2, 30, "m")


def test_every_state_is_found_where_the_writer_put_it(desk, reader):
    for topic in ("news", "other"):
        desk.submit([f"{number}@example.com" for number in range(6)], topic)
        jobs = desk.claim(jobs=5, topic=topic)
        for job, verdict in zip(
            jobs,
            (Verdict.ACCEPTED, Verdict.PERMANENT, Verdict.UNKNOWN, Verdict.FOR_NOW),
            strict=False,
        ):
            desk.gate(job)
            desk.outcome(job, verdict)
    desk.order(p.CancelTopic, topic="other")
    all_are_found(desk, reader)  # the rows do not say so yet
    desk.sweep()
    all_are_found(desk, reader)
    assert "Stopped" in desk.states().values()


def all_are_found(desk, reader):
    known = desk.states()
    for one in State:
        expected = sorted((i for i, word in known.items() if word == one.word), reverse=True)
        page = reader.listing.down(Wanted(None, one), NEWEST, 99)
        assert [row.id for row in page.recipients] == expected, one
        found = []
        for name in ("news", "other"):
            topic = reader.topic(name)
            rows = reader.listing.up(Wanted(topic.id, one), 0, NEWEST, 99).recipients
            assert len(rows) == topic.requests[one.word]
            found += [row.id for row in rows]
        assert sorted(found, reverse=True) == expected


def test_a_topic_goes_through_its_states(desk, reader):
    later = desk.now.ms + 60_000
    desk.submit(["ann@example.com"], scheduled_at=later)
    assert state(desk, reader) == "scheduled"
    desk.order(p.PauseTopic)
    assert state(desk, reader) == "paused"
    assert progress.next_due(reader.topic("news")) == later
    desk.order(p.RescheduleTopic)
    assert progress.next_due(reader.topic("news")) <= desk.now.ms
    desk.order(p.ResumeTopic)
    assert state(desk, reader) == "sending"
    desk.send_all()
    assert state(desk, reader) == "idle"
    desk.submit(["ben@example.com"])
    desk.order(p.CancelTopic)
    assert state(desk, reader) == "cancelled"
    desk.submit(["cid@example.com"])
    assert state(desk, reader) == "sending"
    desk.send_all()
    assert state(desk, reader) == "idle"
    assert [row.state for row in reader.listing.down(Wanted(), NEWEST, 9).recipients] == [2, 4, 2]


def test_the_pace_and_the_end_of_a_topic(desk, reader):
    desk.submit([f"{number}@example.com" for number in range(300)])
    desk.wait(30)
    for _ in range(100):
        (job,) = desk.claim()
        desk.gate(job)
        desk.outcome(job, Verdict.ACCEPTED)
        desk.wait(0.2)
    topic = reader.topic("news")
    assert progress.rate_now(topic, desk.now) == pytest.approx(5, rel=0.1)
    facts = progress.Facts((), writer_state(), throttled=False, now=desk.now)
    assert (progress.eta(topic, facts) - desk.now.ms) / 1000 == pytest.approx(40, rel=0.1)


def test_a_mail_told_to_go_again_says_so(desk, reader):
    desk.submit(["ann@example.com"])
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.UNKNOWN)
    assert told(reader, 1)[0] == "accepted"
    assert "answer_lost" in told(reader, 1)
    desk.order(p.ResolveMail, 1, resend=True)
    assert told(reader, 1) == ["accepted", "attempt", "resent"]
    assert reader.listing.story(1).recipient.flags & 1
    desk.order(p.CancelMail, 1)
    assert told(reader, 1) == ["accepted", "attempt", "resent", "cancelled"]


def test_mail_that_was_never_sent_says_why(desk, reader):
    desk.list_address("listed@example.com")
    desk.submit(["listed@example.com", "ann@example.com"], expires_at=desk.now.ms + 1000)
    desk.wait(2)
    desk.sweep()
    assert told(reader, 1) == ["accepted", "suppressed"]
    assert told(reader, 2) == ["accepted", "expired"]
    assert reader.listing.suppression("Listed@Example.com").reason == "manual"


def test_mail_rescheduled_in_mid_send_shows_the_time_that_is_its_own(desk, reader):
    tomorrow = desk.now.ms + 86_400_000
    desk.submit(["sent@example.com", "claimed@example.com", "waits@example.com"])
    sent, _claimed = desk.claim(jobs=2)
    desk.gate(sent)
    desk.outcome(sent, Verdict.ACCEPTED)
    desk.order(p.RescheduleTopic, "news", tomorrow)
    found = reader.listing.down(Wanted(), NEWEST, 9).recipients
    times = {one.email.partition("@")[0]: one.scheduled_at for one in found}
    assert times == {"sent": None, "claimed": tomorrow, "waits": tomorrow}
