"""The roll of processes."""

from hypothesis import given
from hypothesis import strategies as st

from services.monitor.roll import Roll, expected_processes, growth, news
from shared.clock import Now
from shared.protocol import Report


def at(seconds: float) -> Now:
    return Now(mono=100.0 + seconds, wall=1_800_000_000.0 + seconds)


def report(process="writer", *, epoch=1, seconds=0.0, cpu_s=0.0, errors=()) -> Report:
    return Report(
        actor=process.partition("-")[0],
        process=process,
        pid=42,
        epoch=epoch,
        at=at(seconds).ms,
        gauges={"cpu_s": cpu_s, "rss_mb": 30.0},
        notes={},
        errors=errors,
    )


def test_a_process_is_alive_until_it_was_not_heard_for_three_seconds():
    roll = Roll(["writer"])
    roll.hear(report(), at(0))
    assert roll.rows(at(2.9))[0].alive
    row = roll.rows(at(3.1))[0]
    assert not row.alive
    assert row.age_s == 3.1


def test_who_is_expected_and_not_heard_is_missing():
    roll = Roll(["writer", "broker"])
    assert roll.missing(at(0)) == []
    roll.hear(report(), at(3))
    assert roll.missing(at(3.5)) == ["broker"]
    assert roll.missing(at(9)) == ["writer", "broker"]


def test_a_new_monitor_gives_everyone_three_seconds_to_report():
    roll = Roll(["writer"])
    assert roll.missing(at(0)) == []
    assert roll.missing(at(2.9)) == []
    assert roll.missing(at(3.0)) == ["writer"]


def test_an_unexpected_process_is_shown_last_and_forgotten_after_a_minute():
    roll = Roll(["sender-0"])
    roll.hear(report("sender-7"), at(0))
    roll.hear(report("sender-0"), at(0))
    assert [row.process for row in roll.rows(at(1))] == ["sender-0", "sender-7"]
    assert [row.process for row in roll.rows(at(61))] == ["sender-0"]


def test_rows_come_in_the_way_of_an_email():
    names = expected_processes(2)
    assert names == (
        "api", "writer", "scheduler", "broker", "sender-0", "sender-1", "results", "monitor",
    )  # fmt: skip
    roll = Roll(names)
    for name in reversed(names):
        roll.hear(report(name), at(0))
    assert tuple(row.process for row in roll.rows(at(0))) == names


def test_cpu_is_the_share_of_a_core_since_the_last_report():
    roll = Roll(["writer"])
    roll.hear(report(seconds=0, cpu_s=10.0), at(0))
    assert roll.rows(at(0))[0].cpu is None
    roll.hear(report(seconds=2, cpu_s=10.5), at(2))
    assert roll.rows(at(2))[0].cpu == 0.25


def test_two_reports_in_one_moment_leave_what_was_known():
    assert growth(report(cpu_s=1.0), report(cpu_s=9.0), {"cpu": 0.5}) == {"cpu": 0.5}


def test_events_are_counted_per_second_from_their_total():
    roll = Roll(["results"])
    for second, events in enumerate((10.0, 14.0)):
        told = Report("results", "results", 1, 1, at(second).ms, {"events": events}, {})
        roll.hear(told, at(second))
    assert roll.gauges(at(1)) == {"results": {"events": 14.0, "events_per_s": 4.0}}
    assert roll.gauges(at(9)) == {}


def test_a_new_epoch_is_a_restart_and_starts_the_cpu_anew():
    roll = Roll(["writer"])
    roll.hear(report(epoch=1, cpu_s=50.0), at(0))
    roll.hear(report(epoch=2, seconds=5, cpu_s=0.1), at(5))
    row = roll.rows(at(5))[0]
    assert (row.restarts, row.cpu) == (1, None)
    roll.hear(report(epoch=2, seconds=6, cpu_s=0.2), at(6))
    assert roll.rows(at(6))[0].restarts == 1


def test_a_late_report_of_a_former_epoch_changes_nothing():
    roll = Roll(["writer"])
    roll.hear(report(epoch=2), at(0))
    roll.hear(report(epoch=1, errors=("old",)), at(10))
    row = roll.rows(at(10))[0]
    assert (row.age_s, row.restarts, row.errors) == (10.0, 0, ())
    assert not roll.troubles


def test_each_error_line_is_kept_once_with_its_time_and_process():
    roll = Roll(["writer"])
    roll.hear(report(errors=("a",)), at(0))
    roll.hear(report(errors=("a", "b")), at(1))
    roll.hear(report(errors=("a", "b")), at(2))
    assert [(t.error, t.process, t.at) for t in roll.troubles] == [
        ("a", "writer", at(0).ms),
        ("b", "writer", at(1).ms),
    ]


def test_an_error_of_a_new_epoch_is_new_even_in_the_same_words():
    roll = Roll(["writer"])
    roll.hear(report(epoch=1, errors=("crashed",)), at(0))
    roll.hear(report(epoch=2, errors=("crashed",)), at(1))
    assert [t.error for t in roll.troubles] == ["crashed", "crashed"]


@given(
    lines=st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), unique=True),
    cut=st.integers(0, 26),
    kept=st.integers(1, 6),
)
def test_news_is_what_was_appended_as_long_as_the_lists_touch(lines, cut, kept):
    """A process keeps its newest few lines; whatever was appended since is told, nothing twice."""
    before, after = lines[:cut][-kept:], lines[-kept:]
    told = list(news(tuple(before), tuple(after)))
    assert told == [line for line in after if line not in before]
