"""The child process's own start: `python -m services.simulator.posting FD`."""

import asyncio
import os
import random  # noqa: TID251 - the one place where the courier's chance is seeded
import signal
import socket
import sys
import time

import uvloop

from services.simulator.courier import Courier, Pipe
from services.simulator.deliveries import Deliveries
from services.simulator.parent import die_with_parent
from services.simulator.post import Poster
from services.simulator.settings import Settings, load


async def serve(settings: Settings, end: socket.socket) -> None:
    """Post until the front closes its end."""
    dice = random.Random()  # noqa: S311 - ids need no secrecy, but must differ at every start
    deliveries = Deliveries(settings.region, dice, settings.retry_seconds)
    clock = time.time  # noqa: TID251 - the courier's clock is read here and handed on
    courier = Courier(deliveries, Poster(settings.post_timeout_s), clock)
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: Pipe(courier, gone), sock=end)
    workers = [asyncio.create_task(courier.work()) for _ in range(settings.connections)]
    ended = asyncio.create_task(gone.wait())
    done, _pending = await asyncio.wait([ended, *workers], return_when="FIRST_COMPLETED")
    for task in done - {ended}:
        task.result()  # a worker never ends by itself: let its error end the process


def main() -> None:
    """Take over the inherited socket and serve."""
    die_with_parent(signal.SIGKILL)
    # Ctrl-C and a group's SIGTERM go to every process of the group; the front says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = load(os.environ)  # noqa: TID251 - the front has already refused bad settings
    with socket.socket(fileno=int(sys.argv[1])) as end:
        end.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        uvloop.run(serve(settings, end))


if __name__ == "__main__":
    main()
