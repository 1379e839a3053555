"""What a scheduled_at means."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api import schedule

SEOUL = ZoneInfo("Asia/Seoul")
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2027, 1, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("text", [None, ""])
def test_nothing_means_now(text):
    assert schedule.read(text, SEOUL, NOW_MS) is None


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("2027-01-02 09:00:00", ms(2027, 1, 2)),
        ("2027-01-02T09:00:00+09:00", ms(2027, 1, 2)),
        ("2027-01-02 09:00:00+09:00", ms(2027, 1, 2)),
        ("2027-01-01T19:00:00-05:00", ms(2027, 1, 2)),
        ("2027-01-02T00:00:00Z", ms(2027, 1, 2)),
        ("2027-01-02t00:00:00z", ms(2027, 1, 2)),
        ("2027-01-02T00:00:00.250Z", ms(2027, 1, 2) + 250),
        ("2027-01-02T00:00:00.123456789Z", ms(2027, 1, 2) + 123),
        ("2028-01-01T00:00:00Z", ms(2028, 1, 1)),
    ],
)
def test_times(text, due):
    assert schedule.read(text, SEOUL, NOW_MS) == due


@pytest.mark.against("H40", "H41", "H43")
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tomorrow", "is not a time"),
        ("2026-02-30 10:00", "is not a time"),
        ("2027-02-30 10:00:00", "no calendar has"),
        ("2027-01-02 24:00:00", "no calendar has"),
        ("2027-01-02 23:59:60", "no calendar has"),
        ("2027-01-02T09:00:00", "has no offset"),
        ("2027-01-02", "is not a time"),
        ("1798848000", "is not a time"),
        ("2027-01-02T00:00:00+24:00", "no calendar has"),
        ("2027-01-02T00:00:00+05:60", "no calendar has"),
        ("\u0662027-01-02 09:00:00", "is not a time"),
        ("2027-01-02 09:00:00\n", "is not a time"),
        (" ", "is not a time"),
        ("0000-01-01 00:00:00", "no calendar has"),
        ("0001-01-01 00:00:00", "no calendar has"),
        ("0001-01-01T00:00:00+14:00", "has passed"),
        ("9999-12-31T23:59:59-14:00", "more than a year ahead"),
        ("9999-01-01 00:00:00", "more than a year ahead"),
        ("2028-01-03 00:00:00", "more than a year ahead"),
        ("1970-01-01 00:00:00", "has passed"),
        ("2027-01-01T00:00:00+00:10", "has passed"),
    ],
)
def test_a_bad_time_is_refused_never_taken_for_now(text, fault):
    with pytest.raises(ValueError, match=fault):
        schedule.read(text, SEOUL, NOW_MS)


@pytest.mark.against("H43")
def test_five_minutes_past_is_now_and_no_more():
    for seconds, expected in ((1, NOW_MS + 1000), (0, None), (-299, None)):
        text = (NOW + timedelta(seconds=seconds)).isoformat()
        assert schedule.read(text, SEOUL, NOW_MS) == expected
    with pytest.raises(ValueError, match="has passed"):
        schedule.read((NOW - timedelta(seconds=301)).isoformat(), SEOUL, NOW_MS)


def test_an_hour_that_summer_time_skips_is_refused():
    with pytest.raises(ValueError, match="skipped in Europe/Berlin"):
        schedule.read("2027-03-28 02:30:00", BERLIN, NOW_MS)
    assert schedule.read("2027-03-28 03:00:00", BERLIN, NOW_MS) == ms(2027, 3, 28, 1)


def test_an_hour_that_comes_twice_means_the_first():
    assert schedule.read("2027-10-31 02:30:00", BERLIN, NOW_MS) == ms(2027, 10, 31, 0, 30)


def test_a_time_is_echoed_in_its_zone_and_in_utc():
    assert schedule.in_zone(ms(2027, 7, 1), BERLIN) == "2027-07-01T02:00:00+02:00"
    assert schedule.in_utc(ms(2027, 7, 1) + 5) == "2027-07-01T00:00:00.005Z"


@given(st.integers(NOW_MS + 1, NOW_MS + 365 * 86_400_000), st.sampled_from([SEOUL, BERLIN]))
def test_what_is_echoed_is_read_as_the_same_time(due, zone):
    assert schedule.read(schedule.in_zone(due, zone), SEOUL, NOW_MS) == due
    assert schedule.read(schedule.in_utc(due), zone, NOW_MS) == due


@given(st.text(max_size=40))
def test_no_text_does_anything_but_be_read_or_refused(text):
    try:
        schedule.read(text, BERLIN, NOW_MS)
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017
