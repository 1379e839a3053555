"""/v1/topics/{topic_id}: how far a topic is, and stopping it."""

import secrets
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from services.api.line import Line
from services.api.reads import Reads
from services.api.refusal import RefusalError, unavailable
from services.api.replies import reply
from shared.domain import State
from shared.protocol import CancelTopic, OrderFailed


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
        answer = await self._line.cancel(CancelTopic("api", secrets.token_hex(16), topic))
        if answer is None:
            told = "The writer did not confirm; the topic may or may not be stopped. Ask again."
            raise unavailable("not_confirmed", told)
        if isinstance(answer, OrderFailed):
            raise unavailable(answer.code, "The topic could not be stopped; nothing was changed.")
        return reply({"status": "ok", "stopped": answer.stopped, "in_flight": answer.in_flight})
