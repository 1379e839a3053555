"""Frames in an awkward order: what was answered stays true whatever comes next."""

import pytest

from shared import protocol as p
from shared.domain import Verdict
from shared.errors import StorageFullError

MANY = tuple(f"u{n}@example.com" for n in range(10))


def test_a_claim_behind_a_cancel_takes_none_of_the_cancelled_retries(desk):
    desk.submit(MANY)
    for job in desk.claim(jobs=10):
        desk.outcome(job, None)
    claim = p.Claim(99, "sender-0", 1, desk.topic_id(), urgent=False, jobs=5, size=1)
    said = desk.say(p.CancelTopic("api", "o", "news"), p.ClaimWork(1, (claim,)))
    (claimed,) = [x.claimed[0] for x in said if isinstance(x, p.WorkClaimed)]
    assert (claimed.jobs, claimed.next_due) == ((), None)
    assert desk.counts() == {"Stopped": 10}


def test_new_mail_of_a_cancelled_topic_does_not_bring_cancelled_retries_along(desk):
    desk.submit(MANY)
    for job in desk.claim(jobs=10):
        desk.outcome(job, None)
    desk.say(p.CancelTopic("api", "o", "news"))
    desk.submit(["new@example.com"])
    assert [who.email for job in desk.claim(jobs=10) for who in job.addressees] == [
        "new@example.com"
    ]


def test_a_late_word_that_a_call_was_never_made_settles_the_unknown(desk):
    desk.submit(MANY[:3])
    (job,) = desk.claim(jobs=1, size=3)
    desk.gate(job)
    desk.wait(61)
    assert desk.counts() == {"Unknown": 3}
    assert desk.gate(job)[0].recipients == ()
    desk.outcome(job, None)
    assert desk.counts() == {"Created": 3}


def test_a_claim_for_a_former_epoch_goes_back_within_seconds(desk):
    desk.submit(MANY[:3])
    desk.ask(p.Hello("sender-0", 2, ()), p.Welcome)
    desk.claim(jobs=3, epoch=1)
    for _ in range(7):
        desk.wait(1)
        desk.say(p.Holding("sender-0", 2, ()))
    assert desk.counts() == {"Created": 3}


def test_a_former_process_s_hello_takes_nothing_from_its_successor(desk):
    desk.submit(MANY[:3])
    desk.ask(p.Hello("sender-0", 2, ()), p.Welcome)
    (job,) = desk.claim(jobs=1, epoch=2)
    desk.gate(job, epoch=2)
    desk.ask(p.Hello("sender-0", 1, ()), p.Welcome)
    assert desk.counts() == {"Processed": 1, "Created": 2}


def test_a_repeated_claim_does_not_take_the_probe_s_place(desk):
    desk.submit(MANY)
    first, second, _third = desk.claim(jobs=3, claim=77)
    desk.gate(first)
    desk.outcome(first, Verdict.ACCOUNT, code="suspended")
    desk.claim(jobs=3, claim=77)
    assert desk.gate(second)[0].recipients == ()


def test_what_was_refused_stays_refused_for_a_copy_that_comes_later(desk, monkeypatch):
    now = desk.now
    mail = p.Mail("news", "Subject", "<p>", MANY)
    submit = p.Submit("api", "s1", now.mono + 5, now.mono, now.ms, None, (mail,), p.Tally(0, 0))
    with monkeypatch.context() as patched:
        patched.setattr(desk.store, "commit", lambda: (_ for _ in ()).throw(StorageFullError("x")))
        assert desk.say(submit) == [p.NotStored("s1", "storage_full")]
    assert desk.say(submit) == [p.NotStored("s1", "storage_full")]
    assert desk.counts() == {}


@pytest.mark.parametrize("reason", ["sending_paused", "quota"])
def test_an_old_answer_of_getaccount_said_again_lifts_no_newer_hold(desk, reason):
    read = p.AccountRead("sender-0", desk.now.ms, 100.0, 50_000.0, 4.0)
    desk.say(read)
    desk.submit(MANY)
    desk.wait(5)
    (job,) = desk.claim(jobs=1)
    desk.gate(job)
    desk.outcome(job, Verdict.ACCOUNT, code=reason)
    desk.wait(1)
    desk.say(read)
    assert desk.writer._account.hold.reason == reason


def test_an_old_answer_of_getaccount_said_again_forgets_nothing_that_was_sent_since(desk):
    read = p.AccountRead("sender-0", desk.now.ms, 100.0, 50_000.0, 40_000.0)
    desk.say(read)
    desk.submit(f"v{n}@example.com" for n in range(1000))
    desk.send_all()
    for _ in range(2):
        desk.wait(2)
        assert desk.writer._account.quota_left(desk.now) == 9000
        desk.say(read)


def test_more_than_five_hundred_topics_are_all_in_the_digest_and_a_new_one_at_once(desk):
    for number in range(600):
        desk.submit(["a@example.com"], f"t{number}")
    (digest,) = [x.message for x in desk.wait(1) if isinstance(x.message, p.WorkDigest)]
    assert (len(digest.topics), digest.whole) == (600, True)
    mail = p.Mail("fresh", "Subject", "<p>", ("a@example.com",))
    now = desk.now
    submit = p.Submit("api", "s1", now.mono + 5, now.mono, now.ms, None, (mail,), p.Tally(0, 0))
    (news,) = [x for x in desk.say(submit) if isinstance(x, p.WorkDigest)]
    assert ([work.topic for work in news.topics], news.whole) == ([desk.topic_id("fresh")], False)


def test_bulk_that_nobody_calls_refused_any_more_is_forgotten(desk):
    desk.say(p.BulkRefused("sender-0", "AccessDenied"))
    desk.wait(100)
    assert desk.writer.notes()["bulk_refused"] == "AccessDenied"
    desk.wait(100)
    assert desk.writer.notes()["bulk_refused"] == ""
