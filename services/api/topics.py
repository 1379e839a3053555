"""/v1/topics/{topic_id}: how far a topic is, and stopping it."""

import secrets
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from services.api import ordered
from services.api.line import Line
from services.api.reads import Reads
from services.api.refusal import RefusalError
from services.api.replies import reply
from shared.domain import State
from shared.protocol import CancelTopic, OrderRefused


class Topics:
    """Answers for topics; their ids are whatever the caller chose, `/` included."""

    def __init__(self, line: Line, reads: Reads, notes: Callable[[], Sequence[str]]) -> None:
        self._line = line
        self._reads = reads
        self._notes = notes

    async def topic(self, request: Request) -> Response:
        """Go by the method: GET counts, DELETE stops."""
        topic = request.path_params["topic_id"]
        if not topic:
            raise RefusalError(404, "not_found", "Name a topic: /v1/topics/{topic_id}.")
        if request.method == "DELETE":
            return await self._cancel(topic)
        return await self._count(topic)

    async def _count(self, topic: str) -> Response:
        counts = await self._reads.topic(topic)
        return reply(
            {
                "topic_id": topic,
                "request_counts": {
                    state.word: counts.requests.get(state.word, 0) for state in State
                },
                "result_counts": dict(counts.results),
                "notes": list(self._notes()),
            }
        )

    async def _cancel(self, topic: str) -> Response:
        order = CancelTopic("api", secrets.token_hex(16), topic)
        done = await ordered.carry_out(self._line, order, refused)
        return reply({"status": "ok", "stopped": done.changed, "in_flight": done.in_flight})


def refused(answer: OrderRefused) -> RefusalError:
    """Say why a topic cannot be steered so."""
    return RefusalError(409, answer.code, "This topic cannot be changed so.")
