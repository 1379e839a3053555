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
POSTS_TOGETHER = 8
"""So many go at once: `results` begins while the rest of a crowd is being read."""
SUBMITS_TOGETHER = 16
"""More, for they share a commit."""

A = TypeVar("A")


class Bundle:
    """Letters of a crowd go together: a lone frame costs the most, and so does a lone commit.

    They go as soon as half of all that wait for an answer wait here: while the other side works
    on one half, the other half gathers. A lone one goes at once, with those of the same turn of
    the loop. None waits longer than `seconds`, and `most` go without waiting for more.
    """

    def __init__(self, seconds: float, most: int, post: Callable[[Iterable[Letter]], None]) -> None:
        self._seconds = seconds
        self._most = most
        self._post = post
        self._letters: list[Letter] = []
        self._unanswered = 0
        self._soon: asyncio.Handle | None = None
        self._latest: asyncio.TimerHandle | None = None

    def add(self, letters: list[Letter]) -> None:
        """Take in the letters of one question."""
        self._letters += letters
        self._unanswered += 1
        if len(self._letters) >= self._most:
            self._send()
        else:
            self._look()

    def answered(self) -> None:
        """Hear that a question has its answer, or that none will come."""
        self._unanswered -= 1
        if self._letters:
            self._look()

    def _look(self) -> None:
        """Go with this turn of the loop if it is time, else when time is up."""
        loop = asyncio.get_running_loop()
        if 2 * len(self._letters) >= self._unanswered:
            self._soon = self._soon or loop.call_soon(self._send)
        else:
            self._latest = self._latest or loop.call_later(self._seconds, self._send)

    def _send(self) -> None:
        for handle in (self._soon, self._latest):
            if handle is not None:
                handle.cancel()
        self._soon = self._latest = None
        letters, self._letters = self._letters, []
        self._post(letters)


class Line:
    """Joins requests, which wait, with the actor, which never does."""

    def __init__(
        self, actor: Api, post: Callable[[Iterable[Letter]], None], read: Callable[[], Now]
    ) -> None:
        self._actor = actor
        self._post = post
        self._read = read
        self._posts = Bundle(POSTS_S, POSTS_TOGETHER, post)
        self._submits = Bundle(SUBMITS_S, SUBMITS_TOGETHER, post)

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
