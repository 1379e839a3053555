"""Steering: topics and single mails are paused, resumed, cancelled, tried again, settled."""

import secrets
from collections.abc import Callable
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from services.api import ordered, schedule, shape
from services.api.body import require_json
from services.api.line import Line
from services.api.ordered import Done, Wishes
from services.api.query import mail_of, no_such_mail, topic_of
from services.api.refusal import Fault, RefusalError, wrong
from services.api.replies import moment, replay_header, reply
from services.api.submission import control_fault
from shared.domain import State
from shared.protocol import (
    CancelMail,
    CancelTopic,
    Order,
    OrderRefused,
    PauseTopic,
    RescheduleTopic,
    ResolveMail,
    ResumeTopic,
    RetryFailed,
)

LONGEST_REASON = 500
_ENDED = {
    State.SENT: "SES has it, and nothing calls it back",
    State.FAILED: "it is not tried again, unless its topic's retry-failed says so",
    State.SUPPRESSED: "its address is on the suppression list, and it is not sent",
}


class PauseBody(Struct, forbid_unknown_fields=True):
    """Why a topic is paused, for whoever looks at it later."""

    reason: str | None = None


class RescheduleBody(Struct, forbid_unknown_fields=True):
    """When what waits is to leave; null: now."""

    scheduled_at: str | None


class ResolveBody(Struct, forbid_unknown_fields=True):
    """What an Unknown mail is taken for."""

    outcome: str


_pause = msgspec.json.Decoder(PauseBody)
_reschedule = msgspec.json.Decoder(RescheduleBody)
_resolve = msgspec.json.Decoder(ResolveBody)


class Steering:
    """Hands orders over topics and mails to the writer."""

    def __init__(self, line: Line, zone: ZoneInfo) -> None:
        self._line = line
        self._zone = zone
        self._wishes = Wishes()

    async def pause(self, request: Request) -> Response:
        """Let nothing of a topic go, posts to come included."""
        topic = topic_of(request)
        async with self._wishes.take(request) as wish:
            reason = _reason(_optional(request, wish.raw, _pause))
            order = PauseTopic("api", wish.order(), topic, reason)
            done = await self._steer(topic, order)
        body = {"topic_id": topic, "state": "paused", "waiting": done.changed}
        return _ok({**body, "in_flight": done.in_flight}, done)

    async def resume(self, request: Request) -> Response:
        """Let a paused topic go on."""
        topic = topic_of(request)
        async with self._wishes.take(request) as wish:
            _optional(request, wish.raw, shape.empty)
            done = await self._steer(topic, ResumeTopic("api", wish.order(), topic))
        return _ok({"topic_id": topic, "waiting": done.changed}, done)

    async def retry_failed(self, request: Request) -> Response:
        """Put a topic's Failed recipients back into the queue."""
        topic = topic_of(request)
        async with self._wishes.take(request) as wish:
            _optional(request, wish.raw, shape.empty)
            done = await self._steer(topic, RetryFailed("api", wish.order(), topic))
        return _ok({"retried": done.changed}, done)

    async def reschedule(self, request: Request) -> Response:
        """Give what has not left of a topic another due time."""
        topic = topic_of(request)
        async with self._wishes.take(request) as wish:
            require_json(request.scope)
            due = self._due(shape.read(wish.raw, _reschedule).scheduled_at)
            done = await self._steer(topic, RescheduleTopic("api", wish.order(), topic, due))
        body = {"rescheduled": done.changed, "in_flight": done.in_flight}
        return _ok({**body, **moment("scheduled_at", due, self._zone)}, done)

    async def cancel(self, request: Request) -> Response:
        """Stop what was accepted for a topic before now."""
        topic = topic_of(request)
        done = await self._steer(topic, CancelTopic("api", secrets.token_hex(16), topic))
        return reply({"status": "ok", "stopped": done.changed, "in_flight": done.in_flight})

    async def cancel_mail(self, request: Request) -> Response:
        """Do not send one recipient's mail."""
        mail = mail_of(request)
        async with self._wishes.take(request) as wish:
            _optional(request, wish.raw, shape.empty)
            done = await self._settle(CancelMail("api", wish.order(), mail), _not_cancelled)
        return _ok({"id": mail, "state": _word(done, State.STOPPED)}, done)

    async def resolve_mail(self, request: Request) -> Response:
        """Settle an Unknown mail: take it for sent, or send it again."""
        mail = mail_of(request)
        async with self._wishes.take(request) as wish:
            require_json(request.scope)
            outcome = shape.read(wish.raw, _resolve).outcome
            if outcome not in {"sent", "resend"}:
                raise wrong([Fault("/outcome", "must be sent or resend")])
            is_resend = outcome == "resend"
            order = ResolveMail("api", wish.order(), mail, is_resend)
            done = await self._settle(order, _not_resolved)
        state = State.CREATED if is_resend else State.SENT
        return _ok({"id": mail, "state": _word(done, state)}, done)

    async def _steer(self, topic: str, order: Order) -> Done:
        def told(answer: OrderRefused) -> RefusalError:
            if answer.code != "no_such_topic":
                return ordered.impossible(answer)
            sentence = f"There is no topic {topic[:300]!r}: no mail was ever posted to it."
            return RefusalError(404, answer.code, sentence)

        return await ordered.carry_out(self._line, order, told)

    async def _settle(self, order: Order, told: Callable[[State, str], str]) -> Done:
        def refused(answer: OrderRefused) -> RefusalError:
            if answer.code == "no_such_message":
                return no_such_mail()
            if answer.state is None:
                return ordered.impossible(answer)
            refusal = RefusalError(409, answer.code, told(answer.state, answer.code))
            refusal.more = {"state": answer.state.word}
            return refusal

        return await ordered.carry_out(self._line, order, refused)

    def _due(self, text: str | None) -> int | None:
        try:
            return schedule.read(text, self._zone, self._line.now().ms)
        except ValueError as error:
            raise wrong([Fault("/scheduled_at", str(error))]) from None


def _optional(
    request: Request, raw: bytes, decoder: msgspec.json.Decoder[shape.B]
) -> shape.B | None:
    """Decode a body that may be left out."""
    if not raw.strip():
        return None
    require_json(request.scope)
    return shape.read(raw, decoder)


def _reason(body: PauseBody | None) -> str:
    reason = "" if body is None or body.reason is None else body.reason
    fault = control_fault(reason)
    if len(reason) > LONGEST_REASON:
        fault = f"must have at most {LONGEST_REASON} characters"
    if fault:
        raise wrong([Fault("/reason", fault)])
    return reason


def _word(done: Done, otherwise: State) -> str:
    return (otherwise if done.state is None else done.state).word


def _ok(body: dict[str, object], done: Done) -> Response:
    return reply({"status": "ok", **body}, headers=replay_header(replayed=done.replayed))


def _not_cancelled(state: State, code: str) -> str:
    if code == "in_flight":
        return (
            "This mail is being handed to SES right now and cannot be stopped any more;"
            " GET /v1/messages/{id} tells in a moment what became of it."
        )
    return f"This mail is {state.word}: {_ENDED.get(state, 'there is nothing left to cancel')}."


def _not_resolved(state: State, code: str) -> str:
    if code == "cancelled":
        return (
            "This mail was cancelled while SES's answer was lost: it is not sent again."
            ' It can be taken for sent: {"outcome":"sent"}; to mail the address, post it anew.'
        )
    return f"This mail is {state.word}, not Unknown: no answer of SES is missing for it."
