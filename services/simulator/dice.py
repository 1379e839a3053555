"""Chance as an argument: what the stand-in needs of random.Random."""

from typing import Protocol


class Dice(Protocol):
    """A seeded source of chance, handed in by __main__ so that runs repeat."""

    def random(self) -> float:
        """Give a number from 0 up to 1."""

    def getrandbits(self, k: int, /) -> int:
        """Give a whole number of k random bits."""


def uuid_of(dice: Dice) -> str:
    """Draw a random id in the form of a UUID."""
    text = f"{dice.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
