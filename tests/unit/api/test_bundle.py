"""Letters of a crowd travel together."""

import asyncio

import pytest

from services.api.line import Bundle
from shared.protocol import EarOpen
from shared.wire import Letter

A, B, C = (Letter("writer", EarOpen(number)) for number in (1, 2, 3))
LONG, SHORT = 60.0, 0.01


@pytest.fixture
def posted():
    return []


def tell(posted, seconds, story):
    """Play a story with a bundle inside a loop."""

    async def play():
        await story(Bundle(seconds, lambda letters: posted.append(list(letters))))

    asyncio.run(play())


async def turn():
    """Let what is ready in the loop run."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_a_lone_letter_goes_with_its_turn_of_the_loop(posted):
    async def story(bundle):
        bundle.add([A])
        await turn()

    tell(posted, LONG, story)
    assert posted == [[A]]


def test_those_of_one_turn_go_together(posted):
    async def story(bundle):
        bundle.add([A])
        bundle.add([B])
        await turn()

    tell(posted, LONG, story)
    assert posted == [[A, B]]


def test_what_comes_while_an_answer_is_awaited_goes_together_with_it(posted):
    async def story(bundle):
        bundle.add([A])
        await turn()
        bundle.add([B])
        bundle.add([C])
        await turn()
        assert posted == [[A]]
        bundle.answered()
        await turn()
        assert posted == [[A], [B, C]]
        bundle.answered()
        bundle.answered()
        bundle.add([A])  # it is quiet again
        await turn()

    tell(posted, LONG, story)
    assert posted == [[A], [B, C], [A]]


def test_an_answer_that_does_not_come_holds_nothing_up_for_long(posted):
    async def story(bundle):
        bundle.add([A])
        await turn()
        bundle.add([B])
        await asyncio.sleep(5 * SHORT)

    tell(posted, SHORT, story)
    assert posted == [[A], [B]]


def test_no_letter_goes_twice_when_answer_and_time_come_together(posted):
    async def story(bundle):
        bundle.add([A])
        await turn()
        bundle.add([B])
        bundle.answered()
        await asyncio.sleep(5 * SHORT)

    tell(posted, SHORT, story)
    assert posted == [[A], [B]]
