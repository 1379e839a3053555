"""Six ways to build the product wrong, and what finds each: whether the tests can fail at all.

Every build is a copy of the tree with a few lines replaced. Its detectors, which pass on a copy
that is whole, must fail on it, and say why.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from scripts.benches.builds import BUILDS, Build, Change, Detector

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("pyproject.toml", "services", "shared", "scripts", "tests")
LONGEST_S = 300
LONGEST_REASON = 110

console = Console()


class Found(NamedTuple):
    """What a test said of a build; nothing if it passed."""

    detector: Detector
    said: str

    @property
    def is_found(self) -> bool:
        """Tell whether the test failed for the reason it should."""
        return re.search(self.detector.says, self.said) is not None


class Finding(NamedTuple):
    """What became of a build."""

    build: Build
    found: list[Found]
    seconds: float

    @property
    def is_found(self) -> bool:
        """Tell whether every detector found the build."""
        return all(one.is_found for one in self.found)


def spoil(tree: Path, changes: Iterable[Change]) -> None:
    """Make the changes; one whose text is not there exactly once raises, lest the list rots."""
    for change in changes:
        path = tree / change.file
        text = path.read_text()
        if text.count(change.old) != 1:
            raise ValueError(f"{change.file} has not exactly once: {change.old!r}")
        path.write_text(text.replace(change.old, change.new))


def copy(folder: Path) -> Path:
    """Copy the tree into a folder, without what it has written itself."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", "data")
            shutil.copytree(source, folder / name, ignore=unwanted)
        else:
            shutil.copy(source, folder / name)
    return folder


def run(tree: Path, tests: Iterable[str]) -> dict[str, str]:
    """Run tests in a tree; answer those that failed, and what each said."""
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", f"--basetemp={tree}-temp"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=tree,
        env=environment() | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    if done.returncode not in {0, 1}:
        said = done.stdout[-3000:] + done.stderr[-1000:]
        raise RuntimeError(f"the tests of {tree.name} could not be run:\n{said}")
    return dict(failures(done.stdout))


def environment() -> dict[str, str]:
    """Answer ours, without what tells a child that it is part of our own test run."""
    own = ("COVERAGE", "PYTEST")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def failures(report: str) -> Iterator[tuple[str, str]]:
    """Read what failed, and the reasons given, out of pytest's report."""
    parts = re.split(r"^_{3,} (?:ERROR at \w+ of )?(\S+) _{3,}$", report, flags=re.MULTILINE)
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        reasons = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
        yield name, " ".join(reasons)


def said_of(test: str, failed: dict[str, str]) -> str:
    """Answer what a test said; the report names it by its class and function alone."""
    name = ".".join(test.split("::")[1:])
    return next((said for failure, said in failed.items() if failure.startswith(name)), "")


def try_build(build: Build, folder: Path) -> Finding:
    """Build it wrong and let its detectors look."""
    began = time.monotonic()
    tree = copy(folder)
    spoil(tree, build.changes)
    failed = run(tree, [one.test for one in build.detectors])
    found = [Found(one, said_of(one.test, failed)) for one in build.detectors]
    return Finding(build, found, time.monotonic() - began)


def try_whole(builds: Sequence[Build], folder: Path) -> dict[str, str]:
    """Let all detectors look at a copy that is not changed; answer what they say against it."""
    return run(copy(folder), dict.fromkeys(one.test for build in builds for one in build.detectors))


def try_all(builds: Sequence[Build] = BUILDS) -> tuple[dict[str, str], list[Finding]]:
    """Try the whole tree and every build, two at a time."""
    with (
        tempfile.TemporaryDirectory(prefix="ses-sender-broken-") as name,
        ThreadPoolExecutor(2) as at,
    ):
        folder = Path(name)
        whole = at.submit(try_whole, builds, folder / "whole")
        broken = [
            at.submit(try_build, build, folder / f"build-{number}")
            for number, build in enumerate(builds)
        ]
        return whole.result(), [one.result() for one in broken]


def conclude(whole: dict[str, str], findings: Sequence[Finding]) -> int:
    """Print the table; answer the exit code."""
    table = Table(title="Builds that are wrong on purpose, and what finds them", show_lines=True)
    for column in ("build", "what was changed", "found by", "what it said", "s"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        for one in finding.found:
            said = one.said[:LONGEST_REASON] or "nothing: NOT FOUND"
            test = one.detector.test.partition("::")[2]
            row = (finding.build.name, finding.build.how, test, said, f"{finding.seconds:.0f}")
            table.add_row(*row)
    console.print(table)
    for test, said in whole.items():
        console.print(f"fails although nothing is wrong: {test}: {said}", markup=False)
    return 0 if not whole and all(finding.is_found for finding in findings) else 1


def main(arguments: Sequence[str]) -> int:
    """Read the arguments, try, conclude."""
    parser = argparse.ArgumentParser(prog="scripts/bench broken", description=__doc__)
    parser.add_argument("--only", default="", help="builds whose name has this in it")
    chosen = parser.parse_args(arguments)
    builds = [build for build in BUILDS if chosen.only in build.name]
    if not builds:
        parser.error("--only: there are " + ", ".join(build.name for build in BUILDS))
    return conclude(*try_all(builds))
