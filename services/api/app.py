"""The HTTP API: its routes, and what becomes of a request that none of them answers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.account import Account
from services.api.actor import Api
from services.api.auth import Keys, Proxies
from services.api.envelope import Envelope
from services.api.events import Events
from services.api.export import Export
from services.api.guard import Endpoint, Guard
from services.api.health import Health
from services.api.line import Line
from services.api.messages import Messages
from services.api.reads import Reads
from services.api.recipients import Recipients
from services.api.refusal import RefusalError, unavailable
from services.api.replies import refusal_reply
from services.api.steering import Steering
from services.api.suppressions import Suppressions
from services.api.topics import Topics
from shared import log
from shared.config import Settings
from shared.errors import StoreError

_CROWDED = ("/v1/messages", "/v1/events/results")


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
    routes = _routes(parts)
    app = Starlette(routes=routes, exception_handlers=_REFUSALS)
    # A redirect would be spelled with the Host header, which anybody may have written.
    app.router.redirect_slashes = False
    return Envelope(Crowded(app, routes), parts.line)


class Crowded:
    """Takes posts to the paths of crowds to their routes straight away, past all of starlette.

    A look at every route, and what else starlette does for any path, costs such a post a fifth.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[Route]) -> None:
        self._app = app
        self._routes = {route.path: route for route in routes if route.path in _CROWDED}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope.update(route=route, endpoint=route.endpoint, path_params={})
        request = Request(scope, receive, send)
        try:
            response = await route.endpoint(request)
        except RefusalError as error:
            response = refusal_reply(error)
        except StoreError as error:
            response = await _store_fault(request, error)
        except Exception as error:
            # As starlette does: the client hears that there is a fault, the log of uvicorn which.
            response = await _fault(request, error)
            await response(scope, receive, send)
            raise
        await response(scope, receive, send)


class _Doors(NamedTuple):
    """Whoever answers, each for its part of the address space."""

    messages: Messages
    recipients: Recipients
    topics: Topics
    steering: Steering
    export: Export
    suppressions: Suppressions
    account: Account
    events: Events


def _routes(parts: Parts) -> list[Route]:
    settings, line, reads = parts.settings, parts.line, parts.reads
    guard = Guard(Keys(settings.api_key), Proxies(settings.trusted_proxies), line)
    health = Health(parts.actor, line, reads, settings, simulated=parts.simulated)
    doors = _Doors(
        Messages(line, reads, settings.zone, parts.is_writer_alive),
        Recipients(line, reads, settings.zone),
        Topics(line, reads, health.facts),
        Steering(line, settings.zone),
        Export(line, reads, settings.zone),
        Suppressions(line, reads),
        Account(line, settings, health.lives),
        Events(line, reads),
    )
    return [
        *_mail_routes(guard, doors),
        *_topic_routes(guard, doors),
        *_list_routes(guard, doors),
        Route("/v1/events/open", doors.events.open),
        Route("/v1/events/counts/sent", guard(doors.events.sent)),
        Route("/v1/events/results", doors.events.results, methods=["POST"]),
        Route("/health", health.health),
        Route("/ready", health.ready),
    ]


def _mail_routes(guard: Guard, doors: _Doors) -> list[Route]:
    recipients, steering = doors.recipients, doors.steering
    return [
        KeyedRoute("/v1/messages", guard, GET=recipients.listed, POST=doors.messages.post),
        KeyedRoute("/v1/messages/{id}", guard, GET=recipients.one),
        KeyedRoute("/v1/messages/{id}/cancel", guard, POST=steering.cancel_mail),
        KeyedRoute("/v1/messages/{id}/resolve", guard, POST=steering.resolve_mail),
    ]


def _topic_routes(guard: Guard, doors: _Doors) -> list[Route]:
    """A topic's id may have `/` in it: what stands before the last word is the id."""
    topics, steering, export = doors.topics, doors.steering, doors.export
    of_topic: dict[str, Endpoint] = {
        "GET": topics.topic,
        "DELETE": steering.cancel,
        "PATCH": steering.reschedule,
    }
    return [
        KeyedRoute("/v1/topics", guard, GET=topics.listed),
        KeyedRoute("/v1/topics/{topic_id:path}/pause", guard, POST=steering.pause),
        KeyedRoute("/v1/topics/{topic_id:path}/resume", guard, POST=steering.resume),
        KeyedRoute("/v1/topics/{topic_id:path}/retry-failed", guard, POST=steering.retry_failed),
        KeyedRoute("/v1/topics/{topic_id:path}/recipients.csv", guard, GET=export.recipients),
        KeyedRoute("/v1/topics/{topic_id:path}", guard, **of_topic),
    ]


def _list_routes(guard: Guard, doors: _Doors) -> list[Route]:
    listed, account = doors.suppressions, doors.account
    of_all: dict[str, Endpoint] = {
        "GET": listed.listed,
        "POST": listed.add,
        "DELETE": listed.remove,
    }
    return [
        KeyedRoute("/v1/suppressions", guard, **of_all),
        KeyedRoute("/v1/suppressions.csv", guard, GET=doors.export.suppressions),
        KeyedRoute(
            "/v1/suppressions/{email:path}", guard, GET=listed.one, DELETE=listed.remove_one
        ),
        KeyedRoute("/v1/account", guard, GET=account.account, PATCH=account.change),
        KeyedRoute("/v1/account/resume", guard, POST=account.resume),
    ]


class KeyedRoute(Route):
    """A path behind the key; one route for all its methods, so that a 405 names every one."""

    def __init__(self, path: str, guard: Guard, **by_method: Endpoint) -> None:
        async def endpoint(request: Request) -> Response:
            # HEAD comes with GET.
            method = request.method if request.method in by_method else "GET"
            return await by_method[method](request)

        super().__init__(path, guard(endpoint), methods=list(by_method))


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
