"""Paging: limits and cursors out of the query of a URL."""

from collections.abc import Mapping
from typing import NamedTuple

from services.api.refusal import Fault

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000
LARGEST_CURSOR = 2**63 - 1
"""The largest id that the database can give."""

PARAMETERS = ("limit", "after")


class Paging(NamedTuple):
    """How many at most, and behind which number; None for the beginning."""

    limit: int
    after: int | None


def read(given: Mapping[str, str], faults: list[Fault]) -> Paging:
    """Read `limit` and a numeric `after`; what is wrong is added to the faults."""
    after = None
    if "after" in given:
        after = number(given["after"], LARGEST_CURSOR)
        if after is None:
            told = 'after is not a cursor: pass on the "next" of the page before'
            faults.append(Fault("", told))
    return Paging(limit(given, faults), after)


def limit(given: Mapping[str, str], faults: list[Fault]) -> int:
    """Read `limit`; what is wrong is added to the faults."""
    found = number(given.get("limit", str(DEFAULT_LIMIT)), LARGEST_LIMIT)
    if found is None:
        faults.append(Fault("", f"limit must be a whole number from 1 to {LARGEST_LIMIT}"))
    return found or DEFAULT_LIMIT


def number(text: str, largest: int) -> int | None:
    """Read a whole number from 1 up, spelled in the ten digits alone; None if it is none."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(largest)):
        return None
    return int(text) if 1 <= int(text) <= largest else None
