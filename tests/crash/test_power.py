"""Power cuts: what was acknowledged was synced before; a torn end costs what nobody was told."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from scripts.benches import power
from scripts.benches.forgetful import (
    SECTOR,
    Change,
    Disk,
    Luck,
    Passage,
    PowerCutError,
    apply,
    survivors,
)
from scripts.benches.traffic import Sizes
from shared import protocol as p
from shared.domain import Feedback, Verdict
from shared.store import open as opening
from shared.store import write
from shared.store.open import open_reader
from shared.store.write import Store
from tests.unit.writer.conftest import Desk

ROOT = Path(__file__).resolve().parents[2]
SMALL = Sizes(recipients=8, list=60, content=5000)


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.remove()


def count(path: Path, table: str = "t") -> int:
    connection = open_reader(path)
    try:
        assert connection.pragma("integrity_check") == "ok"
        return connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    finally:
        connection.close()


# ── P1 ──


@pytest.mark.against("P1", "C2")
def test_p1_what_was_acknowledged_survives_every_power_cut():
    finding = power.run(seed=7, cuts=20, sizes=SMALL)
    assert finding.violations == []
    assert len(finding.cuts) == 20
    places = {cut.where for cut in finding.cuts}
    assert any("commit" in place for place in places)
    assert any("checkpoint" in place for place in places)
    assert min(finding.figures.values()) > 0, "of every kind something was acknowledged"


def forget_to_sync(monkeypatch) -> None:
    def loosely(*arguments: object) -> apsw.Connection:
        connection = opening.open_writer(*arguments)
        connection.pragma("synchronous", "normal")
        return connection

    monkeypatch.setattr(write, "open_writer", loosely)


def answer_early(monkeypatch) -> None:
    begin, commit = Store.begin, Store.commit

    def late(store: Store) -> None:
        if store._connection.in_transaction:
            commit(store)
        begin(store)

    monkeypatch.setattr(Store, "begin", late)
    monkeypatch.setattr(Store, "commit", lambda _store: None)


@pytest.mark.against("P1")
@pytest.mark.parametrize("broken", [forget_to_sync, answer_early])
def test_p1_a_writer_that_answers_too_early_is_found_out(monkeypatch, broken):
    broken(monkeypatch)
    finding = power.run(seed=7, cuts=20, sizes=SMALL)
    assert {"lost", "ungated"} & {violation.rule for violation in finding.violations}


@pytest.mark.against("P1")
@pytest.mark.parametrize(("synchronous", "kept"), [("full", 50), ("normal", 0)])
def test_p1_the_disk_of_these_tests_forgets_what_was_not_synced(disk, tmp_path, synchronous, kept):
    connection = apsw.Connection(str(disk.folder / "x.db"), vfs=disk.vfs)
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("PRAGMA wal_checkpoint(truncate)")
    connection.pragma("synchronous", synchronous)
    for number in range(50):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    disk.cut(tmp_path / "after")
    with pytest.raises(PowerCutError):
        connection.execute("INSERT INTO t VALUES (1)")
    disk.end(connection)
    assert count(tmp_path / "after/x.db") == kept


@pytest.mark.against("P1")
def test_p1_every_connection_of_ours_has_synchronous_full(tmp_path):
    store = Store(tmp_path / "x.db")
    reader = open_reader(tmp_path / "x.db")
    assert store._connection.pragma("synchronous") == 2
    assert reader.pragma("synchronous") == 2
    reader.close()
    store.close()
    made = [
        path.relative_to(ROOT).as_posix()
        for folder in ("services", "shared")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"apsw\.Connection\(|sqlite3", path.read_text())
    ]
    assert made == ["shared/store/open.py"], "whoever else opens one must show its pragma here"


@pytest.mark.against("P1")
def test_p1_the_wal_is_synced_before_the_writer_answers(disk):
    class Watched(Desk):
        vfs = disk.vfs

    desk = Watched(disk.folder / "writer.db")
    seen: list[Passage] = []
    disk.watch = seen.append

    def synced() -> bool:
        last, seen[:] = seen[-1], []
        return last.what == "sync" and last.file.endswith("-wal") and not left_over()

    def left_over() -> list[str]:
        return [name for name, inode in disk.names.items() if inode.pending]

    desk.submit(["a@example.com", "b@example.com"])
    assert synced()
    (job,) = desk.claim(size=2)
    assert synced()
    assert desk.gate(job)[0].recipients
    assert synced()
    desk.outcome(job, Verdict.ACCEPTED)
    assert synced()
    event = p.Event(Feedback.SEND, "a@example.com", "ses-1", 1, 1, recipient=1)
    assert desk.ask(p.RecordEvents(1, (p.EventPost("x", "y", (event,)),)), p.EventsRecorded)
    assert synced()
    assert isinstance(desk.order(p.PauseTopic), p.OrderDone)
    assert synced()
    desk.store.close()


def test_what_luck_spares_is_torn_at_sectors_or_at_the_end():
    dice = random.Random(1)
    written = [Change(1, 100, b"a" * 2000), Change(2, 0, None), Change(3, 4096, b"b" * 4096)]
    assert survivors(written, Luck.NONE, dice) == []
    assert survivors(written, Luck.ALL, dice) == written
    for _ in range(50):
        first = survivors(written, Luck.FIRST, dice)
        assert first[:-1] == written[: len(first) - 1]
        for number, offset, piece in survivors(written, Luck.SOME, dice):
            start = written[number - 1].offset
            assert offset == start or offset % SECTOR == 0
            assert piece is None or len(piece) <= SECTOR
    content = bytearray(b"xyz")
    apply(content, Change(1, 5, b"!"))
    apply(content, Change(2, 6, None))
    assert content == b"xyz\0\0!"


def test_the_bench_refuses_wrong_numbers():
    with pytest.raises(SystemExit):
        power.main(["--cuts=0"])


# ── C2 ──


@pytest.mark.against("C2")
def test_c2_after_a_reboot_clocks_and_epochs_begin_below_the_old_ones(tmp_path):
    """Leases of before name a later time and a larger epoch; neither counts."""
    desk = Desk(tmp_path / "writer.db")
    desk.submit([f"u{n}@example.com" for n in range(4)])
    gated, idle = desk.claim(jobs=2, epoch=1_000_000_000)
    desk.gate(gated, epoch=1_000_000_000)
    desk.now = desk.now._replace(mono=5.0)
    desk.restart(boot="boot-2")
    asked = p.AskGate("sender-0", 1_000_000_000, (idle.job,))
    assert desk.ask(asked, p.GateOpened).gates == (p.Gate(idle.job, ()),)
    desk.ask(p.Hello("sender-0", 5_000_000, started=()), p.Welcome)
    assert desk.counts() == {"Created": 3, "Unknown": 1}
    again = desk.claim(jobs=9, epoch=5_000_000)
    assert len(again) == 3
    assert all(gate.recipients for gate in desk.gate(*again, epoch=5_000_000))
    desk.store.close()
