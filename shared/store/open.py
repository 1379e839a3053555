"""Opening SQLite, for the writer and for readers: the pragmas, each with its reason."""

import contextlib
from pathlib import Path

import apsw

from shared.errors import StoreError

LEAST_SQLITE = (3, 51, 3)
"""Before it, a checkpoint and a commit at once could corrupt a WAL database (sqlite.org)."""


INCREMENTAL = 2
"""PRAGMA auto_vacuum: the file shrinks when it is told to, by as much as it is told."""

VACUUM_AT_MOST = 256 * 1024 * 1024
"""Bytes of a database that is written anew at a start: a second or two."""


def check_library() -> None:
    """Refuse a SQLite with the WAL-reset fault."""
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < LEAST_SQLITE:
        raise StoreError(f"SQLite {version} is too old: 3.51.3 or newer is needed")


def open_writer(path: Path, cache_mb: int, mmap_mb: int, vfs: str = "") -> apsw.Connection:
    """Open the one connection that writes, on SQLite's own view of the disk or a named one."""
    check_library()
    wal = wal_of(path)
    if size_of(wal) and not size_of(path):
        # SQLite would make an empty database and throw the log away.
        raise StoreError(
            f"the database {path} is missing or empty, but its log {wal.name} is there: put the"
            " database back, or move the log away to begin with an empty one"
        )
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = _connect(path, flags, vfs)
    try:
        # The pages of deleted rows can be given back; only before the first table does it cost
        # nothing, and WAL mode already writes the file's head.
        connection.pragma("auto_vacuum", INCREMENTAL)
        connection.pragma("journal_mode", "wal")
        # A commit that was answered survives a power cut: NORMAL loses the newest ones.
        connection.pragma("synchronous", "full")
        connection.pragma("cache_size", -1024 * cache_mb)
        connection.pragma("mmap_size", mmap_mb * 1024 * 1024)
        # After a large transaction the WAL gives its space back.
        connection.pragma("journal_size_limit", 64 * 1024 * 1024)
        connection.pragma("wal_autocheckpoint", 2000)
        connection.pragma("temp_store", "memory")
    except apsw.Error as error:
        raise StoreError(f"cannot open the database {path}: {error}") from error
    return connection


def make_shrinkable(connection: apsw.Connection, path: Path, most: int = VACUUM_AT_MOST) -> str:
    """Let a database of an older release give pages back, if it is small enough to write it anew.

    Answers what the operator can do where it was not done, else nothing.
    """
    if connection.pragma("auto_vacuum") == INCREMENTAL:
        return ""
    size = connection.pragma("page_count") * connection.pragma("page_size")
    if size <= most:
        with contextlib.suppress(apsw.Error):  # no room, or in use: it goes on as it was
            connection.pragma("auto_vacuum", INCREMENTAL)
            connection.execute("VACUUM")
            return ""
    return (
        "the database's file does not get smaller when rows are deleted, it grows more slowly; "
        "to change that, stop ses-sender, have as much free disk as the file takes, and run: "
        f"sqlite3 {path} 'PRAGMA auto_vacuum=2; VACUUM'"
    )


def wal_of(path: Path) -> Path:
    """Answer where SQLite keeps the write-ahead log of that database."""
    return path.with_name(path.name + "-wal")


def size_of(file: Path) -> int:
    """Answer a file's size in bytes, 0 if there is none."""
    return file.stat().st_size if file.exists() else 0


def open_reader(path: Path) -> apsw.Connection:
    """Open a connection that SQLite itself keeps from writing."""
    check_library()
    connection = _connect(path, apsw.SQLITE_OPEN_READONLY)
    # A stray write fails even where the file's permissions would allow it.
    connection.pragma("query_only", value=True)
    return connection


def _connect(path: Path, flags: int, vfs: str = "") -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path), flags, vfs or None, statementcachesize=256)
        # Readers meet a writer only for the blink of a WAL restart.
        connection.set_busy_timeout(1000)
    except apsw.Error as error:
        raise StoreError(f"cannot open the database {path}: {error}") from error
    return connection
