"""The stats socket: one frame a snapshot, whoever listens, and nobody waits."""

from shared.wire import Wire


class StatsSocket:
    """A bound PUB socket; a subscriber that is slow or gone costs nothing."""

    def __init__(self, wire: Wire, address: str) -> None:
        self._socket = wire.publisher(address)

    def publish(self, frame: bytes) -> None:
        """Send one whole snapshot; ZeroMQ drops it for those who cannot keep up."""
        self._socket.send(frame)
