"""How far one statement looks along a topic's batches: pure rules.

Batches are (id, first, last); their ids and their recipients' ids run in the same order.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Stretch(NamedTuple):
    """Recipients `low` to `high`, both included, in a topic's batches `first` to `last`."""

    low: int
    high: int
    first: int = 0
    last: int = 0


def stretch_down(batches: Sequence[tuple[int, int, int]], top: int, room: int) -> Stretch | None:
    """Answer what to look at below an id, which is included, of batches newest first."""
    stretch = None
    for batch, first, last in batches:
        high = min(last, top)
        low = max(first, high - room + 1)
        if low > high:
            continue
        room -= high - low + 1
        stretch = (
            Stretch(low, high, batch, batch)
            if stretch is None
            else stretch._replace(low=low, first=batch)
        )
        if room <= 0:
            break
    return stretch


def stretch_up(
    batches: Sequence[tuple[int, int, int]], bottom: int, upto: int, room: int
) -> Stretch | None:
    """Answer what to look at above an id, both ends included, of batches oldest first."""
    stretch = None
    for batch, first, last in batches:
        low = max(first, bottom)
        high = min(last, low + room - 1, upto)
        if low > high:
            continue
        room -= high - low + 1
        stretch = (
            Stretch(low, high, batch, batch)
            if stretch is None
            else stretch._replace(high=high, last=batch)
        )
        if room <= 0:
            break
    return stretch
