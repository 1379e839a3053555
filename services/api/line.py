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

POSTS_S = 0.02
"""How long an SNS post may wait for others; SNS itself waits 15 s for an answer."""
SUBMITS_S = 0.005
"""How long a submission may wait for others."""

A = TypeVar("A")


class Bundle:
    """Letters of a crowd go together: a lone frame costs the most, and so does a lone commit.

    While nobody waits for an answer a letter goes at once, with those of the same turn of the
    loop. Else it goes with the next answer, which says that the other side has time again, or
    when its time is up: the crowd sets the pace.
    """

    def __init__(self, seconds: float, post: Callable[[Iterable[Letter]], None]) -> None:
        self._seconds = seconds
        self._post = post
        self._letters: list[Letter] = []
        self._unanswered = 0
        self._going: asyncio.Handle | None = None

    def add(self, letters: list[Letter]) -> None:
        """Take in the letters of one question."""
        self._letters += letters
        self._unanswered += 1
        if self._unanswered == 1:
            self._go()
        elif self._going is None:
            self._going = asyncio.get_running_loop().call_later(self._seconds, self._send)

    def answered(self) -> None:
        """Hear that a question has its answer, or that none will come."""
        self._unanswered -= 1
        if self._letters:
            self._go()

    def _go(self) -> None:
        """Go as soon as what is to be done in this turn is done."""
        if self._going is not None:
            self._going.cancel()
        self._going = asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        letters, self._letters, self._going = self._letters, [], None
        self._post(letters)


class Line:
    """Joins requests, which wait, with the actor, which never does."""

    def __init__(
        self, actor: Api, post: Callable[[Iterable[Letter]], None], read: Callable[[], Now]
    ) -> None:
        self._actor = actor
        self._post = post
        self._read = read
        self._posts = Bundle(POSTS_S, post)
        self._submits = Bundle(SUBMITS_S, post)

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
        return await self._wait(
            lambda done, now: self._actor.store(submit, octets, done, now), self._submits
        )

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
        return await self._wait(lambda done, now: self._actor.check(post, done, now), self._posts)

    def open(self, recipient: RecipientId) -> None:
        """Count a hit of an open pixel."""
        self._post(self._actor.open(recipient, self._read()))

    async def _wait(
        self,
        ask: Callable[[Callable[[A | None], None], Now], list[Letter]],
        bundle: Bundle | None = None,
    ) -> A | None:
        answer: asyncio.Future[A | None] = asyncio.get_running_loop().create_future()

        def done(given: A | None) -> None:
            if bundle is not None:
                bundle.answered()
            if not answer.done():  # the request may have been given up meanwhile
                answer.set_result(given)

        letters = ask(done, self._read())
        if bundle is None:
            self._post(letters)
        else:
            bundle.add(letters)
        return await answer
