"""Orders over one recipient: cancelled where it stands, or settled when it is Unknown."""

import pytest

from services.writer import sweeps
from shared import protocol as p
from shared.domain import Feedback, OnUnknown, State, Verdict

MANY = tuple(f"u{n}@example.com" for n in range(10))


def cancel(desk, recipient=1, **more):
    return desk.order(p.CancelMail, recipient, **more)


def resolve(desk, resend, recipient=1):
    return desk.order(p.ResolveMail, recipient, resend)


def story(desk, recipient=1):
    statement = "SELECT verdict, detail <> '' FROM refusal WHERE recipient = ? ORDER BY at"
    return desk.sql(statement, recipient)


def lose(desk, count=1):
    """Leave mails Unknown; answers their jobs."""
    desk.submit(MANY[:count])
    jobs = desk.claim(jobs=count)
    desk.gate(*jobs)
    for job in jobs:
        desk.outcome(job, Verdict.UNKNOWN)
    return jobs


# ── cancel ──


def test_a_mail_that_waits_is_stopped_and_passed_over_by_claims(desk):
    desk.submit(MANY[:3])
    answer = cancel(desk, 2)
    assert (answer.changed, answer.state) == (1, State.STOPPED)
    assert desk.counts() == {"Created": 2, "Stopped": 1}
    (job,) = desk.claim(size=50)
    assert [who.recipient for who in job.addressees] == [1, 3]
    assert story(desk, 2) == [("cancelled", 1)]
    assert desk.sql("SELECT status_code FROM email_request WHERE id = 2") == [("cancelled",)]


def test_cancelled_again_it_is_still_stopped(desk):
    desk.submit(MANY[:1])
    cancel(desk)
    again = cancel(desk)
    assert (again.changed, again.state) == (0, State.STOPPED)
    assert story(desk) == [("cancelled", 1)]


def test_a_batch_of_which_all_are_cancelled_leaves_nothing_due(desk):
    desk.submit(MANY[:2])
    cancel(desk, 1)
    cancel(desk, 2)
    assert desk.claim(jobs=9) == []
    assert desk.claimed.next_due is None
    assert desk.sql("SELECT * FROM work") == []


def test_a_mail_that_waits_for_another_turn_is_stopped(desk):
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.FOR_NOW)
    cancel(desk)
    desk.wait(4000)
    assert desk.claim() == []
    assert desk.counts() == {"Stopped": 1}
    assert [word for word, _ in story(desk)] == ["for_now", "cancelled"]


def test_the_only_recipient_of_a_leased_job_takes_the_job_with_it(desk):
    desk.submit(MANY[:2])
    job, other = desk.claim(jobs=2)
    assert cancel(desk).state is State.STOPPED
    assert desk.sql("SELECT job FROM lease") == [(other.job,)]
    assert desk.gate(job)[0].recipients == ()
    desk.outcome(job, None)
    assert desk.counts() == {"Stopped": 1, "Processed": 1}


def test_one_of_several_in_a_job_is_left_out_at_the_gate(desk):
    desk.submit(MANY[:3])
    (job,) = desk.claim(size=3)
    cancel(desk, 2)
    assert desk.gate(job)[0].recipients == (1, 3)
    desk.outcome(job, None)
    assert desk.counts() == {"Created": 2, "Stopped": 1}


def test_what_is_through_the_gate_is_refused(desk):
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    answer = cancel(desk, order="o")
    assert (answer.code, answer.state) == ("in_flight", State.PROCESSED)
    desk.outcome(job, Verdict.THROTTLED)
    assert cancel(desk, order="o").state is State.STOPPED, "judged as things stand now"


def test_an_unknown_mail_stays_so_and_is_not_sent_again(desk):
    desk.on_unknown = OnUnknown.RESEND_NOW
    desk.restart()
    lose(desk)
    assert (cancel(desk).changed, cancel(desk).changed) == (1, 0)
    assert desk.counts() == {"Unknown": 1}
    desk.wait(2)
    assert desk.counts() == {"Stopped": 1}


@pytest.mark.parametrize("verdict", [Verdict.THROTTLED, Verdict.FOR_NOW, None])
def test_a_late_answer_that_ses_has_not_got_a_cancelled_one_stops_it(desk, verdict):
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    desk.wait(61)
    cancel(desk)
    desk.outcome(job, verdict)
    assert desk.counts() == {"Stopped": 1}


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.PERMANENT])
def test_what_is_final_is_refused_with_its_state(desk, verdict):
    desk.submit(MANY[:1])
    desk.send_all(verdict=verdict)
    answer = cancel(desk)
    assert (answer.code, answer.state.word) == ("final", *desk.counts())


def test_nobody_by_that_id_is_refused(desk):
    assert cancel(desk, 99).code == "no_such_message"
    assert resolve(desk, True, 99).code == "no_such_message"


def test_a_cancel_of_its_topic_counts_it_no_second_time(desk):
    desk.submit(MANY)
    cancel(desk, 3)
    assert desk.order(p.CancelTopic).stopped == 9
    assert cancel(desk, 4).state is State.STOPPED
    assert desk.counts() == {"Stopped": 10}


def test_mail_without_a_topic_can_be_cancelled_one_by_one(desk):
    desk.submit(MANY[:2], None)
    cancel(desk, 2)
    assert len(desk.claim(jobs=9, topic=None)) == 1


def test_a_failed_mail_that_is_about_to_be_retried_is_not_final(desk, monkeypatch):
    monkeypatch.setattr(sweeps, "STEP_ROWS", 2)
    desk.submit(MANY[:3])
    desk.send_all(verdict=Verdict.PERMANENT)
    desk.order(p.RetryFailed)
    assert cancel(desk, 3).state is State.STOPPED
    desk.sweep()
    assert desk.counts() == {"Created": 2, "Stopped": 1}
    assert [word for word, _ in story(desk, 3)] == ["permanent", "retried", "cancelled"]


@pytest.mark.parametrize("seconds", [None, 5])
def test_so_it_is_behind_the_sweep_of_a_cancel(desk, monkeypatch, seconds):
    monkeypatch.setattr(sweeps, "STEP_ROWS", 2)
    desk.submit(MANY[:1], expires_at=None if seconds is None else desk.now.ms + seconds * 1000)
    desk.send_all(verdict=Verdict.PERMANENT)
    desk.submit(MANY)
    desk.order(p.CancelTopic)
    desk.order(p.RetryFailed)
    if seconds is not None:
        desk.now = desk.now._replace(wall=desk.now.wall + seconds)  # it has expired meanwhile
    answer = cancel(desk)
    assert (answer.changed, answer.state) == (1, State.STOPPED)
    assert desk.counts() == {"Stopped": 11}
    desk.sweep()
    assert desk.counts() == {"Stopped": 11}
    assert story(desk)[-1] == ("cancelled" if seconds is None else "expired", 1)


# ── resolve ──


def test_taken_for_sent_it_was_sent_when_it_left(desk):
    lose(desk)
    began = desk.now.ms
    desk.wait(50)
    answer = resolve(desk, False)
    assert (answer.changed, answer.state) == (1, State.SENT)
    assert desk.counts() == {"Sent": 1}
    assert desk.sql("SELECT sent_at FROM recipient") == [(began,)]
    assert story(desk) == [("unknown", 1), ("resolved_sent", 1)]


def test_sent_again_it_is_marked_as_maybe_a_duplicate(desk):
    lose(desk)
    assert resolve(desk, True).state is State.CREATED
    assert desk.sql("SELECT flags FROM recipient") == [(1,)]
    (job,) = desk.claim()
    assert job.addressees[0].attempt == 2
    desk.gate(job)
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Sent": 1}
    assert story(desk) == [("unknown", 1), ("resent", 1)]


def test_a_cancelled_one_is_not_sent_again_but_can_be_taken_for_sent(desk):
    lose(desk, 2)
    cancel(desk)
    assert (resolve(desk, True).code, resolve(desk, True).state) == ("cancelled", State.UNKNOWN)
    assert resolve(desk, False).state is State.SENT
    desk.order(p.CancelTopic)
    assert resolve(desk, True, 2).code == "cancelled"


def test_what_is_not_unknown_is_refused_with_its_state(desk):
    desk.submit(MANY[:1])
    for resend in (True, False):
        answer = resolve(desk, resend)
        assert (answer.code, answer.state) == ("not_unknown", State.CREATED)


def test_after_a_resend_the_first_copy_s_event_proves_it_and_flags_the_double(desk):
    lose(desk)
    resolve(desk, True)
    (job,) = desk.claim()
    desk.gate(job)
    event = p.Event(Feedback.SEND, MANY[0], "first", 1, 1, 1, attempt=1)
    desk.say(p.RecordEvents(1, (p.EventPost("x", "y", (event,)),)))
    desk.outcome(job, Verdict.ACCEPTED, message_id="second")
    assert desk.counts() == {"Sent": 1}
    assert desk.sql("SELECT flags FROM recipient") == [(3,)]


def test_a_late_acceptance_after_it_was_taken_for_sent_names_the_id(desk):
    (job,) = lose(desk)
    resolve(desk, False)
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Sent": 1}
    assert desk.sql("SELECT message_id, flags FROM recipient") == [("ses-1", 0)]


def test_an_unknown_that_has_expired_is_stopped_instead_of_sent_again(desk):
    desk.submit(MANY[:1], expires_at=desk.now.ms + 10_000)
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.UNKNOWN)
    desk.wait(20)
    assert desk.counts() == {"Unknown": 1}
    assert resolve(desk, True).state is State.STOPPED
    assert desk.sql("SELECT code, flags FROM recipient") == [("expired", 0)]
    assert desk.counts() == {"Stopped": 1}
