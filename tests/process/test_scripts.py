"""The scripts as an operator runs them: real supervisord, real processes, no AWS behind them."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.wire import run_folder

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
EXPECTED = {
    "api", "writer", "scheduler", "broker", "sender-0", "sender-1", "results", "monitor",
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(tmp_path) -> dict[str, str]:
    """Everything an installation of its own needs; its SES is a port where nobody listens."""
    (tmp_path / "env").touch()
    return {
        "SERVER_URL": "http://127.0.0.1:1",
        "SERVER_PORT": str(free_port()),
        "API_KEY": "0123456789abcdef0123456789abcdef",
        "AWS_SES_FROM_EMAIL": "news@example.com",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:1",
        "STATS_SOCKET": f"tcp://127.0.0.1:{free_port()}",
        "DATA_DIR": str(tmp_path / "data"),
    }


def environment(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    coverage = {k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")}
    return kept | coverage | {"SES_SENDER_PYTHON": sys.executable} | settings


def run(script: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / script, *arguments],
        env=environment({"SES_SENDER_ENV_FILE": os.devnull} | settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def started(command: list, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    with log.open("w") as output:
        process = subprocess.Popen(command, env=env, cwd="/", stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def until(condition: Callable[[], bool], log: Path, seconds: float = 40.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, log.read_text()[-5000:]
        threading.Event().wait(0.1)


def ends_well(process: subprocess.Popen, ctl: Path, log: Path) -> None:
    """Stop a supervisord, which looks around once a second or when somebody knocks."""

    def has_ended() -> bool:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as knock:
            knock.connect_ex(str(ctl))
        return process.poll() is not None

    process.send_signal(signal.SIGTERM)
    until(has_ended, log, 60)
    assert process.returncode == 0


def picture(settings: dict[str, str]) -> dict:
    told = run("stats", "--once", "--json", **settings)
    return json.loads(told.stdout) if told.returncode == 0 else {"processes": []}


def all_live(settings: dict[str, str]) -> bool:
    rows = picture(settings)["processes"]
    return {row["process"] for row in rows if row["alive"]} == EXPECTED


# ── scripts/run, stats and ctl on one installation ──


def test_an_installation_starts_is_seen_is_not_started_twice_and_stops_in_order(settings, tmp_path):
    settings["SES_SENDER_ENV_FILE"] = str(tmp_path / "env")
    log = tmp_path / "log"
    with started([SCRIPTS / "run"], environment(settings), log) as process:
        until(lambda: all_live(settings), log)

        shown = run("stats", "--once", **settings)
        assert shown.returncode == 0
        assert all(name in shown.stdout for name in EXPECTED)
        assert "SIMULATOR" in shown.stdout  # an endpoint on this machine is no production

        status = run("ctl", "status", **settings)
        running = [line for line in status.stdout.splitlines() if "RUNNING" in line]
        assert {line.split()[0].rpartition(":")[2] for line in running} == EXPECTED
        assert "simulator" in status.stdout

        again = run("run", **settings)
        assert again.returncode == 75
        assert "already running" in again.stderr

        ends_well(process, run_folder(tmp_path / "data") / "ctl.sock", log)
    said = log.read_text()
    order = [said.index(f"stopped: {name}") for name in ("api", "sender-0", "writer", "monitor")]
    assert order == sorted(order)
    assert '"crashed"' not in said
    assert all(line.startswith(("{", "20")) for line in said.splitlines())
    silent = run("ctl", "status", **settings)
    assert silent.returncode == 1
    assert "not running" in silent.stderr


def test_a_bare_supervisord_needs_a_dotenv_beside_it_and_nothing_else(settings, tmp_path):
    """Started from another folder, in a checkout whose path has a space and a percent sign."""
    tree = tmp_path / "100% mail"
    tree.mkdir()
    shutil.copy(ROOT / "supervisord.conf", tree)
    for name in ("services", "shared", "scripts"):
        (tree / name).symlink_to(ROOT / name)
    exported = {k: settings.pop(k) for k in list(settings) if k.startswith("AWS_")}
    settings["DATA_DIR"] = "data"
    lines = [f"{name}={value}" for name, value in (settings | exported).items()]
    (tree / ".env").write_text("\n".join(lines))
    log = tmp_path / "log"
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(tree / "supervisord.conf")]
    with started(command, environment({}), log) as process:
        until(lambda: all_live(settings), log)
        assert (tree / "data" / "ses-sender.db").exists()
        ends_well(process, tree / ".supervisor.sock", log)
    assert not (tree / ".supervisor.sock").exists()


def test_ten_wrong_settings_are_ten_sentences_and_nothing_is_started(settings, tmp_path):
    wrong = {
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
        "SES_SENDER_ENV_FILE": str(tmp_path / "env"),
    }
    refused = run("run", **(settings | wrong))
    assert refused.returncode == 78
    sentences = refused.stderr.strip().splitlines()[1:]
    assert len(sentences) == 10
    assert "hunter2" not in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_taken_is_named_before_anything_starts(settings, tmp_path):
    settings["SES_SENDER_ENV_FILE"] = str(tmp_path / "env")
    with socket.create_server(("127.0.0.1", int(settings["SERVER_PORT"]))):
        refused = run("run", **settings)
    assert refused.returncode == 78
    assert "SERVER_PORT" in refused.stderr
    assert "in use" in refused.stderr


def test_a_data_folder_that_cannot_be_made_is_named(settings, tmp_path):
    settings["SES_SENDER_ENV_FILE"] = str(tmp_path / "env")
    refused = run("run", **(settings | {"DATA_DIR": "/proc/nowhere"}))
    assert refused.returncode == 78
    assert "DATA_DIR" in refused.stderr


# ── scripts/stats and setup alone ──


def test_stats_says_when_nothing_is_published(settings, tmp_path):
    settings["SES_SENDER_ENV_FILE"] = str(tmp_path / "env")
    told = run("stats", "--once", **settings)
    assert told.returncode == 1
    assert settings["STATS_SOCKET"] in told.stderr


def test_stats_names_a_socket_that_cannot_be(tmp_path):
    (tmp_path / "env").touch()
    told = run("stats", STATS_SOCKET="udp://x", SES_SENDER_ENV_FILE=str(tmp_path / "env"))
    assert told.returncode == 78
    assert "STATS_SOCKET" in told.stderr


def test_setup_names_the_python_it_needs(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "cat", "dirname", "flock", "sha256sum"):
        (tools / tool).symlink_to(shutil.which(tool))
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    (tmp_path / "scripts").mkdir()
    for name in ("pyproject.toml", "scripts/setup", "scripts/constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    told = subprocess.run(
        [tools / "bash", tmp_path / "scripts/setup"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert told.returncode == 1
    assert "Python 3.11 or newer" in told.stderr
    assert not (tmp_path / ".venv").exists()


def test_setup_has_nothing_to_do_on_an_interpreter_that_has_everything():
    started_at = time.monotonic()
    assert run("setup", "dev").returncode == 0
    assert time.monotonic() - started_at < 5
