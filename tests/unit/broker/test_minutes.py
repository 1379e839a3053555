"""Minutes of full load in virtual time: the rate at SES, whatever goes wrong (P3)."""

import pytest

from services.broker.actor import BrokerActor
from services.broker.pace import SHARE, chunk_at

RATES = [1, 2, 5, 14, 24, 100, 333, 500, 2000]


def seconds_for(rate: float) -> float:
    return 60.0 if rate <= 100 else 15.0


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("senders", [1, 2, 8])
def test_full_load(world, worst_second, rate, senders):
    w = world(rate, senders)
    w.run(2.0 + seconds_for(rate))
    assert worst_second(w.calls) <= rate
    assert w.share(1003.0) >= 0.93


@pytest.mark.parametrize("rate", RATES)
def test_one_permit_in_twenty_comes_back(world, worst_second, rate):
    w = world(rate, returns=0.05)
    w.run(2.0 + 2 * seconds_for(rate))
    assert worst_second(w.calls) <= rate
    assert w.share(1003.0) >= 0.93


@pytest.mark.parametrize("rate", [24, 100, 333, 500, 2000, 100_000])
def test_calls_of_mixed_sizes(world, worst_second, rate):
    w = world(rate)
    w.size = lambda chunk: w.dice.choice([1, max(1, chunk // 2), chunk, chunk])
    w.run(2.0 + min(seconds_for(rate), 1e6 / rate))
    assert worst_second(w.calls) <= rate
    assert w.share(1003.0) >= 0.93


@pytest.mark.parametrize("rate", [1, 24, 500])
def test_every_arrival_late_by_chance(world, heaviest, rate):
    """The same as seen by SES's clock: start up to 12 ms late, network 0 to 50 ms."""
    w = world(rate)
    w.run(30.0)
    arrivals = [(at + 0.062 * w.dice.random(), size) for at, size in w.calls]
    assert heaviest(arrivals, 1.0) <= rate


@pytest.mark.against("K12")
@pytest.mark.parametrize("rate", [1, 24, 100, 2000])
def test_the_broker_killed_every_three_seconds(world, worst_second, rate):
    w = world(rate)
    for _ in range(20):
        w.run(3.0)
        w.restart_broker()
    assert worst_second(w.calls) <= rate
    assert w.calls


@pytest.mark.parametrize("rate", [1, 24, 100, 2000])
def test_senders_killed_in_turn(world, worst_second, rate):
    w = world(rate)
    for second in range(15):
        w.run(1.0)
        w.senders[second % 2].begin_anew()
    w.run(13.0)
    assert worst_second(w.calls) <= rate
    assert w.share(w.time - 10.0) >= 0.93


@pytest.mark.parametrize("rate", [24, 100, 2000])
def test_a_sender_stopped_for_300_ms_every_second(world, worst_second, rate):
    w = world(rate)
    for second in range(20):
        w.senders[second % 2].stalled_until = w.time + 0.3
        w.run(1.0)
    w.run(13.0)
    assert worst_second(w.calls) <= rate
    assert w.share(w.time - 10.0) >= 0.93


@pytest.mark.parametrize("rate", [24, 500])
def test_a_tenth_of_all_frames_lost(world, worst_second, rate):
    w = world(rate)
    w.loses = 0.1
    w.run(30.0)
    assert worst_second(w.calls) <= rate
    assert w.share(1003.0) >= 0.80


@pytest.mark.parametrize(("before", "after"), [(100, 10), (2000, 24), (24, 1)])
def test_a_rate_lowered_live(world, heaviest, before, after):
    w = world(before)
    w.run(5.0)
    w.rate = after
    w.digest_at = changed = w.time
    w.run(20.0)
    # Permits already out (40 ms ahead) belong to the old rate.
    assert heaviest([call for call in w.calls if call[0] > changed + 0.04], 1.062) <= after
    # Ten seconds at 1/s hold nine or ten mails: one is as near as it gets.
    assert w.share(w.time - 10.0) + 1 / (10.0 * after) >= 0.93


def test_idle_then_a_backlog(world, worst_second):
    """The trap of every token bucket: five silent seconds, then everybody wants everything."""
    w = world(24)
    depth = w.depth
    for _ in range(5):
        w.run(4.0)
        w.depth = 0
        for sender in w.senders:
            sender.wanted.clear()
        w.run(5.0)
        w.depth = depth
    assert worst_second(w.calls) <= 24


@pytest.mark.parametrize("rate", [1, 2, 14, 24, 200, 2000])
def test_a_lone_urgent_mail_waits_for_the_slots_granted_already_and_no_more(
    world, worst_second, rate
):
    """They lie at most 40 ms ahead; the last of them takes its time, then it is its turn."""
    w = world(rate)
    w.run(3.0)
    for number in range(30):
        w.run(w.dice.uniform(0.02, 0.2) + w.dice.random() / rate)
        w.senders[number % 2].hurry()
        w.run(0.1 + 1.2 / rate)
    delays = [delay for sender in w.senders for delay in sender.delays]
    assert len(delays) == 30
    assert max(delays) <= 0.04 + 0.02 + 0.01 + chunk_at(rate) / (SHARE * rate)
    assert worst_second(w.calls) <= rate


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_urgent_mail_without_end_has_its_share_of_the_rate(world, share):
    w = world(100)
    w.broker = BrokerActor(w.now, share)
    for _ in range(1000):
        while len(w.senders[0].urgent) < 5:
            w.senders[0].hurry()
        w.run(0.02)
    urgent = len(w.senders[0].delays)
    assert urgent / len(w.calls) == pytest.approx(share, abs=0.02)
    assert w.share(1003.0) >= 0.93


@pytest.mark.parametrize(("rate", "most"), [(1, 6), (24, 30), (500, 60), (2000, 60)])
def test_the_broker_wakes_no_more_than_needed(world, rate, most):
    w = world(rate)
    w.run(12.0, every=0.2)
    assert w.ticks / 12.0 <= most
