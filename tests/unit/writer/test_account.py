"""The account: rate, quota, holds and probes; trouble of its own never fails a mail."""

import pytest

from services.writer.hold import Streak, judge, quota_left, rate_in_force
from shared import protocol as p
from shared.domain import Verdict

MANY = tuple(f"u{n}@example.com" for n in range(100))


def read(desk, **more) -> None:
    fields = {"max_rate": 14.0, "quota": 200.0, "sent_24h": 0.0} | more
    desk.say(p.AccountRead("sender-0", desk.now.ms, **fields))


def state(desk) -> p.AccountState:
    (found,) = [x.message for x in desk.wait(1) if isinstance(x.message, p.WriterState)]
    return found.account


@pytest.mark.parametrize(
    ("setting", "account", "expected"),
    [
        (24, None, (24, "setting")),
        (24, 14.0, (14.0, "account")),
        (24, 50.0, (24, "setting")),
        (None, 50.0, (50.0, "account")),
        (None, None, (1.0, "fallback")),
    ],
)
def test_the_rate_is_the_setting_at_most_the_accounts(setting, account, expected):
    assert rate_in_force(setting, account) == expected


@pytest.mark.parametrize(
    ("quota", "used", "left"), [(-1, 9, None), (None, 9, None), (10, 4, 6), (10, 11, 0)]
)
def test_quota_left(quota, used, left):
    assert quota_left(quota, used) == left


def test_getaccount_sets_the_rate_and_a_failed_one_keeps_it(desk):
    assert state(desk).rate == 24
    read(desk)
    assert (state(desk).rate, state(desk).rate_source) == (14.0, "account")
    desk.say(p.AccountRead("sender-0", desk.now.ms, error="AccessDenied"))
    assert (state(desk).rate, state(desk).read_error) == (14.0, "AccessDenied")


def test_the_quota_is_kept_to_the_mail_and_no_mail_fails(desk):
    read(desk, quota=30.0, sent_24h=10.0)
    desk.submit(MANY)
    sent = 0
    for job in desk.claim(jobs=100):
        if desk.gate(job)[0].recipients:
            desk.outcome(job, Verdict.ACCEPTED)
            sent += 1
    assert sent == 20
    assert desk.counts() == {"Created": 80, "Sent": 20}
    assert state(desk).hold.reason == "quota"
    assert desk.claim(jobs=10) == []
    read(desk, quota=1000.0, sent_24h=30.0)
    desk.send_all()
    assert desk.counts() == {"Sent": 100}


def test_mail_in_flight_counts_against_the_quota(desk):
    read(desk, quota=5.0)
    desk.submit(MANY)
    opened = [job for job in desk.claim(jobs=10) if desk.gate(job)[0].recipients]
    assert len(opened) == 5


def test_trouble_of_the_account_holds_all_and_probes_ever_later(desk):
    desk.submit(MANY)
    waits = []
    for _ in range(4):
        (job,) = desk.claim(jobs=1)
        desk.gate(job)
        desk.outcome(job, Verdict.ACCOUNT, code="sending_paused")
        assert desk.claim(jobs=10) == []
        hold = desk.writer._account.hold
        waits.append((hold.probe_at - desk.now.ms) / 1000)
        desk.wait(waits[-1] + 0.01)
    assert waits == [5, 10, 20, 40]
    assert desk.counts() == {"Created": 100}
    probe = desk.claim(jobs=10)
    assert len(probe) == 1, "one call is tried"
    desk.gate(probe[0])
    assert desk.claim(jobs=10) == [], "and no other while it is in the air"
    desk.outcome(probe[0], Verdict.ACCEPTED)
    assert len(desk.claim(jobs=10)) == 10


def test_jobs_claimed_before_a_hold_are_stopped_at_the_gate_and_go_back(desk):
    desk.submit(MANY[:2])
    first, second = desk.claim(jobs=2)
    desk.gate(first)
    desk.outcome(first, Verdict.ACCOUNT, code="credentials")
    assert desk.gate(second)[0].recipients == ()
    assert desk.counts() == {"Created": 2}


def test_a_hold_survives_a_restart(desk):
    desk.submit(MANY[:2])
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.ACCOUNT, code="suspended", detail="no more")
    desk.restart()
    assert state(desk).hold == p.AccountHold(
        "suspended", "no more", desk.now.ms - 1000, desk.now.ms + 4000
    )
    assert "suspended" in desk.writer.notes()["hold"]


def test_getaccount_that_says_paused_holds_and_one_that_says_enabled_lifts(desk):
    read(desk, sending_enabled=False)
    assert state(desk).hold.reason == "sending_paused"
    read(desk)
    assert state(desk).hold is None


def test_five_lost_answers_in_a_row_hold_the_account(desk):
    desk.submit(MANY)
    for number, job in enumerate(desk.claim(jobs=5)):
        assert desk.writer._account.hold is None, number
        desk.gate(job)
        desk.outcome(job, Verdict.UNKNOWN)
    assert state(desk).hold.reason == "unknowns"
    assert desk.counts() == {"Created": 95, "Unknown": 5}


def test_an_answer_between_begins_the_row_anew():
    answer = [p.Answer(1, Verdict.PERMANENT, 1)]
    assert judge(None, Streak(), answer, 1) is None


def test_bulk_that_is_refused_is_remembered(desk):
    desk.say(p.BulkRefused("sender-0", "AccessDenied"))
    desk.restart()
    assert desk.writer.notes()["bulk_refused"] == "AccessDenied"
