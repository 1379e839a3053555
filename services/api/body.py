"""Reading request bodies: how large, how long it may take, and how many at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from services.api.refusal import RefusalError, unavailable

PATIENCE_S = 30.0


class BodyRoom:
    """The memory that bodies on their way in may take together."""

    def __init__(self, octets: int, largest: int) -> None:
        self.taken = 0
        self._octets = octets
        self._largest = largest
        self._patience_s = PATIENCE_S

    @contextlib.asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Read a body, and hold its room until it is dealt with."""
        self._refuse_unread(request.headers)
        chunks: list[bytes] = []
        held = 0
        try:
            async with self._in_time(), contextlib.aclosing(request.stream()) as stream:
                async for chunk in stream:
                    held += len(chunk)
                    self.taken += len(chunk)
                    self._refuse_larger(held)
                    chunks.append(chunk)
            yield b"".join(chunks)
        finally:
            self.taken -= held

    def _refuse_unread(self, headers: Headers) -> None:
        if headers.get("content-encoding", "identity").strip().lower() not in {"identity", ""}:
            told = "Send the body as it is: Content-Encoding is not supported."
            raise RefusalError(415, "unsupported_encoding", told)
        # The HTTP parser has seen to it that this is one number.
        if int(headers.get("content-length", "0")) > self._largest:
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

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience_s):
                yield
        except TimeoutError:
            told = f"The body did not arrive within {self._patience_s:g} seconds."
            raise RefusalError(408, "too_slow", told) from None
        except ClientDisconnect:
            # Nobody reads this; the request ends here, and nothing was done.
            raise RefusalError(400, "cut_off", "The body ended before its length.") from None


def require_json(headers: Headers) -> None:
    """Refuse a body that does not call itself JSON in UTF-8."""
    if kind(headers) != "application/json":
        told = "Send JSON in UTF-8, with Content-Type: application/json."
        raise RefusalError(415, "not_json_type", told)


def kind(headers: Headers) -> str:
    """Answer the media type that a body calls itself; empty if it is in another charset."""
    found, *parameters = headers.get("content-type", "").lower().split(";")
    charsets = [text.strip() for text in parameters if text.strip().startswith("charset=")]
    plain = {"charset=utf-8", 'charset="utf-8"', "charset=utf8"}
    return found.strip() if plain.issuperset(charsets) else ""
