"""What goes back over HTTP, and how."""

from typing import Any, Final, Literal

import msgspec

from services.simulator.errors import RefusalError
from services.simulator.faults import Rule
from services.simulator.parcels import Mail

JSON: Final = "application/json"
XML: Final = "text/xml"
encode: Final = msgspec.json.Encoder().encode

Manner = Literal["answer", "close", "hang", "truncate", "slow_drip"]


class Reply(msgspec.Struct):
    """An answer, and the mails whose events are told when it goes out."""

    status: int
    body: bytes
    code: str | None = None  # goes into x-amzn-ErrorType
    content_type: str = JSON
    manner: Manner = "answer"
    drip_s: float = 0.0
    mails: list[Mail] = []
    late: bool = True  # false: the latency of SES is not added


def told(document: Any) -> Reply:
    """Answer 200 with a JSON document."""
    return Reply(200, encode(document))


def refused(refusal: RefusalError) -> Reply:
    """Answer the way SES refuses."""
    return Reply(refusal.status, encode({"message": refusal.message}), refusal.code)


def refusal_of(rule: Rule) -> RefusalError:
    """Give the refusal a fault rule answers with."""
    if rule.do == "throttle":
        return RefusalError("TooManyRequestsException", "Maximum sending rate exceeded.")
    return RefusalError(rule.code, rule.message, rule.status)


def instead(rule: Rule) -> Reply:
    """Answer a call that a rule keeps from happening."""
    reply = refused(refusal_of(rule))
    if rule.do == "hang":
        reply.manner = "hang"
    elif rule.do == "close":
        reply.manner = "close"
    return reply


def spoiled(reply: Reply, rule: Rule) -> Reply:
    """Do to a call's answer what a rule asks; what was accepted stays accepted."""
    if rule.do == "accept_500":
        reply.status, reply.code = 500, "InternalFailure"
        reply.body = encode({"message": "We encountered an internal error. Please try again."})
    elif rule.do == "accept_close":
        reply.manner = "close"
    elif rule.do == "accept_hang":
        reply.manner = "hang"
    elif rule.do == "truncate":
        reply.manner = "truncate"
    elif rule.do == "slow_drip":
        reply.manner, reply.drip_s = "slow_drip", rule.drip_s
    else:
        _cut_content(reply, rule.do)
    return reply


def _cut_content(reply: Reply, do: str) -> None:
    document = msgspec.json.decode(reply.body)
    if not isinstance(document, dict):
        return
    entries = document.get("BulkEmailEntryResults")
    if do == "no_message_id":
        document.pop("MessageId", None)
        for entry in entries or []:
            entry.pop("MessageId", None)
    elif do == "short_entries" and entries:
        entries.pop()
    reply.body = encode(document)
