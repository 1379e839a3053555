"""When a level is said: on change, but not too often, and now and then without one; pure."""

import math


class Level:
    """The timing of one level; `every` and `gap` are seconds."""

    __slots__ = ("_every", "_gap", "_said", "value")

    def __init__(self, every: float, gap: float, value: object = None) -> None:
        self._every = every
        self._gap = gap
        self._said = -math.inf
        self.value = value

    def is_due(self, value: object, now: float) -> bool:
        """Tell whether to say the value now; what is told to be said counts as said."""
        if now < self.next_at(value):
            return False
        self._said, self.value = now, value
        return True

    def next_at(self, value: object) -> float:
        """Answer when this value has to be said if it stays as it is."""
        return self._said + (self._every if value == self.value else self._gap)
