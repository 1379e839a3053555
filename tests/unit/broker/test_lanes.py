"""Urgent before bulk but for a tenth; senders in turn."""

from collections import Counter

from services.broker.lanes import Lanes
from shared.protocol import Ask


def asks(first: int, count: int, size: int = 1) -> list[Ask]:
    return [Ask(number, size) for number in range(first, first + count)]


def granted(lanes: Lanes, count: int) -> list[tuple[str, bool, int]]:
    out = []
    for _ in range(count):
        turn = lanes.next()
        if turn is None:
            break
        lanes.grant(turn)
        out.append((turn.sender, turn.urgent, turn.ask.recipients))
    return out


def test_senders_take_turns():
    lanes = Lanes(0.9)
    lanes.put("a", (), asks(1, 3))
    lanes.put("b", (), asks(1, 2))
    assert [sender for sender, *_ in granted(lanes, 9)] == ["a", "b", "a", "b", "a"]


def test_a_repeated_demand_keeps_the_place_in_the_round():
    lanes = Lanes(0.9)
    lanes.put("a", (), asks(1, 3))
    lanes.put("b", (), asks(1, 3))
    granted(lanes, 1)
    lanes.put("a", (), asks(2, 3))
    assert [sender for sender, *_ in granted(lanes, 2)] == ["b", "a"]


def test_urgent_asks_of_all_senders_come_before_bulk():
    lanes = Lanes(0.9)
    lanes.put("a", (), asks(1, 5))
    lanes.put("b", asks(1, 2), asks(3, 1))
    assert [urgent for _, urgent, _ in granted(lanes, 4)] == [True, True, False, False]


def test_bulk_keeps_a_tenth_while_urgent_mail_waits():
    lanes = Lanes(0.9)
    lanes.put("a", asks(1, 1000), asks(2000, 1000))
    lanes_had = Counter(urgent for _, urgent, _ in granted(lanes, 1000))
    assert lanes_had == {True: 900, False: 100}


def test_the_share_is_a_setting():
    for share in (0.1, 0.5, 0.8, 0.99):
        lanes = Lanes(share)
        lanes.put("a", asks(1, 1000), asks(2000, 1000))
        had = Counter(urgent for _, urgent, _ in granted(lanes, 1000))
        assert had == {True: round(1000 * share), False: round(1000 * (1 - share))}


def test_the_tenth_is_counted_in_recipients():
    lanes = Lanes(0.9)
    lanes.put("a", asks(1, 1000), asks(2000, 1000, size=50))
    had = Counter[bool]()
    for _, urgent, recipients in granted(lanes, 459):
        had[urgent] += recipients
    assert had == {True: 458, False: 50}


def test_a_lone_urgent_mail_finds_no_debt_of_former_ones():
    lanes = Lanes(0.9)
    lanes.put("a", asks(1, 8), asks(100, 5))
    assert [urgent for _, urgent, _ in granted(lanes, 9)] == [True] * 8 + [False]
    lanes.put("a", asks(9, 2), asks(101, 5))
    assert [urgent for _, urgent, _ in granted(lanes, 2)] == [True, True]


def test_urgent_alone_has_everything_and_an_empty_queue_has_no_turn():
    lanes = Lanes(0.9)
    lanes.put("a", asks(1, 50), ())
    assert len(granted(lanes, 99)) == 50
    assert lanes.next() is None
    assert not lanes


def test_withdrawn_asks_are_gone():
    lanes = Lanes(0.9)
    lanes.put("a", asks(1, 2), asks(3, 2, size=7))
    assert lanes.recipients(urgent=True) == 2
    assert lanes.recipients(urgent=False) == 14
    lanes.put("a", (), ())
    assert not lanes
