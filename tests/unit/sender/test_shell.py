"""The sender's edge: what was held up after its permit was looked at is not sent."""

import asyncio

import pytest

from services.sender.hand import Call
from services.sender.reply import Reply
from services.sender.shell import Shell
from shared import clock
from shared.clock import Now
from shared.domain import ContentId, JobId
from shared.errors import StorageFullError
from shared.protocol import Job


class NotedSender:
    def __init__(self):
        self.withheld, self.ended, self.unwritten, self.reports = [], [], [], ()
        self.halted = ""

    def withhold(self, call, now):
        self.withheld.append(call.job.job)

    def finished(self, call, ending, now):
        self.ended.append(ending.message_id)

    def journal_left(self):
        return ()


class FullJournal:
    """A journal on a full disk: so many tries fail."""

    def __init__(self, tries):
        self.tries = tries

    def append(self, entries):
        self.tries -= 1
        if self.tries >= 0:
            raise StorageFullError("sender-0.log: no space left")

    def forget(self, left):
        pass


class NoJournal:
    def forget(self, left):
        assert not list(left)


@pytest.mark.parametrize(("spare", "is_sent"), [(1.0, True), (-0.001, False)])
def test_a_call_is_made_only_within_its_time(spare, is_sent):
    sender, posted = NotedSender(), []
    shell = Shell(sender, NoJournal(), way=None, side=None)
    job = Job(JobId(1), 1, False, ContentId(1), ())
    call = Call(job, None, (), is_bulk=False, start_by=clock.read().mono + spare)

    async def send():
        posted.append(1)
        return Reply(200, message_id="m-1")

    asyncio.run(shell._finish(call, send()))
    assert posted == ([1] if is_sent else [])
    assert sender.ended == (["m-1"] if is_sent else [])
    assert sender.withheld == ([] if is_sent else [1])


@pytest.mark.against("D1")
def test_d1_a_call_that_cannot_be_noted_halts_all_until_the_journal_takes_something():
    """Without an outcome to write it tries all the same: nothing else would end the halt."""
    sender = NotedSender()
    shell = Shell(sender, FullJournal(tries=2), way=None, side=None)
    job = Job(JobId(1), 1, False, ContentId(1), ())
    start = Now(100.0, 1_800_000_000.0)
    call = Call(job, None, (), is_bulk=False, start_by=101.0)
    assert not shell._note_begin(call, start)
    assert "no space left" in sender.halted
    halts = []
    for tenth in range(40):
        shell._keep_journal(Now(start.mono + tenth / 10, start.wall + tenth / 10))
        halts.append(bool(sender.halted))
    assert halts == [True] * 20 + [False] * 20
