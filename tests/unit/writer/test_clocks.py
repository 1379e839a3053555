"""The wall clock jumps, a sender stands still: leases are monotonic, and proof waits for both."""

import pytest

from services.writer.claims import LEASE_S
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, Verdict

HOUR_S = 3600.0

pytestmark = pytest.mark.against("C1")
steps = pytest.mark.parametrize("step", [HOUR_S, -HOUR_S], ids=["ahead", "back"])


def jump(desk, seconds: float) -> None:
    """Set the wall clock; the monotonic one goes on."""
    desk.now = Now(desk.now.mono, desk.now.wall + seconds)


def listen(desk, seconds: int) -> None:
    for _ in range(seconds):
        desk.say(p.EarOpen(1))
        desk.wait(1)


def prove_events(desk) -> None:
    """Let thirty mails be sent and heard of, so that silence means something."""
    desk.submit(f"u{n}@example.com" for n in range(30))
    desk.send_all()
    rows = desk.sql("SELECT id, email, message_id FROM recipient WHERE state = 2")
    events = tuple(
        p.Event(Feedback.SEND, email, message, desk.now.ms, desk.now.ms, recipient)
        for recipient, email, message in rows
    )
    desk.say(p.RecordEvents(1, (p.EventPost("x", "y", events),)))


def lose_one(desk) -> None:
    desk.submit(["lost@example.com"], "lost")
    (job,) = desk.claim(topic="lost")
    desk.gate(job)
    desk.outcome(job, Verdict.UNKNOWN)


@steps
def test_c1_a_lease_lasts_its_monotonic_time_whatever_the_wall_clock_does(desk, step):
    desk.submit(["a@example.com", "b@example.com"])
    (job,) = desk.claim(size=1)
    assert desk.gate(job)[0].recipients
    jump(desk, step)
    desk.wait(LEASE_S - 2)
    assert desk.counts() == {"Created": 1, "Processed": 1}
    assert desk.gate(job)[0].recipients
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Created": 1, "Sent": 1}


@steps
def test_c1_no_lost_answer_is_called_absent_because_the_wall_clock_jumped(desk, step):
    """Ahead it is a gap of the webhook, for all we know; back the time has not come."""
    prove_events(desk)
    listen(desk, 5)
    lose_one(desk)
    listen(desk, 10)
    jump(desk, step)
    listen(desk, 400)
    assert desk.counts("lost") == {"Unknown": 1}


def test_c1_a_step_back_hides_no_gap_of_the_webhook(desk):
    """What was lost while the webhook was down is not provable, though the clock says otherwise."""
    prove_events(desk)
    listen(desk, 100)
    jump(desk, -60)
    lose_one(desk)
    desk.wait(30)
    listen(desk, 400)
    assert desk.counts("lost") == {"Unknown": 1}


def test_c1_a_small_correction_of_the_clock_costs_no_proof(desk):
    prove_events(desk)
    listen(desk, 20)
    jump(desk, -1)
    listen(desk, 5)
    lose_one(desk)
    listen(desk, 400)
    assert desk.counts("lost") == {"Created": 1}


def test_c1_scheduled_mail_goes_by_the_wall_clock(desk):
    desk.submit(["a@example.com"], scheduled_at=desk.now.ms + 1_800_000)
    jump(desk, -HOUR_S)
    assert desk.claim() == []
    jump(desk, HOUR_S + 1799)
    assert desk.claim() == []
    jump(desk, 1)
    (job,) = desk.claim()
    jump(desk, -HOUR_S)
    assert desk.claim() == [], "it is leased once"
    assert desk.gate(job)[0].recipients


@steps
def test_c1_mail_posted_after_a_jump_goes_at_once_and_everybody_once(desk, step):
    desk.submit(["before@example.com"], "before")
    desk.send_all("before")
    jump(desk, step)
    desk.submit(["after@example.com"], "after")
    desk.send_all("after")
    assert desk.claim(topic="before") == []
    assert (desk.counts("before"), desk.counts("after")) == ({"Sent": 1}, {"Sent": 1})


def test_c1_immediate_mail_from_before_a_step_back_waits_for_its_time_to_come_again(desk):
    """Not lost and not sent twice: the queue goes by the clock that people schedule by."""
    desk.submit(["a@example.com"])
    jump(desk, -HOUR_S)
    assert desk.claim() == []
    desk.wait(HOUR_S)
    desk.send_all()
    assert desk.counts() == {"Sent": 1}


@pytest.mark.against("K14")
def test_k14_past_its_lease_a_sender_gets_no_gate_and_its_late_answer_counts_once(desk):
    """It may have been stopped in the midst of a call: what had an attempt is Unknown till then."""
    desk.submit(["a@example.com", "b@example.com"])
    called, waiting = desk.claim(jobs=2, size=1)
    desk.gate(called)
    desk.wait(LEASE_S + 1)
    assert desk.counts() == {"Created": 1, "Unknown": 1}
    assert [gate.recipients for gate in desk.gate(called, waiting)] == [(), ()]
    (again,) = desk.claim(jobs=2, size=1)
    assert again.addressees[0].email == waiting.addressees[0].email
    assert desk.gate(waiting)[0].recipients == (), "its successor has it"
    desk.outcome(called, Verdict.ACCEPTED)
    desk.gate(again)
    desk.outcome(again, Verdict.ACCEPTED)
    assert desk.counts() == {"Sent": 2}


@pytest.mark.against("K14")
def test_k14_the_gate_itself_looks_at_the_deadline(desk):
    """Also before the chores have taken the lease back."""
    desk.submit(["a@example.com"])
    (job,) = desk.claim()
    desk.now = Now(desk.now.mono + LEASE_S, desk.now.wall + LEASE_S)
    assert desk.gate(job)[0].recipients == ()
    assert desk.counts() == {"Created": 1}
