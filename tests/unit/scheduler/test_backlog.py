"""What is due, by the writer's words alone."""

import pytest

from services.scheduler.backlog import Backlog, Line
from shared.clock import Now
from shared.protocol import TopicWork, WorkDigest

A, B = Line(1, urgent=False), Line(2, urgent=False)
BASE = 1_700_000_000


def at(seconds: float) -> Now:
    return Now(100.0 + seconds, BASE + seconds)


def ms(seconds: float) -> int:
    return int((BASE + seconds) * 1000)


def digest(*topics: tuple[int, float], beyond: float | None = None) -> WorkDigest:
    works = tuple(TopicWork(topic, False, ms(due)) for topic, due in topics)
    return WorkDigest(1, 1, works, None if beyond is None else ms(beyond))


@pytest.fixture
def backlog() -> Backlog:
    return Backlog()


def test_a_line_is_due_at_its_time_and_not_before(backlog):
    backlog.hear(digest((1, 0.0), (2, 1.5)))
    assert backlog.due(at(0)) == [A]
    wakes = backlog.wakes_at(at(0))
    assert wakes == pytest.approx(101.501)
    assert backlog.due(at(1.499)) == [A]
    assert backlog.due(at(1.501)) == [A, B]


def test_a_digest_is_whole(backlog):
    backlog.hear(digest((1, 0.0)))
    backlog.hear(digest((2, 0.0)))
    assert backlog.due(at(0)) == [B]
    assert len(backlog) == 1


def test_an_answer_says_what_is_left(backlog):
    backlog.hear(digest((1, 0.0), (2, 0.0)))
    backlog.answered(A, None, at(0), is_empty=False)
    assert backlog.due(at(0)) == [B]
    backlog.answered(B, ms(60), at(0), is_empty=False)
    assert backlog.due(at(0)) == []
    assert backlog.due(at(61)) == [B]


def test_an_answer_may_bring_a_line_the_digest_did_not_have(backlog):
    backlog.answered(A, ms(0), at(0), is_empty=False)
    assert backlog.due(at(0)) == [A]


def test_a_line_that_looks_due_and_gives_nothing_rests(backlog):
    backlog.hear(digest((1, 0.0)))
    backlog.answered(A, ms(0), at(0), is_empty=True)
    assert backlog.due(at(0.05)) == []
    assert backlog.wakes_at(at(0.05)) == pytest.approx(100.1)
    assert backlog.due(at(0.11)) == [A]
    assert backlog.wakes_at(at(0.11)) is None


def test_a_line_due_later_needs_no_rest(backlog):
    backlog.answered(A, ms(0.05), at(0), is_empty=True)
    assert backlog.due(at(0.051)) == [A]


def test_the_wall_clock_decides(backlog):
    """A step back makes mail wait again; monotonic time has no say."""
    backlog.hear(digest((1, 10.0)))
    assert backlog.due(Now(100.0, BASE + 11)) == [A]
    assert backlog.due(Now(101.0, BASE - 3600)) == []


def test_the_next_due_time_is_shown(backlog):
    assert backlog.next_due_in(at(0)) is None
    backlog.hear(digest(beyond=30.0))
    assert backlog.next_due_in(at(0)) == pytest.approx(30.0)
    backlog.hear(digest((1, -5.0), beyond=30.0))
    assert backlog.next_due_in(at(0)) == 0.0


def test_news_come_on_top_of_what_is_known_and_a_whole_digest_replaces_it():
    backlog, now = Backlog(), Now(1.0, 1.0)
    first, second, third = (TopicWork(topic, urgent=False, next_due=0) for topic in (1, 2, 3))
    backlog.hear(WorkDigest(1, 1, (first, second), None))
    backlog.hear(WorkDigest(1, 2, (third,), None, whole=False))
    assert [line.topic for line in backlog.due(now)] == [1, 2, 3]
    backlog.hear(WorkDigest(1, 3, (third,), None))
    assert [line.topic for line in backlog.due(now)] == [3]
