"""The contents at hand are bounded by bytes; missing ones are asked for until they come."""

from services.sender.contents import Contents
from shared.domain import ContentId, JobId
from shared.protocol import Content, Job


def job(number, content):
    return Job(JobId(number), 1, False, ContentId(content), ())


def test_a_missing_content_is_asked_for_once_and_again_until_it_comes():
    contents = Contents()
    assert contents.find(job(1, 5)) is None
    assert contents.find(job(2, 5)) is None
    assert contents.to_ask(10.0) == (5,)
    assert contents.to_ask(10.4) == ()
    assert contents.to_ask(10.5) == (5,)
    cut, waiting = contents.put(Content(ContentId(5), "s", "h"))
    assert waiting == {1, 2}
    assert contents.find(job(3, 5)) is cut
    assert contents.to_ask(20.0) == ()


def test_a_content_that_comes_twice_is_kept_once():
    contents = Contents()
    first, _ = contents.put(Content(ContentId(5), "s", "h"))
    again, waiting = contents.put(Content(ContentId(5), "s", "h"))
    assert again is first
    assert waiting == set()


def test_nobody_waits_for_a_content_whose_jobs_are_gone():
    contents = Contents()
    contents.find(job(1, 5))
    contents.find(job(2, 5))
    contents.forget(job(1, 5))
    assert contents.to_ask(10.0) == (5,)
    contents.forget(job(2, 5))
    contents.forget(job(3, 6))
    assert contents.to_ask(11.0) == ()


def test_the_longest_unused_content_leaves_when_bytes_run_out():
    contents = Contents(limit=12_000)
    for number in (1, 2):
        contents.put(Content(ContentId(number), "s", "x" * 1000))
    assert contents.find(job(1, 1)) is not None
    contents.put(Content(ContentId(3), "s", "x" * 1000))
    assert contents.find(job(2, 2)) is None
    assert contents.find(job(3, 1)) is not None
    contents.put(Content(ContentId(4), "s", "x" * 100_000))
    assert contents.find(job(4, 4)) is not None
    assert contents.find(job(5, 1)) is None
