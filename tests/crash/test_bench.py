"""scripts/bench lists what there is, measures what is named, and its plans hold what they say."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import bench as front
from scripts.bench import BENCHES, SCENARIOS, modules
from scripts.benches import kills
from scripts.benches.killer import Plan, submissions
from scripts.speed.rounds import Line, Target

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts/bench", *arguments],
        env=os.environ | {"SES_SENDER_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_what_there_is():
    listed = bench("--help")
    assert listed.returncode == 0
    for name, what in BENCHES.items():
        assert name in listed.stdout
        assert what in listed.stdout
        assert (ROOT / f"scripts/benches/{name}.py").is_file()
    for name, (module, what) in SCENARIOS.items():
        assert name in listed.stdout
        assert what in listed.stdout
        assert (
            "def run(rounds: int) -> list[Line]:"
            in (ROOT / f"scripts/speed/{module}.py").read_text()
        )


def test_another_name_is_refused():
    assert bench("nothing").returncode == 2


@pytest.mark.parametrize(
    "wrong",
    [
        ["start", "--rounds=0"],
        ["start", "kills"],
        ["start", "--json=/proc/nowhere/bench.json"],
        ["--rounds", "x"],
    ],
)
def test_wrong_words_are_refused_before_anything_is_measured(wrong):
    assert bench(*wrong).returncode == 2


@pytest.mark.parametrize("wrong", ["--seeds=0", "--kills=x", "--mails=-1"])
def test_wrong_numbers_are_refused_before_anything_starts(wrong):
    assert bench("kills", wrong).returncode == 2


# ── the front of the speed scenarios, on scenarios that measure nothing ──


@pytest.fixture
def measured(monkeypatch, tmp_path) -> list[tuple[str, int]]:
    """Put stand-ins in the place of the scenarios; answer which were run, for how many rounds."""
    seen: list[tuple[str, int]] = []

    def load(path: str) -> SimpleNamespace:
        name = path.rpartition(".")[2]

        def run(rounds: int) -> list[Line]:
            seen.append((name, rounds))
            if name == "events":
                raise OSError("nobody listens")
            return [Line(name, "figure", (1.0, 3.0, 2.0), target=Target(at_most=2))]

        return SimpleNamespace(run=run)

    monkeypatch.setattr(front, "importlib", SimpleNamespace(import_module=load))
    monkeypatch.setenv("SES_SENDER_BENCH_FROM", str(tmp_path))
    return seen


def idle(monkeypatch, share: float) -> None:
    now = SimpleNamespace(share=lambda: share)
    monkeypatch.setattr(front.machine, "Idle", SimpleNamespace(now=lambda: now))


def test_what_is_measured_together_is_measured_once_and_in_order():
    assert modules(["cpu", "single", "ingest"]) == ["ingest", "throughput"]
    everything = modules(list(SCENARIOS))
    assert everything == list(dict.fromkeys(module for module, _ in SCENARIOS.values()))


def test_named_scenarios_are_measured_and_written_where_the_caller_stands(
    measured, monkeypatch, tmp_path, capsys
):
    idle(monkeypatch, 0.5)
    assert front.main(["stats", "--rounds", "2", "bulk"]) == 0
    assert measured == [("throughput", 2), ("answers", 2)]
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [line["scenario"] for line in written["lines"]] == ["throughput", "answers"]
    assert [line["note"] for line in written["lines"]] == ["", ""]
    assert str(tmp_path / "bench.json") in capsys.readouterr().err


def test_a_scenario_that_breaks_is_named_and_the_others_are_measured(
    measured, monkeypatch, tmp_path, capsys
):
    idle(monkeypatch, 0.5)
    assert front.main(["--json", "other.json"]) == 1
    assert [name for name, _ in measured] == modules(list(SCENARIOS))
    assert {rounds for _, rounds in measured} == {5}
    said = capsys.readouterr().err
    assert "nobody listens" in said
    assert "not measured, see above: events" in said
    written = json.loads((tmp_path / "other.json").read_text())
    assert len(written["lines"]) == len(measured) - 1


def test_a_target_that_is_missed_is_said(measured, monkeypatch, capsys):
    idle(monkeypatch, 0.5)
    monkeypatch.setattr(Target, "is_met", lambda self, value: False)
    assert front.main(["start"]) == 1
    said = capsys.readouterr()
    assert "MISSED" in said.out
    assert "start: figure" in said.err


def test_a_machine_that_had_nothing_left_is_said(measured, monkeypatch, tmp_path, capsys):
    idle(monkeypatch, 0.04)
    assert front.main(["start"]) == 0
    assert "idle 4%" in capsys.readouterr().out
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [line["note"] for line in written["lines"]] == ["idle 4%"]


# ── the plan of the long run ──


def test_a_plan_posts_each_address_once_and_every_mail():
    plan = Plan(seed=3, kills=10, mails=1234, pause=(0.5, 1.5))
    posted = Counter(email for _, emails in submissions(plan) for email in emails)
    assert len(posted) == 1234
    assert set(posted.values()) == {1}


def test_the_rate_lets_the_mail_last_as_long_as_the_killing():
    plan = Plan(seed=1, kills=200, mails=20_000, pause=(0.5, 2.0))
    assert plan.seconds == 250
    assert 0.8 < plan.mails / plan.seconds / kills.rate_for(plan) <= 0.85
