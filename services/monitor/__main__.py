"""Runs the monitor."""

from services.monitor.actor import Installation, Monitor
from services.monitor.roll import expected_processes
from services.monitor.socket import StatsSocket
from shared import config
from shared.actor import Place, run
from shared.config import Settings
from shared.wire import Wire


def _make(settings: Settings, wire: Wire) -> Monitor:
    installation = Installation(
        expected=expected_processes(settings.sender_workers), simulated=config.is_simulated()
    )
    return Monitor(installation, StatsSocket(wire, settings.stats_socket).publish)


if __name__ == "__main__":
    run(Place("monitor", "monitor", ("monitor",)), _make)
