"""Torn files: a commit that is not whole costs itself alone; a migration is whole or not begun."""

import shutil
from pathlib import Path

import apsw
import pytest

from scripts.benches.forgetful import Disk, Luck, Passage, PowerCutError
from shared.store import sql
from shared.store.write import Store

FRAME = 24 + 4096
"""A page in the WAL, with its head."""


# ── P2 ──


@pytest.fixture
def torn(tmp_path) -> tuple[Path, int]:
    """Make a database and its WAL as they are in mid-life; answer where the last commit begins."""
    store = Store(tmp_path / "x.db")
    store.close()
    store = Store(tmp_path / "x.db")
    for number in range(5):
        store.begin()
        before = store.wal_bytes()
        store.run("add_topic", (f"topic-{number}", 1))
        store.commit()
    for name in ("x.db", "x.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"torn-{name}")
    store.close()
    return tmp_path / "torn-x.db", before


def topics_after(path: Path, wal: bytes, folder: Path) -> list[str]:
    """Open what a power cut left; answer the topics that are there."""
    folder.mkdir()
    shutil.copy(path, folder / "x.db")
    (folder / "x.db-wal").write_bytes(wal)
    store = Store(folder / "x.db")
    try:
        assert store._connection.pragma("integrity_check") == "ok"
        found = store._connection.execute("SELECT name FROM topic WHERE name > '' ORDER BY id")
        return [name for (name,) in found]
    finally:
        store.close()


@pytest.mark.against("P2")
def test_p2_a_torn_last_commit_costs_that_commit_alone(torn, tmp_path):
    path, before = torn
    wal = path.with_name(path.name + "-wal").read_bytes()
    names = [f"topic-{number}" for number in range(5)]
    assert topics_after(path, wal, tmp_path / "whole") == names
    assert (len(wal) - before) % FRAME == 0
    edges = {
        at + near
        for at in range(before, len(wal), FRAME)
        for near in (-1, 0, 1, 8, 23, 24, 25, FRAME - 1)
    }
    ends = sorted(end for end in edges | set(range(before, len(wal), 397)) if before <= end)
    for end in ends:
        found = topics_after(path, wal[:end], tmp_path / f"cut-{end}")
        assert found == names[:4], f"cut at byte {end} of {len(wal)}"


@pytest.mark.against("P2")
def test_p2_a_last_frame_of_other_bytes_costs_its_commit_alone(torn, tmp_path):
    path, before = torn
    wal = path.with_name(path.name + "-wal").read_bytes()
    for number, at in enumerate(range(len(wal) - FRAME, len(wal), 211)):
        spoilt = bytearray(wal)
        spoilt[at] ^= 1 << number % 8
        found = topics_after(path, bytes(spoilt), tmp_path / f"spoilt-{at}")
        assert found == [f"topic-{number}" for number in range(4)], f"a bit at {at}"
        assert before < at


# ── F2 ──


def older(folder: Path, step: int) -> Path:
    """Make a database as the release of that step left it, with a row that must survive."""
    folder.mkdir(exist_ok=True)
    connection = apsw.Connection(str(folder / "x.db"))
    connection.pragma("journal_mode", "wal")
    for migration in sql.migrations()[:step]:
        connection.execute(migration.text)
        connection.pragma("user_version", migration.number)
    connection.execute("INSERT INTO topic (id, name, created_at, sent) VALUES (2, 'news', 1, 3)")
    connection.close()
    return folder / "x.db"


@pytest.mark.against("F2", "P1")
@pytest.mark.parametrize("step", [0, 1])
def test_f2_an_end_at_any_write_of_a_migration(tmp_path, step):
    """A power cut (with and without luck) or a kill: the next start does what is left to do."""
    home = tmp_path / "home"
    home.mkdir()
    if step:
        older(home, step)
    expected, passages = migrated(lay(home, tmp_path / "whole"), step)
    # The first passages one by one, where the file is founded; then samples, and the last.
    numbers = sorted({*range(1, 16), *range(16, passages, 29), passages})
    assert passages > 20
    for number in numbers:
        for luck in (Luck.NONE, Luck.SOME, Luck.ALL):
            before = lay(home, tmp_path / f"before-{number}-{luck.name}")
            after = tmp_path / f"after-{number}-{luck.name}"
            cut_at(number, before, after, luck)
            assert migrated(after, step)[0] == expected, f"ended at {number} of {passages}, {luck}"


def lay(home: Path, folder: Path) -> Path:
    shutil.copytree(home, folder)
    return folder


def migrated(folder: Path, step: int) -> tuple[list[tuple], int]:
    """Open a store, which migrates it; answer its shape, and how often the disk was changed."""
    disk = Disk(folder)
    store = Store(folder / "x.db", vfs=disk.vfs)
    passages, ask = disk.passages, store._connection.execute
    assert ask("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert ask("PRAGMA user_version").fetchall() == [(len(sql.migrations()),)]
    found = ask("SELECT name, sent FROM topic").fetchall()
    assert found == ([("news", 3)] if step else [])
    shape = ask("SELECT type, name, sql FROM sqlite_master").fetchall()
    store.close()
    disk.remove()
    return shape, passages


def cut_at(number: int, before: Path, after: Path, luck: Luck) -> None:
    """Open a store, which migrates it, and cut the power at a passage."""
    disk = Disk(before)

    def look(passage: Passage) -> None:
        if passage.number == number:
            raise PowerCutError

    disk.watch = look
    try:
        Store(before / "x.db", vfs=disk.vfs).close()
    except PowerCutError:
        disk.is_dumb = True
    disk.cut(after, luck)
    disk.remove()
