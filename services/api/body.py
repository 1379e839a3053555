"""Reading request bodies: how large, how long it may take, and how many at once."""

import asyncio

from starlette.requests import Request
from starlette.types import Scope

from services.api import head
from services.api.refusal import RefusalError, unavailable

PATIENCE_S = 30.0
WHOLE = "ses_sender.whole"
"""Among the extensions of a request's scope: all of its body is here, nobody waits for it."""


class BodyRoom:
    """The memory that bodies on their way in may take together."""

    def __init__(self, octets: int, largest: int) -> None:
        self.taken = 0
        self._octets = octets
        self._largest = largest
        self._patience_s = PATIENCE_S

    def body(self, request: Request) -> "Body":
        """Read a body, and hold its room until it is dealt with: `async with room.body(…)`."""
        return Body(self, request)

    async def read(self, request: Request, body: "Body") -> bytes:
        """Read a body into its room."""
        self._refuse_unread(request.scope)
        try:
            if WHOLE in request.scope.get("extensions", ()):
                return await self._chunks(request, body)
            async with asyncio.timeout(self._patience_s):
                return await self._chunks(request, body)
        except TimeoutError:
            told = f"The body did not arrive within {self._patience_s:g} seconds."
            raise RefusalError(408, "too_slow", told) from None

    async def _chunks(self, request: Request, body: "Body") -> bytes:
        chunks: list[bytes] = []
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                # Nobody reads this; the request ends here, and nothing was done.
                raise RefusalError(400, "cut_off", "The body ended before its length.")
            chunk = message.get("body", b"")
            body.held += len(chunk)
            self.taken += len(chunk)
            self._refuse_larger(body.held)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _refuse_unread(self, scope: Scope) -> None:
        encoding = head.text(scope, b"content-encoding").strip().lower()
        if encoding not in {"identity", ""}:
            told = "Send the body as it is: Content-Encoding is not supported."
            raise RefusalError(415, "unsupported_encoding", told)
        # The HTTP parser has seen to it that this is one number.
        if int(head.text(scope, b"content-length", "0")) > self._largest:
            raise self._too_large()

    def _refuse_larger(self, held: int) -> None:
        if held > self._largest:
            raise self._too_large()
        if self.taken > self._octets:
            raise unavailable("busy", "Too many large requests at once; nothing was stored.", 1)

    def _too_large(self) -> RefusalError:
        limit = f"{self._largest // 1024} KB" if self._largest < 1024**2 else self._megabytes()
        return RefusalError(413, "too_large", f"The body is larger than {limit}.")

    def _megabytes(self) -> str:
        return f"{self._largest // 1024**2} MB"


class Body:
    """The room that one body takes, as long as the context lasts; `held` counts its bytes."""

    def __init__(self, room: BodyRoom, request: Request) -> None:
        self.held = 0
        self._room = room
        self._request = request

    async def __aenter__(self) -> bytes:
        """Read the body."""
        try:
            return await self._room.read(self._request, self)
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_exc: object) -> None:
        """Give the room back."""
        self._leave()

    def _leave(self) -> None:
        self._room.taken -= self.held


def require_json(scope: Scope) -> None:
    """Refuse a body that does not call itself JSON in UTF-8."""
    if kind(scope) != "application/json":
        told = "Send JSON in UTF-8, with Content-Type: application/json."
        raise RefusalError(415, "not_json_type", told)


def kind(scope: Scope) -> str:
    """Answer the media type that a body calls itself; empty if it is in another charset."""
    found, *parameters = head.text(scope, b"content-type").lower().split(";")
    charsets = [text.strip() for text in parameters if text.strip().startswith("charset=")]
    plain = {"charset=utf-8", 'charset="utf-8"', "charset=utf8"}
    return found.strip() if plain.issuperset(charsets) else ""
