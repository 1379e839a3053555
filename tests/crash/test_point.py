"""Crash points: they kill at the passage they are told, once, and never where mail may be real."""

import ast
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from shared import crash
from shared.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
LIFE = """
import sys
from pathlib import Path
from shared import crash
crash.arm(sys.argv[1], Path(sys.argv[2]), simulated=sys.argv[3] == "simulated")
for passage in range(1, 6):
    print(passage, flush=True)
    crash.point("api.stored")
"""


MAILS = LIFE.replace(
    'crash.point("api.stored")',
    'crash.point("sender.begun", [("one@x", "two@x", "three@x", "four@x", "five@x")[passage - 1]])',
)


def live(
    text: str, folder: Path, where: str = "simulated", life: str = LIFE
) -> tuple[int, list[str]]:
    """Let a process pass a point five times; answer how it ended, and the passages it began."""
    command = [sys.executable, "-c", life, text, str(folder), where]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.split()


def test_the_passage_that_is_named_is_the_last(tmp_path):
    assert live("api.stored:3", tmp_path) == (-signal.SIGKILL, ["1", "2", "3"])


def test_it_happens_once_in_an_installation(tmp_path):
    live("api.stored:3", tmp_path)
    assert (tmp_path / "crashed-api.stored").exists()
    assert live("api.stored:3", tmp_path)[0] == 0


def test_of_two_processes_one_is_killed(tmp_path):
    (tmp_path / "crashed-api.stored").touch()
    crash.arm("", tmp_path, simulated=True)
    countdown = crash.Countdown(1, tmp_path / "crashed-api.stored")
    countdown.passed()  # the other one was first: we live


@pytest.mark.parametrize("text", ["", "api.checked:1", "api.stored:6"])
def test_what_is_not_armed_or_not_reached_kills_nobody(tmp_path, text):
    assert live(text, tmp_path)[0] == 0


def test_where_mail_may_be_real_nothing_is_armed(tmp_path):
    assert live("api.stored:3", tmp_path, "real")[0] == 0
    assert live("nonsense", tmp_path, "real")[0] == 0


def test_several_points_may_be_armed(tmp_path):
    assert live("api.checked:1, api.stored:2", tmp_path)[0] == -signal.SIGKILL


def test_a_mail_kills_whoever_passes_a_point_with_it_every_time(tmp_path):
    for _ in range(2):
        assert live("sender.begun:three@", tmp_path, life=MAILS) == (
            -signal.SIGKILL,
            ["1", "2", "3"],
        )
    assert live("sender.received:three@", tmp_path, life=MAILS)[0] == 0
    assert live("sender.begun:thirteen@", tmp_path, life=MAILS)[0] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["api.stored:x@", "api.stored", "api.stored:0", "api.stored:x", "api.stored:-1", "x:1"]
)
def test_a_text_that_arms_nothing_is_refused_by_name(tmp_path, text):
    with pytest.raises(SettingsError, match="CRASH_AT"):
        crash.arm(text, tmp_path, simulated=True)


@pytest.mark.parametrize("endpoint", ["", "https://email.eu-west-1.amazonaws.com"])
def test_a_process_that_speaks_to_amazon_is_not_armed(tmp_path, endpoint):
    """With a text that arms nothing a process on the simulator ends with 78, this one goes on."""
    (tmp_path / "env").touch()
    settings = {
        "SERVER_URL": "http://127.0.0.1:1",
        "API_KEY": "0123456789abcdef0123456789abcdef",
        "AWS_SES_FROM_EMAIL": "news@example.com",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "DATA_DIR": str(tmp_path),
        "SES_SENDER_ENV_FILE": str(tmp_path / "env"),
        "CRASH_AT": "nonsense",
        "PATH": os.environ["PATH"],
    }
    program = "from shared import actor; actor.prepare('broker')"

    def ended(endpoint: str) -> tuple[int, bool]:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=settings | {"AWS_ENDPOINT_URL_SESV2": endpoint},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, "CRASH_AT" in ended.stderr

    assert ended(endpoint) == (0, False)
    assert ended("http://127.0.0.1:1") == (78, True)


def test_every_point_is_in_the_code_of_its_actor_once():
    found = Counter()
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "crash.point":
                name = ast.literal_eval(node.args[0])
                assert re.match(r"\w+", name)[0] == path.relative_to(ROOT / "services").parts[0]
                found[name] += 1
    assert found == dict.fromkeys(crash.POINTS, 1)
