"""Takes every request and decides its answer; the front only carries."""

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

import msgspec

from services.simulator import calls, sends, sigv4, sns_query
from services.simulator.control import Control
from services.simulator.dice import uuid_of
from services.simulator.errors import RefusalError
from services.simulator.faults import INSTEAD, Rule
from services.simulator.parcels import Routes, ToCourier
from services.simulator.reply import (
    XML,
    Reply,
    instead,
    refusal_of,
    refused,
    spoiled,
    told,
)
from services.simulator.sends import World
from services.simulator.sns import Sns

_SINGLE: Final = "/v2/email/outbound-emails"
_BULK: Final = "/v2/email/outbound-bulk-emails"
_CONTROL: Final = "/_simulator/"
_PUBLIC: Final = frozenset({"ConfirmSubscription", "Unsubscribe"})


class Request(msgspec.Struct):
    """A whole request, stamped when its last byte had been read."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    arrived_ns: int


class Desk:
    """Knows which part of the stand-in answers which request."""

    def __init__(self, world: World, sns: Sns, control: Control, secret: str | None) -> None:
        self._world = world
        self._sns = sns
        self._control = control
        self._secret = secret
        self.parcels: list[ToCourier] = []
        self._routes = Routes({}, {})
        self.certificate: tuple[str, bytes] = ("", b"")
        self.changed: Callable[[], None] = lambda: None

    def take(self, request: Request) -> Reply:
        """Answer a request; parcels for the courier are collected beside it."""
        if request.url == _SINGLE and request.method == "POST":
            return self._guarded(request) or sends.single(
                self._world, request.body, request.arrived_ns
            )
        if request.url == _BULK and request.method == "POST":
            return self._guarded(request) or sends.bulk(
                self._world, request.body, request.arrived_ns
            )
        path, _, query = request.url.partition("?")
        if path.startswith(_CONTROL):
            return self._control.take(request.method, path, query, request.body)
        if path == self.certificate[0]:
            return Reply(200, self.certificate[1], content_type="binary/octet-stream", late=False)
        if path == "/":
            return self._sns_call(request, query)
        return self._ses_call(request, path, query)

    def announce(self) -> None:
        """Tell the courier where events go, if that has changed, then what SNS posts."""
        routes = Routes(self._sns.routes(), self._world.sets.routes())
        if routes != self._routes:
            self._routes = routes
            self.parcels.append(routes)
        self.parcels += self._sns.parcels
        self._sns.parcels.clear()
        self.changed()

    def _ses_call(self, request: Request, path: str, query: str) -> Reply:
        found = calls.find(request.method, path)
        if found is None:
            code, msg = "UnknownOperationException", "The simulator does not know this operation."
            return refused(RefusalError(code, msg, 404))
        rule = self._world.faults.for_call(found.name, [unquote(path)], request.arrived_ns)
        guarded = self._guarded(request)
        if guarded is not None:
            return guarded
        if rule is not None and rule.do in INSTEAD:
            return instead(rule)
        call = calls.Call(
            self._world,
            self._sns,
            request.arrived_ns,
            found.parts,
            calls.query_of(query),
            request.body,
        )
        try:
            reply = told(found.operation(call))
        except RefusalError as refusal:
            return refused(refusal)
        if request.method != "GET":
            self.announce()
        return reply if rule is None else spoiled(reply, rule)

    def _sns_call(self, request: Request, query: str) -> Reply:
        form = sns_query.form_of(query.encode(), request.body)
        action = form.get("Action", "")
        request_id = uuid_of(self._world.dice)
        rule = self._world.faults.for_call(action, list(form.values()), request.arrived_ns)
        public = action in _PUBLIC and request.method == "GET"
        problem = None if public else self._problem(request)
        if problem is not None:
            return _sns_refused(problem, request_id)
        if rule is not None and rule.do in INSTEAD:
            return _sns_instead(rule, request_id)
        try:
            inner = sns_query.perform(self._sns, form)
        except RefusalError as refusal:
            return _sns_refused(refusal, request_id)
        self.announce()
        reply = Reply(200, sns_query.answer_xml(action, inner, request_id), content_type=XML)
        return reply if rule is None else _sns_spoiled(reply, rule, request_id)

    def _guarded(self, request: Request) -> Reply | None:
        problem = self._problem(request)
        return None if problem is None else refused(problem)

    def _problem(self, request: Request) -> RefusalError | None:
        """Refuse a call that is not signed; look into the signature only if told to."""
        if "authorization" not in request.headers:
            code, msg = "MissingAuthenticationTokenException", "Missing Authentication Token"
            return RefusalError(code, msg)
        if self._secret is None:
            return None
        line = (request.method, request.url)
        found = sigv4.problem_of(self._secret, line, request.headers, request.body)
        return None if found is None else RefusalError("InvalidSignatureException", found)


# The query protocol has its own words for the two refusals of a signature.
_SNS_CODES: Final = {
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "InvalidSignatureException": "SignatureDoesNotMatch",
}


def _sns_refused(refusal: RefusalError, request_id: str) -> Reply:
    code = _SNS_CODES.get(refusal.code, refusal.code)
    worded = RefusalError(code, refusal.message, refusal.status)
    body = sns_query.refusal_xml(worded, request_id)
    return Reply(refusal.status, body, content_type=XML)


def _sns_instead(rule: Rule, request_id: str) -> Reply:
    refusal = refusal_of(rule)
    if rule.do == "throttle":
        refusal = RefusalError("Throttling", "Rate exceeded")
    reply = _sns_refused(refusal, request_id)
    reply.manner = instead(rule).manner
    return reply


def _sns_spoiled(reply: Reply, rule: Rule, request_id: str) -> Reply:
    if rule.do in ("no_message_id", "short_entries"):
        return reply
    if rule.do == "accept_500":
        failure = RefusalError("InternalFailure", "We encountered an internal error.")
        return _sns_refused(failure, request_id)
    return spoiled(reply, rule)
