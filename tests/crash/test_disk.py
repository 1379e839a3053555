"""A database that is gone, spoilt or somebody else's: named, never papered over."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from scripts.benches.forgetful import Disk
from shared import protocol as p
from shared.errors import StoreError
from shared.store.write import Store
from tests.system.stack import ROOT, Stack
from tests.unit.writer.conftest import Desk

# ── a start that is refused ──


@pytest.fixture
def home(tmp_path) -> Path:
    """Make a database with mail in it; answer its path."""
    (tmp_path / "data").mkdir()
    desk = Desk(tmp_path / "data" / "x.db")
    for topic in ("red", "blue"):
        desk.submit([f"u{n}@example.com" for n in range(300)], topic)
    desk.store.close()
    return desk.path


def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        Store(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.against("D2")
def test_d2_a_database_that_somebody_holds_is_refused_by_name(home):
    holder = apsw.Connection(str(home))
    holder.pragma("locking_mode", "exclusive")
    holder.execute("BEGIN EXCLUSIVE")
    assert "locked" in refusal(home)
    holder.close()
    Store(home).close()


@pytest.mark.against("D2")
def test_d2_a_folder_that_is_not_there_is_named(tmp_path):
    assert "unable to open" in refusal(tmp_path / "nowhere" / "x.db")
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def public(home) -> Iterator[Path]:
    """Answer the path of a copy in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    shutil.copy(home, folder)
    yield folder / home.name
    folder.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.against("D2")
@pytest.mark.parametrize(
    ("folder", "file", "why"),
    [(0o555, 0o666, "readonly"), (0o777, 0o444, "readonly"), (0o777, 0o000, "unable to")],
)
def test_d2_what_may_not_be_written_is_named(public, folder, file, why):
    before = public.read_bytes()
    public.chmod(file)
    public.parent.chmod(folder)
    assert why in as_nobody(lambda: refusal(public))
    public.chmod(0o600)
    assert public.read_bytes() == before


def as_nobody(act: Callable[[], str]) -> str:
    """Do something in a child process that is not root, who may do all; answer what it answers."""
    ear, mouth = os.pipe()
    if os.fork() == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            os.write(mouth, act().encode())
        except BaseException as error:  # noqa: BLE001 - the child has nobody else to tell
            os.write(mouth, repr(error).encode())
        finally:
            os._exit(0)
    os.close(mouth)
    os.wait()
    with os.fdopen(ear) as told:
        return told.read()


@pytest.mark.against("D2")
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_d2_a_log_without_its_database_is_not_thrown_away(home, how):
    store = Store(home)
    store.run("add_topic", ("green", 1))
    saved = home.with_name("saved.db")
    shutil.copy(home, saved)
    wal = home.with_name("x.db-wal").read_bytes()
    store.close()
    home.with_name("x.db-wal").write_bytes(wal)
    home.unlink() if how == "missing" else home.write_bytes(b"")
    assert "its log x.db-wal is there" in refusal(home)
    assert home.with_name("x.db-wal").read_bytes() == wal
    shutil.copy(saved, home)
    store = Store(home)
    assert store.row("topic_by_name", ("green",)) is not None
    store.close()


@pytest.mark.against("D2")
def test_d2_flipped_bits_are_named_or_harmless_and_never_an_empty_database(home):
    whole = home.read_bytes()
    dice = random.Random(4)
    refused = 0
    places = [*range(100), *(dice.randrange(100, len(whole)) for _ in range(60))]
    for place in places:
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << dice.randrange(8)
        home.write_bytes(spoilt)
        refused += not opens(home)
    assert refused > 10


def opens(path: Path) -> bool:
    """Open a spoilt database and read what a start reads; if it is refused, then by name."""
    disk = Disk(path.parent)  # its syncs cost nothing
    try:
        store = Store(path, vfs=disk.vfs)
    except StoreError as error:
        told = str(error)
    else:
        assert store.migrated == [], "it was taken for a database without tables"
        store.close()
        return True
    assert str(path) in told
    return False


# ── a database that goes away while it is open ──


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path / "writer.db")
    yield desk
    desk.store.close()


def state(desk: Desk) -> p.WriterState:
    (found,) = [x.message for x in desk.wait(1) if isinstance(x.message, p.WriterState)]
    return found


@pytest.mark.against("D2")
@pytest.mark.parametrize("name", ["writer.db", "writer.db-wal"])
@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_d2_nothing_is_acknowledged_into_a_file_that_is_gone(desk, name, how):
    desk.submit(["a@example.com"])
    file = desk.path.with_name(name)
    away = file.rename(file.with_name("away"))
    if how == "replaced":
        shutil.copy(away, file)
    assert desk.submit(["b@example.com"], number="s1") == p.NotStored("s1", "storage_failed")
    told = state(desk)
    assert not told.storing
    assert desk.path.name in told.trouble
    assert f"{name} was deleted or replaced" in told.trouble
    assert file.exists() == (how == "replaced"), "no empty file is made in its place"
    away.replace(file)
    assert state(desk).storing
    assert isinstance(desk.submit(["c@example.com"], number="s2"), p.Stored)
    assert desk.counts() == {"Created": 2}


@pytest.mark.against("D2")
def test_d2_a_writer_that_cannot_start_says_path_and_reason(tmp_path):
    stack = Stack(tmp_path, simulator=False)
    database = stack.folder / "data" / "ses-sender.db"
    database.parent.mkdir()
    (stack.folder / "env").touch()
    database.write_bytes(b"no database" * 1000)
    ended = subprocess.run(
        [sys.executable, "-m", "services.writer"],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert f"cannot open the database {database}: file is not a database" in (
        ended.stdout + ended.stderr
    )
    assert database.read_bytes() == b"no database" * 1000
