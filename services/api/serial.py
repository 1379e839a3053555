"""Ids that no other process makes."""

import itertools
import secrets


class Serial:
    """Makes ids of so many hexadecimal digits: a random half, once, then a running number.

    Ids that follow each other lie side by side in an index, and cost no look at the kernel's dice.
    """

    def __init__(self, digits: int) -> None:
        self._width = digits // 2
        self._beginning = secrets.token_hex(self._width // 2)
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """Make another."""
        return f"{self._beginning}{next(self._numbers):0{self._width}x}"
