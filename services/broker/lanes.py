"""Whose ask is next: urgent before bulk but for its share, senders in turn."""

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import NamedTuple

from shared.protocol import Ask

_HAIR = 1e-6
"""What a sum of such fractions may lack: nine of them shall make one."""


class Turn(NamedTuple):
    """An ask whose turn it is."""

    sender: str
    ask: Ask
    urgent: bool


class Lanes:
    """The waiting asks; senders take turns, one ask at a time, in each lane.

    `urgent_share` is the part of the rate that urgent mail may take while bulk waits.
    """

    def __init__(self, urgent_share: float) -> None:
        self._owed_each = (1 - urgent_share) / urgent_share
        self._urgent: OrderedDict[str, deque[Ask]] = OrderedDict()
        self._bulk: OrderedDict[str, deque[Ask]] = OrderedDict()
        self._owed = 0.0

    def __bool__(self) -> bool:
        """Tell whether an ask waits."""
        return bool(self._urgent or self._bulk)

    def put(self, sender: str, urgent: Iterable[Ask], bulk: Iterable[Ask]) -> None:
        """Replace all that a sender asks for; it keeps its place in the round."""
        for lane, asks in ((self._urgent, deque(urgent)), (self._bulk, deque(bulk))):
            if asks:
                lane[sender] = asks
            else:
                lane.pop(sender, None)

    def next(self) -> Turn | None:
        """Answer whose turn it is."""
        if not self._bulk:
            return _first(self._urgent, urgent=True) if self._urgent else None
        bulk = _first(self._bulk, urgent=False)
        if not self._urgent or self._owed >= bulk.ask.recipients - _HAIR:
            return bulk
        return _first(self._urgent, urgent=True)

    def drop(self, turn: Turn) -> None:
        """Remove this ask and pass the turn on."""
        lane = self._urgent if turn.urgent else self._bulk
        asks = lane[turn.sender]
        asks.popleft()
        if asks:
            lane.move_to_end(turn.sender)
        else:
            del lane[turn.sender]

    def grant(self, turn: Turn) -> None:
        """Remove this ask, and note what bulk is owed for having let urgent mail pass."""
        if not self._urgent:
            # Bulk has the whole rate: a lone urgent mail shall find no old debt before it.
            self._owed = 0.0
        elif not turn.urgent:
            self._owed -= turn.ask.recipients
        elif self._bulk:
            self._owed += turn.ask.recipients * self._owed_each
        self.drop(turn)

    def recipients(self, *, urgent: bool) -> int:
        """Count the recipients that wait in a lane."""
        lane = self._urgent if urgent else self._bulk
        return sum(ask.recipients for asks in lane.values() for ask in asks)


def _first(lane: OrderedDict[str, deque[Ask]], *, urgent: bool) -> Turn:
    sender, asks = next(iter(lane.items()))
    return Turn(sender, asks[0], urgent)
