"""The whole way of a post: HTTP at the API, `results` behind it, and a writer that may be any."""

import json
from collections.abc import Callable
from typing import Any

from shared.protocol import (
    CheckPost,
    ConfirmTopic,
    EventPost,
    EventsRecorded,
    Message,
    PostChecked,
    RecordEvents,
    TopicConfirmed,
)
from tests.unit.api.rig import Rig, answer
from tests.unit.results.rig import Desk

Writer = Callable[[RecordEvents], Message | None]


def well(message: RecordEvents) -> Message:
    """Answer as a writer does that has committed."""
    return EventsRecorded(message.epoch, tuple(post.post for post in message.posts))


class Webhook:
    """An API whose posts go to a `results` actor, a second of its time at each asking."""

    def __init__(self, sns: Any, writer: Writer = well, **settings: Any) -> None:
        self.sns = sns
        self.desk = Desk(sns, **settings)
        self.writer = writer
        self.served: dict[str, str] | None = {}
        self.recorded: list[EventPost] = []
        self.confirmed: list[str] = []
        self.rig = Rig()
        self.rig.answer = self._pass_on

    def post(self, fields: Any, header: str | None = None, **headers: str) -> Any:
        """Post as SNS does; `fields` of bytes go as they are, an empty header is left out."""
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        if header is None:
            header = fields["Type"] if isinstance(fields, dict) else "Notification"
        if header:
            headers["x-amz-sns-message-type"] = header
        return self.rig.client.post("/v1/events/results", content=body, headers=headers)

    @property
    def notes(self) -> list[str]:
        """What was recorded of posts without an event."""
        return [post.note for post in self.recorded if post.note]

    @property
    def has_done_nothing(self) -> bool:
        """Tell whether nothing was written, confirmed or fetched so far."""
        return not (self.recorded or self.confirmed or self.desk.fetch.asked)

    def _pass_on(self, message: Message) -> Message | None:
        if not isinstance(message, CheckPost):
            return answer(message)
        letters = self.desk.wait(1.0, message)
        if self.desk.fetch.asked and self.served is not None:
            letters += self.desk.serve(**self.served)
        for letter in list(letters):
            said = self._answer(letter.message)
            letters += self.desk.turn(said) if said is not None else []
        told = [one.message for one in letters if isinstance(one.message, PostChecked)]
        return told[-1] if told else None

    def _answer(self, message: Message) -> Message | None:
        if isinstance(message, RecordEvents):
            self.recorded += message.posts
            return self.writer(message)
        if isinstance(message, ConfirmTopic):
            self.confirmed.append(message.topic_arn)
            return TopicConfirmed(message.post)
        return None
