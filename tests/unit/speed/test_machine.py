"""What is read from /proc, and where processes may run."""

import os
import subprocess
import sys

import pytest

from scripts.speed import machine


@pytest.fixture
def sleeper():
    """A process that waits for the end of its stdin."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process.pid


def test_cpu_time_grows_with_work():
    before = machine.cpu_s([os.getpid()])
    while machine.cpu_s([os.getpid()]) < before + 0.02:
        sum(range(10_000))
    assert before > 0


def test_memory_of_several_is_their_sum(sleeper):
    mine = machine.anonymous_mb([os.getpid()])
    assert mine > 1
    assert machine.anonymous_mb([os.getpid(), sleeper]) > mine


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs a second core")
def test_ours_have_one_core_alone_for_a_while(sleeper):
    all_cores = os.sched_getaffinity(0)
    with machine.pinned([sleeper]):
        assert os.sched_getaffinity(sleeper) == {min(all_cores)}
        assert os.sched_getaffinity(0) == all_cores - {min(all_cores)}
    assert os.sched_getaffinity(sleeper) == os.sched_getaffinity(0) == all_cores


def test_the_machine_is_named():
    assert f"{os.cpu_count()} cores" in machine.describe()
    assert 0 <= machine.Idle(0, 0).share() <= 1
