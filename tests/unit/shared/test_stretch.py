"""How far one statement looks: never too far, and step by step at everything."""

from hypothesis import given
from hypothesis import strategies as st

from shared.store.stretch import stretch_down, stretch_up


def batches_of(sizes):
    """Lay out batches; an even place is the topic's own, an odd one another's."""
    found, first = [], 1
    for place, size in enumerate(sizes):
        if place % 2 == 0:
            found.append((place + 1, first, first + size - 1))
        first += size
    return found, first - 1


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=20)


@given(SIZES, st.integers(1, 12), st.integers(1, 4))
def test_steps_down_look_at_every_recipient_once(sizes, room, most):
    batches, top = batches_of(sizes)
    seen = []
    while batches and top >= batches[0][1]:
        known = [one for one in reversed(batches) if one[1] <= top][:most]
        stretch = stretch_down(known, top, room)
        within = look(batches, stretch)
        assert 1 <= len(within) <= room
        seen += reversed(within)
        top = stretch.low - 1
    assert seen == [i for _, first, last in reversed(batches) for i in range(last, first - 1, -1)]


@given(SIZES, st.integers(1, 12), st.integers(1, 4))
def test_steps_up_look_at_every_recipient_once(sizes, room, most):
    batches, upto = batches_of(sizes)
    seen, bottom = [], 1
    while known := [one for one in batches if one[2] >= bottom][:most]:
        stretch = stretch_up(known, bottom, upto, room)
        within = look(batches, stretch)
        assert 1 <= len(within) <= room
        seen += within
        bottom = stretch.high + 1
    assert seen == [i for _, first, last in batches for i in range(first, last + 1)]


def look(batches, stretch):
    """Answer what the statement finds of a stretch."""
    return [
        recipient
        for batch, first, last in batches
        if stretch.first <= batch <= stretch.last
        for recipient in range(max(first, stretch.low), min(last, stretch.high) + 1)
    ]


def test_nothing_is_looked_at_beyond_either_end():
    assert stretch_down([], 9, 5) is None
    assert stretch_down([(3, 10, 12)], 9, 5) is None
    assert stretch_up([(3, 10, 12)], 1, 9, 5) is None
    assert stretch_up([(3, 1, 5)], 6, 9, 5) is None
