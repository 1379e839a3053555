"""The JSON of a body: decoded straight into structs, or refused by name and place."""

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from services.api.refusal import Fault, RefusalError, pointer, wrong


class MailBody(Struct, forbid_unknown_fields=True):
    """One subject and content for many addresses, as the caller wrote it."""

    emails: list[str]
    subject: str
    content: str
    topic_id: str | None = None
    headers: dict[str, str] | None = None
    priority: str | None = None


class SubmissionBody(Struct, forbid_unknown_fields=True):
    """The body of POST /v1/messages. Of a field that is there twice the last one counts."""

    messages: list[MailBody]
    scheduled_at: str | None = None
    expires_at: str | None = None


class EmptyBody(Struct, forbid_unknown_fields=True):
    """Nothing: the path has said it all."""


B = TypeVar("B", bound=Struct)

_decoder = msgspec.json.Decoder(SubmissionBody)
empty = msgspec.json.Decoder(EmptyBody)
_grammar = msgspec.json.Decoder(msgspec.Raw)

_PLACED = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_STEP = re.compile(r"\[([0-9]+)\]|\.([A-Za-z_]+)")
_NAMED = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
_TYPES = re.compile(r"Expected `(.*)`, got `(.*)`")
_WORDS = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def decode(raw: bytes) -> SubmissionBody:
    """Decode the body of a submission."""
    return read(raw, _decoder)


def read(raw: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    """Decode a body; what is no JSON is a 400, JSON of another shape a 422."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        _require_json(raw, str(error))
        raise wrong([_fault(str(error))], "wrong_shape") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error) from None


def _require_json(raw: bytes, found: str) -> None:
    """Look at the rest: the decoder stops at the first wrong shape, broken JSON may follow."""
    try:
        raw.decode()
        _grammar.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error) from None
    if found.startswith("Number out of range"):
        raise RefusalError(400, "not_json", "The body has a number that is out of range.")


def _not_json(error: Exception) -> RefusalError:
    reasons = {UnicodeDecodeError: "it is not UTF-8", RecursionError: "it is nested too deeply"}
    reason = reasons.get(type(error)) or str(error).removeprefix("JSON is malformed: ")
    return RefusalError(400, "not_json", f"The body is not JSON: {reason}.")


def _fault(sentence: str) -> Fault:
    """Turn msgspec's sentence and path into ours: `$.messages[0].subject` → /messages/0/subject."""
    what, path = _split(sentence)
    if named := _NAMED.fullmatch(what):
        unknown = named[1] == "contains unknown"
        message = "is no field of this API" if unknown else "is missing"
        return Fault(pointer(*path, named[2]), message)
    if types := _TYPES.fullmatch(what):
        message = f"must be {_in_words(types[1])}, not {_in_words(types[2])}"
        return Fault(pointer(*path), message)
    return Fault(pointer(*path), what.replace("`", ""))


def _split(sentence: str) -> tuple[str, Sequence[str]]:
    found = _PLACED.fullmatch(sentence)
    if found is None or found[2] is None:
        return sentence, ()
    # A key of `headers` is not told: its value is then named by the object it stands in.
    return found[1], [step[1] or step[2] for step in _STEP.finditer(found[2])]


def _in_words(types: str) -> str:
    return " or ".join(_WORDS.get(word, word) for word in types.split(" | "))
