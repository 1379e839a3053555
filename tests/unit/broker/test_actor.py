"""The broker as a dialogue: demand and digests in, permits out."""

import pytest

from services.broker.actor import BrokerActor
from shared.clock import Now
from shared.protocol import Ask, Assign, Demand, Permits, RateDigest, Throttled
from shared.wire import Letter

BEGAN = 1000.0


def at(mono: float) -> Now:
    return Now(mono, mono + 1.7e9)


def demand(seq, bulk=(), urgent=(), unused=(), sender="sender-0", epoch=7) -> Demand:
    return Demand(
        sender,
        epoch,
        seq,
        tuple(Ask(ask, 1) for ask in urgent),
        tuple(Ask(ask, 1) for ask in bulk),
        tuple(unused),
    )


class Talk:
    """A broker, its clock, and what it said."""

    def __init__(self, rate: float | None = 10.0, since: float = BEGAN) -> None:
        self.broker = BrokerActor(at(since), 0.9)
        self.rate = rate
        self.seq = 0

    def hear(self, mono: float, *messages) -> None:
        for message in messages:
            assert list(self.broker.receive(message, at(mono))) == []

    def tick(self, mono: float) -> list[Letter]:
        """Repeat the digest and tick, if the broker wants to by now."""
        if self.rate is not None:
            self.seq += 1
            self.hear(mono, RateDigest(1, self.seq, self.rate))
        if self.broker.next_tick(at(mono)) > mono:
            return []
        return list(self.broker.tick(at(mono)))

    def permits(self, mono: float, *messages) -> list[tuple[str, int, float]]:
        self.hear(mono, *messages)
        return [
            (letter.to, permit.ask, permit.not_before)
            for letter in self.tick(mono)
            for permit in letter.message.permits
        ]


@pytest.fixture
def talk() -> Talk:
    """A broker that has been running for a while at 10/s."""
    talk = Talk()
    talk.tick(BEGAN)
    talk.tick(BEGAN + 2)
    return talk


def test_a_lone_mail_is_granted_at_once(talk):
    assert talk.permits(1005.0, demand(1, [1])) == [("sender-0", 1, 1005.0)]


def test_permits_go_out_40_ms_ahead_and_not_sooner(talk):
    talk.permits(1005.0, demand(1, [1, 2, 3]))
    assert talk.broker.next_tick(at(1005.0)) == pytest.approx(1005.0 + 1 / 9.4 - 0.04)
    assert talk.permits(1005.05) == []
    assert talk.permits(1005.067) == [("sender-0", 2, pytest.approx(1005.0 + 1 / 9.4))]


def test_at_a_high_rate_permits_go_out_in_batches():
    talk = Talk(rate=1000.0)
    talk.tick(BEGAN)
    first = talk.permits(1005.0, demand(1, range(200)))
    assert len(first) == 38
    assert first[-1][2] <= 1005.04
    assert talk.broker.next_tick(at(1005.0)) == pytest.approx(1005.02)
    assert len(talk.permits(1005.02)) == 19


def test_an_ask_gets_one_permit_however_often_it_is_repeated(talk):
    assert len(talk.permits(1005.0, demand(1, [1]))) == 1
    assert talk.permits(1005.1, demand(2, [1])) == []
    assert talk.permits(1005.24, demand(3, [1])) == []


def test_a_permit_that_was_lost_is_granted_anew_under_the_same_ask(talk):
    talk.permits(1005.0, demand(1, [1]))
    assert talk.permits(1005.26, demand(2, [1])) == [("sender-0", 1, 1005.26)]
    assert talk.permits(1005.30, demand(3, [1])) == []


def test_a_lost_permit_still_counts_it_may_have_been_used():
    talk = Talk(rate=1.0)
    talk.tick(BEGAN)
    talk.permits(1005.0, demand(1, [1]))
    assert talk.permits(1005.3, demand(2, [1])) == []
    [(_, _, not_before)] = talk.permits(1006.05, demand(3, [1]))
    assert not_before >= 1006.06


def test_an_unused_permit_frees_its_slot_once():
    talk = Talk(rate=1.0)
    talk.tick(BEGAN)
    talk.permits(1005.0, demand(1, [1]))
    assert talk.permits(1005.03, demand(2, [2], unused=[1])) == [("sender-0", 2, 1005.03)]
    assert talk.permits(1005.06, demand(3, [3], unused=[1])) == []
    assert talk.broker.gauges(at(1005.06))["unused"] == 1


def test_the_newest_demand_wins(talk):
    assert talk.permits(1005.0, demand(5, []), demand(4, [1])) == []


def test_senders_take_turns_and_each_gets_one_letter():
    talk = Talk(rate=1000.0)
    talk.tick(BEGAN)
    talk.hear(1005.0, demand(1, range(9)), demand(1, range(9), sender="sender-1"))
    letters = talk.tick(1005.0)
    assert [letter.to for letter in letters] == ["sender-0", "sender-1"]
    slots = [[permit.not_before for permit in letter.message.permits] for letter in letters]
    assert slots[0][0] < slots[1][0] < slots[0][1] < slots[1][1]


def test_urgent_asks_of_any_sender_come_first(talk):
    got = talk.permits(1005.0, demand(1, [1, 2]), demand(1, [4], urgent=[3], sender="sender-1"))
    assert got[0][:2] == ("sender-1", 3)


def test_a_new_epoch_starts_with_nothing_but_its_former_permits_count():
    talk = Talk(rate=1.0)
    talk.tick(BEGAN)
    talk.permits(1005.0, demand(9, [1]))
    assert talk.permits(1005.5, demand(1, [1], unused=[1], epoch=8)) == []
    [(_, ask, not_before)] = talk.permits(1006.05, demand(2, [1], epoch=8))
    assert ask == 1
    assert not_before >= 1006.06


def test_words_of_a_dead_epoch_are_ignored(talk):
    talk.hear(1005.0, demand(1, [], epoch=8))
    assert talk.permits(1005.0, demand(99, [1], epoch=7)) == []


def test_demand_expires_when_the_sender_falls_silent():
    talk = Talk(rate=1.0)
    talk.tick(BEGAN)
    talk.permits(1005.0, demand(1, [1, 2, 3, 4]))
    assert len(talk.permits(1006.1)) == 1
    assert talk.permits(1007.3) == []
    assert talk.broker.gauges(at(1007.3))["waiting_bulk"] == 0


def test_a_new_broker_waits_until_permits_of_the_former_one_are_over():
    talk = Talk(rate=100.0)
    assert talk.permits(1000.5, demand(1, [1])) == []
    assert talk.permits(1001.102, demand(2, [1])) == []
    assert talk.broker.notes() == {"limit": "starting"}
    assert talk.broker.next_tick(at(1001.1)) == pytest.approx(1001.1021)
    assert len(talk.permits(1001.103, demand(3, [1]))) == 1


def test_without_a_rate_nothing_is_granted_and_nothing_said():
    talk = Talk(rate=None)
    talk.hear(1005.0, demand(1, [1]))
    assert talk.tick(1005.0) == []
    assert list(talk.broker.tick(at(1005.1))) == []
    assert talk.broker.notes() == {"limit": "no rate from the writer"}


def test_the_rate_outlives_the_writer_by_three_seconds(talk):
    talk.rate = None
    assert len(talk.permits(1004.9, demand(1, [1]))) == 1
    assert talk.permits(1005.1, demand(2, [2])) == []


def test_an_older_digest_changes_nothing(talk):
    talk.hear(1002.5, RateDigest(2, 1, 50.0), RateDigest(1, 99, 7.0))
    assert talk.broker.receive(RateDigest(2, 0, 3.0), at(1002.5)) == ()
    list(talk.broker.tick(at(1002.5)))
    assert talk.broker.gauges(at(1002.5))["rate"] == 50.0


def test_an_empty_demand_is_answered_with_rate_and_chunk(talk):
    talk.hear(1005.0, demand(1))
    assert talk.tick(1005.0) == [Letter("sender-0", Permits(7, (), 10.0, 1))]


def test_the_rate_is_told_once_a_second_and_on_change():
    talk = Talk(rate=800.0)
    talk.tick(BEGAN)
    talk.hear(1005.0, demand(1))
    assert len(talk.tick(1005.0)) == 1
    talk.hear(1005.5, demand(2))
    assert talk.tick(1005.5) == []
    talk.rate = 1600.0
    assert talk.tick(1005.6) == [Letter("sender-0", Permits(7, (), 1600.0, 20))]
    talk.hear(1006.5, demand(3))
    assert talk.tick(1006.5) == []
    assert len(talk.tick(1006.6)) == 1


def test_permits_carry_the_rate_so_that_nothing_more_is_said(talk):
    talk.permits(1005.0, demand(1, [1]))
    talk.hear(1005.9, demand(2))
    assert talk.tick(1005.9) == []


def test_a_refusal_of_ses_halves_the_rate_and_is_told_at_once(talk):
    talk.hear(1005.0, demand(1))
    talk.tick(1005.0)
    talk.hear(1005.1, Throttled("sender-0", 7, 1, 1), Throttled("sender-1", 7, 1, 1))
    assert [letter.message.rate for letter in talk.tick(1005.1)] == [5.0]
    assert talk.broker.notes() == {"limit": "throttled by SES"}
    assert talk.broker.gauges(at(1005.1))["throttles"] == 2


def test_a_repeated_refusal_counts_once(talk):
    for second in range(5):
        talk.hear(1005.0 + second, Throttled("sender-0", 7, 1, 1))
    talk.tick(1009.0)
    assert talk.broker.gauges(at(1009.0))["rate"] == 5.0


def test_the_rate_climbs_back_without_being_asked(talk):
    talk.hear(1005.0, Throttled("sender-0", 7, 1, 1))
    talk.tick(1005.0)
    assert talk.broker.next_tick(at(1014.99)) <= 1016.0
    talk.tick(1015.0)
    assert talk.broker.gauges(at(1015.0))["rate"] == pytest.approx(5.5)


def test_an_ask_too_large_for_the_rate_does_not_stand_in_the_way():
    talk = Talk(rate=5.0)
    talk.tick(BEGAN)
    large = Demand("sender-0", 7, 1, (), (Ask(1, 50), Ask(2, 1)))
    assert [ask for _, ask, _ in talk.permits(1005.0, large)] == [2]


def test_it_sleeps_when_nothing_waits(talk):
    talk.tick(1005.0)
    assert talk.broker.next_tick(at(1005.0)) == 1006.0


def test_a_message_for_another_actor_is_a_fault(talk):
    with pytest.raises(TypeError, match="takes no Assign"):
        talk.broker.receive(Assign(1, ()), at(1005.0))
