"""/v1/messages, read: who was mailed, and what became of each one's mail."""

from collections.abc import Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from services.api import address, history, paging
from services.api.line import Line
from services.api.paging import Paging
from services.api.query import mail_of, no_such_mail, parameters
from services.api.reads import Reads
from services.api.refusal import Fault, wrong
from services.api.replies import reply
from shared.domain import FEEDBACK_WORDS, SEEN_BITS, Feedback, State
from shared.store.listing import NEWEST, Page, Wanted
from shared.store.read import TopicFacts

BUDGET_S = 1.0
"""How long a request looks for more; then it answers what it has, and where to go on."""

_STATES = {state.word: state for state in State}
_KINDS = {word: kind for kind, word in FEEDBACK_WORDS.items()}


class Filter(NamedTuple):
    """What a query asks for."""

    topic: str | None = None
    state: State | None = None
    kind: Feedback | None = None
    email: str | None = None

    def within(self, topic: TopicFacts | None) -> Wanted | None:
        """Answer what to look for, None where a topic's counters say that nobody fits."""
        seen = 0 if self.kind is None else SEEN_BITS[self.kind]
        if topic is None:
            return Wanted(None, self.state, seen, self.email)
        is_none = (
            not topic.id
            or (self.state is not None and not topic.requests[self.state.word])
            or (self.kind is not None and not topic.results.get(self.kind.word))
        )
        return None if is_none else Wanted(topic.id, self.state, seen, self.email)


class Recipients:
    """Lists recipients by page, and tells one's history."""

    def __init__(self, line: Line, reads: Reads, zone: ZoneInfo) -> None:
        self._line = line
        self._reads = reads
        self._zone = zone

    async def listed(self, request: Request) -> Response:
        """List recipients, newest first; a page may be short while `next` says where to go on."""
        given = parameters(request, "topic_id", "status", "result", "email", *paging.PARAMETERS)
        faults: list[Fault] = []
        place = paging.read(given, faults)
        asked = read_filter(given, faults)
        if faults:
            raise wrong(faults)
        topic = None if asked.topic is None else await self._reads.topic(asked.topic)
        wanted = asked.within(topic)
        page = Page([], None) if wanted is None else await self._walk(wanted, place)
        messages = [history.told(one, self._zone) for one in page.recipients]
        return reply({"messages": messages, "next": page.next})

    async def one(self, request: Request) -> Response:
        """Tell all that is known of one recipient's mail."""
        story = await self._reads.story(mail_of(request))
        if story is None:
            raise no_such_mail()
        waits = history.waits(story, self._line.now())
        told = history.told(story.recipient, self._zone)
        return reply(
            {
                **told,
                "subject": story.place.subject,
                "waits": [wait._asdict() for wait in waits],
                "history": history.history(story),
            }
        )

    async def _walk(self, wanted: Wanted, place: Paging) -> Page:
        until = self._line.now().mono + BUDGET_S
        page = Page([], place.after or NEWEST)
        while page.next is not None and len(page.recipients) < place.limit:
            found, page_end = await self._reads.down(
                wanted, page.next, place.limit - len(page.recipients)
            )
            page = Page(page.recipients + found, page_end if page_end != 1 else None)
            if self._line.now().mono >= until:
                break
        return page


def read_filter(given: Mapping[str, str], faults: list[Fault]) -> Filter:
    """Read what a query asks for; what is wrong is added to the faults."""
    if given.get("topic_id") == "":
        faults.append(Fault("", "topic_id must not be empty: leave it out to ask for all"))
    state = _STATES.get(given.get("status", ""))
    if "status" in given and state is None:
        faults.append(Fault("", f"status must be one of {', '.join(_STATES)}"))
    kind = _KINDS.get(given.get("result", ""))
    if "result" in given and kind is None:
        faults.append(Fault("", f"result must be one of {', '.join(_KINDS)}"))
    email = given.get("email")
    if email is not None:
        try:
            email = address.normalize(email)
        except ValueError as error:
            faults.append(Fault("", f"email is no address: {error}"))
    return Filter(given.get("topic_id"), state, kind, email)
