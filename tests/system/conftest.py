"""Whole installations: `stack` is new for each test, `running` serves one module's tests."""

from collections.abc import Callable, Iterator

import pytest

from tests.system.stack import Stack


@pytest.fixture
def make_stack(tmp_path_factory) -> Iterator[Callable[..., Stack]]:
    """Answer a function that builds an installation; all are ended with the test.

    Short names: a socket's path, of supervisord's in a checkout too, has 107 bytes at most.
    """
    stacks: list[Stack] = []

    def make(**more) -> Stack:
        stacks.append(Stack(tmp_path_factory.mktemp("s"), **more))
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
