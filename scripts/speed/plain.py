"""Plain starlette apps on uvicorn to compare with; a process, by itself.

Given a database, it stores each post with a commit of its own, durably; without one it answers
200 and does nothing. It leaves a line for each request only where it is told to.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scripts.stage import free_ports
from shared.store import sql

PATIENCE_S = 20.0
_LOGS = "--logs"
_STATEMENTS = sql.load(str(Path(__file__).with_name("plain.sql")))


class Mail(msgspec.Struct):
    """One text to its readers."""

    topic_id: str
    emails: list[str]
    subject: str
    content: str


class Body(msgspec.Struct):
    """What is posted."""

    messages: list[Mail]
    scheduled_at: str


class Keeper:
    """Checks that a post has the shape of `Body`, stores it, commits, answers."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.pragma("journal_mode", "wal")
        self._connection.pragma("synchronous", "full")
        self._connection.execute(_STATEMENTS["make"])
        self._decoder = msgspec.json.Decoder(Body)

    async def post(self, request: Request) -> Response:
        """Store a post; one commit."""
        try:
            body = self._decoder.decode(await request.body())
        except msgspec.DecodeError:
            return Response(status_code=400)
        ask = self._connection.execute
        ask("BEGIN IMMEDIATE")
        for mail in body.messages:
            ((content,),) = ask(_STATEMENTS["add_content"], (mail.subject, mail.content)).fetchall()
            for email in mail.emails:
                values = (mail.topic_id, content, email, body.scheduled_at)
                ask(_STATEMENTS["add_recipient"], values)
        ask("COMMIT")
        return Response(b'{"status":"ok"}', media_type="application/json")


async def nothing(_request: Request) -> Response:
    """Answer 200."""
    return Response()


@contextlib.contextmanager
def running(database: Path | None = None, access_log: Path | None = None) -> Iterator[int]:
    """Run it on a free port, which is yielded; given a file, it logs there as uvicorn does."""
    (port,) = free_ports(0)
    command = [sys.executable, "-m", "scripts.speed.plain", str(port)]
    command += [str(database)] if database else []
    command += [_LOGS] if access_log else []
    with (
        (access_log or Path(os.devnull)).open("wb") as lines,
        subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("the plain server did not come up")


def main() -> None:
    """Listen on the port of the first argument; a database may follow, and whether to log."""
    port, more = int(sys.argv[1]), sys.argv[2:]
    logs = _LOGS in more
    database = [word for word in more if word != _LOGS]
    endpoint = Keeper(Path(database[0])).post if database else nothing
    app = Starlette(routes=[Route("/{path:path}", endpoint, methods=["POST"])])
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="info" if logs else "warning",
        access_log=logs,
        server_header=False,
    )


if __name__ == "__main__":
    main()
