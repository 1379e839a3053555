"""The top-level numbers and the limit that binds."""

import pytest

from services.monitor.overview import Quota, Rate, Reputation, Words, binding_limit, lift

SILENT = Words(hold="", rate_source="")


def test_nothing_is_known_without_processes():
    overview = lift({}, SILENT)
    assert overview.queue.created is None
    assert overview.rate == Rate(None, None, None, None)
    assert overview.oldest_waiting_s is None
    assert overview.reputation == Reputation(None, None, None)


def test_each_number_comes_from_the_process_that_owns_it():
    overview = lift(
        {
            "writer": {
                "queue_created": 5.0,
                "queue_suppressed": 1.0,
                "oldest_waiting_s": 2.5,
                "commit_p50_ms": 3.0,
                "commit_p99_ms": 9.0,
                "wal_mb": 4.0,
                "bounce_rate": 0.02,
                "complaint_rate": 0.001,
                "quota_max": 50_000.0,
                "quota_left": 49_000.0,
                "sent_24h": 1000.0,
                "rate_allowed": 24.0,
            },
            "broker": {"rate": 24.0, "granted_per_s": 22.0, "throttles": 0.0},
            "results": {"events_per_s": 7.0, "lag_s": 0.4},
        },
        Words(hold="", rate_source="setting", bulk_paused="too many bounces"),
    )
    assert overview.reputation == Reputation(0.02, 0.001, "too many bounces")
    assert (overview.queue.created, overview.queue.suppressed, overview.queue.sent) == (5, 1, None)
    assert overview.rate == Rate(24.0, 24.0, 22.0, "setting")
    assert overview.quota == Quota(50_000.0, 49_000.0, 1000.0)
    assert (overview.commit_ms.p50, overview.commit_ms.p99, overview.wal_mb) == (3.0, 9.0, 4.0)
    assert (overview.events.per_s, overview.events.lag_s) == (7.0, 0.4)
    assert (overview.throttles, overview.oldest_waiting_s) == (0.0, 2.5)


def test_a_number_of_another_process_is_not_taken():
    assert lift({"broker": {"wal_mb": 1.0}}, SILENT).wal_mb is None


@pytest.mark.parametrize(
    ("rate", "left", "words", "limit"),
    [
        (Rate(24, 24, 20, None), 100, Words("quota: used up", "account"), "hold:quota"),
        (Rate(24, 12, 12, None), 0, Words("", "account"), "quota"),
        (Rate(24, 12, 12, None), 100, Words("", "account"), "throttle"),
        (Rate(24, 24, 12, None), 100, Words("", "account"), "account"),
        (Rate(24, None, None, None), None, Words("", "setting"), "setting"),
        (Rate(None, None, None, None), None, SILENT, None),
        (Rate(0, 0, 0, None), None, SILENT, None),
    ],
)
def test_the_hardest_limit_is_named(rate, left, words, limit):
    assert binding_limit(rate, Quota(None, left, None), words) == limit
