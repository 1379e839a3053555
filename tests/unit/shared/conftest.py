"""Wires in a run folder of their own, closed at the end."""

import time
from pathlib import Path

import pytest

from shared.wire import Letter, Wire, run_folder


@pytest.fixture
def folder(tmp_path):
    return run_folder(tmp_path)


class HoldingWire(Wire):
    """Holds its sockets until it is closed, as a station does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.held: list = []

    def mailbox(self, name):
        self.held.append(super().mailbox(name))
        return self.held[-1]

    def publisher(self, address):
        self.held.append(super().publisher(address))
        return self.held[-1]


@pytest.fixture
def connect(folder):
    """Make wires of processes that share a run folder; all are closed at the end."""
    wires: list[Wire] = []

    def make() -> Wire:
        wires.append(HoldingWire(folder))
        return wires[-1]

    yield make
    for each in wires:
        each.close()


@pytest.fixture
def surely():
    """Send as an owner does: again, until it went."""

    def send(sender: Wire, letter: Letter) -> None:
        give_up = time.monotonic() + 5
        while not sender.send(letter):
            assert time.monotonic() < give_up
            time.sleep(0.005)

    return send
