"""Whatever the product must survive has a test that says it is against it."""

import re
from pathlib import Path

import pytest

from tests.faults import ALL, NOT_BUILT

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"mark\.against\(([^)]*)\)")


def marked() -> set[str]:
    """Answer every number that stands in a mark of some test."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for arguments in MARK.findall(path.read_text()):
            found.update(re.findall(r'"([A-Z]\d+)"', arguments))
    return found


@pytest.fixture(scope="module")
def numbers() -> set[str]:
    return marked()


@pytest.mark.parametrize("number", [number for number in ALL if number not in NOT_BUILT])
def test_there_is_a_test_against_it(numbers, number):
    assert number in numbers, f"no test is marked against {number}: {ALL[number]}"
