"""The pen: a line at a time, a turn's lines together, and what matters at once."""

import asyncio
import logging
import select
import threading

import pytest

from shared.pen import Pen


class Paper:
    """A stream that keeps each write by itself."""

    def __init__(self) -> None:
        self.writes: list[str] = []

    def write(self, text: str) -> None:
        self.writes.append(text)

    def flush(self) -> None: ...


class FullDisk(Paper):
    """A stream that takes nothing."""

    def write(self, text: str) -> None:
        raise OSError("no space left on device")


@pytest.fixture
def paper():
    return Paper()


@pytest.fixture
def say(paper):
    """Write a line with a pen on the paper."""
    pen = Pen(paper)
    return lambda text, level=logging.INFO: pen.handle(
        logging.LogRecord("api", level, "", 0, text, None, None)
    )


def in_a_turn(tell, writes=lambda: ()):
    """Do something inside of one turn of a loop; answer what was written by the end of it."""

    async def turn():
        tell()
        before_end = list(writes())
        await asyncio.sleep(0)
        return before_end

    return asyncio.run(turn())


def test_without_a_loop_each_line_goes_at_once(paper, say):
    say("one")
    say("two")
    assert paper.writes == ["one\n", "two\n"]


def test_the_lines_of_one_turn_go_together_when_it_ends(paper, say):
    waiting = in_a_turn(lambda: [say("one"), say("two")], lambda: paper.writes)
    assert (waiting, paper.writes) == ([], ["one\ntwo\n"])


def test_a_warning_goes_at_once_and_takes_along_what_waits(paper, say):
    waiting = in_a_turn(lambda: [say("one"), say("two", logging.WARNING)], lambda: paper.writes)
    assert waiting == paper.writes == ["one\ntwo\n"]


def test_a_write_is_never_more_than_a_pipe_takes_as_a_whole(paper, say):
    texts = [f"{number:03} " + "é" * 500 for number in range(40)]
    in_a_turn(lambda: [say(text) for text in texts])
    assert "".join(paper.writes).splitlines() == texts
    assert 1 < len(paper.writes) < len(texts)
    assert max(len(text.encode()) for text in paper.writes) <= select.PIPE_BUF


def test_a_line_that_is_longer_still_goes_whole(paper, say):
    in_a_turn(lambda: [say("short"), say("x" * 10_000), say("short")])
    assert paper.writes == ["short\n", "x" * 10_000 + "\n", "short\n"]


def test_a_line_from_a_thread_goes_at_once_and_in_order(paper, say):
    def both() -> None:
        say("of the loop")
        thread = threading.Thread(target=say, args=("of a thread",))
        thread.start()
        thread.join()

    waiting = in_a_turn(both, lambda: paper.writes)
    assert waiting == paper.writes == ["of the loop\nof a thread\n"]


def test_what_waits_when_a_loop_is_stopped_goes_with_the_next_line(paper, say):
    loop = asyncio.new_event_loop()
    loop.call_soon(lambda: [loop.stop(), say("last words")])
    loop.run_forever()
    loop.close()
    assert paper.writes == []
    say("stopped")
    assert paper.writes == ["last words\nstopped\n"]


def test_a_full_disk_ends_nothing(monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    pen = Pen(FullDisk())
    heard = []

    async def turn() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *told: heard.append(told))
        pen.handle(logging.LogRecord("api", logging.INFO, "", 0, "lost", None, None))
        await asyncio.sleep(0)

    asyncio.run(turn())
    pen.handle(logging.LogRecord("api", logging.INFO, "", 0, "lost too", None, None))
    assert heard == []
