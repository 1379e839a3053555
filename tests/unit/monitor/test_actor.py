"""The monitor as a dialogue: reports in, one whole snapshot a second out."""

import json

import pytest

from services.monitor.actor import Installation, Monitor
from shared.clock import Now
from shared.protocol import EarOpen, Report, Snapshot


def at(seconds: float) -> Now:
    return Now(mono=100.0 + seconds, wall=1_800_000_000.0 + seconds)


def report(process: str, gauges=None, notes=None, errors=()) -> Report:
    return Report(
        actor=process.partition("-")[0],
        process=process,
        pid=42,
        epoch=1,
        at=at(0).ms,
        gauges=gauges or {},
        notes=notes or {},
        errors=errors,
    )


@pytest.fixture
def published() -> list[bytes]:
    return []


@pytest.fixture
def monitor(published) -> Monitor:
    return Monitor(Installation(("writer", "sender-0"), simulated=False), published.append)


def snapshot(monitor: Monitor, now: Now) -> dict:
    return json.loads(monitor.draw(now))


def test_a_snapshot_goes_out_each_second_to_the_socket_and_to_the_api(monitor, published):
    assert monitor.next_tick(at(0)) <= at(0).mono
    [letter] = monitor.tick(at(0))
    assert letter.to == "api"
    assert letter.message == Snapshot(published[0])
    assert monitor.next_tick(at(0)) == at(1).mono


def test_the_snapshot_is_whole(monitor):
    monitor.receive(report("writer", {"queue_sent": 3.0, "rss_mb": 41.5}), at(0))
    picture = snapshot(monitor, at(1))
    assert set(picture) == {
        "v", "at", "simulated", "processes", "missing", "queue", "oldest_waiting_s", "rate",
        "quota", "throttles", "events", "reputation", "commit_ms", "wal_mb", "last_errors",
    }  # fmt: skip
    assert picture["v"] == 1
    assert picture["at"] == at(1).ms
    assert picture["queue"]["sent"] == 3
    [row] = picture["processes"]
    assert set(row) == {
        "actor", "process", "pid", "alive", "age_s", "restarts", "cpu", "rss_mb", "gauges",
        "notes", "errors",
    }  # fmt: skip
    assert (row["alive"], row["rss_mb"]) == (True, 41.5)


def test_numbers_of_a_silent_process_are_null_instead_of_stale(monitor):
    monitor.receive(report("writer", {"wal_mb": 3.0}), at(0))
    assert snapshot(monitor, at(2))["wal_mb"] == 3.0
    picture = snapshot(monitor, at(4))
    assert picture["wal_mb"] is None
    assert picture["processes"][0]["alive"] is False


def test_the_hold_of_the_account_is_the_binding_limit(monitor):
    monitor.receive(report("writer", notes={"hold": "quota", "rate_source": "account"}), at(0))
    assert snapshot(monitor, at(0))["rate"]["binding"] == "hold:quota"


def test_a_number_that_json_cannot_say_is_null(monitor):
    monitor.receive(report("writer", {"wal_mb": float("nan"), "oldest_waiting_s": 1e400}), at(0))
    picture = snapshot(monitor, at(0))
    assert (picture["wal_mb"], picture["oldest_waiting_s"]) == (None, None)


def test_the_newest_errors_are_shown_with_their_process(monitor):
    monitor.receive(report("sender-0", errors=("no route to SES",)), at(0))
    assert snapshot(monitor, at(0))["last_errors"] == [
        {"at": at(0).ms, "process": "sender-0", "error": "no route to SES"}
    ]


def test_the_simulator_is_named_by_the_environment_or_by_a_sender(monitor, published):
    assert snapshot(monitor, at(0))["simulated"] is False
    monitor.receive(report("sender-0", notes={"simulated": "yes"}), at(0))
    assert snapshot(monitor, at(0))["simulated"] is True
    told = Monitor(Installation((), simulated=True), published.append)
    assert snapshot(told, at(0))["simulated"] is True


def test_a_message_that_is_no_report_is_refused(monitor):
    with pytest.raises(TypeError, match="EarOpen"):
        monitor.receive(EarOpen(1), at(0))
