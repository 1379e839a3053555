"""Lanes and lists: urgent mail has a line of its own, listed addresses are not mailed."""

from shared import protocol as p
from shared.domain import SubmissionId, Verdict

MANY = tuple(f"u{n}@example.com" for n in range(10))


def lines(messages):
    return {
        (line.topic, line.urgent)
        for message in messages
        if isinstance(message, p.WorkDigest)
        for line in message.topics
    }


def send(desk, *mails, number="s1"):
    now = desk.now
    tally = p.Tally(1, 2)
    submit = p.Submit("api", number, now.mono + 5, now.mono, now.ms, None, mails, tally)
    said = desk.say(submit)
    (stored,) = [x for x in said if isinstance(x, p.Stored)]
    return stored, said


def mail(*emails, topic="news", urgent=False):
    return p.Mail(topic, "Subject", "<p>", emails, urgent=urgent)


# ── priority ──


def test_urgent_mail_of_a_submission_is_told_at_once_in_a_line_of_its_own(desk):
    desk.submit(MANY)
    stored, said = send(desk, mail("a@example.com"), mail("b@example.com", urgent=True))
    assert lines(said) == {(2, False), (2, True)}
    (job,) = desk.claim(jobs=99, urgent=True)
    assert (job.urgent, job.addressees[0].recipient) == (True, stored.firsts[1])
    assert {job.urgent for job in desk.claim(jobs=99)} == {False}


def test_urgent_mail_that_comes_back_is_urgent_still(desk):
    desk.submit(MANY[:1], urgent=True)
    (job,) = desk.claim(urgent=True)
    desk.gate(job)
    desk.outcome(job, Verdict.THROTTLED)
    desk.wait(1)
    assert desk.claim() == []
    (again,) = desk.claim(urgent=True)
    assert again.urgent


def test_a_claim_repeated_says_the_same_lane(desk):
    desk.submit(MANY[:1], urgent=True)
    first = desk.claim(urgent=True, claim=77)
    assert desk.claim(urgent=True, claim=77) == first


def test_while_an_account_is_held_one_probe_goes_over_all_claims_and_lanes(desk):
    desk.submit(MANY)
    desk.submit(MANY, urgent=True)
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, Verdict.ACCOUNT, code="sending_paused")
    desk.wait(6)
    claims = tuple(
        p.Claim(100 + n, "sender-0", 1, 2, urgent=n % 2 == 0, jobs=3, size=1) for n in range(4)
    )
    answer = desk.ask(p.ClaimWork(1, claims), p.WorkClaimed)
    assert [len(claimed.jobs) for claimed in answer.claimed] == [1, 0, 0, 0]


def test_a_paused_bulk_lane_is_claimed_nothing_of_and_forgets_nothing(desk):
    desk.submit(MANY)
    desk.submit(MANY[:1], urgent=True)
    (leased,) = desk.claim()
    desk.store.run("set_bulk_pause", (desk.now.ms, "bounces", 0, 0))
    desk.restart()
    desk.wait(1)
    before = desk.sql("SELECT * FROM work")
    assert desk.claim(jobs=9) == []
    assert desk.claimed.next_due is None
    assert desk.sql("SELECT * FROM work") == before
    assert desk.gate(leased)[0].recipients == ()
    assert desk.counts() == {"Created": 11}
    (urgent,) = desk.claim(jobs=9, urgent=True)
    assert desk.gate(urgent)[0].recipients != ()
    said = desk.say(p.ResumeBulk("api", "o"))
    assert (2, False) in lines(said)
    assert len(desk.claim(jobs=99)) == 10


# ── the suppression list ──


def test_listed_addresses_are_stored_as_suppressed_and_the_others_go(desk):
    desk.list_address("u1@example.com")
    desk.list_address("u3@example.com")
    stored, _ = send(desk, mail(*MANY[:4]), mail("U1@Example.com", "x@example.com", topic=None))
    assert (stored.total, stored.success, stored.suppressed) == (9, 3, 3)
    assert stored.firsts == (1, 5)
    assert desk.counts() == {"Created": 2, "Suppressed": 2}
    (job,) = desk.claim(size=50)
    assert [who.recipient for who in job.addressees] == [1, 3]
    (job,) = desk.claim(size=50, topic=None)
    assert [who.recipient for who in job.addressees] == [6]
    assert desk.sql("SELECT status_code FROM email_request WHERE id = 2") == [("suppressed",)]


def test_a_message_to_listed_addresses_alone_leaves_nothing_to_do(desk):
    for email in MANY[:2]:
        desk.list_address(email)
    stored, said = send(desk, mail(*MANY[:2]))
    assert (stored.success, stored.suppressed) == (0, 2)
    assert lines(said) == set()
    assert desk.sql("SELECT * FROM work") == []
    assert desk.sql("SELECT count(*) FROM batch WHERE next <= last") == [(0,)]
    assert desk.order(p.PauseTopic).changed == 0


def test_the_ids_of_a_message_follow_its_first_without_a_gap(desk):
    desk.list_address("u5@example.com")
    stored, _ = send(desk, mail("a@example.com"), mail(*MANY), mail("z@example.com"))
    assert stored.firsts == (1, 2, 12)
    found = desk.sql("SELECT id FROM recipient WHERE email = 'u5@example.com'")
    assert found == [(stored.firsts[1] + 5,)]


def test_a_repeat_and_a_replay_name_the_same_recipients_whatever_was_listed_since(desk):
    key = p.IdempotencyKey(b"key", b"body")
    first = desk.submit(MANY[:2], number="s1", idempotency=key)
    desk.list_address(MANY[0])
    assert desk.submit(MANY[:2], number="s1", idempotency=key) == first
    again = desk.submit(MANY[:2], number="s2", idempotency=key)
    assert (again.firsts, again.suppressed, again.replayed) == ((1,), 0, True)
    assert desk.ask(p.LookUp("api", SubmissionId("s1")), p.Stored) == first


def test_an_address_listed_since_is_caught_at_the_gate_and_the_rest_goes(desk):
    desk.submit(MANY[:3])
    desk.submit(MANY[3:4])
    whole, alone = desk.claim(jobs=2, size=3)
    desk.list_address(MANY[1])
    desk.list_address(MANY[3])
    assert [gate.recipients for gate in desk.gate(whole, alone)] == [(1, 3), ()]
    assert desk.counts() == {"Processed": 2, "Suppressed": 2}
    desk.outcome(whole, None)
    assert desk.counts() == {"Created": 2, "Suppressed": 2}
    assert desk.sql("SELECT * FROM lease") == []
    assert desk.sql("SELECT recipient, verdict FROM refusal") == [
        (2, "suppressed"),
        (4, "suppressed"),
    ]


def test_one_listed_after_the_gate_is_not_named_again_but_may_be_in_the_air(desk):
    desk.submit(MANY[:2])
    (job,) = desk.claim(size=2)
    desk.gate(job)
    desk.list_address(MANY[0])
    assert desk.gate(job)[0].recipients == (2,)
    assert desk.counts() == {"Processed": 2}
    desk.outcome(job, Verdict.UNKNOWN)
    assert desk.counts() == {"Unknown": 2}


def test_a_retried_mail_whose_address_is_listed_now_is_caught_at_the_gate(desk):
    desk.submit(MANY[:1])
    desk.send_all(verdict=Verdict.PERMANENT)
    desk.list_address(MANY[0])
    assert desk.order(p.RetryFailed).changed == 1
    (job,) = desk.claim()
    assert desk.gate(job)[0].recipients == ()
    assert desk.counts() == {"Suppressed": 1}
