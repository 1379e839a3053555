"""Orders to the writer: read, carried out once for a key, and what its answers mean."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from starlette.requests import Request

from services.api import head, idempotency
from services.api.body import BodyRoom
from services.api.line import Line
from services.api.refusal import RefusalError, unavailable
from shared.domain import State
from shared.protocol import Order, OrderDone, OrderFailed, OrderRefused, TopicCancelled

_ROOM = 8 * 1024 * 1024
_LARGEST = 64 * 1024


class Done(NamedTuple):
    """A committed order: what it changed, what was through the gate already.

    `replayed`: another request with the same idempotency key had it done before.
    """

    changed: int
    in_flight: int = 0
    state: State | None = None
    replayed: bool = False


class Wish(NamedTuple):
    """What a request wants done: its body, and its idempotency key if it has one."""

    raw: bytes
    path: str
    key: bytes | None

    def order(self, part: int = 0) -> str:
        """Number an order of this request.

        With a key it is "KEY:BODY:NONCE", by which the writer knows a repeat and another body.
        """
        if self.key is None:
            return secrets.token_hex(16)
        sealed = idempotency.seal(self.key, f"{self.path}\0{part}", self.raw)
        return f"{sealed.key.hex()}:{sealed.body.hex()}:{secrets.token_hex(8)}"


class Wishes:
    """The requests that want something done: how large they may be, and one at a time a key."""

    def __init__(self, room: BodyRoom | None = None) -> None:
        self._room = room or BodyRoom(_ROOM, _LARGEST)
        self._running = idempotency.Running()

    @contextlib.asynccontextmanager
    async def take(self, request: Request) -> AsyncIterator[Wish]:
        """Read a request's body, and hold its key (of a POST) until it is answered."""
        path = request.scope["path"]
        given = head.values(request.scope, b"idempotency-key")
        key = idempotency.read(given) if request.method == "POST" else None
        async with self._room.body(request) as raw:
            sealed = None if key is None else idempotency.seal(key, path, raw)
            with self._running.hold(sealed):
                yield Wish(raw, path, key)


async def carry_out(line: Line, order: Order, told: Callable[[OrderRefused], RefusalError]) -> Done:
    """Have an order carried out, or raise: `told` words the writer's refusal."""
    answer = await line.order(order)
    match answer:
        case OrderDone():
            return Done(answer.changed, answer.in_flight, answer.state, answer.replayed)
        case TopicCancelled():
            return Done(answer.stopped, answer.in_flight)
        case OrderRefused(code="idempotency_mismatch"):
            raise idempotency.mismatch()
        case OrderRefused():
            raise told(answer)
        case OrderFailed():
            raise _failed(answer.code)
        case None:
            told_ = "The writer did not confirm; this may or may not have been done. Ask again."
            raise unavailable("not_confirmed", told_)


def impossible(answer: OrderRefused) -> RefusalError:
    """Word a refusal that nothing more is known of."""
    return RefusalError(409, answer.code, "This is not possible as things stand.")


def _failed(code: str) -> RefusalError:
    if code == "poisonous":
        told = "The writer could not do this, and will not another time; nothing was changed."
        return RefusalError(500, code, told)
    return unavailable(code, "This could not be done at present; nothing was changed.")
