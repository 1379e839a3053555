"""The edge of a sender: calls start in time, answers reach the journal before the writer."""

import asyncio
import json

import pytest

from services.sender import shell as edge
from services.sender.journal import Journal
from services.sender.render import Letterhead
from services.sender.reply import Entry, Reply
from services.sender.shell import Shell
from services.sender.side import AccountWatch
from shared.domain import Verdict
from shared.errors import StorageFullError
from shared.protocol import AccountRead, ConfirmTopic, RecordOutcomes, TopicConfirmed
from tests.unit.sender.rig import Talk, of


class FakeWay:
    """Takes calls and answers when told to."""

    def __init__(self):
        self.sent = []

    def send(self, body, *, is_bulk):
        answer = asyncio.get_running_loop().create_future()
        self.sent.append((json.loads(body), is_bulk, answer))
        return answer

    async def close(self):
        pass


class FakeSide:
    """Answers side calls at once."""

    def __init__(self):
        self.watch = AccountWatch(0.5)

    async def account(self, now):
        return AccountRead("sender-0", now.ms, max_rate=14.0)

    async def confirm(self, message):
        return TopicConfirmed(message.post)


class Edge:
    """A shell around a sender, on the sender's own clock."""

    def __init__(self, tmp_path, monkeypatch, **terms):
        self.talk = Talk(**terms)
        self.journal = Journal(tmp_path / "sender-0.log")
        self.way = FakeWay()
        self.shell = Shell(self.talk.sender, self.journal, self.way, FakeSide())
        self.shell.head = Letterhead("n@shop.example", "set-1", "https://m.example")
        self.rings = 0
        self.shell.ring = self._ring
        monkeypatch.setattr(edge.clock, "read", lambda: self.talk.now)

    def _ring(self):
        self.rings += 1

    def turn(self):
        return [letter.message for letter in self.shell.settle(self.talk.now)]

    def fire(self, recipients=1, rate=24.0, html="<p>Hi</p>"):
        job = self.talk.job(1, recipients)
        self.talk.content(html=html)
        self.talk.permits(rate=rate, chunk=50)
        self.talk.assign(job)
        self.talk.open(job)
        self.talk.wait(0.02)
        ((ask, _),) = self.talk.asks()
        self.talk.permits((ask, self.talk.mono), rate=rate, chunk=50)
        return self.turn()

    def on_disk(self):
        return Journal(self.journal._path).replayed


@pytest.fixture
def run(tmp_path, monkeypatch):
    def run(story, **terms):
        async def play():
            await story(Edge(tmp_path, monkeypatch, **terms))

        asyncio.run(play())

    return run


def test_a_call_is_rendered_sent_and_answered(run):
    async def story(edge):
        edge.fire()
        ((body, is_bulk, answer),) = edge.way.sent
        assert not is_bulk
        assert body["EmailTags"][0] == {"Name": "mid", "Value": "abc-100"}
        answer.set_result(Reply(200, message_id="m1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert edge.rings
        assert edge.on_disk()[0].answers[0].verdict is Verdict.ACCEPTED
        edge.talk.mono += 0.05
        (report,) = of(RecordOutcomes, edge.turn())
        assert report.outcomes[0].answers[0].message_id == "m1"
        assert edge.on_disk() != []
        edge.talk.said = [type("L", (), {"message": report})]
        edge.talk.acknowledge()
        edge.turn()
        assert edge.on_disk() == []

    run(story)


def test_a_bulk_call_carries_everyone(run):
    async def story(edge):
        edge.fire(recipients=3, rate=500.0)
        ((body, is_bulk, answer),) = edge.way.sent
        assert is_bulk
        assert len(body["BulkEmailEntries"]) == 3
        answer.set_result(Reply(200, entries=(Entry("SUCCESS", "", "m"),) * 3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(edge.on_disk()[0].answers) == 3

    run(story)


def test_what_bulk_cannot_carry_goes_out_alone(run):
    async def story(edge):
        edge.fire(recipients=3, rate=500.0, html="x" * 1_100_000)
        ((body, is_bulk, _),) = edge.way.sent
        assert not is_bulk
        assert body["Destination"]["ToAddresses"] == ["1-0@dest.example"]

    run(story)


def test_while_the_disk_is_full_no_call_starts_and_nothing_is_lost(run, monkeypatch):
    async def story(edge):
        def refuse(_outcomes):
            raise StorageFullError("no space left")

        edge.fire()
        append = edge.journal.append
        monkeypatch.setattr(edge.journal, "append", refuse)
        edge.way.sent[0][2].set_result(Reply(200, message_id="m1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        edge.turn()
        assert edge.shell.notes()["halted"] == "no space left"
        assert edge.shell.next_tick(edge.talk.now) <= edge.talk.mono + 1.0
        monkeypatch.setattr(edge.journal, "append", append)
        edge.talk.mono += 1.0
        edge.turn()
        assert edge.shell.notes() == {}
        assert edge.on_disk()[0].answers[0].message_id == "m1"

    run(story)


def test_a_fault_in_a_call_ends_the_process(run):
    async def story(edge):
        edge.fire()
        edge.way.sent[0][2].set_exception(ZeroDivisionError("a fault of ours"))
        for _ in range(4):
            await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            edge.turn()

    run(story)


def test_what_is_given_back_at_the_stop_is_in_the_journal(run):
    async def story(edge):
        job = edge.talk.job(1)
        edge.talk.content()
        edge.talk.assign(job)
        edge.shell.stop(edge.talk.now)
        assert [outcome.job for outcome in edge.on_disk()] == [1]
        assert not edge.shell.is_drained(edge.talk.now)

    run(story)


def test_the_account_is_read_at_the_start_and_said(run):
    async def story(edge):
        edge.turn()
        for _ in range(4):
            await asyncio.sleep(0)
        assert [one.max_rate for one in of(AccountRead, edge.turn())] == [14.0]
        assert edge.shell.gauges(edge.talk.now)["journal_bytes"] == 0

    run(story)


def test_a_subscription_is_confirmed_and_the_answer_goes_to_results(run):
    async def story(edge):
        message = ConfirmTopic("p1", "arn:aws:sns:eu-west-1:1:t", "tok")
        edge.shell.receive(message, edge.talk.now)
        edge.turn()
        for _ in range(4):
            await asyncio.sleep(0)
        assert of(TopicConfirmed, edge.turn()) == [TopicConfirmed("p1")]

    run(story)


def test_the_account_is_read_again_after_minutes_and_sooner_after_an_error():
    watch = AccountWatch(0.5)
    assert watch.is_due(10.0)
    assert not watch.is_due(11.0)
    watch.read(AccountRead("s", 1), 12.0)
    assert watch.next_at == 12.0 + 180.0
    watch.read(AccountRead("s", 1, error="AccessDenied"), 12.0)
    assert watch.next_at == 12.0 + 60.0
    assert not AccountWatch(None).is_due(1e9)
