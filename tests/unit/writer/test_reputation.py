"""Reputation: bounces and complaints are counted as SES does, and pause bulk mail in time."""

import apsw
import pytest

from services.writer.actor import WriterActor
from services.writer.apply import Rules
from services.writer.reputation import Pause, PauseAt, judge, resume
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, Verdict
from shared.protocol import Reputation
from shared.store import sql
from shared.store.read import Reader
from shared.store.write import Store

AT = PauseAt(0.08, 0.004)
PAUSED = Pause(5, "too many")


# ── the pure rules ──


@pytest.mark.parametrize(
    ("day", "is_paused"),
    [
        (Reputation(0, 0, 0), False),
        (Reputation(999, 999, 999), False),
        (Reputation(1000, 79, 0), False),
        (Reputation(1000, 80, 0), True),
        (Reputation(1000, 0, 3), False),
        (Reputation(1000, 0, 4), True),
        (Reputation(1_000_000, 79_999, 3_999), False),
        (Reputation(1_000_000, 80_000, 0), True),
    ],
)
def test_a_share_at_its_limit_pauses_from_a_thousand_mails_up(day, is_paused):
    assert (judge(Pause(), day, AT, 7).since == 7) is is_paused


def test_a_limit_of_one_means_never():
    assert judge(Pause(), Reputation(1000, 1000, 1000), PauseAt(1.0, 1.0), 7) == Pause()
    assert judge(Pause(), Reputation(1000, 1000, 0), PauseAt(1.0, 0.004), 7) == Pause()
    assert judge(Pause(), Reputation(1000, 1000, 4), PauseAt(1.0, 0.004), 7).since == 7


def test_the_reason_names_the_share_and_its_limit():
    reason = judge(Pause(), Reputation(2000, 200, 10), AT, 7).reason
    assert reason == (
        "200 of 2,000 mails of 24 hours bounced: 10.00%, PAUSE_AT_BOUNCE_RATE is 8.00%; "
        "10 of 2,000 mails of 24 hours led to complaints: 0.50%, PAUSE_AT_COMPLAINT_RATE is 0.40%"
    )


def test_a_pause_stays_until_it_is_ended_by_hand():
    assert judge(PAUSED, Reputation(), AT, 9) == PAUSED
    assert judge(PAUSED, Reputation(1000, 90, 9), AT, 9) == PAUSED


def test_what_was_resumed_while_over_stays_lifted_until_it_has_been_below():
    over, below = Reputation(1000, 90, 0), Reputation(2000, 90, 0)
    lifted = resume(PAUSED, over, AT)
    assert lifted == Pause(None, "", bounce_lifted=True)
    assert judge(lifted, Reputation(1000, 200, 0), AT, 9) == lifted
    assert judge(lifted, below, AT, 9) == Pause()
    assert judge(judge(lifted, below, AT, 9), over, AT, 11).since == 11


def test_the_other_share_pauses_all_the_same():
    lifted = resume(PAUSED, Reputation(1000, 90, 3), AT)
    paused = judge(lifted, Reputation(1000, 90, 4), AT, 9)
    assert (paused.since, paused.bounce_lifted) == (9, True)
    assert "complaints" in paused.reason
    assert "bounced" not in paused.reason


def test_fewer_mails_do_not_take_back_what_was_lifted():
    lifted = resume(PAUSED, Reputation(1000, 90, 0), AT)
    assert judge(lifted, Reputation(999, 90, 0), AT, 9) == lifted
    assert resume(PAUSED, Reputation(999, 90, 0), AT) == lifted


def test_resuming_what_is_not_paused_lifts_nothing():
    assert resume(Pause(), Reputation(1000, 90, 9), AT) == Pause()


# ── the writer ──


def watch(desk, pause_at: PauseAt = AT) -> None:
    """Start the writer anew with these limits."""
    rules = Rules("boot-1", 7, 24.0, desk.on_unknown, 300_000, pause_at=pause_at)
    desk.writer = WriterActor(desk.store, rules)
    desk.wait(0)


def send(desk, count: int, topic: str = "news", **more) -> list[int]:
    emails = more.pop("emails", [f"u{n}@example.com" for n in range(count)])
    desk.submit(emails, topic)
    jobs = desk.claim(jobs=200, size=50, topic=topic)
    for job in jobs:
        desk.gate(job)
        desk.outcome(job, Verdict.ACCEPTED)
    return [who.recipient for job in jobs for who in job.addressees]


def feed(desk, recipients, kind=Feedback.BOUNCE, subtype="Permanent/General", **more) -> None:
    events = []
    for recipient in recipients:
        ((email,),) = desk.sql("SELECT email FROM recipient WHERE id = ?", recipient)
        at = more.get("at", desk.now.ms)
        message = f"ses-{recipient}"
        events.append(p.Event(kind, email, message, at, desk.now.ms, recipient, subtype=subtype))
    desk.say(p.RecordEvents(1, (p.EventPost("post", "sns", tuple(events)),)))


def state(desk, seconds: float = 1.0) -> p.WriterState:
    found = [x.message for x in desk.wait(seconds) if isinstance(x.message, p.WriterState)]
    return found[0]


def claim_urgent(desk, claim: int) -> tuple[p.Job, ...]:
    claims = (p.Claim(claim, "sender-0", 1, desk.topic_id("codes"), True, 1, 1),)
    return desk.ask(p.ClaimWork(1, claims), p.WorkClaimed).claimed[0].jobs


def submit_urgent(desk, number: str) -> None:
    mails = (p.Mail("codes", "Code", "<p>1</p>", ("me@example.com",), urgent=True),)
    desk.say(p.Submit("api", number, desk.now.mono + 5, 0, desk.now.ms, None, mails, p.Tally(0, 0)))


@pytest.mark.parametrize(
    ("kind", "subtype", "expected"),
    [
        (Feedback.BOUNCE, "Permanent/General", (1, 0)),
        (Feedback.BOUNCE, "Permanent/Suppressed", (1, 0)),
        (Feedback.BOUNCE, "Permanent/OnAccountSuppressionList", (0, 0)),
        (Feedback.BOUNCE, "Permanent/UnsubscribedRecipient", (0, 0)),
        (Feedback.BOUNCE, "Transient/General", (0, 0)),
        (Feedback.COMPLAINT, "abuse", (0, 1)),
        (Feedback.COMPLAINT, "", (0, 1)),
        (Feedback.COMPLAINT, "not-spam", (0, 0)),
        (Feedback.COMPLAINT, "abuse/OnAccountSuppressionList", (0, 0)),
    ],
)
def test_counted_as_ses_counts(desk, kind, subtype, expected):
    feed(desk, send(desk, 2)[:1], kind, subtype)
    for table in ("sent_minute", "sent_hour"):
        counted = desk.sql(f"SELECT sent, bounced, complained FROM {table}")
        assert counted == [(2, *expected)]


def test_each_recipient_counts_once_for_each(desk):
    first, _ = send(desk, 2)
    for at in (1, 2, 2):
        feed(desk, [first], at=at)
        feed(desk, [first], Feedback.COMPLAINT, "abuse", at=at)
    feed(desk, [first], subtype="Permanent/NoEmail", at=3)
    assert desk.sql("SELECT bounced, complained FROM sent_hour") == [(1, 1)]
    assert state(desk).day == Reputation(2, 1, 1)


def test_a_real_bounce_after_one_of_the_accounts_own_list_counts(desk):
    first, _ = send(desk, 2)
    feed(desk, [first], subtype="Permanent/OnAccountSuppressionList", at=1)
    feed(desk, [first], at=2)
    assert state(desk).day.bounced == 1


def test_the_mailbox_simulator_does_no_harm(desk):
    emails = ["bounce@simulator.amazonses.com", "complaint@SIMULATOR.amazonses.com"]
    feed(desk, send(desk, 2, emails=emails))
    feed(desk, [2], Feedback.COMPLAINT, "abuse")
    assert state(desk).day == Reputation(2, 0, 0)


def test_what_comes_days_later_counts_by_the_time_of_sending(desk):
    recipients = send(desk, 2)
    desk.wait(25 * 3600)
    feed(desk, recipients[:1])
    found = state(desk)
    assert found.day == Reputation(0, 0, 0)
    assert found.week == Reputation(2, 1, 0)
    desk.wait(7 * 24 * 3600)
    assert state(desk).week == Reputation(0, 0, 0)


def test_a_share_over_its_limit_pauses_bulk_and_says_so_everywhere(desk):
    watch(desk)
    recipients = send(desk, 1000)
    feed(desk, recipients[:79])
    assert state(desk).bulk_pause is None
    feed(desk, recipients[79:80])
    found = state(desk)
    assert found.bulk_pause.since == desk.now.ms
    assert "80 of 1,000 mails" in found.bulk_pause.reason
    assert found.day == Reputation(1000, 80, 0)
    assert desk.writer.notes()["bulk_paused"] == found.bulk_pause.reason
    gauges = desk.writer.gauges(desk.now)
    assert (gauges["bounce_rate"], gauges["complaint_rate"]) == (0.08, 0.0)
    row = desk.sql("SELECT bulk_paused_at, bulk_pause_reason FROM account")
    assert row == [(desk.now.ms, found.bulk_pause.reason)]


def test_with_fewer_than_a_thousand_mails_nothing_is_paused(desk):
    watch(desk)
    feed(desk, send(desk, 999))
    assert state(desk).bulk_pause is None
    send(desk, 1, emails=["one@example.com"])
    assert state(desk).bulk_pause is not None


def pause(desk) -> None:
    watch(desk)
    recipients = send(desk, 1000)
    desk.submit(["next@example.com", "after@example.com"], "next")
    feed(desk, recipients[:100])


def test_a_pause_stops_bulk_at_claim_and_gate_while_urgent_mail_goes_on(desk):
    pause(desk)
    (job,) = desk.claim(topic="next")
    desk.wait(1)
    assert desk.claim(topic="next") == []
    assert desk.sql("SELECT count(*) FROM work WHERE topic = ?", desk.topic_id("next")) == [(1,)]
    assert desk.gate(job)[0].recipients == ()
    assert desk.counts("next") == {"Created": 2}
    submit_urgent(desk, "urgent-1")
    (code,) = claim_urgent(desk, 900)
    assert desk.gate(code)[0].recipients
    desk.outcome(code, Verdict.ACCEPTED)
    assert desk.counts("codes") == {"Sent": 1}


def test_a_gate_that_was_open_is_not_renewed_and_its_outcome_still_counts(desk):
    pause(desk)
    (job,) = desk.claim(topic="next")
    assert desk.gate(job)[0].recipients
    desk.wait(1)
    assert desk.gate(job)[0].recipients == ()
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts("next") == {"Created": 1, "Sent": 1}


def test_digests_leave_bulk_out_while_it_waits(desk):
    pause(desk)
    desk.submit(["later@example.com"], "later", scheduled_at=desk.now.ms + 60_000)
    letters = desk.wait(1)
    (whole,) = [x.message for x in letters if isinstance(x.message, p.WorkDigest)]
    assert (whole.topics, whole.next_due) == ((), None)
    submit_urgent(desk, "urgent-1")
    letters = desk.wait(1)
    (whole,) = [x.message for x in letters if isinstance(x.message, p.WorkDigest)]
    codes = p.TopicWork(desk.topic_id("codes"), True, desk.now.ms - 1000)
    assert whole.topics == (codes,)
    post = p.Submit(
        "api",
        "bulk-1",
        desk.now.mono + 5,
        0,
        desk.now.ms,
        None,
        (p.Mail("fresh", "S", "<p>", ("a@example.com",)),),
        p.Tally(0, 0),
    )
    assert [type(x) for x in desk.say(post)] == [p.Stored], "no news of what may not go"
    desk.say(p.ResumeBulk("api", "o-1"))
    (whole,) = [x.message for x in desk.wait(1) if isinstance(x.message, p.WorkDigest)]
    assert {work.topic for work in whole.topics} == {
        desk.topic_id(name) for name in ("codes", "next", "fresh")
    }
    assert whole.next_due is not None


def test_the_digest_goes_out_at_once_when_bulk_is_paused_or_resumed(desk):
    pause(desk)
    desk.now = Now(desk.now.mono + 1, desk.now.wall + 1)
    assert [type(x.message) for x in desk.writer.tick(desk.now)].count(p.WorkDigest) == 1
    said = desk.say(p.ResumeBulk("api", "o-1"))
    (digest,) = [x for x in said if isinstance(x, p.WorkDigest)]
    assert digest.whole
    assert [work.topic for work in digest.topics] == [desk.topic_id("next")]


def test_resumed_while_over_it_goes_until_it_has_been_below_and_is_over_again(desk):
    pause(desk)
    assert state(desk).bulk_pause is not None
    assert desk.ask(p.ResumeBulk("api", "o-1"), p.OrderDone).changed == 1
    assert desk.ask(p.ResumeBulk("api", "o-2"), p.OrderDone).changed == 0
    assert state(desk).bulk_pause is None
    assert len(desk.claim(topic="next")) == 1
    watch(desk)
    assert state(desk).bulk_pause is None, "what was lifted survives a restart"
    fresh = send(desk, 300, "more", emails=[f"v{n}@example.com" for n in range(300)])
    assert state(desk).bulk_pause is None, "below now"
    feed(desk, fresh[:100])
    assert state(desk).bulk_pause is not None


def test_a_pause_survives_a_restart_and_its_resumption_too(desk):
    pause(desk)
    before = state(desk).bulk_pause
    desk.restart()
    watch(desk)
    assert state(desk).bulk_pause == before
    assert desk.claim(topic="next") == []
    desk.restart()
    rules = Rules("boot-1", 7, 24.0, desk.on_unknown, 300_000, pause_at=AT)
    desk.writer = WriterActor(desk.store, rules)
    desk.say(p.ResumeBulk("api", "o-1"))
    assert state(desk).bulk_pause is None, "the order came before the first look"


def test_a_day_later_a_pause_still_stands_though_nothing_is_over(desk):
    pause(desk)
    desk.wait(1)
    desk.wait(25 * 3600)
    found = state(desk)
    assert found.day == Reputation(0, 0, 0)
    assert found.bulk_pause is not None
    desk.say(p.ResumeBulk("api", "o-1"))
    assert desk.sql("SELECT bounce_lifted, complaint_lifted FROM account") == [(0, 0)]


def test_a_probe_of_a_held_account_is_never_bulk_while_bulk_waits(desk):
    pause(desk)
    desk.wait(1)
    submit_urgent(desk, "urgent-1")
    (code,) = claim_urgent(desk, 900)
    desk.gate(code)
    desk.outcome(code, Verdict.ACCOUNT, code="sending_paused")
    desk.wait(6)
    assert desk.claim(topic="next") == []
    (probe,) = claim_urgent(desk, 901)
    assert desk.gate(probe)[0].recipients


def test_a_topic_s_pace_is_kept_in_slots_of_ten_seconds(desk):
    def pace() -> tuple:
        ((slot, *counts),) = desk.sql(
            "SELECT pace_slot, pace_count, pace_before FROM topic WHERE name = 'news'"
        )
        assert slot == desk.now.ms // 10_000
        return tuple(counts)

    send(desk, 3)
    assert pace() == (3, 0)
    desk.wait(9.9)
    send(desk, 2)
    assert pace() == (5, 0)
    desk.wait(0.1)
    send(desk, 4)
    assert pace() == (4, 5)
    desk.wait(20)
    send(desk, 1)
    assert pace() == (1, 0)
    assert Reader(desk.path).topic("news").requests["Sent"] == 10


def test_what_an_event_proves_counts_to_the_pace_now_not_then(desk):
    desk.submit(["a@example.com"])
    (job,) = desk.claim()
    desk.gate(job)
    sent_at = desk.now.ms
    desk.wait(30)
    event = p.Event(Feedback.SEND, "a@example.com", "m", sent_at, sent_at, 1)
    desk.say(p.RecordEvents(1, (p.EventPost("post", "sns", (event,)),)))
    rows = desk.sql("SELECT pace_slot, pace_count, last_sent_at FROM topic WHERE name = 'news'")
    assert rows == [(desk.now.ms // 10_000, 1, sent_at)]


OF_OLD = (
    (1, "OK@example.com", 30, ((30, None),)),
    (2, "General@example.com", 40, ((40, "Permanent/General"),)),
    (3, "own@example.com", 40, ((40, "Permanent/OnAccountSuppressionList"),)),
    (4, "soft@example.com", 40, ((40, "Transient/General"),)),
    (5, "both@example.com", 50, ((40, "Permanent/General"), (50, None))),
    (8, "cross@example.com", 50, ((50, None),)),
    (6, "happy@example.com", 50, ((50, "not-spam"),)),
    (7, "bounce@simulator.amazonses.com", 40, ((40, "Permanent/General"),)),
)


def test_what_came_before_the_upgrade_is_listed_and_counted_as_if_it_came_now(tmp_path):
    path, minute = tmp_path / "x.db", 30_000_000
    old = apsw.Connection(str(path))
    for step in sql.migrations()[:3]:
        old.execute(step.text)
    old.pragma("user_version", 3)
    insert = "INSERT INTO recipient (id, batch, email, state, feedback, sent_at) VALUES "
    for recipient, email, feedback, events in OF_OLD:
        values = (recipient, email, feedback, minute * 60_000 + 5)
        old.execute(f"{insert} (?, 1, ?, 2, ?, ?)", values)
        for kind, subtype in events:
            values = (recipient, kind, subtype)
            old.execute("INSERT INTO result VALUES (?, ?, 9, ?, 'words')", values)
    old.execute("INSERT INTO sent_minute (minute, sent) VALUES (?, 7)", (minute,))
    old.execute("INSERT INTO sent_hour (hour, sent) VALUES (?, 7)", (minute // 60,))
    old.close()
    Store(path).close()
    new = apsw.Connection(str(path))
    for table in ("sent_minute", "sent_hour"):
        counted = new.execute(f"SELECT sent, bounced, complained FROM {table}").fetchall()
        assert counted == [(7, 2, 2)]
    seen = dict(new.execute("SELECT id, seen >> 16 FROM recipient"))
    assert seen == {1: 0, 2: 0b0101, 3: 0b0001, 4: 0, 5: 0b1111, 6: 0, 7: 0b0101, 8: 0b1010}
    listed = new.execute("SELECT email, detail FROM suppression ORDER BY recipient").fetchall()
    assert listed == [
        ("general@example.com", "Permanent/General: words"),
        ("own@example.com", "Permanent/OnAccountSuppressionList: words"),
        ("both@example.com", "Permanent/General: words"),
        ("cross@example.com", "words"),
    ]
