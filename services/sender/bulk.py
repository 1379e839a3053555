"""Many mails as the body of one SendBulkEmail call: an inline template and its variables; pure.

The caller's text must arrive as it was written, also where it looks like a template. So the text
itself stands in the template once for all recipients, and every run of braces in it that holds
`{{` becomes a variable with that run as its value: values are not read again. Such a run takes in
neighbouring braces and backslashes, because `{{{`, `}}}` and a backslash before `{{` mean
something to Handlebars too; for the same reason those next to the pixel travel inside its value.
"""

import functools
import re
from typing import NamedTuple

import msgspec

from services.sender.render import (
    PIXEL_TAIL,
    Cut,
    Letterhead,
    headers_json,
    inner_json,
    set_json,
    tags_json,
)
from shared.protocol import Addressee, Headers

MAX_REQUEST = 1_000_000
"""Bytes of one request: the guide says 1 MB of JSON for an inline template, and not what counts."""

MAX_TEMPLATE_DATA = 262_144
"""Characters of one recipient's data (model of sesv2)."""

TOKEN_LENGTH = 32

_SPECIAL = "\\{}"
_RUN = re.compile(r"[\\{}]+")
_json = msgspec.json.Encoder().encode


class Form(NamedTuple):
    """A content as an inline template: its JSON, and what goes around each recipient's token."""

    template: bytes
    shared: dict[str, str]
    lead: str
    trail: str


def make_form(cut: Cut) -> Form:
    """Turn a content into a template of literal text and variables with plain names."""
    names: dict[str, str] = {}
    before, after = cut.before.rstrip(_SPECIAL), cut.after.lstrip(_SPECIAL)
    html = _guard(before, names) + "{{pixel}}" + _guard(after, names)
    template = {"Subject": _guard(cut.subject, names), "Html": html}
    return Form(
        template=_json(template),
        shared={name: run for run, name in names.items()},
        lead=cut.before[len(before) :],
        trail=cut.after[: len(cut.after) - len(after)],
    )


def _guard(text: str, names: dict[str, str]) -> str:
    def name_of(found: re.Match[str]) -> str:
        run = found[0]
        if "{{" not in run:
            return run
        name = names.setdefault(run, f"b{len(names)}")
        return "{{" + name + "}}"

    return _RUN.sub(name_of, text)


class Bulk(NamedTuple):
    """A content encoded for the bulk lane: a call is `start`, its entries, `end`.

    An entry's data is `own` with the recipient's token in the middle.
    """

    start: bytes
    own: tuple[bytes, bytes]
    end: bytes
    data_length: int


@functools.lru_cache(maxsize=8)
def prepare(head: Letterhead, cut: Cut, headers: Headers) -> Bulk:
    """Encode all that the calls of one content share."""
    form = make_form(cut)
    shared = _json(form.shared).decode()
    own_start = '{"pixel":"' + _inner(form.lead + head.pixel_head)
    own_end = _inner(PIXEL_TAIL + form.trail) + '"' + ("," + shared[1:] if form.shared else "}")
    return Bulk(
        start=b'{"FromEmailAddress":'
        + _json(head.sender)
        + b',"DefaultContent":{"Template":{"TemplateContent":'
        + form.template
        # Every recipient's own data is complete: how SES merges the two is not documented well.
        + b',"TemplateData":'
        + _json(shared)
        + headers_json(headers)
        + b'}},"BulkEmailEntries":[',
        own=(inner_json(own_start), inner_json(own_end)),
        end=b"]" + set_json(head.configuration_set) + b"}",
        data_length=len(own_start) + TOKEN_LENGTH + len(own_end),
    )


def _inner(text: str) -> str:
    return inner_json(text).decode()


def bulk_body(
    head: Letterhead, cut: Cut, addressees: tuple[Addressee, ...], headers: Headers
) -> bytes | None:
    """Make the body of a SendBulkEmail call; None where SES's limits of size forbid it."""
    bulk = prepare(head, cut, headers)
    if bulk.data_length > MAX_TEMPLATE_DATA:
        return None
    own_start, own_end = bulk.own
    entries = b",".join(
        b'{"Destination":{"ToAddresses":['
        + _json(one.email)
        + b']},"ReplacementTags":'
        + tags_json(head.install, one)
        + b',"ReplacementEmailContent":{"ReplacementTemplate":{"ReplacementTemplateData":"'
        + own_start
        + head.token(one.recipient).encode()
        + own_end
        + b'"}}}'
        for one in addressees
    )
    body = bulk.start + entries + bulk.end
    return body if len(body) <= MAX_REQUEST else None
