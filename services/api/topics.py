"""/v1/topics, read: how far a topic is, when it will be done, why its mail waits."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.api import paging, progress
from services.api.history import stamp
from services.api.line import Line
from services.api.progress import Facts
from services.api.query import parameters, topic_of
from services.api.reads import Reads
from services.api.refusal import Fault, wrong
from services.api.replies import reply
from shared.clock import Now
from shared.domain import State
from shared.store.listing import NEWEST
from shared.store.read import TopicFacts


class Topics:
    """Answers for topics; their ids are whatever the caller chose, `/` included."""

    def __init__(self, line: Line, reads: Reads, facts: Callable[[], Facts]) -> None:
        self._line = line
        self._reads = reads
        self._facts = facts

    async def topic(self, request: Request) -> Response:
        """Tell how far a topic is; an unknown one has zeros."""
        name = topic_of(request)
        topic = await self._reads.topic(name)
        return reply(report(topic, self._facts()))

    async def listed(self, request: Request) -> Response:
        """List topics, newest first."""
        faults: list[Fault] = []
        place = paging.read(parameters(request, *paging.PARAMETERS), faults)
        if faults:
            raise wrong(faults)
        topics = await self._reads.topics(place.after or NEWEST, place.limit)
        now = self._line.now()
        is_last = len(topics) < place.limit
        return reply(
            {
                # Mail without a topic_id shares a row of its own, which is there from the start.
                "topics": [
                    summary(topic, now)
                    for topic in topics
                    if topic.name is not None or progress.total(topic)
                ],
                "next": None if is_last or topics[-1].id == 1 else topics[-1].id,
            }
        )


def summary(topic: TopicFacts, now: Now) -> dict[str, Any]:
    """Tell the little that a list tells of a topic; `topic_id` is null for mail without one."""
    return {
        "topic_id": topic.name,
        "state": progress.state(topic, now),
        "total": progress.total(topic),
        "remaining": progress.remaining(topic),
        "created_at": stamp(topic.created_at),
        "last_sent_at": stamp(topic.last_sent_at),
        "request_counts": _requests(topic),
    }


def report(topic: TopicFacts, facts: Facts) -> dict[str, Any]:
    """Tell how far a topic is, when it will be done, and why its mail waits."""
    eta = progress.eta(topic, facts)
    paused = None
    if topic.paused_at is not None:
        paused = {"reason": topic.pause_reason, "since": stamp(topic.paused_at)}
    return {
        **summary(topic, facts.now),
        "result_counts": dict(topic.results),
        "notes": list(facts.notes),
        "waits": [wait._asdict() for wait in progress.waits(topic, facts)],
        "rate_now": progress.rate_now(topic, facts.now),
        "eta": stamp(eta),
        "eta_s": None if eta is None else max(0, -((facts.now.ms - eta) // 1000)),
        "first_sent_at": stamp(topic.first_sent_at),
        "next_due_at": stamp(progress.next_due(topic)),
        "paused": paused,
        "cancelled_at": stamp(topic.cancelled_at),
    }


def _requests(topic: TopicFacts) -> dict[str, int]:
    return {state.word: topic.requests.get(state.word, 0) for state in State}
