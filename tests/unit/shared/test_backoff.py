"""Retry schedules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import LAST_RETRY_S, MAX_ATTEMPTS, probe_delay, retry_delay


def test_a_refused_mail_waits_twice_as_long_each_time():
    waits = [retry_delay(attempt, 0.0) for attempt in range(1, MAX_ATTEMPTS)]
    assert waits == [60, 120, 240, 480]


def test_an_account_is_probed_after_five_seconds_to_ten_minutes():
    assert [probe_delay(failures) for failures in (1, 2, 7, 8, 99)] == [5, 10, 320, 600, 600]


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_no_wait_is_longer_than_an_hour_or_shorter_than_nine_tenths(attempt, jitter):
    wait = retry_delay(attempt, jitter)
    assert 54 <= wait <= LAST_RETRY_S
    assert wait == pytest.approx(retry_delay(attempt, 0.0) * (1 - 0.1 * jitter))
