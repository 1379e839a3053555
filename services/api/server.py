"""The HTTP server and the actor's station, in one event loop, started and stopped in order."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from typing_extensions import override

from services.api.actor import Api
from services.api.auth import Proxies
from services.api.connection import limited
from services.api.envelope import Envelope
from shared import log
from shared.actor import Station
from shared.config import Settings

_GRACE_S = 10


class Server(uvicorn.Server):
    """Stops as the others do: no new requests, the running ones end, the last hits are flushed."""

    def __init__(self, app: Envelope, settings: Settings, actor: Api, station: Station) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.server_host,
                port=settings.server_port,
                loop="uvloop",
                http=limited(Proxies(settings.trusted_proxies)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._actor = actor
        self._station = station

    @override
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        turning = asyncio.create_task(self._station.run_async(signals=False))
        turning.add_done_callback(lambda _: self.leave())
        await super().serve(sockets)
        self._station.stop()
        await turning

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._actor.listen(ears=True)

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave on SIGTERM and SIGINT, and end with exit code 0, not by the signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.leave)
        yield

    def leave(self) -> None:
        """Begin to stop."""
        if not self.should_exit:
            log.get("api").info("closing")
            self._actor.listen(ears=False)
            self.should_exit = True
