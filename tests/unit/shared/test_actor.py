"""The run loop: mail before time, letters after the turn, a report a second, drain at SIGTERM."""

import asyncio
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shared import clock
from shared.actor import Actor, Place, Station
from shared.clock import Now
from shared.protocol import EarOpen, Hello, RateDigest, Report
from shared.wire import Budget, Letter

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if k == "PATH" or k.startswith("COVERAGE_")},
    "SERVER_URL": "https://mail.example.com",
    "API_KEY": "0123456789abcdef",
    "AWS_SES_FROM_EMAIL": "news@example.com",
    "LOG_FORMAT": "json",
    "PYTHONPATH": str(ROOT),
}


class Scribe(Actor):
    """Writes down what happens to it, and answers each message with one of its own."""

    def __init__(self) -> None:
        self.story: list[object] = []
        self.tick_at = 0.0
        self.drained = False

    def receive(self, message, now):
        self.story.append(message)
        return [Letter("broker", RateDigest(1, 1, 24.0))]

    def settle(self, now):
        self.story.append("settled")
        return ()

    def next_tick(self, now):
        return self.tick_at

    def tick(self, now):
        self.story.append("ticked")
        self.tick_at = now.mono + 60
        return ()

    def stop(self, now):
        self.story.append("stopping")
        return [Letter("broker", RateDigest(1, 2, 0.0))]

    def is_drained(self, now):
        return self.drained

    def gauges(self, now):
        return {"mails": 3.0}

    def notes(self):
        return {"mood": "calm"}


@pytest.fixture
def scribe():
    return Scribe()


def station(scribe, wire, *mailboxes, budgets=()) -> Station:
    return Station(scribe, Place("writer", "writer", mailboxes or ("writer",), budgets), wire)


def heard(mailbox, send, mark) -> list[object]:
    """Answer all that a wire has sent to a mailbox: what comes before a mark sent on it now."""
    send(Letter(mailbox.name, mark))
    found: list[object] = []
    while mark not in found:
        assert mailbox.socket.poll(2000), found
        found += mailbox.drain(Budget())
    return found[:-1]


def arrived(station, frames=1) -> None:
    """Wait until mail is there, so that one turn can be looked at alone."""
    for mailbox in station.mailboxes:
        mailbox.socket.poll(2000)
    time.sleep(0.05 if frames > 1 else 0)


# ── one turn ──


def test_a_turn_drains_the_mail_settles_and_only_then_acts_on_time(connect, scribe, surely):
    desk = station(scribe, connect())
    surely(connect(), Letter("writer", EarOpen(1)))
    arrived(desk)
    desk.turn()
    assert scribe.story == [EarOpen(1), "settled", "ticked"]


def test_the_first_mailbox_is_drained_first(connect, scribe, surely):
    desk = station(scribe, connect(), "writer", "scheduler")
    sender = connect()
    surely(sender, Letter("scheduler", RateDigest(1, 1, 1.0)))  # no message of the scheduler's
    surely(sender, Letter("writer", EarOpen(1)))
    arrived(desk)
    desk.turn()
    assert scribe.story[0] == EarOpen(1)
    assert desk.mailboxes[1].bad_frames == 1


def test_letters_leave_after_the_turn(connect, scribe, surely):
    other = connect().mailbox("broker")
    desk = station(scribe, connect())
    surely(desk.wire, Letter("broker", RateDigest(1, 0, 0.0)))  # the wire to it is up
    surely(connect(), Letter("writer", EarOpen(1)))
    arrived(desk)
    desk.turn()
    found = heard(other, lambda letter: surely(desk.wire, letter), RateDigest(9, 9, 9.0))
    assert found == [RateDigest(1, 0, 0.0), RateDigest(1, 1, 24.0)]


@pytest.mark.against("Q1")
def test_a_letter_to_nobody_does_not_hold_up_the_turn(connect, scribe, surely):
    desk = station(scribe, connect())
    surely(connect(), Letter("writer", EarOpen(1)))
    arrived(desk)
    started = time.monotonic()
    desk.turn()
    assert time.monotonic() - started < 0.5
    assert desk.wire.dropped >= 1


def test_with_more_mail_than_its_budget_the_next_turn_follows_at_once(connect, scribe, surely):
    desk = station(scribe, connect(), budgets=(Budget(frames=2),))
    sender = connect()
    for epoch in range(3):
        surely(sender, Letter("writer", EarOpen(epoch)))
    arrived(desk, frames=3)
    assert desk.turn() == 0.0
    assert scribe.story[:2] == [EarOpen(0), EarOpen(1)]
    assert desk.turn() > 0.0


def test_an_idle_turn_waits_for_the_tick_or_the_next_report(connect, scribe):
    desk = station(scribe, connect())
    assert 0.9 < desk.turn() <= 1.0
    scribe.tick_at = clock.read().mono + 0.2
    assert 0.1 < desk.turn() <= 0.2


def test_a_report_goes_to_the_monitor_once_a_second(connect, scribe, surely):
    ears = connect().mailbox("monitor")
    desk = station(scribe, connect())
    hello = Report("api", "api", 1, 1, 1, {}, {})
    surely(desk.wire, Letter("monitor", hello))
    for _ in range(5):
        desk.turn()
    mark = Report("api", "api", 2, 2, 2, {}, {})
    greeting, report = heard(ears, lambda letter: surely(desk.wire, letter), mark)
    assert greeting == hello
    assert (report.actor, report.process, report.pid) == ("writer", "writer", os.getpid())
    assert report.epoch == desk.epoch
    assert report.notes == {"mood": "calm"}
    assert report.gauges["mails"] == 3.0
    assert report.gauges["rss_mb"] > 1
    assert report.gauges["cpu_s"] > 0
    assert report.gauges["writer_behind"] == 0.0


def test_an_actor_refuses_what_it_does_not_know_by_name():
    with pytest.raises(TypeError, match="Actor takes no Hello"):
        Actor().receive(Hello("sender-0", 1), Now(1.0, 1.0))


def test_the_plain_actor_never_ticks_and_has_nothing_to_drain():
    actor, now = Actor(), Now(1.0, 1.0)
    assert actor.next_tick(now) == math.inf
    assert actor.is_drained(now)
    assert [*actor.settle(now), *actor.tick(now), *actor.stop(now)] == []
    assert (actor.gauges(now), actor.notes()) == ({}, {})


def test_an_epoch_is_larger_at_every_start():
    """A wall clock that stepped back in between does not matter."""
    assert clock.new_epoch(Now(1.000002, 1_700_000_000.0)) > clock.new_epoch(
        Now(1.0, 1_800_000_000.0)
    )


# ── stopping ──


def test_stop_asks_the_actor_once_and_ends_when_it_is_drained(connect, scribe):
    desk = station(scribe, connect())
    assert not desk.is_over()
    desk.stop()
    desk.stop()
    assert scribe.story == ["stopping"]
    assert not desk.is_over()
    scribe.drained = True
    assert desk.is_over()


def test_a_drain_that_takes_too_long_is_cut(connect, scribe, monkeypatch):
    desk = station(scribe, connect())
    desk.stop()
    late = clock.read().mono + 26
    monkeypatch.setattr(clock, "read", lambda: Now(late, 1.0))
    assert desk.is_over()


def test_inside_an_event_loop_mail_wakes_the_station_at_once(connect, scribe, surely):
    desk = station(scribe, connect())
    sender = connect()
    heard = []

    async def story():
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(desk.run_async(signals=False))
        await asyncio.sleep(0.1)
        sent_at = loop.time()
        surely(sender, Letter("writer", EarOpen(1)))
        while EarOpen(1) not in scribe.story:
            await asyncio.sleep(0.001)
        heard.append(loop.time() - sent_at)
        desk.stop()
        scribe.drained = True
        desk.ring()
        await asyncio.wait_for(work, 2)

    asyncio.run(story())
    assert heard[0] < 0.2


# ── a real process ──

PROGRAM = """
import sys
from shared import log, wire
from shared.actor import Actor, Place, run

class Slow(Actor):
    ticks = 0
    stopped_at = None
    def stop(self, now):
        self.stopped_at = now.mono
        return ()
    def is_drained(self, now):
        return now.mono - self.stopped_at > (2 if "slow" in sys.argv else 0.4)
    def next_tick(self, now):
        return now.mono + 0.02 if self.ticks else 0.0
    def tick(self, now):
        if "crash" in sys.argv:
            raise RuntimeError("cannot mail bob" + "@example.com")
        self.ticks = 1
        log.get("writer").info("ticking")
        return ()

wire.LOCK_WAIT_S = 10 if "patient" in sys.argv else 0.3
run(Place("writer", "writer", ("writer",)), lambda settings, wire: Slow())
"""


@pytest.fixture
def start(tmp_path):
    """Start the program in a folder of its own; kill what is left at the end."""
    started: list[subprocess.Popen] = []

    def go(*arguments: str, program: str = PROGRAM, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            env={**ENVIRONMENT, "DATA_DIR": str(tmp_path / "data"), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield go
    for process in started:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen, word: str) -> str:
    """Read the log up to the line with this word, at most twenty seconds."""
    read = ""
    watchdog = threading.Timer(20, process.kill)
    watchdog.start()
    try:
        for line in process.stderr:
            read += line
            if word in line:
                return read
    finally:
        watchdog.cancel()
    raise AssertionError(read)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_then_the_process_ends_with_zero(start, number):
    process = start()
    wait_for(process, '"ticking"')
    asked = time.monotonic()
    process.send_signal(number)
    process.send_signal(number)
    assert process.wait(10) == 0
    assert 0.4 <= time.monotonic() - asked < 5
    said = process.stderr.read()
    assert said.count('"draining"') == 1
    assert '"stopped"' in said


@pytest.mark.against("A28")
def test_a_crash_is_said_without_addresses_and_ends_with_one(start):
    process = start("crash")
    assert process.wait(10) == 1
    said = process.stderr.read()
    assert "RuntimeError" in said
    assert "bob" not in said


@pytest.mark.against("F1")
def test_wrong_settings_end_with_78_and_a_sentence_each(start):
    process = start(SERVER_PORT="0", API_KEY="short")
    assert process.wait(10) == 78
    said = process.stderr.read()
    assert "SERVER_PORT" in said
    assert "API_KEY" in said
    assert "short\n" not in said


def test_under_supervisord_wrong_settings_outlast_startsecs_so_that_78_is_believed(start):
    began = time.monotonic()
    assert start(SERVER_PORT="0", SUPERVISOR_ENABLED="1").wait(10) == 78
    assert time.monotonic() - began > 2


def test_a_second_process_of_the_same_name_ends_with_75(start):
    first = start()
    wait_for(first, '"ticking"')
    second = start()
    assert second.wait(10) == 75
    assert f"already running as pid {first.pid}" in second.stderr.read()


def test_a_successor_waits_until_its_predecessor_has_drained(start):
    first = start("slow")
    wait_for(first, '"ticking"')
    first.send_signal(signal.SIGTERM)
    wait_for(first, '"draining"')
    second = start("patient")
    wait_for(second, "waiting for the former process")
    wait_for(second, '"ticking"')
    assert first.wait(1) == 0


@pytest.mark.against("A31")
def test_the_folder_of_the_data_is_ours_alone(start, tmp_path):
    wait_for(start(), '"ticking"')
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.against("A30", "A31")
def test_whatever_the_writer_makes_is_ours_alone_in_a_folder_that_is_not(start, tmp_path):
    """Database, WAL, sockets and locks, also where the folder was there before, open to all."""
    (tmp_path / "data").mkdir(mode=0o755)
    process = start(
        program="import runpy; runpy.run_module('services.writer', run_name='__main__')"
    )
    wait_for(process, '"started"')
    made = {path.name: path for path in (tmp_path / "data").rglob("*")}
    assert {"ses-sender.db", "ses-sender.db-wal", "writer.sock", "writer.lock", "run"} <= set(made)
    assert {name for name, path in made.items() if path.stat().st_mode & 0o077} == set()


def test_when_supervisord_is_killed_its_children_drain(start, tmp_path):
    """The kernel tells them (PDEATHSIG), so that no orphan goes on sending."""
    parent_program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent_program, PROGRAM],
        cwd=tmp_path,
        env={**ENVIRONMENT, "DATA_DIR": str(tmp_path / "data"), "SUPERVISOR_ENABLED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout.readline()
        wait_for(parent, '"ticking"')
        parent.kill()
        said = wait_for(parent, '"stopped"')
    assert '"draining"' in said
