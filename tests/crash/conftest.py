"""What the tests of the wire have: a run folder, and wires in it that are closed at the end."""

from tests.unit.shared.conftest import connect, folder

__all__ = ["connect", "folder"]
