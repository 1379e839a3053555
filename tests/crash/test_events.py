"""Events many times, in any order, before our own write, of nobody, and not at all for hours."""

import itertools
import random

import pytest

from services.api import readiness
from services.results.actor import Results
from services.results.keyring import Keyring
from services.results.trust import Trust
from shared import protocol as p
from shared.domain import Feedback, JobId, State, Verdict
from shared.wire import Letter
from tests.unit.api.rig import settings
from tests.unit.results.rig import INSTALL, TOPIC, Sns, TiedFetch
from tests.unit.results.webhook import Webhook
from tests.unit.writer.conftest import Desk

KINDS = (
    Feedback.SEND, Feedback.DELIVERY_DELAY, Feedback.DELIVERY, Feedback.BOUNCE, Feedback.COMPLAINT,
)  # fmt: skip
OUTCOME = "our own write"
ORDERS = list(itertools.permutations((*KINDS, OUTCOME)))
NUMBERS = itertools.count(1)


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path / "writer.db")
    yield desk
    desk.store.close()


def address(recipient: int) -> str:
    return f"u{recipient}@example.com"


def event(desk, recipient, kind, *, tagged=True, at=0) -> p.Event:
    return p.Event(
        kind=kind,
        email=address(recipient),
        message_id=f"ses-{recipient}",
        at=at or desk.now.ms,
        sent_at=desk.now.ms,
        recipient=recipient if tagged else None,
        attempt=1 if tagged else 0,
        subtype="Permanent/General" if kind is Feedback.BOUNCE else "",
    )


def tell(desk, *events: p.Event) -> None:
    posts = tuple(p.EventPost(f"post-{next(NUMBERS)}", "sns", (one,)) for one in events)
    answer = desk.ask(p.RecordEvents(1, posts), p.EventsRecorded)
    assert answer.posts == tuple(post.post for post in posts)


def call_ses(desk, number: int) -> dict[int, p.Job]:
    """Take mail in and let it through the gate; answer the job of each recipient."""
    desk.submit(address(n) for n in range(1, number + 1))
    jobs = desk.claim(jobs=number)
    for job in jobs:
        desk.gate(job)
    return {job.addressees[0].recipient: job for job in jobs}


def accept(desk, jobs) -> None:
    """Report that SES accepted some jobs, in one frame."""
    outcomes = tuple(
        p.Outcome(
            JobId(job.job),
            tuple(
                p.Answer(r.recipient, Verdict.ACCEPTED, desk.now.ms, f"ses-{r.recipient}", "", "")
                for r in job.addressees
            ),
        )
        for job in jobs
    )
    if outcomes:
        desk.ask(p.RecordOutcomes("sender-0", 1, next(NUMBERS), outcomes), p.OutcomesRecorded)


def rows(desk, columns="state, feedback, seen, message_id, flags, attempts") -> dict[int, tuple]:
    found = desk.sql(f"SELECT id, {columns} FROM recipient")
    return {row[0]: row[1:] for row in found}


def recounted(desk, topic="news") -> None:
    """Check every counter of events and sending against a recount of the rows."""
    counts = desk.counts(topic)
    rows = dict(
        desk.sql("SELECT kind, count(DISTINCT recipient) FROM result GROUP BY kind ORDER BY kind")
    )
    assert desk.results(topic) == {Feedback(kind).word: count for kind, count in rows.items()}
    heard = desk.sql("SELECT count(*) FROM recipient WHERE feedback > 0")[0][0]
    assert desk.sql("SELECT sum(sent), sum(heard) FROM sent_minute") == [
        (counts[State.SENT.word], heard)
    ]


@pytest.mark.against("N1")
def test_n1_two_to_a_hundred_copies_count_once(desk):
    accept(desk, call_ses(desk, 99).values())
    copies = [
        event(desk, recipient, kind, at=desk.now.ms + kind)
        for recipient in range(1, 100)
        for kind in (Feedback.DELIVERY, Feedback.COMPLAINT, Feedback.OPEN)
        for _ in range(recipient + 1)
    ]
    # Two delays of one mail are two events, and still one recipient.
    copies += [
        event(desk, recipient, Feedback.DELIVERY_DELAY, at=1 + n % 2)
        for recipient in range(1, 100)
        for n in range(4)
    ]
    random.Random(1).shuffle(copies)
    for begin in range(0, len(copies), 1000):
        tell(desk, *copies[begin : begin + 1000])
    desk.restart()
    tell(desk, *copies[:500])
    kinds = ("Delivery", "Complaint", "Open", "DeliveryDelay")
    assert desk.results() == dict.fromkeys(kinds, 99)
    assert desk.sql("SELECT count(*) FROM result") == [(5 * 99,)]
    assert desk.sql("SELECT count(*), sum(hits) FROM opening") == [(99, 99)]
    recounted(desk)


@pytest.mark.against("N1", "A14")
def test_n1_an_old_genuine_post_again_is_200_and_changes_nothing(desk, sns):
    accept(desk, call_ses(desk, 1).values())
    webhook = Webhook(sns, lambda message: desk.ask(message, p.EventsRecorded), install=INSTALL)
    said = (
        '{"eventType":"Complaint","mail":{"messageId":"ses-1","destination":["u1@example.com"],'
        f'"tags":{{"mid":["{INSTALL}-1"],"att":["1"]}}}}}}'
    )
    old = sns.notification(said, Timestamp="2026-08-01T10:00:00.000Z")
    assert [webhook.post(old).status_code for _ in range(5)] == [200] * 5
    assert len(webhook.recorded) == 5
    assert desk.results() == {"Complaint": 1}
    assert desk.sql("SELECT count(*) FROM result") == [(1,)]
    assert webhook.desk.actor.gauges(webhook.desk.now)["stale"] == 5
    recounted(desk)


@pytest.mark.against("N2", "N3")
@pytest.mark.parametrize("tagged", [True, False], ids=["by_tag", "by_message_id"])
def test_n2_events_and_our_own_write_in_every_order_end_in_the_same_row(desk, tagged):
    """One recipient for each of the 720 orders of five events and the outcome of the call."""
    jobs = call_ses(desk, len(ORDERS))
    order_of = dict(zip(sorted(jobs), ORDERS, strict=True))
    for turn in range(len(ORDERS[0])):
        events = [
            event(desk, recipient, order[turn], tagged=tagged)
            for recipient, order in order_of.items()
            if order[turn] is not OUTCOME
        ]
        random.Random(turn).shuffle(events)
        tell(desk, *events)
        accept(desk, (jobs[r] for r, order in order_of.items() if order[turn] is OUTCOME))
        desk.counts()
    found = rows(desk)
    assert len(found) == 720
    bits = 1 | 2 | 4 | 8 | 64
    for recipient, (state, feedback, seen, message_id, flags, attempts) in found.items():
        row = (state, feedback, seen & 0xFFFF, message_id, flags, attempts)
        expected = (State.SENT, Feedback.COMPLAINT, bits, f"ses-{recipient}", 0, 1)
        assert row == expected, order_of[recipient]
    assert len({row[2] for row in found.values()}) == 1
    assert desk.results() == {kind.word: 720 for kind in KINDS}
    assert desk.sql("SELECT count(*) FROM result") == [(5 * 720,)]
    assert desk.sql("SELECT count(*) FROM orphan") == [(0,)]
    recounted(desk)


@pytest.mark.against("N3")
@pytest.mark.parametrize("verdict", [*Verdict, None])
def test_n3_an_event_before_our_own_write_outweighs_it_and_merges(desk, verdict):
    jobs = call_ses(desk, 2)
    tell(desk, event(desk, 1, Feedback.SEND), event(desk, 1, Feedback.DELIVERY))
    assert desk.counts() == {"Sent": 1, "Processed": 1}
    for _ in range(2):
        if verdict is not None:
            desk.outcome(jobs[1], verdict)
            desk.outcome(jobs[2], Verdict.ACCEPTED)
        else:  # no outcome ever comes: the leases run out
            desk.wait(61)
    assert rows(desk, "state, message_id")[1] == (State.SENT, "ses-1")
    assert desk.results() == {"Send": 1, "Delivery": 1}
    desk.wait(10_000)
    claimed = [addressee.recipient for job in desk.claim(jobs=9) for addressee in job.addressees]
    assert 1 not in claimed
    recounted(desk)


@pytest.mark.against("N4", "H56")
def test_n4_events_of_nobody_are_kept_within_bounds_and_200(desk, sns):
    accept(desk, call_ses(desk, 2).values())
    before = rows(desk)
    strays = [
        p.Event(Feedback.BOUNCE, f"s{n}@other.example", f"foreign-{n}", 1, 1, n % 3 * 1_000_000)
        for n in range(10_600)
    ]
    # The mid of one of ours under another address is not ours either.
    strays.append(p.Event(Feedback.BOUNCE, "u2@example.com", "ses-1", 1, 1, 1))
    posts = tuple(p.EventPost(f"p{n}", "sns", (one,)) for n, one in enumerate(strays))
    for begin in range(0, len(posts), 500):
        some = posts[begin : begin + 500]
        assert len(desk.ask(p.RecordEvents(1, some), p.EventsRecorded).posts) == len(some)
    assert desk.results() == {}
    assert rows(desk) == before
    desk.wait(3600)
    kept = desk.sql("SELECT count(*), max(id), min(id) FROM orphan")
    assert kept == [(10_000, 10_601, 602)]
    webhook = Webhook(sns, lambda message: desk.ask(message, p.EventsRecorded), install=INSTALL)
    said = '{"eventType":"Send","mail":{"messageId":"x","destination":["a@b.example"]}}'
    assert webhook.post(sns.notification(said)).status_code == 200
    assert desk.sql("SELECT message_id FROM orphan WHERE id > 10601") == [("x",)]


# ── the ear ──


class Ear:
    """A `results` whose sign that the webhook is up goes to the writer, each second."""

    def __init__(self, desk) -> None:
        self.desk = desk
        trust = Trust(frozenset({TOPIC}))
        self.results = Results(7, trust, Keyring(TiedFetch()), lambda: INSTALL)

    def listen(self, seconds: int, *, api: bool = True) -> None:
        for _ in range(seconds):
            if api:
                list(self.results.receive(p.EarOpen(9), self.desk.now))
            letters = list(self.results.tick(self.desk.now))
            self.desk.say(*(one.message for one in letters if isinstance(one, Letter)))
            self.desk.wait(1)


def lose_one(desk) -> None:
    desk.submit(["lost@example.com"], "lost")
    (job,) = desk.claim(topic="lost")
    desk.gate(job)
    desk.outcome(job, Verdict.UNKNOWN)


def prove_events(desk, number: int = 30) -> None:
    accept(desk, call_ses(desk, number).values())
    tell(desk, *(event(desk, n, Feedback.SEND) for n in range(1, number + 1)))


@pytest.mark.against("N5")
@pytest.mark.parametrize(
    "deaf_s", [0, 30, 7200], ids=["always_up", "down_for_half_a_minute", "down_for_two_hours"]
)
def test_n5_absence_proves_nothing_while_the_webhook_was_down(desk, deaf_s):
    prove_events(desk)
    ear = Ear(desk)
    ear.listen(10)
    lose_one(desk)
    ear.listen(5)
    if deaf_s:
        # Nobody can post to us: the API is gone, and `results` does not hear it.
        ear.listen(30, api=False)
        desk.wait(deaf_s - 30)
    ear.listen(400)
    # The same wait, but for the gap, is proof enough.
    assert desk.counts("lost") == ({"Unknown": 1} if deaf_s else {"Created": 1})


@pytest.mark.against("N5")
def test_n5_events_that_stay_out_are_told_by_ready(desk):
    prove_events(desk, 30)
    ear = Ear(desk)
    ear.listen(400)
    assert not deafness(desk)
    desk.submit(f"later{n}@example.com" for n in range(100))
    accept(desk, desk.claim(jobs=100))
    ear.listen(5, api=False)
    desk.wait(7200)
    (told,) = deafness(desk)
    assert "only 30 had one" in told


def deafness(desk) -> list[str]:
    letters = desk.wait(1)
    (state,) = [one.message for one in letters if isinstance(one.message, p.WriterState)]
    seen = readiness.Seen(settings(), state, [])
    return [one for one in readiness.degraded(seen) if one.startswith("Events do not arrive")]


@pytest.fixture(scope="session")
def sns():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return Sns(rsa.generate_private_key(public_exponent=65537, key_size=2048))
