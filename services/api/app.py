"""The HTTP API: its routes, and what becomes of a request that none of them answers."""

from collections.abc import Callable
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.api.actor import Api
from services.api.auth import Keys, Proxies
from services.api.envelope import Envelope
from services.api.events import Events
from services.api.guard import Guard
from services.api.health import Health
from services.api.line import Line
from services.api.messages import Messages
from services.api.reads import Reads
from services.api.refusal import RefusalError, unavailable
from services.api.replies import refusal_reply
from services.api.topics import Topics
from shared import log
from shared.config import Settings
from shared.errors import StoreError


class Parts(NamedTuple):
    """What the API is put together from."""

    settings: Settings
    actor: Api
    line: Line
    reads: Reads
    is_writer_alive: Callable[[], bool]
    simulated: bool = False


def build(parts: Parts) -> Envelope:
    """Put the API together."""
    app = Starlette(routes=_routes(parts), exception_handlers=_REFUSALS)
    # A redirect would be spelled with the Host header, which anybody may have written.
    app.router.redirect_slashes = False
    return Envelope(app, parts.line)


def _routes(parts: Parts) -> list[Route]:
    settings, line, reads = parts.settings, parts.line, parts.reads
    guard = Guard(Keys(settings.api_key), Proxies(settings.trusted_proxies), line)
    health = Health(parts.actor, line, reads, settings, simulated=parts.simulated)
    messages = Messages(line, reads, settings.zone, parts.is_writer_alive)
    topics = Topics(line, reads, health.notes)
    events = Events(line, reads)
    return [
        Route("/v1/messages", guard(messages.post), methods=["POST"]),
        Route("/v1/topics/{topic_id:path}", guard(topics.topic), methods=["GET", "DELETE"]),
        Route("/v1/events/open", events.open),
        Route("/v1/events/counts/sent", guard(events.sent)),
        Route("/v1/events/results", events.results, methods=["POST"]),
        Route("/health", health.health),
        Route("/ready", health.ready),
    ]


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    return refusal_reply(error)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        told = f"{request.method} is not allowed here."
        return refusal_reply(RefusalError(405, "method_not_allowed", told, headers=error.headers))
    told = "There is nothing at this address; the API lies under /v1/."
    return refusal_reply(RefusalError(error.status_code, "not_found", told))


async def _store_fault(_request: Request, error: Exception) -> Response:
    # Path and reason are for the operator's log, not for the open web.
    log.get("api").error("the database cannot be read", exc_info=error)
    return refusal_reply(unavailable("store_unavailable", "The database cannot be read."))


async def _fault(_request: Request, _error: Exception) -> Response:
    told = "Something is wrong with this server; its log names it by the request id."
    return refusal_reply(RefusalError(500, "internal", told))


_REFUSALS = {
    RefusalError: _refused,
    HTTPException: _no_route,
    StoreError: _store_fault,
    Exception: _fault,
}
