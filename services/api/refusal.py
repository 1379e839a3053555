"""A request that is refused: what the caller is told, and where in the body the trouble lies."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shared.errors import SesSenderError

MAX_FAULTS = 100
"""More faults than this are not listed: the caller has a pattern to look at by then."""


class Fault(NamedTuple):
    """One thing that is wrong; `pointer` is a JSON pointer (RFC 6901) into the body."""

    pointer: str
    message: str


class RefusalError(SesSenderError):
    """A request that is answered with an error: status, code word, one sentence, the faults.

    `more` are further fields of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.faults = tuple(faults[:MAX_FAULTS])
        self.headers = dict(headers or {})
        self.more: Mapping[str, object] = {}


def wrong(faults: Sequence[Fault], code: str = "invalid") -> RefusalError:
    """Refuse a body of the right form whose content is wrong, naming every fault."""
    more = len(faults) - 1
    rest = f" (and {more} more fault{'s' if more > 1 else ''})" if more else ""
    first = faults[0]
    place = f"{first.pointer} " if first.pointer else ""
    return RefusalError(422, code, f"{place}{first.message}{rest}", faults=faults)


def unavailable(code: str, sentence: str, retry_after: int = 5) -> RefusalError:
    """Refuse because of trouble of our own; the caller shall try again in some seconds."""
    return RefusalError(503, code, sentence, headers={"Retry-After": str(retry_after)})


def pointer(*parts: str | int) -> str:
    """Spell a JSON pointer."""
    return "".join(f"/{_escaped(str(part))}" for part in parts)


def _escaped(part: str) -> str:
    return part[:100].replace("~", "~0").replace("/", "~1")
