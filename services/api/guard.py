"""Stands before the routes that need a key, and looks before the body is read."""

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from services.api import head
from services.api.auth import Keys, Proxies, Strangers
from services.api.line import Line
from services.api.refusal import RefusalError

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Guard:
    """Lets a request with a key through; slows down a client that keeps trying without."""

    def __init__(self, keys: Keys, proxies: Proxies, line: Line) -> None:
        self._keys = keys
        self._proxies = proxies
        self._line = line
        self._strangers = Strangers()

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        """Put the guard before a route."""

        async def guarded(request: Request) -> Response:
            self._admit(request)
            return await endpoint(request)

        return guarded

    def _admit(self, request: Request) -> None:
        now = self._line.now()
        peer = request.client.host if request.client else ""
        hops = [hop.decode("latin-1") for hop in head.values(request.scope, b"x-forwarded-for")]
        client = self._proxies.client(peer, hops)
        if wait := self._strangers.wait(client, now):
            told = "Too many attempts without a valid key."
            seconds = {"Retry-After": str(math.ceil(wait))}
            raise RefusalError(429, "too_many_attempts", told, headers=seconds)
        if not self._keys.admit(head.values(request.scope, b"x-api-key")):
            self._strangers.fail(client, now)
            self._line.count("auth_failures")
            told = "The X-API-KEY header is missing or holds no valid key."
            raise RefusalError(401, "no_key", told, headers={"WWW-Authenticate": "ApiKey"})
