"""Limits and cursors: read as they are meant, or refused by name."""

import pytest

from services.api import paging
from services.api.paging import Paging

BAD = ["", "0", "-1", "+1", "1.0", "1e3", " 1", "1_0", "٣", "x", "null", "9" * 30]


def read(**given):
    faults = []
    return paging.read(given, faults), [fault.message for fault in faults]


def test_without_parameters_it_is_the_first_hundred():
    assert read() == (Paging(100, None), [])


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("1000", 1000), ("0100", 100)])
def test_a_limit(text, limit):
    assert read(limit=text) == (Paging(limit, None), [])


@pytest.mark.parametrize("text", ["1", "9223372036854775807"])
def test_a_cursor(text):
    assert read(after=text) == (Paging(100, int(text)), [])


@pytest.mark.parametrize("text", [*BAD, "1001"])
def test_a_wrong_limit_is_named(text):
    _, faults = read(limit=text)
    assert faults == ["limit must be a whole number from 1 to 1000"]


@pytest.mark.parametrize("text", [*BAD, "9223372036854775808"])
def test_a_wrong_cursor_is_named(text):
    _, faults = read(after=text)
    assert faults == ['after is not a cursor: pass on the "next" of the page before']


def test_all_faults_are_named_at_once():
    assert len(read(limit="x", after="y")[1]) == 2
