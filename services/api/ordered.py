"""Orders to the writer, and what its answers mean to the caller."""

from collections.abc import Callable
from typing import NamedTuple

from services.api.line import Line
from services.api.refusal import RefusalError, unavailable
from shared.domain import State
from shared.protocol import Order, OrderDone, OrderFailed, OrderRefused, TopicCancelled


class Done(NamedTuple):
    """A committed order: what it changed, what was through the gate already."""

    changed: int
    in_flight: int = 0
    state: State | None = None


async def carry_out(line: Line, order: Order, told: Callable[[OrderRefused], RefusalError]) -> Done:
    """Have an order carried out, or raise: `told` words the writer's refusal."""
    answer = await line.order(order)
    match answer:
        case OrderDone():
            return Done(answer.changed, answer.in_flight, answer.state)
        case TopicCancelled():
            return Done(answer.stopped, answer.in_flight)
        case OrderRefused():
            raise told(answer)
        case OrderFailed():
            raise unavailable(
                answer.code, "This could not be done at present; nothing was changed."
            )
        case None:
            told_ = "The writer did not confirm; this may or may not have been done. Ask again."
            raise unavailable("not_confirmed", told_)
