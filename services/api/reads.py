"""Questions to the database, asked away from the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from shared.domain import SubmissionId
from shared.protocol import Stored
from shared.store.listing import Page, Story, Suppressed, Wanted
from shared.store.read import Reader, TopicFacts

A = TypeVar("A")


class Reads:
    """A reader behind one thread: the loop never waits for a disk, the file has one user."""

    def __init__(self, store: Reader) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "reads")
        self._secret: bytes | None = None
        # Of all that walks through recipients one step waits for the thread at a time: any other
        # question has at most one such step before it.
        self._walking = asyncio.Lock()

    async def topic(self, name: str) -> TopicFacts:
        """Tell how a topic is."""
        return await self._ask(lambda: self._store.topic(name))

    async def topics(self, before: int, limit: int) -> list[TopicFacts]:
        """Tell how topics are, newest first, those before an id."""
        return await self._step(lambda: self._store.topics(before, limit))

    async def sent_since(self, now_ms: int, hours: int) -> int:
        """Count what was sent in the last hours."""
        return await self._ask(lambda: self._store.sent_since(now_ms, hours))

    async def stored(self, submission: SubmissionId) -> Stored | None:
        """Answer what a submission was answered with, if it is stored."""
        return await self._ask(lambda: self._store.stored(submission))

    async def has_database(self) -> bool:
        """Tell whether the database can be read and is migrated."""
        return await self._ask(self._store.install) is not None

    async def pixel_secret(self) -> bytes | None:
        """Answer the secret of open-pixel tokens, None before there is a database."""
        if self._secret is None:
            install = await self._ask(self._store.install)
            self._secret = None if install is None else install.pixel_secret
        return self._secret

    async def down(self, wanted: Wanted, before: int, limit: int) -> Page:
        """Look for recipients one step down from an id, newest first."""
        return await self._step(lambda: self._store.listing.down(wanted, before, limit))

    async def up(self, wanted: Wanted, after: int, upto: int, limit: int) -> Page:
        """Look for recipients one step up a topic, oldest first."""
        return await self._step(lambda: self._store.listing.up(wanted, after, upto, limit))

    async def newest(self) -> int:
        """Answer the newest recipient's id, 0 if there is none."""
        return await self._ask(self._store.listing.newest)

    async def story(self, recipient: int) -> Story | None:
        """Tell all that is known of one recipient's mail, None if there is no such one."""
        return await self._ask(lambda: self._store.listing.story(recipient))

    async def suppressions(self, after: str, limit: int) -> list[Suppressed]:
        """List addresses that are not mailed, in their order, after one."""
        return await self._step(lambda: self._store.listing.suppressions(after, limit))

    async def suppression(self, email: str) -> Suppressed | None:
        """Tell whether and why an address is not mailed."""
        return await self._ask(lambda: self._store.listing.suppression(email))

    async def _step(self, question: Callable[[], A]) -> A:
        async with self._walking:
            return await self._ask(question)

    async def _ask(self, question: Callable[[], A]) -> A:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)
