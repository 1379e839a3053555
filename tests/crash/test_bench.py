"""scripts/bench lists what there is, and the long run's plan holds what it says."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scripts.bench import BENCHES
from scripts.benches import kills
from scripts.benches.killer import Plan, submissions

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts/bench", *arguments],
        env=os.environ | {"SES_SENDER_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_name_it_lists_what_there_is():
    listed = bench()
    assert listed.returncode == 0
    for name, what in BENCHES.items():
        assert name in listed.stdout
        assert what in listed.stdout
        assert (ROOT / f"scripts/benches/{name}.py").is_file()


def test_another_name_is_refused():
    assert bench("nothing").returncode == 2


@pytest.mark.parametrize("wrong", ["--seeds=0", "--kills=x", "--mails=-1"])
def test_wrong_numbers_are_refused_before_anything_starts(wrong):
    assert bench("kills", wrong).returncode == 2


def test_a_plan_posts_each_address_once_and_every_mail():
    plan = Plan(seed=3, kills=10, mails=1234, pause=(0.5, 1.5))
    posted = Counter(email for _, emails in submissions(plan) for email in emails)
    assert len(posted) == 1234
    assert set(posted.values()) == {1}


def test_the_rate_lets_the_mail_last_as_long_as_the_killing():
    plan = Plan(seed=1, kills=200, mails=20_000, pause=(0.5, 2.0))
    assert plan.seconds == 250
    assert 0.8 < plan.mails / plan.seconds / kills.rate_for(plan) <= 0.85
