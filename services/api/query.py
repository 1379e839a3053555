"""What stands in a URL: only parameters that a route knows, each once; and whom a path names."""

from starlette.requests import Request

from services.api import paging
from services.api.refusal import Fault, RefusalError, wrong
from shared.domain import RecipientId


def parameters(request: Request, *known: str) -> dict[str, str]:
    """Answer the query's parameters; one that is not known or comes twice is refused by name.

    A misspelled filter that is ignored would answer another question than the one asked.
    """
    found: dict[str, str] = {}
    faults = []
    if not request.scope["query_string"]:
        return found
    for name, value in request.query_params.multi_items():
        if name not in known:
            more = f"; it takes {', '.join(known)}" if known else ""
            faults.append(Fault("", f"{name[:100]!r} is no query parameter here{more}"))
        elif name in found:
            faults.append(Fault("", f"the query parameter {name} comes twice"))
        found[name] = value
    if faults:
        raise wrong(faults)
    return found


def named(request: Request, parameter: str) -> str:
    """Answer what a path names; nothing if there is a line break in it.

    The router cuts off one at the end: what is left would name something else.
    """
    path_has_break = "\n" in request.scope["path"]
    return "" if path_has_break else str(request.path_params[parameter])


def topic_of(request: Request, *known: str) -> str:
    """Answer which topic the path names, `/` in it included; `known` parameters may stand by."""
    parameters(request, *known)
    topic = named(request, "topic_id")
    if not topic:
        raise RefusalError(404, "not_found", "Name a topic: /v1/topics/{topic_id}.")
    return topic


def mail_of(request: Request, *known: str) -> RecipientId:
    """Answer which mail the path names; what is no number names none."""
    parameters(request, *known)
    found = paging.number(named(request, "id"), paging.LARGEST_CURSOR)
    if found is None:
        raise no_such_mail()
    return RecipientId(found)


def no_such_mail() -> RefusalError:
    """Say that an id is nobody's."""
    told = "There is no mail of this id; see GET /v1/messages, POST /v1/messages?return=ids."
    return RefusalError(404, "no_such_message", told)
