"""`python -m services.simulator`: wires the stand-in together and decides nothing."""

import datetime
import gc
import logging
import random  # noqa: TID251 - chance is seeded here and handed on
import signal
import socket
import subprocess
import sys
import time
from typing import Final

import uvloop

from services.simulator.errors import SettingsError
from services.simulator.parent import die_with_parent
from services.simulator.serving import Clocks, Serving
from services.simulator.settings import Settings, load
from shared import config

log = logging.getLogger("simulator")
EX_CONFIG: Final = 78
_STOP_S: Final = 3.0
_MADE_BETWEEN_COLLECTIONS: Final = 50_000
"""Objects: the ledger keeps what it makes, and each look for garbage goes through all of it."""


def set_up_logging() -> None:
    """Log to standard error; the only log set-up of the simulator."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )


def start_courier(end: socket.socket) -> subprocess.Popen[bytes]:
    """Start the posting child with its end of the socket pair."""
    command = [sys.executable, "-m", "services.simulator.posting", str(end.fileno())]
    return subprocess.Popen(command, pass_fds=[end.fileno()])  # noqa: S603 - our own module


def clocks() -> Clocks:
    """Read the wall clock once; from then on the monotonic one gives both times."""
    wall = time.time()  # noqa: TID251 - clocks are read here and handed on
    now_ns = time.monotonic_ns
    started = datetime.datetime.fromtimestamp(wall, datetime.UTC)
    return Clocks(now_ns, time.time_ns, wall - now_ns() / 1e9, started)


def main() -> int:
    """Check the settings, then serve until told to stop."""
    set_up_logging()
    try:
        # .env too: what stands there may be a production's.
        settings = load(config.merged())
        settings.directory.mkdir(parents=True, exist_ok=True)
    except SettingsError as error:
        for problem in error.problems:
            log.error("%s.", problem)  # noqa: TRY400 - a setting, no bug
        return EX_CONFIG
    except OSError as error:
        log.error("SIMULATOR_DIR cannot be used: %s.", error)  # noqa: TRY400 - a setting, no bug
        return EX_CONFIG
    if settings.supervised:
        die_with_parent(signal.SIGTERM)
    return run(settings)


def run(settings: Settings) -> int:
    """Serve with a courier beside."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    with ours, theirs:
        courier = start_courier(theirs)
        theirs.close()
        gc.set_threshold(_MADE_BETWEEN_COLLECTIONS)
        dice = random.Random(settings.seed)  # noqa: S311 - repeatable on purpose
        try:
            return uvloop.run(Serving(settings, clocks(), dice).serve(ours))
        except OSError as error:
            log.error("cannot listen on 127.0.0.1:%d: %s.", settings.port, error)  # noqa: TRY400
            return 1
        finally:
            end(courier)


def end(courier: subprocess.Popen[bytes]) -> None:
    """Wait for the courier, which ends when its socket is closed."""
    try:
        courier.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        courier.kill()
        courier.wait()


if __name__ == "__main__":
    sys.exit(main())
