"""The sender's edge: what was held up after its permit was looked at is not sent."""

import asyncio

import pytest

from services.sender.hand import Call
from services.sender.reply import Reply
from services.sender.shell import Shell
from shared import clock
from shared.domain import ContentId, JobId
from shared.protocol import Job


class NotedSender:
    def __init__(self):
        self.withheld, self.ended, self.unwritten, self.reports = [], [], [], ()

    def withhold(self, call, now):
        self.withheld.append(call.job.job)

    def finished(self, call, ending, now):
        self.ended.append(ending.message_id)

    def journal_left(self):
        return ()


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
