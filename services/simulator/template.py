"""Inline templates as SES renders them: plain substitution, no escaping, values not re-read."""

import functools
import json
import re
from typing import Any, Final

import msgspec

from services.simulator.errors import UNREADABLE, bad_request
from services.simulator.shapes import TemplateContent

# SES fills these in itself; they are no variables of the caller.
_RESERVED: Final = frozenset({"ses:openTracker", "amazonSESUnsubscribeUrl"})
_SPAN = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
# Nested and snake_case names are reported to be refused in inline templates
# (aws-sdk-js-v3 #6657), so the stand-in is strict where SES may be.
_NAME = re.compile(r"[A-Za-z0-9]+")


class MissingError(Exception):
    """A variable the template names and the data has not: a Rendering Failure event."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Attribute '{name}' is not present in the rendering data.")


class Pieces(msgspec.Struct, frozen=True):
    """A parsed part: literal texts, with a variable's name between each two."""

    literals: tuple[str, ...]
    names: tuple[str, ...]


class Rendered(msgspec.Struct, frozen=True):
    """A mail's parts as the recipient would see them."""

    subject: str = ""
    html: str | None = None
    text: str | None = None


class Parsed(msgspec.Struct, frozen=True):
    """A template whose parts are ready to render."""

    subject: Pieces
    html: Pieces | None
    text: Pieces | None


def pieces_of(source: str) -> Pieces:
    """Parse one part, or refuse what an inline template cannot do."""
    literals: list[str] = []
    names: list[str] = []
    start, literal = 0, ""
    for span in _SPAN.finditer(source):
        name = span.group(1).strip()
        literal += source[start : span.start()]
        start = span.end()
        if name in _RESERVED:
            literal += span.group(0)
            continue
        if not _NAME.fullmatch(name) or name in ("else", "this"):
            msg = "Template contains unsupported operations."
            raise bad_request(msg)
        literals.append(literal)
        names.append(name)
        literal = ""
    rest = source[start:]
    if "{{" in rest:
        msg = "Template is malformed: '{{' is never closed."
        raise bad_request(msg)
    return Pieces((*literals, literal + rest), tuple(names))


@functools.lru_cache(maxsize=64)
def parse(content: TemplateContent) -> Parsed:
    """Parse a whole inline template; a campaign's thousand calls parse it once."""
    if not (content.subject and (content.text or content.html)):
        msg = "Template content needs a subject and a text or an HTML part."
        raise bad_request(msg)
    return Parsed(
        pieces_of(content.subject),
        pieces_of(content.html) if content.html else None,
        pieces_of(content.text) if content.text else None,
    )


def read_data(source: str | None) -> dict[str, Any]:
    """Read template data, which must be a JSON object in a string."""
    if not source:
        return {}
    try:
        data = msgspec.json.decode(source)
    except UNREADABLE:
        data = None
    if not isinstance(data, dict):
        msg = "Template data is not a valid JSON object."
        raise bad_request(msg)
    return data


def merged(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Lay a recipient's data over the shared data, key by key, objects recursively."""
    if not own:
        return shared
    both = dict(shared)
    for key, given in own.items():
        value = given
        below = both.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merged(below, value)
        both[key] = value
    return both


def _filled(part: Pieces, data: dict[str, Any]) -> str:
    out = [part.literals[0]]
    for name, literal in zip(part.names, part.literals[1:], strict=True):
        if name not in data:
            raise MissingError(name)
        value = data[name]
        out.append(value if isinstance(value, str) else _word(value))
        out.append(literal)
    return "".join(out)


def _word(value: object) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def render(parsed: Parsed, data: dict[str, Any]) -> Rendered:
    """Fill in a template, or raise MissingError with the first missing variable."""
    return Rendered(
        _filled(parsed.subject, data),
        None if parsed.html is None else _filled(parsed.html, data),
        None if parsed.text is None else _filled(parsed.text, data),
    )
