"""The scheduler as a dialogue: digests, room and leases in, claims and jobs out."""

import pytest

from services.scheduler.actor import SchedulerActor
from shared.clock import Now
from shared.domain import ContentId, JobId, RecipientId
from shared.protocol import (
    Addressee,
    Assign,
    Claim,
    Claimed,
    ClaimWork,
    Job,
    Permits,
    Room,
    TopicWork,
    WorkClaimed,
    WorkDigest,
)
from shared.wire import Letter

BASE = 1_700_000_000


def at(seconds: float) -> Now:
    return Now(100.0 + seconds, BASE + seconds)


def ms(seconds: float) -> int:
    return round((BASE + seconds) * 1000)


def bulk(topic: int, due: float = 0.0) -> TopicWork:
    return TopicWork(topic, False, ms(due))


def urgent(topic: int, due: float = 0.0) -> TopicWork:
    return TopicWork(topic, True, ms(due))


def jobs(first: int, count: int, recipients: int = 1, topic: int = 1) -> tuple[Job, ...]:
    to = tuple(Addressee(RecipientId(n), f"u{n}@example.com") for n in range(recipients))
    return tuple(
        Job(JobId(number), topic, False, ContentId(1), to) for number in range(first, first + count)
    )


class Talk:
    """A scheduler, and what it said."""

    def __init__(self, since: float = 0.0, share: float = 0.9) -> None:
        self.scheduler = SchedulerActor(at(since), share)
        self.seq = 0

    def hear(self, seconds: float, *messages) -> list[Letter]:
        return [
            letter
            for message in messages
            for letter in self.scheduler.receive(message, at(seconds))
        ]

    def digest(self, seconds: float, *topics: TopicWork, **rest) -> None:
        self.seq += 1
        fields = {
            "epoch": 1,
            "seq": self.seq,
            "next_due": None,
        } | rest
        assert self.hear(seconds, WorkDigest(topics=topics, **fields)) == []

    def room(self, seconds, held=0, jobs=10, size=50, sender="sender-0", epoch=7, **rest) -> None:
        self.seq += 1
        message = Room(sender, epoch, self.seq, jobs, size, held, **rest)
        assert self.hear(seconds, message) == []

    def tick(self, seconds: float) -> list[Letter]:
        if self.scheduler.next_tick(at(seconds)) > at(seconds).mono:
            return []
        return list(self.scheduler.tick(at(seconds)))

    def claims(self, seconds: float) -> list[Claim]:
        letters = self.tick(seconds)
        assert {letter.to for letter in letters} <= {"writer"}
        return [claim for letter in letters for claim in letter.message.claims]

    def answer(self, seconds: float, claim: Claim, got=(), next_due=None) -> list[Letter]:
        due = None if next_due is None else ms(next_due)
        claimed = (Claimed(claim.claim, tuple(got), due),)
        return self.hear(seconds, WorkClaimed(self.scheduler.epoch, claimed))


@pytest.fixture
def talk() -> Talk:
    """A scheduler that knows one sender with room for ten jobs of fifty."""
    talk = Talk()
    talk.room(0)
    talk.digest(0)
    talk.tick(0)
    return talk


def wish(claim: Claim) -> tuple[str, int, int, int]:
    return claim.sender, claim.topic, claim.jobs, claim.size


# ── claims ──


def test_what_is_due_is_claimed_for_the_free_room(talk):
    talk.room(1, held=4)
    talk.digest(1, bulk(1))
    [claim] = talk.claims(1)
    assert wish(claim) == ("sender-0", 1, 6, 50)
    assert (claim.sender_epoch, claim.urgent) == (7, False)


def test_leased_jobs_go_to_their_sender_at_once(talk):
    talk.digest(1, bulk(1))
    [claim] = talk.claims(1)
    leased = jobs(1, 2)
    assert talk.answer(1.01, claim, leased) == [Letter("sender-0", Assign(7, leased))]


def test_claims_answered_together_make_one_letter_a_sender(talk):
    talk.room(1)
    talk.room(1, sender="sender-1", epoch=8)
    talk.digest(1, bulk(1), bulk(2))
    claims = talk.claims(1)
    assert len(claims) == 4
    claimed = tuple(Claimed(claim.claim, jobs(10 * n, 1), None) for n, claim in enumerate(claims))
    letters = talk.hear(1.01, WorkClaimed(talk.scheduler.epoch, claimed))
    assert [(letter.to, len(letter.message.jobs)) for letter in letters] == [
        ("sender-0", 2),
        ("sender-1", 2),
    ]


def test_the_rest_is_what_the_writer_says_not_what_was_asked(talk):
    """Sixty mails were lost when a claim brought less than it asked and the rest was forgotten."""
    talk.digest(1, bulk(1))
    [claim] = talk.claims(1)
    talk.answer(1.01, claim, jobs(1, 1), next_due=0)
    [again] = talk.claims(1.01)
    assert wish(again) == ("sender-0", 1, 9, 50)
    talk.answer(1.02, again, jobs(2, 1), next_due=None)
    assert talk.claims(1.02) == []


def test_no_room_no_claim(talk):
    talk.room(1, held=10)
    talk.digest(1, bulk(1))
    assert talk.claims(1) == []
    talk.room(1.1, held=9)
    assert [claim.jobs for claim in talk.claims(1.1)] == [1]


def test_jobs_asked_or_on_their_way_are_not_asked_twice(talk):
    talk.digest(1, bulk(1), bulk(2))
    first, second = talk.claims(1)
    assert (first.jobs, second.jobs) == (5, 5)
    talk.room(1.005)
    assert talk.claims(1.005) == []
    talk.answer(1.01, first, jobs(1, 5), next_due=0)
    assert talk.claims(1.01) == []
    talk.answer(1.01, second, (), next_due=None)
    [claim] = talk.claims(1.01)
    assert wish(claim) == ("sender-0", 1, 5, 50)


def test_a_claim_is_never_so_large_that_the_gate_waits(talk):
    talk.room(1, jobs=5000, size=1)
    talk.digest(1, bulk(1))
    assert [claim.jobs for claim in talk.claims(1)] == [200]


def test_few_jobs_go_to_the_sender_with_most_room(talk):
    talk.room(1, held=8)
    talk.room(1, held=2, sender="sender-1")
    talk.digest(1, bulk(1))
    assert [claim.sender for claim in talk.claims(1)] == ["sender-1", "sender-0"]


def test_a_topic_that_gave_nothing_though_due_is_left_alone_for_a_moment(talk):
    talk.digest(1, bulk(1))
    [claim] = talk.claims(1)
    talk.answer(1.01, claim, (), next_due=0)
    assert talk.claims(1.01) == []
    assert talk.scheduler.next_tick(at(1.01)) == pytest.approx(at(1.11).mono)
    assert len(talk.claims(1.12)) == 1


# ── order ──


def test_urgent_topics_come_first(talk):
    talk.digest(1, bulk(1), urgent(2))
    claims = talk.claims(1)
    assert [(claim.topic, claim.urgent, claim.jobs) for claim in claims] == [
        (2, True, 9),
        (1, False, 1),
    ]


def test_urgent_mail_finds_room_though_bulk_has_filled_it(talk):
    talk.room(1, held=10)
    talk.digest(1, bulk(1), urgent(2))
    [claim] = talk.claims(1)
    assert (claim.topic, claim.urgent, claim.jobs) == (2, True, 2)
    talk.answer(1.01, claim, jobs(1, 2), next_due=0)
    assert talk.claims(1.01) == []


def test_urgent_mail_finds_room_though_the_rate_fell_and_bulk_overfills_it(talk):
    talk.room(1, held=60)
    talk.digest(1, bulk(1), urgent(2))
    assert [(claim.urgent, claim.jobs) for claim in talk.claims(1)] == [(True, 2)]


def test_urgent_mail_that_waits_in_a_full_sender_makes_room_for_no_more(talk):
    for waiting, wanted in ((2, []), (1, [1]), (0, [])):
        now = 1.4 - waiting / 5
        talk.room(now, held=10, urgent=waiting)
        talk.digest(now, bulk(1), urgent(2))
        claims = talk.claims(now)
        assert [claim.jobs for claim in claims] == wanted, "one is asked for already"


def test_a_lone_urgent_mail_is_claimed_though_it_is_the_turn_of_bulk(talk):
    """Urgent mail has had its share for a while; a single free place is for bulk now."""
    for step in range(30):
        now = 1 + step / 10
        talk.room(now, held=9)
        talk.digest(now, bulk(1), urgent(2))
        claims = talk.claims(now)
        assert any(claim.urgent for claim in claims)
        for claim in claims:
            number = 100 * step + 10 * claim.urgent
            talk.answer(now, claim, jobs(number, claim.jobs, 50), next_due=0)


def test_the_share_of_urgent_mail_is_a_setting():
    had = {}
    for share in (0.5, 0.9):
        talk = Talk(share=share)
        talk.room(0, jobs=100)
        talk.digest(0, bulk(1), urgent(2))
        had[share] = {claim.urgent: claim.jobs for claim in talk.claims(0)}
    assert had == {0.5: {True: 50, False: 50}, 0.9: {True: 90, False: 10}}


def test_a_topic_may_have_urgent_and_bulk_mail(talk):
    talk.digest(1, bulk(1), urgent(1))
    first, second = talk.claims(1)
    assert (first.urgent, second.urgent) == (True, False)
    talk.answer(1.01, first, jobs(1, 1), next_due=None)
    talk.answer(1.01, second, jobs(2, 1), next_due=0)
    assert [claim.urgent for claim in talk.claims(1.01)] == [False]


def test_a_second_newsletter_starts_at_once(talk):
    for step in range(20):
        talk.room(1 + step / 10, held=0)
        talk.digest(1 + step / 10, bulk(1))
        [claim] = talk.claims(1 + step / 10)
        talk.answer(1 + step / 10, claim, jobs(100 * step, 10, 50), next_due=0)
    talk.room(4, held=8)
    talk.digest(4, bulk(1), bulk(2))
    assert [(claim.topic, claim.jobs) for claim in talk.claims(4)] == [(1, 1), (2, 1)]


def test_a_topic_of_single_mails_is_not_starved_by_one_of_full_jobs(talk):
    had = {1: 0, 2: 0}
    for step in range(400):
        now = 1 + step / 50
        talk.room(now, held=9)
        talk.digest(now, bulk(1), bulk(2))
        [claim] = talk.claims(now)
        size = {1: 1, 2: 50}[claim.topic]
        talk.answer(now, claim, jobs(10 * step, 1, size), next_due=0)
        had[claim.topic] += size
    assert had[1] > 350


# ── time ──


def test_mail_is_claimed_within_two_milliseconds_of_its_time(talk):
    """And the scheduler sleeps until then."""
    talk.room(1)
    talk.digest(1, bulk(1, due=1.7))
    assert talk.claims(1) == []
    wakes = talk.scheduler.next_tick(at(1)) - 100.0
    assert 1.7 <= wakes <= 1.702
    assert len(talk.claims(wakes)) == 1


def test_a_due_time_far_away_is_slept_through_a_second_at_a_time(talk):
    talk.digest(1, next_due=ms(3600))
    talk.tick(1)
    assert talk.scheduler.next_tick(at(1)) == at(2).mono
    assert talk.scheduler.gauges(at(1))["next_due_s"] == pytest.approx(3599)


@pytest.mark.against("C1")
def test_a_wall_clock_set_back_delays_but_repeats_nothing(talk):
    talk.digest(1, bulk(1, due=0))
    early = Now(at(1).mono, at(1).wall - 3600)
    assert list(talk.scheduler.tick(early)) == []
    assert talk.scheduler.next_tick(early) == early.mono + 1.0


# ── lost frames, death and silence ──


def test_an_unanswered_claim_is_repeated_under_its_id(talk):
    talk.digest(1, bulk(1))
    [claim] = talk.claims(1)
    assert talk.scheduler.next_tick(at(1)) == pytest.approx(at(1.5).mono)
    assert talk.claims(1.4) == []
    assert talk.claims(1.51) == [claim]
    assert talk.claims(1.6) == []
    assert talk.claims(2.02) == [claim]


def test_a_claim_is_given_up_after_five_seconds(talk):
    talk.digest(1, bulk(1))
    [claim] = talk.claims(1)
    for step in range(2, 13):
        talk.room(step / 2)
        talk.digest(step / 2, bulk(1))
        talk.claims(step / 2)
    talk.room(6.6)
    late = talk.claims(6.6)
    assert claim not in late
    assert talk.answer(6.7, claim, jobs(1, 1)) == []


def test_a_second_answer_is_ignored(talk):
    talk.digest(1, bulk(1))
    [claim] = talk.claims(1)
    assert len(talk.answer(1.6, claim, jobs(1, 1))) == 1
    assert talk.answer(1.7, claim, jobs(1, 1)) == []


def test_answers_to_a_former_scheduler_are_ignored(talk):
    talk.digest(1, bulk(1))
    [claim] = talk.claims(1)
    stale = WorkClaimed(talk.scheduler.epoch - 1, (Claimed(claim.claim, jobs(1, 1), None),))
    assert talk.hear(1.01, stale) == []


def test_claim_ids_do_not_repeat_over_a_restart():
    """Not even if the former one made a claim every microsecond."""
    ids = []
    for since in (0.0, 0.001):
        talk = Talk(since)
        talk.room(since)
        talk.digest(since, *(bulk(topic) for topic in range(10)))
        ids += [claim.claim for claim in talk.claims(since)]
    assert len(set(ids)) == 20
    assert max(ids[:10]) + 900 < min(ids[10:])


def test_a_sender_that_began_anew_gets_its_own_claims(talk):
    talk.digest(1, bulk(1))
    [old] = talk.claims(1)
    talk.room(1.1, epoch=8)
    [new] = talk.claims(1.1)
    assert (new.sender_epoch, new.jobs) == (8, 10)
    assert new.claim != old.claim
    assert talk.answer(1.2, old, jobs(1, 1)) == []
    assert talk.claims(1.7) == [new]


def test_room_of_a_dead_epoch_is_ignored_while_the_new_one_speaks(talk):
    talk.room(1, epoch=8)
    talk.room(1, epoch=7, jobs=99)
    talk.digest(1, bulk(1))
    assert [claim.sender_epoch for claim in talk.claims(1)] == [8]


def test_a_former_epoch_is_not_believed_even_after_a_silence(talk):
    talk.room(1, epoch=8)
    talk.room(4, epoch=7)
    talk.digest(4, bulk(1))
    assert talk.claims(4) == []


def test_a_silent_sender_gets_nothing(talk):
    talk.digest(1.3, bulk(1))
    assert talk.claims(1.3) == []
    assert talk.scheduler.notes() == {"waits": "no sender takes work"}


def test_a_draining_sender_gets_nothing_new(talk):
    talk.room(1, draining=True)
    talk.digest(1, bulk(1))
    assert talk.claims(1) == []


def test_without_a_digest_nothing_is_claimed(talk):
    fresh = Talk()
    fresh.room(0)
    assert fresh.claims(0) == []
    assert fresh.scheduler.notes() == {"waits": "no word from the writer"}
    talk.digest(1, bulk(1, due=3.9))
    talk.room(4.1)
    assert talk.claims(4.1) == []


def test_an_older_digest_changes_nothing(talk):
    talk.digest(1, bulk(1))
    talk.hear(1, WorkDigest(1, 0, (), None), WorkDigest(0, 99, (), None))
    assert len(talk.claims(1)) == 1


# ── holds ──


def test_nothing_is_claimed_while_the_account_is_held(talk):
    talk.digest(1, bulk(1), held_until=at(1.5).mono, probing=True)
    assert talk.claims(1) == []
    assert talk.scheduler.notes() == {"waits": "the account is on hold"}
    assert talk.scheduler.next_tick(at(1)) == at(1.5).mono


def test_then_one_mail_at_a_time_is_tried(talk):
    talk.room(1)
    talk.digest(1, bulk(1), urgent(2), held_until=at(1.5).mono, probing=True)
    talk.claims(1)
    [probe] = talk.claims(1.5)
    assert wish(probe) == ("sender-0", 2, 1, 1)
    talk.room(1.51)
    assert talk.claims(1.51) == []
    talk.answer(1.52, probe, jobs(1, 1), next_due=0)
    assert talk.claims(1.52) == []
    talk.room(1.6, held=1)
    assert talk.claims(1.6) == []
    talk.room(1.7, held=0)
    assert len(talk.claims(1.7)) == 1


def test_a_digest_without_hold_lets_all_go(talk):
    talk.digest(1, bulk(1), held_until=at(1.5).mono, probing=True)
    talk.claims(1)
    talk.room(1.2)
    talk.digest(1.2, bulk(1))
    assert [claim.jobs for claim in talk.claims(1.2)] == [10]


# ── the rest ──


def test_gauges_tell_what_waits(talk):
    talk.room(1, held=4)
    talk.digest(1, bulk(1), bulk(2, due=2))
    [claim] = talk.claims(1)
    talk.answer(1.01, claim, jobs(1, 2), next_due=1.5)
    assert talk.scheduler.gauges(at(1.02)) == {
        "topics": 2.0,
        "claims_per_s": 1.0,
        "claims_open": 0.0,
        "jobs_in_hand": 6.0,
        "room": 4.0,
        "senders": 1.0,
        "next_due_s": pytest.approx(0.48),
    }
    assert talk.scheduler.gauges(at(3.0))["claims_per_s"] == 0.0


def test_a_message_for_another_actor_is_a_fault(talk):
    with pytest.raises(TypeError, match="takes no Permits"):
        talk.scheduler.receive(Permits(1, (), 1.0, 1), at(1))


def test_the_letter_carries_our_epoch(talk):
    talk.digest(1, bulk(1))
    [letter] = talk.tick(1)
    assert isinstance(letter.message, ClaimWork)
    assert letter.message.epoch == talk.scheduler.epoch
