"""Connections to SES: one POST, sent at most once, and how it ended."""

import asyncio
import ssl
from collections import deque
from urllib.parse import urlsplit

from services.sender.connection import Connection
from services.sender.reply import Ending, NoReply

CONNECT_S = 5.0
IDLE_S = 4.0
"""A connection idle for longer is closed from here: one that the far end is just closing would
take a request and lose it, and nobody could say whether SES has the mail."""


class Post:
    """A pool of connections to one host; no request is repeated, no redirect is followed.

    How many calls are in the air is bounded elsewhere; a call never waits here for another.
    """

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        self._target = urlsplit(url)
        self._tls = tls if self._target.scheme == "https" else None
        self._resting: deque[Connection] = deque()
        self._open: set[Connection] = set()

    async def send(self, path: str, headers: dict[str, str], body: bytes) -> Ending:
        """Send a request; tell apart what surely did not leave from what SES may have."""
        loop = asyncio.get_running_loop()
        connection = self._rested(loop.time())
        if connection is None:
            try:
                connection = await self._connect(loop)
            except (OSError, TimeoutError) as error:
                # Whatever fails before a connection stands has sent nothing of a request.
                return NoReply(left=False, detail=said(error))
        return await connection.call(self._head(path, headers, len(body)) + body, loop)

    def _head(self, path: str, headers: dict[str, str], length: int) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        target = self._target
        return (
            f"POST {target.path}{path} HTTP/1.1\r\nHost: {target.netloc}\r\n"
            f"User-Agent: ses-sender\r\nContent-Length: {length}\r\n{lines}\r\n"
        ).encode("latin-1")

    def _rested(self, now: float) -> Connection | None:
        """Answer the connection that rested last; those idle too long are closed."""
        while self._resting and self._resting[0].rested_at < now - IDLE_S:
            self._resting.popleft().close()
        return self._resting.pop() if self._resting else None

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        connection = Connection(self)
        host = self._target.hostname or ""
        port = self._target.port or (443 if self._tls else 80)
        async with asyncio.timeout(CONNECT_S):
            await loop.create_connection(lambda: connection, host, port, ssl=self._tls)
        self._open.add(connection)
        return connection

    def rest(self, connection: Connection) -> None:
        """Keep a connection for the next call."""
        connection.rested_at = asyncio.get_running_loop().time()
        self._resting.append(connection)

    def gone(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)
        if connection in self._resting:
            self._resting.remove(connection)

    async def close(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.close()


def said(error: BaseException) -> str:
    """Name an error, with its own words if it has any."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
