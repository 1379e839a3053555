"""The account: rate, quota, holds and probes; trouble of its own never fails a mail."""

import pytest

from services.writer.hold import Streak, judge, quota_left, rate_in_force
from shared import protocol as p
from shared.domain import Verdict
from shared.errors import StorageFullError

MANY = tuple(f"u{n}@example.com" for n in range(100))


def read(desk, **more) -> None:
    fields = {"max_rate": 14.0, "quota": 200.0, "sent_24h": 0.0} | more
    desk.say(p.AccountRead("sender-0", desk.now.ms, **fields))


def state(desk) -> p.AccountState:
    (found,) = [x.message for x in desk.wait(1) if isinstance(x.message, p.WriterState)]
    return found.account


@pytest.mark.parametrize(
    ("setting", "wanted", "account", "expected"),
    [
        (24, None, None, (24, "setting")),
        (24, None, 14.0, (14.0, "account")),
        (24, None, 50.0, (24, "setting")),
        (None, None, 50.0, (50.0, "account")),
        (None, None, None, (1.0, "fallback")),
        (24, 10.0, None, (10.0, "api")),
        (24, 40.0, 50.0, (40.0, "api")),
        (24, 50.0, 50.0, (50.0, "api")),
        (24, 51.0, 50.0, (50.0, "account")),
        (None, 10.0, 50.0, (10.0, "api")),
        (None, 10.0, None, (10.0, "api")),
    ],
)
def test_the_rate_is_the_wanted_one_or_the_setting_at_most_the_accounts(
    setting, wanted, account, expected
):
    assert rate_in_force(setting, wanted, account) == expected


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


@pytest.mark.against("E6")
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


@pytest.mark.against("E7")
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


def pause(desk, _job):
    desk.order(p.PauseTopic)
    desk.order(p.ResumeTopic)


def cancel(desk, job):
    desk.order(p.CancelMail, job.addressees[0].recipient)


def put_on_the_list(desk, job):
    desk.list_address(job.addressees[0].email)
    assert desk.gate(job)[0].recipients == ()


@pytest.mark.parametrize("take_away", [pause, cancel, put_on_the_list])
def test_a_probe_that_is_taken_away_makes_room_for_another(desk, take_away):
    desk.submit(MANY[:5])
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.ACCOUNT, code="sending_paused")
    desk.wait(5.01)
    (probe,) = desk.claim(jobs=9)
    take_away(desk, probe)
    (other,) = desk.claim(jobs=9)
    assert desk.gate(other)[0].recipients
    desk.outcome(other, Verdict.ACCEPTED)
    assert desk.writer._account.hold is None


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


@pytest.mark.against("E3")
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


def set_rate(desk, rate: float | None, order: str) -> list[p.Message]:
    return desk.say(p.SetRate("api", order, rate))


def in_force(desk) -> tuple[float, str, float | None]:
    (found,) = [x.message for x in desk.wait(1) if isinstance(x.message, p.WriterState)]
    return found.account.rate, found.account.rate_source, found.rate_wanted


def test_a_rate_set_by_an_order_is_in_force_at_once_and_survives_a_restart(desk):
    assert in_force(desk) == (24, "setting", None)
    said = set_rate(desk, 100.0, "o-1")
    assert said[0] == p.OrderDone("o-1", changed=1)
    assert [x.rate for x in said if isinstance(x, p.RateDigest)] == [100.0]
    assert [x.rate_wanted for x in said if isinstance(x, p.WriterState)] == [100.0]
    assert in_force(desk) == (100.0, "api", 100.0)
    desk.restart()
    assert in_force(desk) == (100.0, "api", 100.0)
    assert desk.writer.notes()["rate_source"] == "api"
    said = set_rate(desk, None, "o-2")
    assert [x.rate for x in said if isinstance(x, p.RateDigest)] == [24.0]
    assert in_force(desk) == (24.0, "setting", None)
    desk.restart()
    assert in_force(desk) == (24.0, "setting", None)


def test_what_does_not_change_the_rate_says_nothing_of_it(desk):
    in_force(desk)
    assert set_rate(desk, None, "o-1") == [p.OrderDone("o-1", changed=0)]
    desk.say(p.SetRate("api", "o-2", 10.0))
    assert set_rate(desk, 10.0, "o-3") == [p.OrderDone("o-3", changed=0)]


def test_a_repeat_of_an_older_order_does_not_set_its_rate_again(desk):
    set_rate(desk, 10.0, "o-1")
    set_rate(desk, 20.0, "o-2")
    assert set_rate(desk, 10.0, "o-1")[0] == p.OrderDone("o-1", changed=1)
    assert in_force(desk) == (20.0, "api", 20.0)


def test_a_rate_above_the_accounts_is_refused_and_changes_nothing(desk):
    read(desk, max_rate=14.0)
    assert set_rate(desk, 14.5, "o-1")[0] == p.OrderRefused("o-1", "rate_too_high", limit=14.0)
    assert in_force(desk) == (14.0, "account", None)
    assert set_rate(desk, 14.0, "o-2")[0] == p.OrderDone("o-2", changed=1)
    assert in_force(desk) == (14.0, "api", 14.0)


def test_a_rate_above_one_that_is_not_known_is_taken(desk):
    assert set_rate(desk, 5000.0, "o-1")[0] == p.OrderDone("o-1", changed=1)
    assert in_force(desk) == (5000.0, "api", 5000.0)


def test_the_account_that_falls_below_the_wanted_rate_binds_until_it_rises(desk):
    read(desk, max_rate=200.0)
    set_rate(desk, 100.0, "o-1")
    desk.wait(1)
    fields = {"max_rate": 50.0, "quota": 200.0, "sent_24h": 0.0}
    said = desk.say(p.AccountRead("sender-0", desk.now.ms, **fields))
    assert [x.rate for x in said if isinstance(x, p.RateDigest)] == [50.0], "at once as well"
    assert in_force(desk) == (50.0, "account", 100.0)
    read(desk, max_rate=200.0)
    assert in_force(desk) == (100.0, "api", 100.0)


def test_a_refused_bulk_call_is_forgotten_when_no_sender_says_so_any_more(desk):
    desk.say(p.BulkRefused("sender-0", "AccessDenied"))
    desk.wait(179)
    assert desk.writer.notes()["bulk_refused"] == "AccessDenied"
    desk.wait(2)
    assert desk.writer.notes()["bulk_refused"] == ""


def test_a_rate_that_could_not_be_committed_is_not_in_force(desk, monkeypatch):
    in_force(desk)

    def full() -> None:
        raise StorageFullError("full")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "commit", full)
        assert set_rate(desk, 5.0, "o-1") == [p.OrderFailed("o-1", "storage_full")]
    assert in_force(desk) == (24, "setting", None)
