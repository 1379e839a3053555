"""Poison: a message that can never be applied, and mail that kills every sender that has it."""

import random
from collections import Counter

import pytest

from services.api.history import history
from services.writer import events as event_rules
from services.writer import gates, outcomes, steering, suspects
from services.writer.intake import Intake
from services.writer.suspects import ALONE_AT, QUARANTINE_AT, QUIET_MS, Fate, Suspicion
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, OnUnknown, SubmissionId, Verdict
from shared.store.read import Reader
from tests.unit.writer.conftest import Desk

pytestmark = pytest.mark.against("E9")

TWO = ["good@example.com", "bad@example.com"]
BAD = 2
POISON = "poison@example.com"


# ── a message that can never be applied ──


def spoil(monkeypatch, module, name, is_bad):
    """Let a function of the writer raise for some arguments."""
    real = getattr(module, name)

    def spoilt(*arguments):
        if is_bad(*arguments):
            raise RuntimeError("poison")
        return real(*arguments)

    monkeypatch.setattr(module, name, spoilt)


@pytest.fixture
def poisoned(desk, monkeypatch):
    """Nothing about recipient 2, submission "bad" and topic "bad" can be written."""
    desk.submit(TWO)
    desk.submit(["x@example.com"], "bad")
    desk.submit(["y@example.com"], "away")
    spoil(monkeypatch, Intake, "keep", lambda _i, message, _m: message.topic_is_bad)
    monkeypatch.setattr(
        p.Submit, "topic_is_bad", property(lambda s: s.submission == "bad"), raising=False
    )
    spoil(monkeypatch, gates, "_open", lambda _b, asked, _a: BAD in asked.lease.recipients)
    spoil(
        monkeypatch,
        outcomes,
        "_accept",
        lambda _b, plain, leases: any(BAD in leases[job].recipients for job in plain),
    )
    spoil(monkeypatch, event_rules, "_see", lambda _b, who, *_: who.recipient == BAD)
    spoil(monkeypatch, steering, "cancel", lambda _b, message: message.topic == "bad")
    monkeypatch.setattr(desk.writer, "_log", Log())
    return desk


class Log:
    """Hears what the writer logs; `refused` are the kinds of messages it names."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()

    def warning(self, _event, **_more) -> None:
        """Say that something is looked at part by part."""

    def error(self, _event, message, **_more) -> None:
        self.refused[message] += 1


def submission(desk, number: str) -> p.Submit:
    mail = p.Mail("news", "Subject", "<h1>Hi</h1>", ("new@example.com",))
    return p.Submit(
        reply_to="api",
        submission=SubmissionId(number),
        deadline=desk.now.mono + 5,
        began_mono=desk.now.mono,
        accepted_at=desk.now.ms,
        scheduled_at=None,
        mails=(mail,),
        tally=p.Tally(0, 0),
    )


def outcome(desk, job: p.Job) -> p.Outcome:
    (who,) = job.addressees
    answer = p.Answer(who.recipient, Verdict.ACCEPTED, desk.now.ms, f"ses-{who.recipient}", "", "")
    return p.Outcome(job.job, (answer,))


def test_e9_poison_is_refused_by_name_and_the_rest_of_the_turn_is_written(poisoned):
    """All in one turn, each beside a sound one; then all of it again: the answers are the same."""
    desk = poisoned
    good, bad = desk.claim(jobs=2)
    sound, poisonous = (
        p.Event(Feedback.SEND, TWO[n], f"ses-{n + 1}", 1, desk.now.ms, n + 1) for n in (0, 1)
    )
    turn = (
        submission(desk, "bad"),
        submission(desk, "good"),
        p.AskGate("sender-0", 1, (bad.job, good.job)),
        p.RecordOutcomes("sender-0", 1, 5, (outcome(desk, bad), outcome(desk, good))),
        p.RecordEvents(
            1, (p.EventPost("post-2", "sns-2", (poisonous,)), p.EventPost("1", "sns-1", (sound,)))
        ),
        p.RecordOpens("api", 1, 1, (p.Opened(p.RecipientId(BAD), desk.now.ms),)),
        p.CancelTopic("api", "order-bad", "bad"),
        p.CancelTopic("api", "order-good", "away"),
    )
    first = desk.say(*turn)
    stored = [answer for answer in first if isinstance(answer, p.Stored)]
    gated = [gate for answer in first if isinstance(answer, p.GateOpened) for gate in answer.gates]
    assert [one.submission for one in stored] == ["good"]
    assert gated == [p.Gate(good.job, (1,))], (
        "the other is asked for again, and let go of in a second"
    )
    told = [one for one in answers_to(first) if one not in stored]
    assert [one for one in told if not isinstance(one, p.TopicCancelled)] == [
        p.NotStored("bad", "poisonous"),
        # Acknowledged both, one for each half: what is said again would only fail again.
        p.OutcomesRecorded(1, (5,)),
        p.OutcomesRecorded(1, (5,)),
        p.EventsNotRecorded(1, ("post-2",), "poisonous"),
        p.EventsRecorded(1, ("1",)),
        p.OpensRecorded(1, 1),
        p.OrderFailed("order-bad", "poisonous"),
    ]
    kinds = "Submit", "AskGate", "RecordOutcomes", "RecordEvents", "RecordOpens", "CancelTopic"
    assert desk.writer._log.refused == dict.fromkeys(kinds, 1)
    for _ in range(2):
        assert desk.counts() == {"Sent": 1, "Created": 1, "Processed": 1}
        assert (desk.counts("bad"), desk.counts("away")) == ({"Created": 1}, {"Stopped": 1})
        assert desk.results() == {"Send": 1}
        again = answers_to(desk.say(*turn))
        assert again == answers_to(first)


def answers_to(letters: list[p.Message]) -> list[p.Message]:
    """Leave out what says how things stand now."""
    return [one for one in letters if not isinstance(one, p.WorkDigest | p.GateOpened)]


def test_e9_an_outcome_that_can_never_be_written_leaves_its_mail_in_doubt_not_in_hand(poisoned):
    desk = poisoned
    desk.wait(1)
    (_, bad) = desk.claim(jobs=2)
    desk.say(p.RecordOutcomes("sender-0", 1, 1, (outcome(desk, bad),)))
    assert desk.counts() == {"Processed": 2}
    desk.wait(61)
    assert desk.counts() == {"Created": 2}, "by its lease's end: no attempt is recorded"


def test_e9_what_was_undone_with_the_poison_says_nothing_of_the_account(desk, monkeypatch):
    """Five lost answers in a row would hold it: three that are applied again are three."""
    desk.submit([f"u{n}@example.com" for n in range(4)])
    jobs = desk.claim(jobs=4)
    desk.gate(*jobs)
    spoil(monkeypatch, outcomes, "_apply", lambda _b, _o, lease, _a: 4 in lease.recipients)
    lost = [p.Answer(n, Verdict.UNKNOWN, desk.now.ms, "", "Code", "words") for n in range(1, 5)]
    told = tuple(p.Outcome(job.job, (one,)) for job, one in zip(jobs, lost, strict=True))
    desk.say(p.RecordOutcomes("sender-0", 1, 1, told), p.EarOpen(1))
    assert desk.counts() == {"Unknown": 3, "Processed": 1}
    assert desk.writer.notes()["hold"] == ""


# ── a mail that kills: what is decided ──


@pytest.mark.parametrize(
    ("former", "sent", "unexplained", "crashes", "fate"),
    [
        (None, 0, 0, 1, Fate.AT_ONCE),
        (Suspicion(1, 0, 5, 0), 6, 9, 2, Fate.LATER),  # others die too: not yet a matter
        (Suspicion(1, 0, 5, 0), 5, 0, 1, Fate.LATER),  # nothing else goes: it may be the sender
        (Suspicion(2, 0, 5, 3), 6, 3, 3, Fate.LATER),
        (Suspicion(2, 0, 5, 3), 6, 4, 2, Fate.LATER),  # a sender died without it
        (Suspicion(2, 0, 5, 3), 5, 3, 2, Fate.LATER),
        (Suspicion(3, 0, 5, 3), 6, 3, 4, Fate.QUARANTINE),
        (Suspicion(3, 0, 5, 3), 6, 4, 3, Fate.LATER),
        (Suspicion(4, 0, 5, 3), 5, 9, 4, Fate.QUARANTINE),  # again told to be sent, in doubt
    ],
)
def test_e9_a_crash_counts_if_others_are_sent_and_others_live(
    former, sent, unexplained, crashes, fate
):
    found = suspects.blame(former, 1000, sent, unexplained)
    assert found == Suspicion(crashes, 1000, sent, unexplained)
    assert suspects.fate(former, found) is fate


@pytest.mark.parametrize(
    ("last", "at", "quiet"),
    [
        (100_000 - QUIET_MS, 99_000, True),
        (100_001 - QUIET_MS, 99_000, False),
        (100_001 - QUIET_MS, 40_000, True),  # it has waited a minute
        (100_001, 99_000, True),  # the clock was set back
    ],
)
def test_e9_nothing_is_tried_alone_soon_after_a_death(last, at, quiet):
    assert suspects.is_quiet(last, at, 100_000) is quiet


# ── and what comes of it ──


class Sender:
    """Takes jobs, sends them, and dies of some; other mail goes on with a sender that lives."""

    def __init__(self, desk: Desk, *, begins: bool = False, size: int = 1) -> None:
        self.desk = desk
        self.begins = begins
        self.size = size
        self.epoch = 1
        self.deaths: list[list[str]] = []
        self.sent = 0

    def live(self, jobs: int = 5, topic: str = "news") -> None:
        """Take some jobs in; die before any is sent if the poison is among them."""
        desk = self.desk
        found = desk.claim(jobs, self.size, topic, epoch=self.epoch)
        for job in found:
            if POISON in emails(job):
                self.die(found, job)
                return
        for job in found:
            desk.gate(job, epoch=self.epoch)
            desk.outcome(job, Verdict.ACCEPTED, epoch=self.epoch)

    def die(self, held: list[p.Job], of: p.Job | None = None) -> None:
        self.deaths.append([email for job in held for email in emails(job)])
        begun = of is not None and self.begins
        if begun:
            self.desk.gate(of, epoch=self.epoch)
        self.epoch += 1
        started = (of.job,) if begun else ()
        hello = p.Hello("sender-0", self.epoch, started)
        self.desk.ask(hello, p.Welcome)
        self.desk.ask(hello, p.Welcome)  # said again, it is the same death

    def send_other(self, events: bool = False) -> None:
        """Let another sender have a mail accepted."""
        self.sent += 1
        desk = self.desk
        desk.submit([f"other{self.sent}@example.com"], "other")
        (job,) = desk.claim(topic="other", sender="sender-1")
        ask = p.AskGate("sender-1", 1, (job.job,))
        assert desk.ask(ask, p.GateOpened).gates[0].recipients
        desk.outcome(job, Verdict.ACCEPTED)
        if events:
            who = job.addressees[0]
            post = p.EventPost("x", "y", (sent_event(desk, who.email, who.recipient),))
            desk.say(p.EarOpen(1), p.RecordEvents(1, (post,)))


def emails(job: p.Job) -> list[str]:
    return [who.email for who in job.addressees]


def sent_event(desk, email: str, recipient: int) -> p.Event:
    return p.Event(Feedback.SEND, email, f"ses-{recipient}", desk.now.ms, desk.now.ms, recipient)


def state_of(desk, email: str = POISON) -> tuple[str, str | None]:
    return desk.sql("SELECT status, status_code FROM email_request WHERE email = ?", email)[0]


@pytest.mark.parametrize("size", [1, 50])
def test_e9_a_mail_that_kills_before_the_gate_is_put_away_and_its_neighbours_are_sent(desk, size):
    many = [f"u{n}@example.com" for n in range(60)]
    desk.submit([*many[:10], POISON, *many[10:]])
    sender = Sender(desk, size=size)
    for _ in range(90):
        sender.live()
        sender.send_other()
        desk.wait(0.5)
        if desk.counts().keys() == {"Sent", "Failed"}:
            break
    desk.wait(1)
    assert state_of(desk) == ("Failed", "crashed_sender")
    assert desk.counts() == {"Sent": 60, "Failed": 1}
    assert len(sender.deaths) == QUARANTINE_AT
    # In the end nobody else is tried with it: of 250 or of 5, it alone was there each time.
    common = set(sender.deaths[0]).intersection(*sender.deaths[1:])
    assert common == {POISON}
    assert desk.sql("SELECT sum(attempts) FROM recipient WHERE email = ?", POISON) == [(0,)]
    assert desk.sql("SELECT count(*) FROM suspect") == [(0,)]
    assert len(desk.sql("SELECT 1 FROM failure")) == 1


def test_e9_its_history_tells_why_and_retry_failed_begins_anew(desk):
    desk.submit([POISON])
    sender = Sender(desk)
    until_failed(sender)
    story = Reader(desk.path).listing.story(1)
    assert story.recipient.code == "crashed_sender"
    assert "4 times" in story.recipient.detail
    (entry,) = [one for one in history(story) if one["what"] == "crashed_sender"]
    assert entry["detail"] == story.recipient.detail
    desk.order(p.RetryFailed, "news")
    assert state_of(desk) == ("Created", None)
    sender.live()
    assert state_of(desk) == ("Created", None), "one more death is the first again"
    assert desk.sql("SELECT crashes FROM suspect") == [(1,)]
    assert desk.claim(epoch=sender.epoch), "and it goes back at once"


def until_failed(sender: Sender, **more) -> None:
    for _ in range(60):
        sender.live()
        sender.send_other(**more)
        sender.desk.wait(0.5)
        if state_of(sender.desk)[0] == "Failed":
            return
    raise AssertionError(state_of(sender.desk))


def test_e9_what_is_held_against_it_survives_the_writer_and_no_reboot_is_held_against_it(desk):
    desk.submit([POISON])
    sender = Sender(desk)
    for boot in ("boot-1", "boot-1", "boot-1", "boot-2", "boot-2", "boot-3", "boot-3"):
        desk.restart(boot)
        sender.live()
        sender.send_other()
        desk.wait(4)
    # A job of one boot that is found by the next has no part in any death.
    desk.claim(epoch=sender.epoch)
    assert state_of(desk) == ("Failed", "crashed_sender")
    desk.submit(["machine@example.com"])
    for boot in ("boot-4", "boot-5", "boot-6", "boot-7", "boot-8"):
        desk.claim(epoch=sender.epoch)
        desk.restart(boot)
        sender.die([])
        sender.send_other()
    assert state_of(desk, "machine@example.com") == ("Created", None)
    assert desk.sql("SELECT count(*) FROM suspect WHERE recipient > 1 AND crashes > 0") == [(0,)]


def test_e9_a_death_is_one_however_often_the_next_epoch_says_hello(desk):
    """What the scheduler claimed for the dead one meanwhile goes back, and nothing is counted."""
    desk.submit(TWO)
    desk.claim()
    hello = p.Hello("sender-0", 2, ())
    desk.ask(hello, p.Welcome)
    before = desk.sql("SELECT * FROM suspect"), desk.sql("SELECT * FROM sender_death")
    assert len(before[0]) == len(before[1]) == 1
    desk.claim(2)
    desk.wait(0.5)
    desk.ask(hello, p.Welcome)
    assert desk.counts() == {"Created": 2}
    assert (desk.sql("SELECT * FROM suspect"), desk.sql("SELECT * FROM sender_death")) == before
    desk.claim(2, epoch=2)
    desk.ask(p.Hello("sender-0", 3, ()), p.Welcome)
    assert len(desk.sql("SELECT * FROM suspect")) == 2


def test_e9_a_sender_that_always_dies_fails_nobody(desk):
    """Of a fault of its own: nothing at all is sent, so nothing is known against any mail."""
    desk.submit([f"u{n}@example.com" for n in range(20)])
    sender = Sender(desk)
    for _ in range(100):
        sender.die(desk.claim(5, epoch=sender.epoch))
        desk.wait(2)
    assert desk.counts() == {"Created": 20}


@pytest.mark.parametrize("lasts", [0.5, 2, 5])
def test_e9_a_sender_that_dies_again_and_again_between_its_mails_fails_nobody(desk, lasts):
    """Two senders, each of which sends one mail a life and dies with the rest in its hand."""
    desk.submit([f"u{n}@example.com" for n in range(40)])
    senders = {"sender-0": 1, "sender-1": 1}
    for _ in range(150):
        for name, epoch in senders.items():
            found = desk.claim(5, sender=name, epoch=epoch)
            for job in found[:1]:
                desk.say(p.AskGate(name, epoch, (job.job,)))
                desk.outcome(job, Verdict.ACCEPTED)
            senders[name] = epoch + 1
            desk.wait(lasts)
            desk.ask(p.Hello(name, epoch + 1, ()), p.Welcome)
        if desk.counts() == {"Sent": 40}:
            break
    assert desk.counts() == {"Sent": 40}


def test_e9_kills_at_random_put_nobody_away(desk):
    """Sixty deaths, half a second to three apart, each with mail in hand; all of it is sent."""
    dice = random.Random(9)
    epochs = {"sender-0": 1, "sender-1": 1}
    held = {name: [] for name in epochs}
    worst = Counter()
    for number in range(60):
        victim = dice.choice(sorted(epochs))
        for step in range(dice.choice([1, 1, 6])):
            desk.submit([f"u{number}.{step}.{n}@example.com" for n in range(4)])
            for name, epoch in epochs.items():
                send(desk, name, epoch, held[name])
                held[name] = desk.claim(3, sender=name, epoch=epoch)
            desk.wait(0.5)
        epochs[victim] += 1
        desk.ask(p.Hello(victim, epochs[victim], ()), p.Welcome)
        held[victim] = []
        worst.update(row[0] for row in desk.sql("SELECT crashes FROM suspect"))
    assert worst[1] > 50
    assert worst[ALONE_AT] > 10
    for _ in range(200):
        for name, epoch in epochs.items():
            send(desk, name, epoch, desk.claim(20, sender=name, epoch=epoch) + held.pop(name, []))
        desk.wait(0.5)
        if not desk.sql("SELECT 1 FROM email_request WHERE status <> 'Sent'"):
            break
    assert worst[QUARANTINE_AT] == 0
    assert desk.counts().keys() == {"Sent"}


def send(desk, name: str, epoch: int, jobs: list[p.Job]) -> None:
    if jobs:
        desk.say(p.AskGate(name, epoch, tuple(job.job for job in jobs)))
        desk.say(p.RecordOutcomes(name, epoch, 1, tuple(outcome(desk, job) for job in jobs)))


def hear(desk) -> None:
    """An hour ago everything that was sent had its event, and the webhook is up since."""
    desk.store.begin()
    desk.store.run("count_minute", (desk.now.ms // 60_000 - 60, 100, 100))
    desk.store.run("set_ear", (desk.now.ms - 3_600_000, desk.now.ms))
    desk.store.commit()


def doubt(sender: Sender, seconds: int) -> None:
    """Let time pass while the webhook is up and other mail goes."""
    for second in range(0, seconds, 4):
        sender.desk.say(p.EarOpen(1))
        if second % 20 == 0:
            sender.send_other(events=True)
        sender.desk.wait(4)


def test_e9_a_mail_that_kills_after_its_call_began_is_put_away_once_ses_surely_lacks_it(desk):
    hear(desk)
    desk.submit([POISON, *TWO])
    sender = Sender(desk, begins=True)
    for crash in range(1, QUARANTINE_AT + 1):
        for _ in range(20):
            sender.live(jobs=1)
            doubt(sender, 4)
            if len(sender.deaths) == crash:
                break
        assert len(sender.deaths) == crash
        assert state_of(desk) == ("Unknown", "lost"), "SES may have it"
        doubt(sender, 288)
        assert state_of(desk) == ("Unknown", "lost")
        doubt(sender, 80)
    assert state_of(desk) == ("Failed", "crashed_sender")
    sender.live(jobs=5)
    assert desk.counts() == {"Sent": 2, "Failed": 1}
    assert desk.sql("SELECT count(*) FROM suspect") == [(0,)]

    recipient = desk.sql("SELECT id FROM recipient WHERE email = ?", POISON)[0][0]
    event = sent_event(desk, POISON, recipient)
    desk.say(p.RecordEvents(1, (p.EventPost("late", "late", (event,)),)))
    assert state_of(desk) == ("Sent", None), "an event proves it, whatever we thought"
    assert desk.counts() == {"Sent": 3}


def test_e9_put_away_by_proof_of_absence_it_is_marked_for_whoever_tries_it_again(desk):
    hear(desk)
    desk.submit([POISON])
    sender = Sender(desk)
    for crash in range(1, QUARANTINE_AT + 1):
        sender.begins = crash == QUARANTINE_AT
        for _ in range(20):
            sender.live(jobs=1)
            doubt(sender, 4)
            if len(sender.deaths) == crash:
                break
        assert desk.sql("SELECT flags FROM recipient WHERE email = ?", POISON) == [(0,)]
    doubt(sender, 368)
    assert state_of(desk) == ("Failed", "crashed_sender")
    assert desk.sql("SELECT flags FROM recipient WHERE email = ?", POISON) == [(1,)]


@pytest.mark.parametrize(
    ("policy", "deaths"),
    [
        (OnUnknown.CONFIRM_THEN_RESEND, 1),  # nothing is proven: it is held from the first on
        (OnUnknown.CONFIRM_THEN_HOLD, 1),
        (OnUnknown.RESEND_NOW, QUARANTINE_AT),  # not again, but SES may have it
    ],
)
def test_e9_what_cannot_be_proven_stays_in_doubt(tmp_path, policy, deaths):
    desk = Desk(tmp_path / "writer.db", policy)
    desk.submit([POISON])
    sender = Sender(desk, begins=True)
    for _ in range(60):
        sender.live()
        sender.send_other()
        desk.wait(4)
    assert len(sender.deaths) == deaths
    assert desk.counts() == {"Unknown": 1}

    desk.order(p.ResolveMail, 1, True)
    assert desk.counts() == {"Created": 1}, "told to send it again, it begins anew"
    sender.begins = False
    sender.live()
    assert desk.sql("SELECT crashes FROM suspect") == [(1,)]
    desk.store.close()


def test_e9_one_is_tried_at_a_time_and_the_others_wait_without_being_asked_for(desk):
    """Those that wait keep nobody from being claimed, and are due again soon, not at once."""
    desk.submit([f"u{n}@example.com" for n in range(6)])
    sender = Sender(desk)
    for _ in range(2):
        sender.die(desk.claim(6, epoch=sender.epoch))
        sender.send_other()
    assert desk.sql("SELECT DISTINCT crashes FROM suspect") == [(ALONE_AT,)]
    assert desk.claim(6, epoch=sender.epoch) == []
    assert desk.claimed.next_due == desk.now.ms + QUIET_MS
    desk.submit(["fresh@example.com"])
    assert [emails(job) for job in desk.claim(6, epoch=sender.epoch)] == [["fresh@example.com"]]
    desk.now = Now(desk.now.mono + 2, desk.now.wall + 2)
    (job,) = desk.claim(6, 50, epoch=sender.epoch)
    assert len(emails(job)) == 1
    assert desk.claimed.next_due == desk.now.ms + suspects.NEXT_TRIAL_MS
    desk.now = Now(desk.now.mono + 0.3, desk.now.wall + 0.3)
    assert desk.claim(6, 50, sender="sender-1") == []
    desk.gate(job, epoch=sender.epoch)
    desk.outcome(job, Verdict.ACCEPTED, epoch=sender.epoch)
    desk.wait(1)
    (job,) = desk.claim(6, 50, epoch=sender.epoch)
    assert len(emails(job)) == 1
    assert desk.counts() == {"Sent": 1, "Created": 4, "Processed": 2}
