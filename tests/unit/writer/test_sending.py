"""From a submission to an outcome: every recipient is in one state, every counter is true."""

import pytest

from services.writer.claims import LEASE_S
from shared import protocol as p
from shared.domain import Feedback, Verdict

THREE = ("a@example.com", "b@example.com", "c@example.com")


def test_a_submission_is_answered_with_what_was_stored(desk):
    answer = desk.submit(THREE)
    assert isinstance(answer, p.Stored)
    assert (answer.total, answer.success, answer.replayed) == (3, 3, False)
    assert desk.counts() == {"Created": 3}


def test_a_repeat_of_a_submission_gets_the_same_answer_and_stores_nothing(desk):
    first = desk.submit(THREE, number="s1")
    assert desk.submit(THREE, number="s1") == first
    assert desk.counts() == {"Created": 3}


def test_a_submission_past_its_deadline_is_refused_and_stays_refused(desk):
    answer = desk.submit(THREE, number="late", deadline=desk.now.mono - 0.001)
    assert answer == p.NotStored("late", "late")
    assert desk.ask(p.LookUp("api", "late"), p.NotStored).code == "absent"
    assert desk.counts() == {}


def test_a_look_up_finds_what_is_stored(desk):
    stored = desk.submit(THREE, number="s1")
    assert desk.ask(p.LookUp("api", "s1"), p.Stored) == stored


def test_an_idempotency_key_replays_the_first_answer_and_refuses_another_body(desk):
    key = p.IdempotencyKey(b"key", b"body")
    first = desk.submit(THREE, number="s1", idempotency=key)
    again = desk.submit(THREE, number="s2", idempotency=key)
    assert again.replayed
    assert (again.original, again.submission) == ("s1", "s2")
    assert again.duration_ms == first.duration_ms
    other = desk.submit(THREE, number="s3", idempotency=p.IdempotencyKey(b"key", b"other"))
    assert other == p.NotStored("s3", "idempotency_mismatch")
    assert desk.counts() == {"Created": 3}


def test_contents_are_kept_once(desk):
    for _ in range(3):
        desk.submit(THREE)
    assert desk.sql("SELECT count(*) FROM email_content") == [(1,)]


def test_a_job_goes_through_gate_and_outcome_to_sent(desk):
    desk.submit(THREE)
    (job,) = desk.claim(size=50)
    assert [who.email for who in job.addressees] == list(THREE)
    assert [who.attempt for who in job.addressees] == [1, 1, 1]
    assert desk.claimed.next_due is None
    assert desk.counts() == {"Processed": 3}
    (gate,) = desk.gate(job)
    assert gate.recipients == tuple(who.recipient for who in job.addressees)
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Sent": 3}
    assert desk.sql("SELECT count(*) FROM lease") == [(0,)]


def test_claims_take_single_recipients_or_chunks_and_move_a_cursor(desk):
    desk.submit(f"u{n}@example.com" for n in range(10))
    assert [len(job.addressees) for job in desk.claim(jobs=2, size=3)] == [3, 3]
    assert [len(job.addressees) for job in desk.claim(jobs=9, size=3)] == [3, 1]
    assert desk.claim(jobs=9) == []


def test_a_repeated_claim_gets_the_same_jobs(desk):
    desk.submit(THREE)
    first = desk.claim(jobs=1, claim=99)
    assert desk.claim(jobs=1, claim=99) == first
    assert desk.counts() == {"Created": 2, "Processed": 1}


def test_scheduled_mail_is_claimed_at_its_time_and_not_before(desk):
    due = desk.now.ms + 10_000
    desk.submit(THREE, scheduled_at=due)
    assert desk.claim() == []
    assert desk.claimed.next_due == due
    desk.wait(10)
    assert len(desk.claim(jobs=3)) == 3


def test_the_digest_names_topics_that_are_due_soon_and_the_next_time_beyond(desk):
    desk.submit(THREE, "now")
    desk.submit(THREE, "later", scheduled_at=desk.now.ms + 60_000)
    digests = [x.message for x in desk.wait(1) if isinstance(x.message, p.WorkDigest)]
    assert [work.topic for work in digests[-1].topics] == [desk.topic_id("now")]
    assert digests[-1].next_due == desk.now.ms - 1000 + 60_000


def test_a_gate_opens_only_for_the_epoch_that_holds_the_lease(desk):
    desk.submit(THREE)
    (job,) = desk.claim()
    assert desk.gate(job, epoch=2)[0].recipients == ()
    assert desk.gate(job, epoch=1)[0].recipients != ()


def test_renewing_a_gate_is_the_same_attempt(desk):
    desk.submit(THREE)
    (job,) = desk.claim()
    assert desk.gate(job) == desk.gate(job)
    assert desk.sql("SELECT attempts FROM recipient WHERE attempts > 0") == [(1,)]


def test_an_outcome_said_twice_counts_once(desk):
    desk.submit(THREE)
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.ACCEPTED)
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Created": 2, "Sent": 1}
    assert desk.sql("SELECT sum(sent) FROM sent_hour") == [(1,)]


@pytest.mark.parametrize("verdict", [Verdict.THROTTLED, Verdict.NOT_SENT, Verdict.ACCOUNT, None])
def test_what_surely_was_not_accepted_goes_back_for_ever(desk, verdict):
    desk.submit(THREE[:1])
    for _ in range(10):
        (job,) = desk.claim()
        desk.gate(job)
        desk.outcome(job, verdict, code="sending_paused")
        assert desk.counts() == {"Created": 1}
        desk.wait(700)
    assert desk.counts() == {"Created": 1}


def test_refused_for_now_is_tried_five_times_ever_later_and_then_failed(desk):
    desk.submit(THREE[:1])
    waits = []
    for _ in range(4):
        (job,) = desk.claim()
        desk.gate(job)
        desk.outcome(job, Verdict.FOR_NOW, code="TRANSIENT_FAILURE")
        assert desk.claim() == []
        waits.append((desk.claimed.next_due - desk.now.ms) / 1000)
        desk.wait(waits[-1])
    (job,) = desk.claim()
    assert job.addressees[0].attempt == 5
    desk.gate(job)
    desk.outcome(job, Verdict.FOR_NOW, code="TRANSIENT_FAILURE", detail="try later")
    assert desk.counts() == {"Failed": 1}
    assert [54 <= waits[0] <= 60, 108 <= waits[1] <= 120, 432 <= waits[3] <= 480] == [True] * 3
    assert desk.sql("SELECT status_code FROM email_request") == [("TRANSIENT_FAILURE",)]
    assert desk.sql("SELECT count(*) FROM refusal") == [(5,)]


def test_refused_for_good_is_failed_with_the_words_of_ses(desk):
    desk.submit(THREE[:1])
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.PERMANENT, code="MessageRejected", detail="Bad content")
    assert desk.counts() == {"Failed": 1}
    assert desk.sql("SELECT code, detail FROM recipient") == [("MessageRejected", "Bad content")]


def test_a_lost_answer_leaves_the_mail_unknown_and_a_late_one_settles_it(desk):
    desk.submit(THREE[:2])
    first, second = desk.claim(jobs=2)
    for job in (first, second):
        desk.gate(job)
    desk.wait(LEASE_S + 1)
    assert desk.counts() == {"Unknown": 2}
    desk.outcome(first, Verdict.ACCEPTED)
    desk.outcome(second, Verdict.PERMANENT)
    assert desk.counts() == {"Sent": 1, "Failed": 1}


def test_a_new_epoch_of_a_sender_gives_back_what_had_no_attempt(desk):
    desk.submit(THREE)
    gated, idle = desk.claim(jobs=2)
    desk.gate(gated)
    welcome = desk.ask(p.Hello("sender-0", 2), p.Welcome)
    assert welcome.install == desk.install
    assert desk.counts() == {"Created": 2, "Unknown": 1}
    assert idle.addressees[0].recipient in [
        who.recipient for job in desk.claim(jobs=9, epoch=2) for who in job.addressees
    ]


def test_a_job_that_never_reached_its_sender_goes_back(desk):
    desk.submit(THREE)
    held, lost = desk.claim(jobs=2)
    desk.wait(6)
    desk.say(p.Holding("sender-0", 1, (held.job,)))
    assert desk.counts() == {"Created": 2, "Processed": 1}
    assert desk.gate(lost)[0].recipients == ()


@pytest.mark.against("C2")
def test_a_reboot_voids_every_lease(desk):
    desk.submit(THREE)
    gated, _idle = desk.claim(jobs=2)
    desk.gate(gated)
    desk.restart(boot="boot-2")
    desk.wait(1)
    assert desk.counts() == {"Created": 2, "Unknown": 1}


def test_a_restart_of_the_writer_loses_nothing(desk):
    desk.submit(THREE)
    (job,) = desk.claim()
    desk.gate(job)
    desk.restart()
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Created": 2, "Sent": 1}
    assert desk.writer.gauges(desk.now)["queue_created"] == 2


def test_commits_are_counted_one_for_all_messages_of_a_turn_and_none_for_nothing(desk):
    before = desk.writer.gauges(desk.now)["commits"]
    opens = [p.RecordOpens("api", 1, seq, ()) for seq in (1, 2, 3)]
    desk.say(*opens)
    assert desk.writer.gauges(desk.now)["commits"] == before + 1
    desk.say()
    desk.say(opens[0])
    assert desk.writer.gauges(desk.now)["commits"] == before + 1


@pytest.mark.against("E9")
def test_a_poisonous_message_is_refused_by_name_and_the_rest_goes_on(desk, monkeypatch):
    from services.writer.intake import Intake

    real = Intake.keep

    def poisoned(intake, message, mail):
        if message.submission == "bad":
            raise RuntimeError("poison")
        return real(intake, message, mail)

    monkeypatch.setattr(Intake, "keep", poisoned)
    assert desk.submit(THREE, number="bad") == p.NotStored("bad", "poisonous")
    assert isinstance(desk.submit(THREE, number="good"), p.Stored)
    assert desk.counts() == {"Created": 3}


def test_contents_are_answered_on_request(desk):
    desk.submit(THREE, content="<p>x</p>")
    (job,) = desk.claim()
    answer = desk.ask(p.AskContent("sender-0", 1, (job.content,)), p.Content)
    assert (answer.subject, answer.html) == ("Subject", "<p>x</p>")


def test_small_messages_make_more_jobs_but_not_without_bound(desk):
    for n in range(20):
        desk.submit([f"u{n}@example.com"])
    assert [len(job.addressees) for job in desk.claim(jobs=2, size=50)] == [1] * 8
    assert len(desk.claim(jobs=9, size=50)) == 12


def test_what_an_event_proved_sent_is_passed_over_by_a_claim(desk):
    desk.submit(THREE)
    event = p.Event(Feedback.SEND, THREE[1], "m", 1, desk.now.ms, 2)
    desk.say(p.RecordEvents(1, (p.EventPost("x", "y", (event,)),)))
    (job,) = desk.claim(size=50)
    assert [who.email for who in job.addressees] == [THREE[0], THREE[2]]


def test_a_journal_tells_which_calls_never_began(desk):
    desk.submit(THREE)
    begun, waiting, _idle = desk.claim(jobs=3)
    desk.gate(begun, waiting)
    desk.ask(p.Hello("sender-0", 2, started=(begun.job,)), p.Welcome)
    assert desk.counts() == {"Created": 2, "Unknown": 1}


@pytest.mark.against("C2")
def test_a_journal_proves_nothing_of_another_boot(desk):
    desk.submit(THREE)
    (job,) = desk.claim()
    desk.gate(job)
    desk.restart(boot="boot-2")
    desk.ask(p.Hello("sender-0", 2, started=()), p.Welcome)
    assert desk.counts() == {"Created": 2, "Unknown": 1}
