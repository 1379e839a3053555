"""Readers that are slow and readers that vanish: bounded queues, and nothing lost with them."""

import asyncio
import itertools
from collections import Counter

import httpx2
import msgspec
import pytest

from services.api import actor as api_actor
from services.api.actor import SUBMIT_OCTETS, Api
from shared import protocol, wire
from shared.clock import Now
from shared.domain import SubmissionId
from shared.protocol import EarOpen, LookUp, Submit
from shared.wire import Budget, Letter
from tests.unit.api.rig import Rig, at, body, mail, writer_state

MB = 1024 * 1024


def submission(number: int, octets: int = 10) -> Submit:
    one = protocol.Mail("news", "s", "x" * octets, ("a@example.com",))
    name = SubmissionId(f"s{number}")
    return Submit(
        "api", name, at(5).mono, at(0).mono, 1, None, (one,), protocol.Tally(0, 0)
    )  # fmt: skip


@pytest.mark.against("Q3")
def test_q3_what_waited_for_a_reader_that_vanished_is_said_again(connect, monkeypatch):
    """The queue is full on both sides when the writer dies: every submission reaches its heir."""
    monkeypatch.setattr(wire, "HIGH_WATER", 5)
    first, api_wire = connect(), connect()
    box = first.mailbox("intake")
    api = Api(epoch=5)
    list(api.receive(writer_state(), at(0)))
    for number in range(100):
        for letter in api.store(submission(number, 20_000), 10, lambda _: None, at(0)):
            api_wire.send(letter)
    assert api_wire.dropped > 50, "its queue was full"
    read_and_lost = set(itertools.islice((m.submission for m in box.drain(Budget())), 3))
    first.close()
    heir = connect().mailbox("intake")
    list(api.receive(writer_state(epoch=2), at(0.01)))
    heard: set[str] = set()
    for tick in range(1, 1000):
        for letter in api.tick(at(0.01 + tick * 0.0005)):
            while not api_wire.send(letter):  # its owner says it again; here at once
                heard |= {m.submission for m in heir.drain(Budget())}
        if heir.socket.poll(20):
            heard |= {m.submission for m in heir.drain(Budget())}
        if len(heard) == 100:
            break
    assert heard == {f"s{number}" for number in range(100)} >= read_and_lost


@pytest.mark.against("Q1")
def test_q1_what_waits_for_a_slow_writer_is_bounded_in_bytes_and_else_503():
    """A writer that says it is well and answers nothing: ninety requests of a megabyte."""
    rig = Rig()
    waiting: list[int] = []
    rig.post = lambda letters: None  # type: ignore[method-assign]
    rig.line._submits._post = waiting_for(rig, waiting)
    big = body(mail(content="x" * MB))

    async def all_at_once() -> list[int]:
        transport = httpx2.ASGITransport(app=rig.app, client=("127.0.0.1", 4711))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://api", headers={"X-API-KEY": "k" * 32}
        ) as client:
            posts = [asyncio.create_task(client.post("/v1/messages", json=big)) for _ in range(90)]
            while sum(post.done() for post in posts) + len(rig.actor.submissions) < len(posts):
                await asyncio.sleep(0)
            held = rig.actor.submissions.octets
            assert 0.9 * SUBMIT_OCTETS < held <= SUBMIT_OCTETS
            for seconds in range(1, 60):
                list(rig.actor.tick(at(seconds)))
            return [(await post).status_code for post in posts]

    statuses = Counter(asyncio.run(all_at_once()))
    assert set(statuses) == {503, 504}
    # What was refused at once is surely not stored; of the others nobody can know.
    assert statuses[504] == len(waiting) == 63
    assert rig.actor.submissions.octets == 0


def waiting_for(rig, waiting):
    def post(letters) -> None:
        waiting.extend(len(one.message.mails) for one in letters if isinstance(one.message, Submit))

    return post


@pytest.mark.against("Q1")
def test_q1_to_a_writer_that_stands_still_no_more_bytes_are_pushed_than_it_can_be_sent():
    """A minute of repeats: what piles up in the socket of a stopped process stays bounded."""
    api = Api(epoch=5)
    list(api.receive(writer_state(), at(0)))
    pushed = 0
    for number in range(63):
        for letter in api.store(submission(number, MB), MB, lambda _: None, at(0)):
            pushed += len(msgspec.msgpack.encode(letter.message))
    now = 0.0
    while now < 60:
        now += 0.05
        for letter in api.tick(at(now)):
            assert isinstance(letter.message, Submit | LookUp | EarOpen)
            pushed += len(msgspec.msgpack.encode(letter.message))
    assert pushed <= 2.5 * SUBMIT_OCTETS
    assert api.trouble(Now(at(4).mono, 0)) == "the writer is not heard"
    assert api_actor.STORE_S <= 5


@pytest.mark.against("Q1")
def test_q1_a_reader_that_stands_still_costs_its_senders_no_time_and_bounded_frames(
    connect, monkeypatch
):
    monkeypatch.setattr(wire, "HIGH_WATER", 10)
    reader, sender = connect(), connect()
    box = reader.mailbox("writer")
    sent = sum(sender.send(Letter("writer", submission(n, 50_000))) for n in range(500))
    assert sender.dropped == 500 - sent > 400
    assert box.frames == 0
