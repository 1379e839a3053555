"""Writing the database: one connection, one transaction a turn, a savepoint a message."""

import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from shared import clock
from shared.errors import StorageFullError, StorageLostError, StoreError
from shared.store import migrate, sql
from shared.store.open import INCREMENTAL, make_shrinkable, open_writer, size_of, wal_of

Row = tuple[Any, ...]
_STATEMENTS = sql.load(*sql.WRITES)
_DISK_TROUBLE = (apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError)
_FILE_TROUBLE = (apsw.CorruptError, apsw.NotADBError, apsw.BusyError)


class Store:
    """The writing side; every method is one statement or the frame around several."""

    def __init__(self, path: Path, cache_mb: int = 16, mmap_mb: int = 0, vfs: str = "") -> None:
        self.path = path
        self._connection = open_writer(path, cache_mb, mmap_mb, vfs)
        self.commit_ms: deque[float] = deque(maxlen=512)
        self.commits = 0
        self._changes = 0
        try:
            self.migrated = migrate.migrate(self._connection)
            self.advice = make_shrinkable(self._connection, path)
            self.can_shrink = self._connection.pragma("auto_vacuum") == INCREMENTAL
        except apsw.Error as error:
            raise self._named(error) from error
        self._files = {file: _inode(file) for file in (path, wal_of(path))}

    def begin(self) -> None:
        """Open the turn's transaction, if the database is still where it was opened.

        SQLite goes on writing to a file that was deleted: all of it would be acknowledged, and gone
        with the process.
        """
        for file, inode in self._files.items():
            if _inode(file) != inode:
                raise StorageLostError(
                    f"cannot write the database {self.path}: while it was open, {file.name} was"
                    " deleted or replaced; put the file back, or stop ses-sender"
                )
        self._execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the turn durable: back only when the disk has it (synchronous=FULL)."""
        began, changes = clock.read().mono, self._connection.total_changes()
        self._execute("COMMIT")
        if changes > self._changes:  # a commit of nothing costs nothing, and tells nothing
            self.commit_ms.append((clock.read().mono - began) * 1000)
            self.commits += 1
        self._changes = changes

    def rollback(self) -> None:
        """Undo the whole turn; SQLite may have done so itself on a full disk."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what one message did if it raises, and nothing else."""
        self._connection.execute("SAVEPOINT message")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO message")
                self._connection.execute("RELEASE message")
            raise
        self._connection.execute("RELEASE message")

    def rows(self, name: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run a named statement and answer every row."""
        return self._execute(_STATEMENTS[name], values)

    def row(self, name: str, values: Sequence[Any] = ()) -> Row | None:
        """Run a named statement and answer its first row, if any."""
        found = self._execute(_STATEMENTS[name], values)
        return found[0] if found else None

    def run(self, name: str, values: Sequence[Any] = ()) -> int:
        """Run a named statement; answer how many rows it changed."""
        self._execute(_STATEMENTS[name], values)
        return self._connection.changes()

    def many(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a named statement that answers nothing once for each of these rows."""
        try:
            self._connection.executemany(_STATEMENTS[name], rows)
        except apsw.Error as error:
            raise self._named(error) from error

    def insert(self, name: str, values: Sequence[Any]) -> int:
        """Run a named insert; answer the new row's id."""
        self.run(name, values)
        return self._connection.last_insert_rowid()

    def try_room(self, octets: int) -> None:
        """Write so many bytes durably and take them away again, or raise StorageFullError."""
        self.begin()
        row = self.insert("try_room", (octets,))
        self.commit()
        self.begin()
        self.run("drop_orphan", (row,))
        self.commit()

    def pages(self) -> tuple[int, int]:
        """Answer how many pages of the file are free, and how many there are."""
        ask = self._connection.pragma
        return int(ask("freelist_count")), int(ask("page_count"))

    def shrink(self, pages: int) -> None:
        """Give so many free pages back to the disk."""
        self._execute(f"PRAGMA incremental_vacuum({pages:d})")

    def wal_bytes(self) -> int:
        """Answer the size of the write-ahead log."""
        return size_of(wal_of(self.path))

    def close(self) -> None:
        """Close the file; SQLite checkpoints and removes the WAL."""
        self._connection.close()

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except apsw.Error as error:
            raise self._named(error) from error

    def _named(self, error: apsw.Error) -> Exception:
        """Tell trouble of the disk and of the file from faults of ours."""
        if isinstance(error, _DISK_TROUBLE):
            return StorageFullError(f"cannot write the database {self.path}: {error}")
        if isinstance(error, _FILE_TROUBLE):
            return StoreError(f"cannot use the database {self.path}: {error}")
        return error


def _inode(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def texts(values: Sequence[str]) -> object:
    """Bind many texts as one table-valued parameter: `FROM carray(?)`."""
    return apsw.carray(tuple(values))


def ids(values: Iterable[int]) -> object:
    """Bind many ids as one table-valued parameter: `FROM carray(?)`."""
    # An empty array has no aligned memory, which SQLite refuses; no row has the id 0.
    return apsw.carray(array.array("q", values) or array.array("q", (0,)))
