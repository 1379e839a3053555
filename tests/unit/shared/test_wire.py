"""The wire, on real ipc sockets: locks, long paths, bad frames, budgets, and nobody ever waits."""

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import zmq

from shared import wire
from shared.errors import AlreadyRunningError, FrameError
from shared.protocol import EarOpen, Hello, Snapshot, Welcome
from shared.wire import Budget, Letter, Lock, Mailbox, run_folder

ROOT = Path(__file__).parents[3]


def wait_for(mailbox: Mailbox, frames: int = 1, budget: Budget = Budget()) -> list:  # noqa: B008
    """Drain until so many messages came, at most five seconds."""
    messages: list = []
    give_up = time.monotonic() + 5
    while len(messages) < frames and time.monotonic() < give_up:
        if mailbox.socket.poll(50):
            messages += mailbox.drain(budget)
    return messages


# ── folder and lock ──


@pytest.mark.against("A30", "A31")
def test_the_run_folder_is_ours_alone(tmp_path):
    folder = run_folder(tmp_path / "data")
    assert folder == tmp_path / "data" / "run"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_long_path_gets_a_short_folder_in_tmp_the_same_each_time(tmp_path):
    data = tmp_path / ("x" * 100)
    folder = run_folder(data)
    assert folder.parent == Path("/tmp")
    assert folder == run_folder(data)
    assert folder != run_folder(tmp_path / ("y" * 100))
    with socket.socket(socket.AF_UNIX) as probe:
        probe.bind(str(folder / "ctl.sock.4194304"))
    for made in (folder, run_folder(tmp_path / ("y" * 100))):
        for left in made.iterdir():
            left.unlink()
        made.rmdir()


@pytest.mark.against("A30")
def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    run_folder(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(AlreadyRunningError, match="another user"):
        run_folder(tmp_path)


def test_a_lock_is_taken_once_and_names_its_holder(folder):
    first, second = Lock(folder, "broker"), Lock(folder, "broker")
    assert not wire.is_held(folder, "broker")
    assert first.take()
    assert not second.take()
    assert second.holder() == str(os.getpid())
    assert wire.is_held(folder, "broker")
    assert Lock(folder, "writer").take()


def test_a_lock_ends_with_its_process_even_by_kill(folder):
    program = (
        "import sys, time; from pathlib import Path; from shared.wire import Lock\n"
        f"assert Lock(Path({str(folder)!r}), 'broker').take(); print('taken', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "taken\n"
        assert not Lock(folder, "broker").take()
        holder.kill()
    assert Lock(folder, "broker").take()


def test_a_lock_nobody_ever_took_is_not_held(folder):
    assert not wire.is_held(folder, "nobody")


# ── letters ──


def test_a_letter_arrives_as_it_was_sent(connect, surely):
    mailbox = connect().mailbox("writer")
    hello = Hello("sender-0", 7)
    surely(connect(), Letter("writer", hello))
    assert wait_for(mailbox) == [hello]
    assert (mailbox.frames, mailbox.bad_frames, mailbox.full) == (1, 0, False)


def test_a_numbered_mailbox_takes_what_its_kind_takes(connect):
    mailbox = connect().mailbox("sender-12")
    assert mailbox.decode(msgspec.msgpack.encode(Welcome(7, "abc", b"s"))) == Welcome(
        7, "abc", b"s"
    )
    with pytest.raises(FrameError):
        mailbox.decode(msgspec.msgpack.encode(Hello("sender-0", 7)))


@pytest.mark.against("Q2")
def test_bad_frames_are_counted_and_dropped_and_good_ones_go_on(connect, folder):
    mailbox = connect().mailbox("writer")
    stranger = zmq.Context()
    push = stranger.socket(zmq.PUSH)
    push.set(zmq.LINGER, 0)
    push.connect(f"ipc://{folder}/writer.sock")
    encode = msgspec.msgpack.encode
    bad = [
        b"",
        b"\xc1",
        b"not msgpack at all",
        encode(Snapshot(b"{}")),  # a message, but not for this mailbox
        encode(["EarOpen"]),  # a field is missing
        encode(["EarOpen", "seven"]),
        encode(["RecordOpens", "api", 1, 1, [[1, "x"]]]),
        b"\x91" * 100_000,  # deep enough to end a careless decoder
        b"\x92\xa7EarOpen\xd9\x02\xff\xff",  # no UTF-8
    ]
    for frame in [*bad, encode(EarOpen(7))]:
        push.send(frame)
    try:
        assert wait_for(mailbox) == [EarOpen(7)]
    finally:
        stranger.destroy(linger=0)
    assert (mailbox.bad_frames, mailbox.frames) == (len(bad), len(bad) + 1)


@pytest.mark.against("Q2")
def test_a_newer_peers_extra_field_is_no_bad_frame(connect):
    mailbox = connect().mailbox("writer")
    assert mailbox.decode(msgspec.msgpack.encode(["EarOpen", 7, "new"])) == EarOpen(7)


def test_a_turn_takes_no_more_than_its_budget_of_frames(connect, surely):
    mailbox, sender = connect().mailbox("writer"), connect()
    for epoch in range(10):
        surely(sender, Letter("writer", EarOpen(epoch)))
    mailbox.socket.poll(1000)
    time.sleep(0.2)
    assert len(list(mailbox.drain(Budget(frames=4)))) == 4
    assert mailbox.full
    assert len(wait_for(mailbox, 6)) == 6
    assert not mailbox.full


def test_a_turn_takes_no_more_than_its_budget_of_bytes(connect, surely):
    mailbox, sender = connect().mailbox("api"), connect()
    for _ in range(4):
        surely(sender, Letter("api", Snapshot(b"x" * 1000)))
    mailbox.socket.poll(1000)
    time.sleep(0.2)
    assert len(list(mailbox.drain(Budget(octets=1500)))) == 2
    assert mailbox.full


def test_the_letters_of_a_turn_arrive_together_each_in_its_mailbox_and_in_order(connect, surely):
    sender, reader = connect(), connect()
    writer, api = reader.mailbox("writer"), reader.mailbox("api")
    surely(sender, Letter("writer", EarOpen(0)))
    surely(sender, Letter("api", Snapshot(b"0")))
    wait_for(writer)
    wait_for(api)
    sender.post(
        letter
        for number in range(1, wire.MOST_PARTS + 1)
        for letter in (Letter("writer", EarOpen(number)), Letter("api", Snapshot(b"%d" % number)))
    )
    assert writer.socket.poll(5000)
    assert [ear.epoch for ear in writer.drain(Budget())] == [*range(1, wire.MOST_PARTS + 1)]
    assert wait_for(api, wire.MOST_PARTS)[-1] == Snapshot(b"%d" % wire.MOST_PARTS)


def test_more_letters_than_go_as_one_lose_none(connect, surely):
    sender, mailbox = connect(), connect().mailbox("writer")
    surely(sender, Letter("writer", EarOpen(0)))
    many = [EarOpen(number) for number in range(1, 3 * wire.MOST_PARTS + 2)]
    sender.post(Letter("writer", message) for message in many)
    assert wait_for(mailbox, len(many) + 1)[1:] == many


@pytest.mark.against("Q1", "Q3")
def test_letters_that_are_dropped_together_are_counted_one_by_one(connect):
    sender = connect()
    sender.post([Letter("broker", EarOpen(1)), Letter("broker", EarOpen(2))])
    sender.post([Letter("no mailbox", EarOpen(1)), Letter("no mailbox", EarOpen(2))])
    assert sender.dropped == 4


@pytest.mark.against("Q1", "Q3")
def test_without_a_listener_a_letter_is_dropped_at_once_and_counted(connect):
    sender = connect()
    started = time.monotonic()
    assert not any(sender.send(Letter("broker", EarOpen(1))) for _ in range(100))
    assert time.monotonic() - started < 1
    assert sender.dropped == 100


@pytest.mark.against("Q1")
def test_a_listener_that_does_not_read_costs_a_bounded_number_of_frames(connect, surely):
    connect().mailbox("api")
    sender = connect()
    letter = Letter("api", Snapshot(b"x" * 10_000))
    surely(sender, letter)
    sent = 1
    while sent <= 3 * wire.HIGH_WATER and sender.send(letter):
        sent += 1
    assert wire.HIGH_WATER <= sent <= 2 * wire.HIGH_WATER + 100


@pytest.mark.against("Q3")
def test_a_dead_listeners_frames_do_not_reach_its_successor(connect, folder, surely):
    first, sender = connect(), connect()
    first.mailbox("writer")
    surely(sender, Letter("writer", EarOpen(1)))
    first.close()
    give_up = time.monotonic() + 5
    while sender.send(Letter("writer", EarOpen(2))) and time.monotonic() < give_up:
        time.sleep(0.005)
    second = connect().mailbox("writer")
    surely(sender, Letter("writer", EarOpen(3)))
    assert wait_for(second) == [EarOpen(3)]


def test_a_poll_wakes_for_mail_for_the_descriptor_and_for_the_time(connect, surely):
    mine, sender = connect(), connect()
    mailbox = mine.mailbox("writer")
    surely(sender, Letter("writer", EarOpen(1)))
    ear, mouth = socket.socketpair()
    mine.poll([mailbox], ear.fileno(), 5.0)
    assert wire.readable(mailbox)
    assert wire.descriptor(mailbox) > 2
    list(mailbox.drain(Budget()))
    with ear, mouth:
        started = time.monotonic()
        mine.poll([mailbox], ear.fileno(), 0.05)
        assert 0.04 < time.monotonic() - started < 2
        mouth.send(b"!")
        started = time.monotonic()
        mine.poll([mailbox], ear.fileno(), 5.0)
        assert time.monotonic() - started < 2


def test_a_subscriber_hears_what_is_published(connect, tmp_path):
    address = f"ipc://{tmp_path}/stats.sock"
    publisher = connect().publisher(address)
    subscriber = wire.subscribe(address)
    try:
        give_up = time.monotonic() + 5
        while not subscriber.poll(20) and time.monotonic() < give_up:
            publisher.send(b'{"v":1}')
        assert subscriber.recv() == b'{"v":1}'
    finally:
        subscriber.close()
