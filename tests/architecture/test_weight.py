"""What a process takes in before it starts: nothing it can do without."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ACTORS = sorted(path.parent.name for path in ROOT.glob("services/*/__main__.py"))
HEAVY = {"aiohttp", "boto3", "moto", "rich", "sentry_sdk", "supervisor"}
"""Megabytes and tenths of a second each."""


@pytest.mark.parametrize("name", ACTORS)
def test_no_process_imports_what_it_may_never_need(name):
    code = f"import sys, services.{name}.__main__; print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY.intersection(told.stdout.split())
