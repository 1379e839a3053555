"""The line from a request to the other actors: ask, wait, answer."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from services.api.actor import Api
from shared.clock import Now
from shared.domain import RecipientId
from shared.protocol import (
    CheckPost,
    NotStored,
    Order,
    OrderAnswer,
    PostChecked,
    ReleaseAtSes,
    ReleasedAtSes,
    Stored,
    Submit,
    WriterState,
)
from shared.wire import Letter

BUNDLE_S = 0.01
"""How long an SNS post waits for others; SNS itself waits 15 s for an answer."""

A = TypeVar("A")


class Line:
    """Joins requests, which wait, with the actor, which never does."""

    def __init__(
        self, actor: Api, post: Callable[[Iterable[Letter]], None], read: Callable[[], Now]
    ) -> None:
        self._actor = actor
        self._post = post
        self._read = read
        self._bundle: list[Letter] = []

    def now(self) -> Now:
        """Read the clocks."""
        return self._read()

    def trouble(self) -> str:
        """Answer why nothing can be stored at present; empty if it can."""
        return self._actor.trouble(self._read())

    def writer(self) -> WriterState | None:
        """Answer the writer's newest level, None while it is not heard."""
        return self._actor.heard(self._read())

    def has_room(self, octets: int, most: int) -> bool:
        """Tell whether a submission may still be added to those that wait for the writer."""
        return self._actor.submissions.octets + octets <= most

    def count(self, name: str) -> None:
        """Count something for the stats socket."""
        self._actor.counts[name] += 1

    async def store(self, submit: Submit, octets: int) -> Stored | NotStored | None:
        """Have a submission stored; None if nobody could say whether it was."""
        return await self._wait(lambda done, now: self._actor.store(submit, octets, done, now))

    async def order(self, order: Order) -> OrderAnswer | None:
        """Have an order carried out; None if that was not confirmed."""
        return await self._wait(lambda done, now: self._actor.order(order, done, now))

    async def release(self, wish: ReleaseAtSes) -> ReleasedAtSes | None:
        """Have addresses taken off SES's suppression list; None if no sender said so."""
        return await self._wait(lambda done, now: self._actor.release(wish, done, now))

    async def level(self, shows: Callable[[WriterState], bool]) -> WriterState | None:
        """Wait for the writer's level to show something; answer the newest, shown or not."""
        return await self._wait(lambda done, now: self._actor.watch(shows, done, now))

    async def check(self, post: CheckPost) -> PostChecked | None:
        """Have an SNS post checked; None if that took too long."""
        return await self._wait(lambda done, now: self._later(self._actor.check(post, done, now)))

    def open(self, recipient: RecipientId) -> None:
        """Count a hit of an open pixel."""
        self._post(self._actor.open(recipient, self._read()))

    def _later(self, letters: list[Letter]) -> list[Letter]:
        """Keep letters for a moment: SNS posts come in crowds, and a lone frame costs the most."""
        if not self._bundle:
            asyncio.get_running_loop().call_later(BUNDLE_S, self._send_bundle)
        self._bundle += letters
        return []

    def _send_bundle(self) -> None:
        letters, self._bundle = self._bundle, []
        self._post(letters)

    async def _wait(
        self, ask: Callable[[Callable[[A | None], None], Now], list[Letter]]
    ) -> A | None:
        answer: asyncio.Future[A | None] = asyncio.get_running_loop().create_future()

        def done(given: A | None) -> None:
            if not answer.done():  # the request may have been given up meanwhile
                answer.set_result(given)

        self._post(ask(done, self._read()))
        return await answer
