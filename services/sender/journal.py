"""The sender's own record: which calls began and what SES answered survives a kill of this process.

One line for each: length, CRC-32, JSON; an outcome, or the number of a job whose call begins.
Appended with one write and no fsync: it guards against the end of a process, not of the machine
(after a power cut every lease is void anyway). A line that is torn or spoilt is skipped, the others
count.
"""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import msgspec

from shared.domain import JobId
from shared.errors import StorageFullError
from shared.protocol import Outcome

COMPACT_AT = 1_000_000
"""Bytes; a journal that was never wholly acknowledged is then rewritten with what is left."""

Entry: TypeAlias = Outcome | JobId

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Outcome | int).decode


def to_line(entry: Entry) -> bytes:
    """Write one outcome, or the beginning of one job's call, as a line."""
    text = _encode(entry)
    return b"%d %08x %b\n" % (len(text), zlib.crc32(text), text)


def read_lines(raw: bytes) -> list[Entry]:
    """Read every whole line."""
    return [entry for line in raw.split(b"\n") if (entry := _read_line(line)) is not None]


def _read_line(line: bytes) -> Entry | None:
    length, _, rest = line.partition(b" ")
    crc, _, text = rest.partition(b" ")
    if length != b"%d" % len(text) or crc != b"%08x" % zlib.crc32(text):
        return None
    try:
        entry = _decode(text)
    except msgspec.MsgspecError:
        return None
    return entry if isinstance(entry, Outcome) else JobId(entry)


class Journal:
    """The file; whatever the disk refuses is raised as StorageFullError, and can be tried again.

    `replayed` are the outcomes found in it, `begun` the jobs whose call began and has none; None
    if there was no file to tell.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        is_new = not path.exists()
        self._fd = self._open()
        raw = path.read_bytes()
        self.size = len(raw)
        entries = read_lines(raw)
        self.replayed = [entry for entry in entries if isinstance(entry, Outcome)]
        ended = {outcome.job for outcome in self.replayed}
        begun = [entry for entry in entries if not isinstance(entry, Outcome)]
        self.begun = None if is_new else [job for job in begun if job not in ended]
        self._is_torn = bool(raw) and not raw.endswith(b"\n")
        self._compact_at = COMPACT_AT

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, entries: Iterable[Entry]) -> None:
        """Add outcomes, or calls that begin, at the end; nothing at all only tries the disk."""
        # After a torn line a line break comes first, or the next line would be lost with it.
        lines = (b"\n" if self._is_torn else b"") + b"".join(map(to_line, entries))
        lines = lines or b"\n"  # an empty line is read as none
        try:
            written = os.write(self._fd, lines)
        except OSError as error:
            raise StorageFullError(f"{self._path}: {error.strerror}") from error
        self.size += written
        self._is_torn = written < len(lines)
        if self._is_torn:
            raise StorageFullError(f"{self._path}: no space left")

    def forget(self, left: Iterable[Entry]) -> None:
        """Cut the journal down to what is left, when that is nothing or overdue.

        Left are outcomes that are not acknowledged and calls that are in the air.
        """
        if not self.size:
            return
        first = next(iter(left), None)
        if first is None:
            os.ftruncate(self._fd, 0)
            self.size, self._is_torn, self._compact_at = 0, False, COMPACT_AT
        elif self.size > self._compact_at:
            self._rewrite(b"".join(map(to_line, left)))

    def _rewrite(self, lines: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(lines)
            fresh.chmod(0o600)
            fresh.replace(self._path)
        except OSError:
            # No room for a second copy: the old one is still whole; try at twice the size.
            self._compact_at = 2 * self.size
            return
        os.close(self._fd)
        self._fd = self._open()
        self.size, self._is_torn = len(lines), False
        self._compact_at = max(COMPACT_AT, 2 * self.size)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
