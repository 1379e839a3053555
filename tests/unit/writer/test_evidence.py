"""Unknown outcomes: resolved by evidence, by policy, or held; never guessed."""

import pytest

from services.writer.evidence import Evidence, Resolution, resolve
from shared import protocol as p
from shared.domain import Feedback, OnUnknown, Verdict

PROVEN = Evidence(sent=100, heard=100, ear_since=0, ear_last=1_000_000)


@pytest.mark.parametrize(
    ("policy", "evidence", "expected"),
    [
        (OnUnknown.CONFIRM_THEN_RESEND, PROVEN, Resolution.RESEND),
        (OnUnknown.CONFIRM_THEN_RESEND, PROVEN._replace(heard=98), Resolution.HOLD),
        (OnUnknown.CONFIRM_THEN_RESEND, PROVEN._replace(sent=19, heard=19), Resolution.HOLD),
        (OnUnknown.CONFIRM_THEN_RESEND, PROVEN._replace(ear_since=501), Resolution.HOLD),
        (OnUnknown.CONFIRM_THEN_RESEND, PROVEN._replace(ear_last=900_000), Resolution.HOLD),
        (OnUnknown.CONFIRM_THEN_RESEND, PROVEN._replace(ear_since=None), Resolution.HOLD),
        (
            OnUnknown.CONFIRM_THEN_RESEND,
            PROVEN._replace(near_sent=9, near_heard=8),
            Resolution.HOLD,
        ),
        (OnUnknown.CONFIRM_THEN_HOLD, PROVEN, Resolution.HOLD),
        (OnUnknown.RESEND_NOW, PROVEN._replace(sent=0), Resolution.RESEND),
        (OnUnknown.ASSUME_SENT, PROVEN._replace(sent=0), Resolution.SENT),
    ],
)
@pytest.mark.against("E3")
def test_policy_and_evidence_decide(policy, evidence, expected):
    assert resolve(policy, since=500, evidence=evidence, now_ms=1_000_000) is expected


def lose_one(desk) -> None:
    desk.submit(["lost@example.com"], "lost")
    (job,) = desk.claim(topic="lost")
    desk.gate(job)
    desk.outcome(job, Verdict.UNKNOWN)
    assert desk.counts("lost") == {"Unknown": 1}


def listen(desk, seconds: int) -> None:
    for _ in range(seconds):
        desk.say(p.EarOpen(1))
        desk.wait(1)


def prove_events(desk, mails: int = 30) -> None:
    desk.submit(f"u{n}@example.com" for n in range(mails))
    desk.send_all()
    rows = desk.sql("SELECT id, email, message_id FROM recipient WHERE state = 2")
    events = tuple(
        p.Event(Feedback.SEND, email, message, desk.now.ms, desk.now.ms, recipient)
        for recipient, email, message in rows
    )
    desk.say(p.RecordEvents(1, (p.EventPost("x", "y", events),)))


@pytest.mark.against("E3")
def test_proven_absence_sends_again_and_marks_the_mail(desk):
    prove_events(desk)
    desk.say(p.EarOpen(1))
    lose_one(desk)
    listen(desk, 299)
    assert desk.counts("lost") == {"Unknown": 1}
    listen(desk, 90)
    assert desk.counts("lost") == {"Created": 1}
    assert desk.sql("SELECT flags FROM recipient WHERE email = 'lost@example.com'") == [(1,)]
    (job,) = desk.claim(topic="lost")
    assert job.addressees[0].attempt == 2


@pytest.mark.against("N5")
def test_a_gap_of_the_webhook_leaves_the_mail_held(desk):
    prove_events(desk)
    desk.say(p.EarOpen(1))
    lose_one(desk)
    listen(desk, 100)
    desk.wait(10)
    listen(desk, 400)
    assert desk.counts("lost") == {"Unknown": 1}


def test_without_events_nothing_is_proven(desk):
    desk.say(p.EarOpen(1))
    lose_one(desk)
    listen(desk, 400)
    assert desk.counts("lost") == {"Unknown": 1}


@pytest.mark.against("E3")
def test_an_event_during_the_wait_settles_it(desk):
    lose_one(desk)
    event = p.Event(Feedback.SEND, "lost@example.com", "m-1", 1, desk.now.ms, 1)
    desk.say(p.RecordEvents(1, (p.EventPost("x", "y", (event,)),)))
    assert desk.counts("lost") == {"Sent": 1}
    assert desk.sql("SELECT count(*) FROM unknown") == [(0,)]


@pytest.mark.parametrize(
    ("policy", "expected"), [(OnUnknown.RESEND_NOW, "Created"), (OnUnknown.ASSUME_SENT, "Sent")]
)
@pytest.mark.against("E3")
def test_policies_that_do_not_wait(desk, policy, expected):
    desk.on_unknown = policy
    desk.restart()
    lose_one(desk)
    desk.wait(2)
    assert desk.counts("lost") == {expected: 1}


def proven_since(desk) -> int | None:
    (found,) = [x.message for x in desk.wait(1) if isinstance(x.message, p.WriterState)]
    return found.proven_since


def test_since_when_events_are_proven_is_kept_over_a_restart_and_given_up_when_they_stay_out(desk):
    desk.say(p.EarOpen(1))
    assert proven_since(desk) is None
    prove_events(desk)
    listen(desk, 360)
    proven = proven_since(desk)
    assert desk.now.ms - 120_000 < proven < desk.now.ms
    desk.wait(60)
    desk.restart()
    assert proven_since(desk) == proven
    desk.submit(f"silent{n}@example.com" for n in range(30))
    desk.send_all()
    assert proven_since(desk) == proven
    desk.wait(370)
    assert proven_since(desk) is None


def test_a_gap_of_the_webhook_does_not_hide_that_events_are_proven(desk):
    desk.say(p.EarOpen(1))
    prove_events(desk)
    listen(desk, 360)
    proven = proven_since(desk)
    desk.wait(60)
    listen(desk, 5)
    assert proven_since(desk) == proven
