"""Progress: the state of a topic, its pace, its end, and why its mail waits."""

import pytest

from services.api import progress
from services.api.progress import Facts
from shared.protocol import AccountHold, AccountState, BulkPause
from tests.unit.api.rig import at, facts, writer_state

NOW = at(5)
MS = NOW.ms
SLOT = MS // 10_000
ACCOUNT = AccountState(rate=100, rate_source="setting", read_at=1, sandbox=False)


def topic(created=0, processed=0, sent=0, unknown=0, **known):
    counts = {"Created": created, "Processed": processed, "Sent": sent, "Unknown": unknown}
    return facts(counts, {}, id=2, name="t", **known)


def whole(writer=True, throttled=False, now=NOW, **changed):
    account = AccountState(**{"rate": 100, "rate_source": "setting", "read_at": 1, **changed})
    return Facts((), writer_state(account=account) if writer else None, throttled, now)


def codes(one, known=None):
    return [wait.code for wait in progress.waits(one, known or whole())]


# State


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({}, "idle"),
        ({"sent": 9}, "idle"),
        ({"sent": 9, "cancelled_at": 1}, "cancelled"),
        ({"sent": 9, "cancelled_at": 1, "is_renewed": 1}, "idle"),
        ({"processed": 1, "cancelled_at": 1}, "sending"),
        ({"unknown": 1, "cancelled_at": 1}, "sending"),
        ({"created": 1, "cancelled_at": 1, "is_renewed": 1, "bulk_due": MS}, "sending"),
        ({"created": 1, "paused_at": 1, "bulk_due": MS + 1}, "paused"),
        ({"paused_at": 1}, "paused"),
        ({"paused_at": 1, "cancelled_at": 1}, "cancelled"),
        ({"created": 1, "work_due": MS + 1, "bulk_due": MS + 1}, "scheduled"),
        ({"created": 1, "work_due": MS, "bulk_due": MS}, "sending"),
        ({"created": 1, "sent": 5, "work_due": MS + 1, "urgent_due": MS + 1}, "scheduled"),
        ({"created": 1, "processed": 1, "work_due": MS + 1, "bulk_due": MS + 1}, "sending"),
        ({"created": 1, "unknown": 1, "work_due": MS + 1, "bulk_due": MS + 1}, "sending"),
        ({"created": 1, "work_due": MS + 1, "bulk_retry_due": MS + 1}, "sending"),
        ({"created": 2, "work_due": MS + 9, "bulk_due": MS + 9, "bulk_retry_due": MS + 20},
            "scheduled"),
        ({"created": 1, "is_redating": 1, "redate_due": MS + 9, "bulk_due": 1}, "scheduled"),
        ({"created": 1, "is_redating": 1, "redate_due": MS, "bulk_due": MS + 9}, "sending"),
        # Claimed before, put back, and rescheduled: it waits for its new time, not for a try.
        ({"created": 1, "work_due": MS + 9, "bulk_retry_due": MS + 9, "redate_due": MS + 9},
            "scheduled"),
        ({"created": 1, "work_due": MS + 5, "bulk_retry_due": MS + 5, "redate_due": MS + 9},
            "sending"),
        ({"unknown": 1}, "sending"),
    ],
)  # fmt: skip
def test_a_topic_is_in_one_of_five_states(known, state):
    assert progress.state(topic(**known), NOW) == state


def test_what_is_left_and_when_it_is_due():
    assert progress.remaining(topic(created=1, processed=2, unknown=4, sent=8)) == 7
    assert progress.total(topic(created=1, processed=2, unknown=4, sent=8)) == 15
    assert progress.next_due(topic(processed=1, bulk_due=5)) is None
    assert progress.next_due(topic(created=1, work_due=7, bulk_due=5)) == 7
    assert progress.next_due(topic(created=1, urgent_due=9, bulk_retry_due=8)) == 8
    assert progress.next_due(topic(created=1, bulk_due=9, is_redating=1, redate_due=3)) == 3
    assert progress.next_due(topic(created=1)) is None


# Pace


@pytest.mark.parametrize(
    ("pace", "into_s", "rate"),
    [
        ((SLOT, 100, 0), 5, 10),
        ((SLOT, 100, 400), 5, 30),  # half of the slot before still counts
        ((SLOT, 0, 400), 0, 40),
        ((SLOT, 100, 400), 9.999, 10.04),
        ((SLOT - 1, 100, 400), 5, 5),
        ((SLOT - 2, 100, 400), 0, 0),
        ((SLOT + 1, 100, 400), 9, 14),  # the writer has seen the next slot begin
        ((0, 0, 0), 5, 0),
    ],
)
def test_the_pace_is_that_of_the_last_ten_seconds(pace, into_s, rate):
    now = at(0)._replace(wall=SLOT * 10 + into_s)
    slot, count, before = pace
    one = topic(created=1, pace_slot=slot, pace_count=count, pace_before=before)
    assert progress.rate_now(one, now) == pytest.approx(rate, abs=0.05)


# When it will be done

SENDING = {
    "created": 1000,
    "work_due": MS - 60_000,
    "bulk_due": MS - 60_000,
    "last_due": MS - 60_000,
    "first_sent_at": MS - 60_000,
    "pace_slot": SLOT,
    "pace_count": 250,
    "pace_before": 500,
}


def eta_s(known=None, **changed):
    found = progress.eta(topic(**{**SENDING, **changed}), known or whole())
    return None if found is None else (found - MS) / 1000


def test_the_end_is_told_by_the_pace():
    assert eta_s() == 20
    assert eta_s(processed=500) == 30
    assert eta_s(last_retry_due=MS + 60_000) == 60, "not before the last other try"


def test_the_end_is_told_by_the_rate_while_sending_has_just_begun():
    begun = {"pace_before": 0, "pace_count": 5, "first_sent_at": MS - 1000}
    assert eta_s(**begun) == 10
    fresh = {"pace_slot": 0, "first_sent_at": None, "work_due": MS - 100}
    assert eta_s(**fresh) == 10
    assert eta_s(whole(throttled=True), **fresh) is None


def test_a_rate_too_slow_to_be_seen_is_believed():
    assert eta_s(whole(rate=0.05), created=2, pace_slot=0) == 40


@pytest.mark.parametrize(
    ("known", "changed"),
    [
        (None, {"created": 0}),
        (None, {"pace_slot": 0}),  # due for a minute, and nothing moves
        (None, {"paused_at": 1}),
        (None, {"is_redating": 1}),
        (None, {"last_due": MS + 1}),
        (whole(writer=False), {}),
        (whole(quota_left=999), {}),
        (whole(hold=AccountHold("quota", "", 1, 2)), {}),
        (whole()._replace(writer=writer_state(account=ACCOUNT, storing=False)), {}),
        (whole()._replace(writer=writer_state(account=ACCOUNT, bulk_pause=BulkPause("b", 1))), {}),
    ],
)
def test_no_end_is_told_where_nothing_moves_or_nobody_knows(known, changed):
    assert eta_s(known, **changed) is None


def test_urgent_mail_ends_though_bulk_mail_is_paused():
    paused = whole()._replace(writer=writer_state(account=ACCOUNT, bulk_pause=BulkPause("b", 1)))
    assert eta_s(paused, bulk_due=None, urgent_due=MS - 60_000) == 20


# Why it waits


def test_mail_that_goes_out_waits_for_nothing():
    assert codes(topic(**SENDING)) == []
    assert codes(topic(sent=5)) == []


def test_every_reason_is_told_in_a_sentence():
    hold = AccountHold("credentials", "refused for boss@example.com", 1, 1_800_000_000_000)
    account = AccountState(rate=1, rate_source="fallback", hold=hold)
    writer = writer_state(
        account=account, storing=False, trouble="disk", bulk_pause=BulkPause("5 % bounced", MS)
    )
    one = topic(
        created=3, unknown=1, paused_at=MS, pause_reason="typo", bulk_due=1, last_due=MS + 1000,
        bulk_retry_due=1, last_retry_due=MS + 2000,
    )  # fmt: skip
    told = progress.waits(one, Facts((), writer, True, NOW))
    assert [wait.code for wait in told] == [
        "paused", "scheduled", "retry", "not_storing", "account_held", "bulk_paused", "no_rate",
        "throttled", "unknown",
    ]  # fmt: skip
    text = "\n".join(wait.message for wait in told)
    for word in (
        "paused since 2027-01-15T08:00:05Z (typo)",
        "the last of it for 2027-01-15T08:00:06Z",
        "the first at 2027-01-15T08:00:05Z, the last at 2027-01-15T08:00:07Z",
        "credentials are refused",
        "5 % bounced",
        "lost for 1 mail:",
    ):
        assert word in text
    assert "boss@" not in text
    assert all(wait.message.endswith(".") for wait in told)


def test_scheduled_mail_names_its_time():
    (wait,) = progress.waits(topic(created=1, work_due=MS + 1000, bulk_due=MS + 1000), whole())
    assert (wait.code, "2027-01-15T08:00:06Z" in wait.message) == ("scheduled", True)


def test_mail_that_is_being_rescheduled_says_so():
    one = topic(created=1, is_redating=1, redate_due=MS, bulk_retry_due=1, last_retry_due=MS + 9)
    assert codes(one) == ["rescheduling"]


def test_the_quota_is_told_when_it_is_used_up_and_when_it_will_be():
    hold = AccountHold("quota", "until about 09:00", 1, 2)
    (wait,) = progress.waits(topic(**SENDING), whole(hold=hold, quota_left=0))
    assert (wait.code, "until about 09:00" in wait.message) == ("quota", True)
    assert codes(topic(**SENDING), whole(quota_left=999)) == ["quota"]
    assert codes(topic(**SENDING), whole(quota_left=1000)) == []


def test_bulk_pause_is_told_only_where_bulk_mail_waits():
    paused = whole()._replace(writer=writer_state(account=ACCOUNT, bulk_pause=BulkPause("b", 1)))
    assert codes(topic(created=1, bulk_due=1), paused) == ["bulk_paused"]
    assert codes(topic(created=1, bulk_retry_due=1), paused) == ["bulk_paused"]
    assert codes(topic(created=1, urgent_due=1), paused) == []


def test_a_silent_writer_is_told_only_where_mail_waits():
    assert codes(topic(created=1, bulk_due=1), whole(writer=False)) == ["writer_silent"]
    assert codes(topic(sent=1), whole(writer=False)) == []


def test_without_a_process_that_sends_nothing_moves_and_there_is_no_end_in_sight():
    one = topic(created=10, bulk_due=MS, work_due=MS, first_sent_at=MS - 5)
    still = whole()._replace(standstill="No sender is heard")
    assert progress.eta(one, whole()) is not None
    assert progress.eta(one, still) is None
    (wait,) = progress.waits(one, still)
    told = "No sender is heard: nothing leaves until it is back."
    assert wait == ("not_sending", told)
    assert codes(topic(sent=1), still) == []


def test_mail_put_back_and_rescheduled_is_not_said_to_be_refused():
    known = {"created": 1, "work_due": MS + 9, "bulk_retry_due": MS + 9, "last_retry_due": MS + 9}
    assert codes(topic(**known)) == ["retry"]
    assert codes(topic(**known, redate_due=MS + 9)) == ["scheduled"]
