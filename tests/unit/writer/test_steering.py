"""Pausing, resuming, rescheduling and retrying a topic: obeyed at once, in any order, once each."""

import pytest

from services.writer import sweeps
from services.writer.actor import SWEEP_S
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, State, Verdict
from tests.unit.writer.conftest import START

MANY = tuple(f"u{n}@example.com" for n in range(10))
HOUR = 3_600_000


@pytest.fixture
def small_steps(monkeypatch):
    """Let a sweep touch two rows or four a step, so that one can look in between."""
    monkeypatch.setattr(sweeps, "STEP_ROWS", 4)


def pause(desk, topic="news", reason="a typo"):
    return desk.order(p.PauseTopic, topic, reason)


def resume(desk, topic="news"):
    return desk.order(p.ResumeTopic, topic)


def reschedule(desk, seconds, topic="news"):
    due_at = None if seconds is None else desk.now.ms + seconds * 1000
    return desk.order(p.RescheduleTopic, topic, due_at)


def retry(desk, topic="news"):
    return desk.order(p.RetryFailed, topic)


def cancel(desk, topic="news"):
    return desk.order(p.CancelTopic, topic)


def work(desk, topic="news"):
    return desk.sql(
        "SELECT urgent, next_due FROM work JOIN topic ON topic.id = work.topic WHERE name = ?",
        topic,
    )


def history(desk, recipient):
    statement = "SELECT verdict FROM refusal WHERE recipient = ? ORDER BY at"
    return [row[0] for row in desk.sql(statement, recipient)]


def fail_all(desk, count=10, topic="news"):
    desk.submit([f"u{n}@example.com" for n in range(count)], topic)
    desk.send_all(topic, Verdict.PERMANENT)


# ── every order ──


@pytest.mark.parametrize(
    "order", [(p.PauseTopic,), (p.ResumeTopic,), (p.RescheduleTopic,), (p.RetryFailed,)]
)
def test_a_topic_never_heard_of_is_refused(desk, order):
    answer = desk.order(*order, topic="nobody")
    assert isinstance(answer, p.OrderRefused)
    assert answer.code == "no_such_topic"
    desk.submit(MANY, "nobody")
    assert isinstance(desk.order(*order, topic="nobody", order=answer.order), p.OrderDone)


@pytest.mark.parametrize(
    "order", [p.PauseTopic, p.ResumeTopic, p.RescheduleTopic, p.RetryFailed, p.CancelTopic]
)
def test_an_order_said_again_gets_the_same_answer_and_changes_nothing(desk, order):
    fail_all(desk, 3)
    desk.submit(MANY[:4])
    first = desk.order(order, order="o")
    desk.submit(MANY[:2])
    desk.claim(jobs=1)
    before = desk.counts()
    assert desk.order(order, order="o") == first
    assert desk.counts() == before


# ── pause and resume ──


def test_a_paused_topic_takes_back_what_is_leased_and_counts_what_is_in_the_air(desk):
    desk.submit(MANY)
    flying, leased = desk.claim(jobs=2, size=2)
    desk.gate(flying)
    answer = pause(desk)
    assert (answer.changed, answer.in_flight) == (8, 2)
    assert desk.counts() == {"Created": 8, "Processed": 2}
    assert desk.gate(leased)[0].recipients == ()
    assert desk.claim(jobs=9) == []
    assert desk.claimed.next_due is None
    assert work(desk) == []


def test_a_gate_is_not_renewed_while_paused_and_what_was_not_sent_waits(desk):
    desk.submit(MANY[:2])
    first, second = desk.claim(jobs=2)
    desk.gate(first, second)
    pause(desk)
    assert desk.gate(first)[0].recipients == ()
    assert desk.counts() == {"Processed": 2}
    desk.outcome(first, None)
    desk.outcome(second, Verdict.FOR_NOW)
    assert desk.counts() == {"Created": 2}
    assert work(desk) == []
    assert desk.claim(jobs=2) == []
    assert resume(desk).changed == 2
    assert len(desk.claim(jobs=2)) == 1, "the other has a minute to wait"


def test_what_is_posted_to_a_paused_topic_waits_urgent_mail_too_and_goes_when_resumed(desk):
    desk.submit(MANY[:1])
    pause(desk)
    desk.submit(MANY)
    desk.submit(MANY, urgent=True)
    desk.restart()
    for urgent in (False, True):
        assert desk.claim(jobs=99, urgent=urgent) == []
    digests = [x.message for x in desk.wait(1) if isinstance(x.message, p.WorkDigest)]
    assert [digest.topics for digest in digests] == [()]
    said = desk.say(p.ResumeTopic("api", "o", "news"))
    (news,) = [x for x in said if isinstance(x, p.WorkDigest)]
    assert {(line.topic, line.urgent) for line in news.topics} == {(2, False), (2, True)}
    assert len(desk.claim(jobs=99)) == 11
    assert len(desk.claim(jobs=99, urgent=True)) == 10


def test_pausing_a_paused_topic_renews_the_reason_and_no_more(desk):
    desk.submit(MANY)
    pause(desk)
    desk.wait(5)
    assert pause(desk, reason="another").changed == 10
    assert desk.sql("SELECT paused_at, pause_reason FROM topic WHERE id = 2") == [
        (desk.now.ms - 5000, "another")
    ]
    resume(desk)
    assert desk.sql("SELECT paused_at, pause_reason FROM topic WHERE id = 2") == [(None, "")]


def test_resuming_a_topic_that_is_not_paused_changes_nothing(desk):
    desk.submit(MANY, scheduled_at=desk.now.ms + 5000)
    before = work(desk)
    assert resume(desk).changed == 10
    assert work(desk) == before


def test_an_unknown_of_a_paused_topic_that_is_proven_absent_waits_too(desk):
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    pause(desk)
    desk.outcome(job, Verdict.UNKNOWN)
    assert desk.counts() == {"Unknown": 1}
    desk.order(p.ResolveMail, job.addressees[0].recipient, True)
    assert desk.counts() == {"Created": 1}
    assert work(desk) == []
    resume(desk)
    assert len(desk.claim()) == 1


def test_a_cancelled_topic_stays_paused(desk):
    desk.submit(MANY)
    pause(desk)
    assert cancel(desk).stopped == 10
    desk.submit(MANY[:2])
    assert desk.claim(jobs=9) == []
    resume(desk)
    assert len(desk.claim(jobs=9)) == 2


def test_other_topics_go_on(desk):
    desk.submit(MANY)
    desk.submit(MANY, "other")
    pause(desk)
    assert len(desk.claim(jobs=99, topic="other")) == 10


# ── reschedule ──


def test_all_that_waits_is_due_at_the_new_time_new_mail_is_not(desk):
    desk.submit(MANY[:2])
    desk.send_all(verdict=Verdict.FOR_NOW)
    desk.submit(MANY[:2], scheduled_at=desk.now.ms + 10 * HOUR)
    desk.submit(MANY[:3])
    desk.submit(MANY[:3], urgent=True)
    flying, leased = desk.claim(jobs=2)
    desk.gate(flying)
    answer = reschedule(desk, 3600)
    assert (answer.changed, answer.in_flight) == (9, 1)
    desk.submit(["new@example.com"])
    assert desk.gate(flying)[0].recipients == ()
    assert desk.gate(leased)[0].recipients == ()
    desk.outcome(flying, None)
    assert len(desk.claim(jobs=99)) == 1
    assert desk.claimed.next_due == desk.now.ms + HOUR
    assert desk.claim(jobs=99, urgent=True) == []
    desk.wait(3600)
    assert len(desk.claim(jobs=99)) == 8, "one of those new is leased"
    assert len(desk.claim(jobs=99, urgent=True)) == 3


def test_null_is_now_and_the_mail_is_no_longer_scheduled(desk):
    desk.submit(MANY, scheduled_at=desk.now.ms + HOUR)
    said = desk.say(p.RescheduleTopic("api", "o", "news"))
    assert [line.topic for x in said if isinstance(x, p.WorkDigest) for line in x.topics] == [2]
    assert len(desk.claim(jobs=99)) == 10
    assert desk.sql("SELECT DISTINCT scheduled_at FROM email_request") == [(None,)]


def test_a_mail_that_comes_back_later_keeps_to_the_new_time(desk):
    desk.submit(MANY[:3])
    (thrown, lost, failed) = desk.claim(jobs=3)
    desk.gate(thrown, lost, failed)
    desk.outcome(failed, Verdict.PERMANENT)
    reschedule(desk, 3600)
    desk.outcome(thrown, Verdict.THROTTLED)
    desk.outcome(lost, Verdict.UNKNOWN)
    desk.order(p.ResolveMail, lost.addressees[0].recipient, True)
    retry(desk)
    assert desk.counts() == {"Created": 3}
    desk.wait(1800)
    assert desk.claim(jobs=9) == []
    reschedule(desk, None)
    assert len(desk.claim(jobs=9)) == 3


@pytest.mark.parametrize(
    "orders",
    [
        ("pause", "later", "resume"),
        ("later", "pause", "resume"),
        ("pause", "resume", "later"),
        ("later", "resume"),
        ("now", "pause", "later", "resume"),
        ("pause", "later", "restart", "resume"),
    ],
)
def test_pause_resume_and_reschedule_hold_in_any_order(desk, small_steps, orders):
    for n in range(9):
        desk.submit([f"u{n}@example.com"], scheduled_at=desk.now.ms + n * 1000)
    what = {
        "pause": lambda: pause(desk),
        "resume": lambda: resume(desk),
        "later": lambda: reschedule(desk, 60),
        "now": lambda: reschedule(desk, None),
        "restart": desk.restart,
    }
    for order in orders:
        what[order]()
        jobs = desk.claim(jobs=99)
        assert jobs == [] or order not in {"pause", "later"}
    desk.sweep()
    assert work(desk) == [(0, START.ms + 60_000)]
    desk.wait(50)
    assert desk.claim(jobs=99) == []
    desk.wait(10)
    assert len(desk.claim(jobs=99)) == 9


def test_while_the_due_times_are_written_the_topic_is_not_claimed_then_it_is_at_once(
    desk, small_steps
):
    for n in range(7):
        desk.submit([f"u{n}@example.com"])
    reschedule(desk, None)
    reschedule(desk, 30)
    reschedule(desk, None)
    desk.submit(MANY[:2])
    news = []
    while not news:
        assert desk.claim(jobs=99) == []
        news = [x.message for x in desk.wait(0.02) if isinstance(x.message, p.WorkDigest)]
        news = [digest for digest in news if digest.topics]
    assert desk.now.mono < 1000.2, "long before the next half second"
    assert len(desk.claim(jobs=99)) == 9


def test_rescheduled_twice_before_the_sweep_ends_the_second_holds(desk, small_steps):
    for n in range(9):
        desk.submit([f"u{n}@example.com"], scheduled_at=desk.now.ms + n * 1000)
    reschedule(desk, 60)
    desk.wait(0.02)
    assert reschedule(desk, 90).changed == 9
    desk.sweep()
    assert desk.sql("SELECT count(DISTINCT due_at), min(scheduled) FROM batch") == [(1, 1)]
    desk.wait(80)
    assert desk.claim(jobs=99) == []
    desk.wait(10)
    assert len(desk.claim(jobs=99)) == 9


def test_a_topic_s_sweep_does_not_starve_another_s(desk, small_steps):
    for topic in ("big", "small"):
        for n in range(40 if topic == "big" else 4):
            desk.submit([f"u{n}@example.com"], topic)
        desk.submit(MANY, topic)
    reschedule(desk, None, "big")
    reschedule(desk, None, "small")
    cancel(desk, "big")
    fail_all(desk, 9, "failed")
    retry(desk, "failed")
    reschedule(desk, 5, "small")
    desk.sweep(16)
    assert work(desk, "small") != []
    assert desk.counts("failed") == {"Created": 9}


# ── retry failed ──


def test_the_failed_go_again_from_their_first_attempt_and_others_do_not(desk):
    desk.submit(MANY[:4])
    for _ in range(5):
        jobs = desk.claim(jobs=9)
        for job in jobs:
            desk.gate(job)
            desk.outcome(job, Verdict.FOR_NOW)
        desk.wait(3600)
    assert desk.counts() == {"Failed": 4}
    desk.submit(MANY[4:6])
    desk.send_all()
    assert retry(desk).changed == 4
    assert desk.counts() == {"Created": 4, "Sent": 2}
    jobs = desk.claim(jobs=9)
    assert [job.addressees[0].attempt for job in jobs] == [6] * 4
    desk.gate(*jobs)
    desk.outcome(jobs[0], Verdict.FOR_NOW)
    assert desk.counts() == {"Created": 1, "Sent": 2, "Processed": 3}
    assert history(desk, 2) == ["for_now"] * 5 + ["retried"]


def test_what_fails_after_the_order_is_not_retried(desk, small_steps):
    fail_all(desk, 5)
    desk.submit(["late@example.com"])
    (late,) = desk.claim()
    desk.gate(late)
    assert retry(desk).changed == 5
    desk.outcome(late, Verdict.PERMANENT)
    first = desk.claim(jobs=1)[0]
    desk.gate(first)
    desk.outcome(first, Verdict.PERMANENT)
    desk.sweep()
    assert desk.counts() == {"Created": 4, "Failed": 2}
    assert retry(desk).changed == 2


def test_retried_twice_before_the_sweep_ends_each_goes_once(desk, small_steps):
    fail_all(desk, 7)
    said = [retry(desk).changed, retry(desk).changed, retry(desk).changed]
    assert said == [7, 5, 3], "the rest is what the sweep has not come to"
    desk.sweep()
    assert desk.counts() == {"Created": 7}
    assert len(desk.claim(jobs=99)) == 7
    assert retry(desk).changed == 0


def test_the_failed_of_a_paused_topic_wait(desk):
    fail_all(desk)
    pause(desk)
    assert retry(desk).changed == 10
    assert desk.counts() == {"Created": 10}
    assert work(desk) == []
    resume(desk)
    assert len(desk.claim(jobs=99)) == 10


def test_the_failed_go_at_once_not_at_the_next_digest(desk, small_steps):
    fail_all(desk, 3)
    said = desk.say(p.RetryFailed("api", "o", "news"))
    assert [line.topic for x in said if isinstance(x, p.WorkDigest) for line in x.topics] == [2]


def test_a_failed_mail_proven_sent_before_the_sweep_comes_to_it_stays_sent(desk, small_steps):
    fail_all(desk, 5)
    retry(desk)
    for recipient in (1, 5):
        event = p.Event(Feedback.SEND, f"u{recipient - 1}@example.com", "m", 1, 1, recipient)
        desk.say(p.RecordEvents(1, (p.EventPost("x", "y", (event,)),)))
    desk.sweep()
    assert desk.counts() == {"Sent": 2, "Created": 3}
    assert desk.sql("SELECT count(*) FROM retry") == [(3,)]
    assert desk.sql("SELECT count(*) FROM failure") == [(0,)]
    assert len(desk.claim(jobs=99)) == 3


def test_urgent_failed_mail_goes_back_to_the_urgent_lane(desk):
    desk.submit(MANY[:2], urgent=True)
    for job in desk.claim(jobs=9, urgent=True):
        desk.gate(job)
        desk.outcome(job, Verdict.PERMANENT)
    retry(desk)
    assert desk.claim(jobs=9) == []
    assert len(desk.claim(jobs=9, urgent=True)) == 2


# ── cancel beats them all ──


@pytest.mark.parametrize("first", [lambda d: reschedule(d, 1), retry, lambda d: retry(d) and None])
def test_a_cancel_ends_what_is_half_swept_and_nothing_from_before_is_sent(desk, small_steps, first):
    fail_all(desk, 7)
    for n in range(7):
        desk.submit([f"v{n}@example.com"])
    first(desk)
    desk.wait(0.02)
    created = desk.counts()["Created"]
    assert cancel(desk).stopped == created
    desk.submit(["after@example.com"])
    desk.restart()
    desk.sweep(40)
    desk.wait(4000)
    assert [who.email for job in desk.claim(jobs=99) for who in job.addressees] == [
        "after@example.com"
    ]
    counts = desk.counts()
    assert counts == {"Stopped": created, "Failed": 14 - created, "Processed": 1}
    assert work(desk) == []


def test_what_failed_can_be_retried_after_a_cancel_and_cancelled_again(desk, small_steps):
    fail_all(desk, 5)
    desk.submit(MANY)
    cancel(desk)
    assert retry(desk).changed == 5
    assert desk.counts() == {"Stopped": 10, "Failed": 5}, "the cancelled rows come first"
    desk.sweep()
    assert desk.counts() == {"Stopped": 10, "Created": 5}
    desk.submit(["more@example.com"])
    assert cancel(desk).stopped == 6
    assert desk.counts() == {"Stopped": 16}
    event = p.Event(Feedback.SEND, "u4@example.com", "m", 1, 1, 5)
    desk.say(p.RecordEvents(1, (p.EventPost("x", "y", (event,)),)))
    assert desk.counts() == {"Stopped": 15, "Sent": 1}
    desk.sweep()
    assert desk.counts() == {"Stopped": 15, "Sent": 1}
    assert desk.claim(jobs=99) == []


def test_a_cancelled_topic_says_when(desk):
    desk.submit(MANY)
    cancel(desk)
    assert desk.sql("SELECT cancelled_at FROM topic WHERE id = 2") == [(desk.now.ms,)]


def test_states_that_orders_make_are_those_of_the_recipients(desk):
    desk.submit(MANY[:1])
    assert desk.order(p.CancelMail, 1).state is State.STOPPED
    assert desk.states() == {1: "Stopped"}


def test_the_loop_comes_to_every_step_however_often_it_asks(desk):
    desk.submit([f"u{number}@example.com" for number in range(10_000)])
    desk.wait(0)
    desk.order(p.CancelTopic)
    desk.wait(0.02)
    due = desk.writer.next_tick(desk.now)
    assert due <= desk.now.mono + SWEEP_S
    later = Now(desk.now.mono + SWEEP_S / 2, desk.now.wall + SWEEP_S / 2)
    # A time that recedes as it is asked for would never come.
    assert desk.writer.next_tick(later) == due
