"""Under supervisord: names, ends and restarts, wrong settings, odd places, and what /ready says."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared.wire import run_folder
from tests.system.stack import PROCESSES, ROOT, Stack, free_port, until

WRONG = {
    "SERVER_PORT": "70000",
    "SERVER_URL": "mail.example.com",
    "API_KEY": "hunter2",
    "AWS_REGION": "Seoul",
    "AWS_SES_FROM_EMAIL": "news",
    "MAX_SEND_PER_SECOND": "fast",
    "SES_SEND_API": "smtp",
    "ON_UNKNOWN": "guess",
    "SNS_TOPIC_ARN": "my-topic",
    "SCHEDULE_TIMEZONE": "Asia/Soul",
}
LONE = """
import runpy
from shared import wire
wire.LOCK_WAIT_S = 1.0
runpy.run_module("services.broker", run_name="__main__")
"""
LINKED = ("services", "shared", "scripts")


def run(stack: Stack, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end, with the settings of an installation."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=stack.environment | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def status(stack: Stack) -> dict[str, str]:
    """Answer what supervisorctl says of each process, GROUP:NAME → STATE …"""
    lines = run(stack, "-m", "scripts.launch", "ctl", "status").stdout.splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def checkout(folder: Path) -> Path:
    """Lay a tree beside ours: supervisord keeps its socket and pid file next to its settings."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "supervisord.conf", folder)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    return folder


def bare(tree: Path) -> list[str]:
    return [sys.executable, "-m", "supervisor.supervisord", "-c", str(tree / "supervisord.conf")]


def sends(stack: Stack) -> None:
    """Prove that an installation works from end to end."""
    stack.wait_ready()
    stack.connect_events()
    assert stack.post([f"u{n}@example.com" for n in range(20)]).status_code == 200
    stack.wait_counts({"Sent": 20})
    until("its events came", lambda: stack.topic()["result_counts"].get("Delivery", 0) > 0)


# ── names ──


def test_supervisorctl_shows_a_program_for_each_folder_of_services(running):
    shown = status(running)
    folders = {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")}
    assert {name.partition(":")[0] for name in shown} == folders
    assert shown.pop("simulator").startswith("STOPPED")
    assert all(state.startswith("RUNNING") for state in shown.values()), shown


# ── a second one ──


@pytest.mark.against("S2")
def test_a_second_installation_on_the_same_data_is_refused(running):
    before = running.pids()
    again = run(running, "-m", "scripts.launch", "run")
    assert again.returncode == 75
    assert "already running" in again.stderr
    # One process alone waits as long as its predecessor may need to drain (here: a second).
    lone = run(running, "-c", LONE)
    assert lone.returncode == 75
    assert f"broker is already running as pid {before['broker']}" in lone.stderr
    assert running.pids().items() >= before.items()
    assert running.missing() == []


# ── how it is ──


def test_ready_names_every_process_that_hangs(running):
    hung = ("scheduler", "broker", "results", "sender-1")
    for name in hung:
        running.kill(name, signal.SIGSTOP)
    until("they are missed", lambda: set(running.missing()) == set(hung), 20)
    told = " ".join(running.ready()["degraded"])
    for name in ("scheduler", "broker", "results"):
        assert f"The process {name} is not heard." in told
    assert "1 of 2 senders are not heard: sender-1." in told
    for name in hung:
        running.kill(name, signal.SIGCONT)
    until("all is well", lambda: running.ready() and running.ready()["degraded"] == [], 20)


def test_ready_says_so_when_the_monitor_hangs(running):
    running.kill("monitor", signal.SIGSTOP)
    told = "The monitor is not heard: the state of the other processes is not known."
    until("it is missed", lambda: told in running.ready()["degraded"], 20)
    running.kill("monitor", signal.SIGCONT)
    until("all is well", lambda: running.ready()["degraded"] == [], 20)


@pytest.mark.against("Q1")
def test_ready_is_503_only_while_nothing_can_be_stored(running):
    running.kill("writer", signal.SIGSTOP)
    answer = until(
        "it is missed", lambda: (a := running.http.get("/ready")).status_code == 503 and a, 20
    )
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["checks"]["storing"] == "the writer is not heard"
    refused = running.post(["a@example.com"])
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    running.kill("writer", signal.SIGCONT)
    until("it is well again", running.ready, 20)
    assert running.sql("SELECT count(*) FROM recipient WHERE email = 'a@example.com'") == [(0,)]


# ── wrong settings ──


@pytest.mark.against("F1")
def test_ten_wrong_settings_are_ten_sentences_before_anything_starts(make_stack):
    stack = make_stack(simulator=False)
    (stack.folder / "env").touch()
    refused = run(stack, "-m", "scripts.launch", "run", **WRONG)
    assert refused.returncode == 78
    sentences = refused.stderr.strip().splitlines()[1:]
    assert sorted(line.split()[0] for line in sentences) == sorted(WRONG)
    assert "hunter2" not in refused.stderr
    assert refused.stdout == ""
    assert not (stack.folder / "data").exists()


@pytest.mark.against("S3")
def test_under_supervisord_wrong_settings_are_an_end_and_no_endless_restart(make_stack, tmp_path):
    stack = make_stack(simulator=False, **WRONG)
    stack.environment.pop("SES_SENDER_ENV_FILE")
    stack.ctl = tmp_path / "tree/.supervisor.sock"
    stack.spawn(bare(checkout(tmp_path / "tree")), Path("/"))
    ended = re.compile(r"INFO exited: (\S+) \(exit status 78; expected\)")
    names = {*PROCESSES, "sender-0", "sender-1"}
    until("all have ended", lambda: set(ended.findall(stack.log.read_text())) == names)
    assert stack.supervisord.poll() is None, "supervisord itself stays, for supervisorctl"
    stack.stop()
    said = stack.log.read_text()
    for name in names:
        assert said.count(f"spawned: '{name}'") == 1
    assert said.count("SCHEDULE_TIMEZONE is 'Asia/Soul'") == len(names)
    assert "hunter2" not in said


def test_a_busy_port_is_named_and_waited_for(make_stack):
    stack = make_stack(simulator=False)
    data = stack.folder / "data"
    (stack.folder / "env").touch()
    with socket.create_server(("127.0.0.1", stack.port)):
        refused = run(stack, "-m", "scripts.launch", "run")
        assert refused.returncode == 78
        assert f"SERVER_PORT: 127.0.0.1 port {stack.port} is not to be had" in refused.stderr
        data.mkdir(exist_ok=True)
        stack.ctl = stack.folder / "tree/.supervisor.sock"
        stack.spawn(bare(checkout(stack.folder / "tree")), Path("/"))
        until("the log names it", lambda: f"{stack.port}" in stack.log.read_text())
        until("it is tried again", lambda: stack.log.read_text().count("spawned: 'api'") >= 2)
    stack.wait_ready()
    assert "address already in use" in stack.log.read_text()


# ── places ──


def test_a_bare_supervisord_in_another_folder_with_exported_settings_sends(make_stack, tmp_path):
    stack = make_stack()
    for name in ("SES_SENDER_ENV_FILE", "SENDER_WORKERS"):
        stack.environment.pop(name, None)
    tree = checkout(tmp_path / "tree")
    stack.ctl = tree / ".supervisor.sock"
    stack.spawn(bare(tree), Path("/"))
    sends(stack)
    assert stack.stop() == 0
    assert not (tree / ".supervisor.sock").exists()


def test_paths_longer_than_a_socket_may_have(make_stack, tmp_path):
    long = tmp_path / ("long-" * 12) / ("path-" * 12)
    tree, data = long / "checkout", long / "data"
    assert len(os.fsencode(data / "run")) > 107
    tree.mkdir(parents=True)
    for name in LINKED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "supervisord.conf", tree)
    stack = make_stack(DATA_DIR=str(data), STATS_SOCKET=f"tcp://127.0.0.1:{free_port()}")
    (stack.folder / "env").touch()
    stack.ctl = run_folder(data) / "ctl.sock"
    stack.spawn([sys.executable, "-m", "scripts.launch", "run"], tree)
    sends(stack)
    assert (data / "ses-sender.db").exists()
    assert all(state.startswith(("RUNNING", "STOPPED")) for state in status(stack).values())
    assert stack.stop() == 0
    shutil.rmtree(run_folder(data))


# ── the end ──


@pytest.mark.against("S1")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_everything_stops_in_order_and_drains(make_stack, number):
    stack = make_stack(SIMULATOR_RATE="200").start()
    stack.connect_events()
    stack.post([f"u{n}@example.com" for n in range(2000)])
    until("some are sent", lambda: stack.counts().get("Sent", 0) > 100)
    stack.supervisord.send_signal(number)
    until("all have ended", stack.has_ended)
    assert stack.supervisord.wait() == 0
    stack.supervisord = None
    said = re.findall(r" stopped: (\S+) \((.+)\)", stack.log.read_text())
    groups = [name.partition("-")[0] for name, _ in said]
    assert list(dict.fromkeys(groups)) == [
        "api", "sender", "results", "scheduler", "broker", "writer", "monitor",
    ]  # fmt: skip
    assert {how for _, how in said} == {"exit status 0"}, said
    assert stack.sql("SELECT count(*) FROM recipient WHERE state = 5") == [(0,)]
    sent = stack.sql("SELECT email FROM recipient WHERE state = 2")
    assert {address for (address,) in sent} == set(stack.accepted())
