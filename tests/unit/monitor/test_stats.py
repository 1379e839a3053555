"""scripts/stats draws what the monitor publishes."""

import json

from rich.console import Console

from scripts import stats
from services.monitor.actor import Installation, Monitor
from shared.clock import Now
from shared.protocol import Report

NOW = Now(100.0, 1_800_000_000.0)


def drawn(*reports: Report) -> str:
    monitor = Monitor(Installation(("writer",), simulated=False), lambda _frame: None)
    for report in reports:
        monitor.receive(report, NOW)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(stats.draw(json.loads(monitor.draw(NOW))))
    return captured.get()


def writer(notes: dict[str, str], **gauges: float) -> Report:
    return Report("writer", "writer", 1, 1, NOW.ms, gauges, notes, ())


def test_a_pause_of_bulk_mail_and_its_reason_are_at_the_top():
    reason = "8.1 % of the mail of 24 hours bounced"
    text = drawn(writer({"bulk_paused": reason}, bounce_rate=0.081, complaint_rate=0.0004))
    assert f"bulk mail is paused: {reason}" in text.splitlines()[0]
    assert "8.10 % bounced, 0.04 % complained of" in text


def test_without_a_pause_nothing_is_said_of_one():
    text = drawn(writer({"bulk_paused": ""}, queue_suppressed=3.0))
    assert "paused" not in text
    assert "- bounced, - complained of" in text
    assert "suppressed 3" in text


def test_before_anyone_was_heard_it_is_drawn_too():
    assert "- bounced" in drawn()
