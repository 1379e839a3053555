"""Opening SQLite, for the writer and for readers: the pragmas, each with its reason."""

from pathlib import Path

import apsw

from shared.errors import StoreError

LEAST_SQLITE = (3, 51, 3)
"""Before it, a checkpoint and a commit at once could corrupt a WAL database (sqlite.org)."""


def check_library() -> None:
    """Refuse a SQLite with the WAL-reset fault."""
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < LEAST_SQLITE:
        raise StoreError(f"SQLite {version} is too old: 3.51.3 or newer is needed")


def open_writer(path: Path, cache_mb: int, mmap_mb: int) -> apsw.Connection:
    """Open the one connection that writes."""
    check_library()
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = _connect(path, flags)
    try:
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


def open_reader(path: Path) -> apsw.Connection:
    """Open a connection that SQLite itself keeps from writing."""
    check_library()
    connection = _connect(path, apsw.SQLITE_OPEN_READONLY)
    # A stray write fails even where the file's permissions would allow it.
    connection.pragma("query_only", value=True)
    return connection


def _connect(path: Path, flags: int) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path), flags=flags, statementcachesize=256)
        # Readers meet a writer only for the blink of a WAL restart.
        connection.set_busy_timeout(1000)
    except apsw.Error as error:
        raise StoreError(f"cannot open the database {path}: {error}") from error
    return connection
