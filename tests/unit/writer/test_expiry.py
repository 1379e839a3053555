"""Expiry: what has not left by its time is stopped, wherever it waits, and never sent."""

import pytest

from services.writer import expiry, sweeps
from shared import protocol as p
from shared.domain import OnUnknown, Verdict

MANY = tuple(f"u{n}@example.com" for n in range(10))


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(expiry, "STEP_ROWS", 2)


def submit(desk, count=10, seconds=10, **more):
    return desk.submit(MANY[:count], expires_at=desk.now.ms + seconds * 1000, **more)


def codes(desk):
    return [row[0] for row in desk.sql("SELECT DISTINCT code FROM recipient WHERE state = 4")]


def pass_over(desk, seconds):
    """Let time pass in which the writer does nothing of its own."""
    later = desk.now.mono + seconds, desk.now.wall + seconds
    desk.now = type(desk.now)(*later)


def test_what_has_expired_is_stopped_in_steps_and_the_counters_with_it(desk, small_steps):
    submit(desk)
    desk.submit(["stays@example.com"])
    desk.sweep(2)
    desk.wait(10)
    seen = []
    for _ in range(7):
        seen.append(desk.counts().get("Stopped", 0))
        desk.wait(0.02)
    assert seen == [0, 2, 4, 6, 8, 10, 10]
    assert codes(desk) == ["expired"]
    assert len(desk.claim(jobs=99)) == 1


def test_a_claim_passes_over_what_has_expired_before_the_sweep_comes(desk):
    submit(desk)
    desk.submit(["stays@example.com"])
    pass_over(desk, 10)
    (job,) = desk.claim(jobs=99)
    assert job.addressees[0].email == "stays@example.com"


def test_up_to_its_last_millisecond_it_goes(desk):
    submit(desk, 1)
    pass_over(desk, 9.999)
    (job,) = desk.claim()
    assert desk.gate(job)[0].recipients != ()


def test_a_gate_refuses_and_stops_what_expired_while_leased(desk):
    submit(desk, 3)
    (job,) = desk.claim(size=3)
    pass_over(desk, 10)
    assert desk.gate(job)[0].recipients == ()
    assert desk.counts() == {"Stopped": 3}
    assert codes(desk) == ["expired"]
    assert desk.sql("SELECT verdict FROM refusal") == [("expired",)] * 3


def test_a_gate_is_not_renewed_after_its_time_and_what_did_not_leave_stops(desk):
    submit(desk, 2)
    first, second = desk.claim(jobs=2)
    desk.gate(first, second)
    pass_over(desk, 10)
    assert desk.gate(first)[0].recipients == ()
    assert desk.counts() == {"Processed": 2}
    desk.outcome(first, None)
    desk.outcome(second, Verdict.ACCEPTED)
    assert desk.counts() == {"Stopped": 1, "Sent": 1}


@pytest.mark.parametrize("verdict", [Verdict.FOR_NOW, Verdict.THROTTLED, Verdict.NOT_SENT])
def test_a_mail_refused_for_now_after_its_time_is_stopped(desk, verdict):
    submit(desk, 1)
    (job,) = desk.claim()
    desk.gate(job)
    pass_over(desk, 10)
    desk.outcome(job, verdict)
    assert desk.counts() == {"Stopped": 1}
    assert desk.sql("SELECT * FROM retry") == []


def test_a_mail_that_waits_for_another_turn_expires_there(desk, small_steps):
    submit(desk, 5, 30)
    for job in desk.claim(jobs=9):
        desk.gate(job)
        desk.outcome(job, Verdict.FOR_NOW)
    desk.wait(30)
    desk.sweep()
    assert desk.counts() == {"Stopped": 5}
    assert desk.sql("SELECT count(*) FROM retry") == [(0,)]
    assert desk.sql("SELECT * FROM work") == []


def test_a_batch_that_is_half_claimed_expires_with_its_rest(desk):
    submit(desk)
    jobs = desk.claim(jobs=4)
    desk.gate(*jobs)
    desk.wait(10)
    desk.sweep()
    assert desk.counts() == {"Processed": 4, "Stopped": 6}
    for job in jobs:
        desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Sent": 4, "Stopped": 6}


def test_paused_and_held_mail_expires_too(desk):
    submit(desk)
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.ACCOUNT, code="sending_paused")
    desk.order(p.PauseTopic)
    desk.wait(10)
    desk.sweep()
    assert desk.counts() == {"Stopped": 10}
    desk.order(p.ResumeTopic)
    assert desk.claim(jobs=9) == []


def test_what_is_rescheduled_beyond_its_time_expires_before_it_leaves(desk):
    submit(desk)
    desk.order(p.RescheduleTopic, "news", desk.now.ms + 60_000)
    desk.wait(11)
    desk.sweep()
    assert desk.counts() == {"Stopped": 10}


def test_cancelled_mail_that_expires_before_its_sweep_is_counted_once(
    desk, small_steps, monkeypatch
):
    monkeypatch.setattr(sweeps, "STEP_ROWS", 1)
    submit(desk, 10, 2)
    for job in desk.claim(jobs=4):
        desk.gate(job)
        desk.outcome(job, Verdict.FOR_NOW)
    desk.order(p.CancelTopic)
    for _ in range(15):
        assert desk.counts() == {"Stopped": 10}
        desk.wait(0.7)
    assert desk.sql("SELECT count(*) FROM recipient WHERE state = 4") == [(10,)]
    assert codes(desk) == ["cancelled"]


def test_a_failed_mail_retried_after_its_time_is_stopped(desk):
    submit(desk, 3)
    desk.send_all(verdict=Verdict.PERMANENT)
    desk.wait(20)
    assert desk.order(p.RetryFailed).changed == 3
    assert desk.claim(jobs=9) == []
    desk.wait(1)
    desk.sweep()
    assert desk.counts() == {"Stopped": 3}


def test_an_unknown_that_is_proven_absent_after_its_time_is_stopped(desk):
    desk.on_unknown = OnUnknown.RESEND_NOW
    desk.restart()
    submit(desk, 1)
    (job,) = desk.claim()
    desk.gate(job)
    pass_over(desk, 10)
    desk.outcome(job, Verdict.UNKNOWN)
    assert desk.counts() == {"Unknown": 1}
    desk.wait(1)
    assert desk.counts() == {"Stopped": 1}
    assert desk.sql("SELECT flags FROM recipient") == [(0,)]


def test_a_restart_goes_on_with_what_is_half_swept(desk, small_steps):
    submit(desk)
    desk.wait(10)
    desk.wait(0.02)
    assert desk.counts()["Stopped"] < 10
    desk.restart()
    desk.sweep()
    assert desk.counts() == {"Stopped": 10}


def test_hundreds_of_expired_messages_keep_no_live_one_back_for_long(desk):
    for n in range(700):
        desk.submit([f"u{n}@example.com"], expires_at=desk.now.ms + 1000)
    desk.submit(["stays@example.com"])
    pass_over(desk, 10)
    assert desk.claim(jobs=1) == [], "it looks no further, whatever waits"
    desk.wait(0.02)
    desk.wait(0.02)
    assert len(desk.claim(jobs=1)) == 1
