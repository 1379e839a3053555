"""What every answer has, and every request leaves in the log."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api import head
from services.api.line import Line
from services.api.serial import Serial
from shared import log

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_BY_MACHINES = ("/v1/events/results", "/v1/events/open", "/health", "/ready")
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Envelope:
    """Numbers requests, adds the headers of every answer, writes the access log."""

    def __init__(self, app: ASGIApp, line: Line) -> None:
        self._app = app
        self._line = line
        self._log = log.get("api")
        self._ids = Serial(16)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._line.now().mono
        request_id = _given_id(scope) or self._ids.next().encode()
        # uvicorn makes a task of each request, and itself logs what nobody catches in it.
        log.bind(request=request_id.decode())
        status = 0

        async def seal(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [*ALWAYS, (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, seal)
        finally:
            self._line.count("requests")
            self._line.count(f"responses_{status // 100}xx")
            # The route's own path: what stands in its place may be a token or a customer's name.
            route = scope.get("route")
            path = getattr(route, "path_format", "-")
            # Machines ask these by the thousand; a good answer to one of them is no news.
            is_news = status >= 400 or not path.startswith(_BY_MACHINES)
            write = self._log.info if is_news else self._log.debug
            write(
                "request",
                method=scope["method"],
                path=path,
                status=status,
                ms=round((self._line.now().mono - began) * 1000, 1),
                request=request_id.decode(),
            )


def _given_id(scope: Scope) -> bytes | None:
    given = head.values(scope, b"x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else None
