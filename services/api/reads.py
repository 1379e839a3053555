"""Questions to the database, asked away from the event loop."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from shared.domain import SubmissionId
from shared.protocol import Stored

A = TypeVar("A")


class Counts(Protocol):
    """What is counted for a topic."""

    @property
    def requests(self) -> Mapping[str, int]:
        """Recipients by the word of their state."""

    @property
    def results(self) -> Mapping[str, int]:
        """Recipients with at least one event, by its word."""


class Identity(Protocol):
    """Who this installation is."""

    @property
    def pixel_secret(self) -> bytes:
        """The secret that open-pixel tokens are made with."""


class Store(Protocol):
    """The read-only side of the database, as shared.store.read has it."""

    def topic(self, name: str) -> Counts:
        """Count a topic."""

    def sent_since(self, now_ms: int, hours: int) -> int:
        """Count what was sent in the last hours."""

    def stored(self, submission: SubmissionId) -> Stored | None:
        """Answer what a submission was answered with, if it is stored."""

    def install(self) -> Identity | None:
        """Answer who this installation is; None before there is a database."""


class Reads:
    """A reader behind one thread: the loop never waits for a disk, the file has one user."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "reads")
        self._secret: bytes | None = None

    async def topic(self, name: str) -> Counts:
        """Count a topic."""
        return await self._ask(lambda: self._store.topic(name))

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

    async def _ask(self, question: Callable[[], A]) -> A:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)
