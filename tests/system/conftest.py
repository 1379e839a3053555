"""Whole installations: `stack` is new for each test, `running` serves one module's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.stack import Stack


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Answer a function that builds an installation; all are ended with the test."""
    stacks: list[Stack] = []

    def make(**more) -> Stack:
        folder = tmp_path / f"stack-{len(stacks)}"
        folder.mkdir()
        stacks.append(Stack(folder, **more))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.close()


@pytest.fixture
def stack(make_stack) -> Stack:
    """Answer one installation, running, with its events connected."""
    stack = make_stack().start()
    stack.connect_events()
    return stack


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Stack]:
    """Answer one installation that all tests of a module share."""
    with Stack(tmp_path_factory.mktemp("stack")).living() as stack:
        yield stack
