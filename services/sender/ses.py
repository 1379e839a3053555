"""The two calls that carry mail, over the signed asynchronous way."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from services.sender.aws import Aws, Endpoint
from services.sender.reply import Ending, Reply

SINGLE_PATH = "/v2/email/outbound-emails"
BULK_PATH = "/v2/email/outbound-bulk-emails"

REFRESH_PAUSE_S = 30.0
"""Where credentials cannot be had, asking again for every call would be a storm."""


class Way(Protocol):
    """A way to SES: takes the body of a call, answers how the call ended."""

    def send(self, body: bytes, *, is_bulk: bool) -> Coroutine[Any, Any, Ending]:
        """Start one call."""

    async def close(self) -> None:
        """Let go of connections."""


class Post(Protocol):
    """Takes signed requests to one host."""

    def send(self, path: str, headers: dict[str, str], body: bytes) -> Coroutine[Any, Any, Ending]:
        """Start one request."""

    async def close(self) -> None:
        """Let go of connections."""


class SignedPost:
    """Signs with botocore and posts."""

    def __init__(self, aws: Aws, endpoint: Endpoint, post: Post) -> None:
        self._aws = aws
        self._endpoint = endpoint
        self._post = post
        self._refreshing: asyncio.Task[None] | None = None

    def send(self, body: bytes, *, is_bulk: bool) -> Coroutine[Any, Any, Ending]:
        """Sign at once, while the caller still holds the clock, and send."""
        self._keep_credentials()
        path = BULK_PATH if is_bulk else SINGLE_PATH
        headers = self._aws.sign(self._endpoint, self._endpoint.url + path, body)
        if headers is None:
            return _unsigned(self._aws.trouble)
        return self._post.send(path, headers, body)

    def _keep_credentials(self) -> None:
        """Refresh them off the loop, minutes before they expire; those at hand are used so long."""
        if self._refreshing is not None and self._refreshing.done():
            self._refreshing.result()
            self._refreshing = None
        if self._refreshing is None and self._aws.wants_refresh():
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        await asyncio.to_thread(self._aws.refresh)
        await asyncio.sleep(REFRESH_PAUSE_S)

    async def close(self) -> None:
        """Close the connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self._post.close()


async def _unsigned(trouble: str) -> Ending:
    return Reply(403, "MissingAuthenticationToken", trouble)
