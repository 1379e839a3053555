"""scripts/demo as a newcomer runs it: to its end, interrupted, and twice at once."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared.wire import run_folder

ROOT = Path(__file__).resolve().parents[2]
HEEDFUL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Becomes a command that heeds Ctrl-C, though this suite may run where it is ignored."""


@pytest.fixture
def demo(tmp_path):
    """Start a demo whose folder lies in ours; whatever it leaves is seen there."""
    started: list[subprocess.Popen] = []
    (tmp_path / "t").mkdir()

    def go(*arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HEEDFUL, ROOT / "scripts/demo", *arguments],
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
                "SES_SENDER_PYTHON": sys.executable,
                "TMPDIR": str(tmp_path / "t"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield go
    for process in started:
        process.terminate()
        process.communicate(timeout=100)


def left(tmp_path: Path) -> list[str]:
    """Name the folders that demos have not removed."""
    return [path.name for path in (tmp_path / "t").iterdir() if path.is_dir()]


def test_two_demos_at_once_both_account_for_every_mail_and_leave_nothing(demo, tmp_path):
    first, second = (demo("--once", "--recipients", "150") for _ in range(2))
    for each in (first, second):
        said, _ = each.communicate(timeout=100)
        assert each.returncode == 0, said
        assert "SIMULATOR" in said
        assert " NO " not in said
    assert left(tmp_path) == []


def test_an_interrupt_in_the_middle_stops_everything_it_started(demo, tmp_path):
    process = demo("--once", "--recipients", "10000")
    for line in process.stdout:
        if "accepted" in line:
            break
    [folder] = (path for path in (tmp_path / "t").iterdir() if path.is_dir())
    pids = {int(path.read_text()) for path in run_folder(folder).glob("*.lock")}
    assert len(pids) >= 8
    process.send_signal(signal.SIGINT)
    while all(Path(f"/proc/{pid}").exists() for pid in pids):
        threading.Event().wait(0.05)
    process.send_signal(signal.SIGINT)  # impatience changes nothing
    process.communicate(timeout=100)
    assert process.returncode == 130
    assert not {pid for pid in pids if Path(f"/proc/{pid}").exists()}
    assert left(tmp_path) == []


def test_a_number_that_cannot_be_is_refused(demo):
    process = demo("--recipients", "0")
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "--recipients" in said
