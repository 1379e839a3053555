"""What one sender wants, as far as it has not been granted yet."""

import math
from collections.abc import Iterable

from services.broker.pace import WINDOW_S, Slot
from shared.protocol import Ask, Demand

EXPIRES_S = 1.2
"""A demand is repeated every second; a sender silent for longer is dead or stalled."""

LOST_AFTER_S = 0.25
"""So long after its slot a permit that is still asked for has surely been lost on the way."""


class Petitioner:
    """A sender in one epoch: what it was granted lately and what it was told."""

    def __init__(self, demand: Demand) -> None:
        self.epoch = demand.epoch
        self.seq = demand.seq
        self.heard = -math.inf
        self.told_at = -math.inf
        self.told_rate = 0.0
        self._granted: dict[int, Slot] = {}

    def supersedes(self, demand: Demand) -> bool:
        """Tell whether a newer demand than this one is known."""
        return (demand.epoch, demand.seq) < (self.epoch, self.seq)

    def hear(self, demand: Demand, now: float) -> None:
        """Take note of its newest demand."""
        self.seq = demand.seq
        self.heard = now
        self._forget(now - WINDOW_S)

    def is_silent(self, now: float) -> bool:
        """Tell whether its demand has expired."""
        return now - self.heard > EXPIRES_S

    def granted(self, ask: int, slot: Slot) -> None:
        """Remember a permit, so that the same ask gets no second one while it is on its way."""
        if ask in self._granted:
            del self._granted[ask]  # so that it moves to the end: they stand in order of time
        self._granted[ask] = slot

    def open_asks(self, asks: Iterable[Ask], now: float) -> list[Ask]:
        """Answer the asks without a permit, and those whose permit must have been lost."""
        lost = now - LOST_AFTER_S
        granted = self._granted
        return [ask for ask in asks if (slot := granted.get(ask.ask)) is None or slot.at < lost]

    def returned(self, asks: Iterable[int]) -> list[Slot]:
        """Answer the slots of permits it says it did not use, each once however often it says."""
        slots = (self._granted.pop(ask, None) for ask in asks)
        return [slot for slot in slots if slot is not None]

    def _forget(self, before: float) -> None:
        # In order of granting, so of time. Beyond the window nothing depends on them any more.
        while self._granted:
            ask = next(iter(self._granted))
            if self._granted[ask].at > before:
                return
            del self._granted[ask]
