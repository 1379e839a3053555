"""Letters of a crowd travel together."""

import asyncio

import pytest

from services.api.line import Bundle
from shared.protocol import EarOpen
from shared.wire import Letter

A, B, C, D = (Letter("writer", EarOpen(number)) for number in (1, 2, 3, 4))
LONG, SHORT = 60.0, 0.01


@pytest.fixture
def posted():
    return []


def tell(posted, story, seconds=LONG, most=100):
    """Play a story with a bundle inside a loop."""

    async def play():
        await story(Bundle(seconds, most, lambda letters: posted.append(list(letters))))

    asyncio.run(play())


async def turn():
    """Let what is ready in the loop run."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_a_lone_letter_goes_with_its_turn_of_the_loop(posted):
    async def story(bundle):
        bundle.add([A])
        assert posted == []
        await turn()

    tell(posted, story)
    assert posted == [[A]]


def test_those_of_one_turn_go_together(posted):
    async def story(bundle):
        bundle.add([A])
        bundle.add([B])
        await turn()

    tell(posted, story)
    assert posted == [[A, B]]


def test_half_of_a_crowd_gathers_while_the_other_half_is_worked_on(posted):
    async def story(bundle):
        bundle.add([A])
        bundle.add([B])
        await turn()
        bundle.add([C])
        await turn()
        assert posted == [[A, B]], "one of three that wait"
        bundle.add([D])
        await turn()
        assert posted == [[A, B], [C, D]], "two of four"

    tell(posted, story)


def test_what_gathered_goes_when_enough_of_the_others_are_answered(posted):
    async def story(bundle):
        for letter in (A, B, C):
            bundle.add([letter])
        await turn()
        bundle.add([D])
        bundle.answered()
        await turn()
        assert posted == [[A, B, C]], "one of three that wait"
        bundle.answered()
        await turn()
        assert posted == [[A, B, C], [D]], "one of two"
        bundle.answered()
        bundle.answered()
        bundle.add([A])  # it is quiet again
        await turn()

    tell(posted, story)
    assert posted == [[A, B, C], [D], [A]]


def test_so_many_go_at_once(posted):
    async def story(bundle):
        for letter in (A, B, C):
            bundle.add([letter])
        assert posted == [[A, B]], "within the turn"
        await turn()

    tell(posted, story, most=2)
    assert posted == [[A, B]], "one of three that wait"


def test_an_answer_that_does_not_come_holds_nothing_up_for_long(posted):
    async def story(bundle):
        bundle.add([A])
        bundle.add([B])
        await turn()
        bundle.add([C])
        await asyncio.sleep(5 * SHORT)

    tell(posted, story, SHORT)
    assert posted == [[A, B], [C]]


def test_no_letter_goes_twice_when_answer_and_time_come_together(posted):
    async def story(bundle):
        bundle.add([A])
        bundle.add([B])
        await turn()
        bundle.add([C])
        bundle.answered()
        await asyncio.sleep(5 * SHORT)

    tell(posted, story, SHORT)
    assert posted == [[A, B], [C]]
