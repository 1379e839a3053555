"""Fixtures of the sender's tests."""

import pytest

from tests.unit.sender.rig import Talk
from tests.unit.sender.rig import of as messages_of


@pytest.fixture
def talk():
    return Talk()


@pytest.fixture
def make_talk():
    return Talk


@pytest.fixture
def of():
    return messages_of
