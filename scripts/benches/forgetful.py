"""A disk that forgets: an SQLite VFS on which a power cut takes all that was not synced.

The files in `folder` are what the running system sees (its page cache). Beside them, in memory, is
what the platter has: a write gets there only with the sync of its file, a new or deleted name only
with the sync of its folder. `Disk.cut` lays what survives into another folder; with luck that is
more than what was synced, whole or torn: all of it, its beginning, or sectors here and there.
"""

import itertools
import random
import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import apsw
from typing_extensions import override

SECTOR = 512
"""What a disk writes whole or not at all."""

_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
"""Files whose first sync makes SQLite sync their folder too."""


class PowerCutError(BaseException):
    """The machine is off. Nobody can catch that, so it is no Exception."""


class Luck(Enum):
    """What survives of what was not synced."""

    NONE = "nothing"
    ALL = "everything"
    FIRST = "its beginning, the last piece torn"
    SOME = "sectors here and there"


class Passage(NamedTuple):
    """An operation that changes the disk: write, sync, truncate or delete, of which file."""

    number: int
    what: str
    file: str


class Change(NamedTuple):
    """Bytes written at an offset, or, without bytes, the file cut off there."""

    number: int
    offset: int
    content: bytes | None


class Inode:
    """A file on the platter, and what has changed since its last sync."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.pending: list[Change] = []

    def sync(self) -> None:
        """Bring every change to the platter."""
        for change in self.pending:
            apply(self.content, change)
        self.pending.clear()


class Disk:
    """What one boot of the machine has under its database; `watch` sees each passage, may raise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.names = {path.name: Inode(path.read_bytes()) for path in folder.iterdir()}
        self.synced_names = dict(self.names)
        self.passages = 0
        self.watch: Callable[[Passage], None] = lambda _passage: None
        self.is_off = False
        self.is_dumb = False
        self._vfs = _Vfs(f"forgetful-{id(self)}", self)

    @property
    def vfs(self) -> str:
        """The name to open a connection with."""
        return self._vfs.called

    def pass_by(self, what: str, file: str) -> None:
        """Count a passage, unless the power is gone, and let the watch see it."""
        if self.is_off:
            raise PowerCutError
        self.passages += 1
        try:
            self.watch(Passage(self.passages, what, file))
        except PowerCutError:
            self.is_off = True
            raise

    def sync_folder(self) -> None:
        """Bring the names to the platter."""
        self.synced_names = dict(self.names)

    def cut(self, folder: Path, luck: Luck = Luck.NONE, dice: random.Random | None = None) -> None:
        """Switch off, and lay into a new folder what the next boot will find."""
        self.is_off = True
        dice = dice or random.Random(0)  # noqa: S311 - a disk's whims, no secret
        folder.mkdir(parents=True)
        names = dict(self.synced_names)
        for name in sorted(self.names.keys() | names.keys()):
            is_new = luck is Luck.ALL or (luck is not Luck.NONE and dice.random() < 0.5)
            if is_new and name in self.names:
                names[name] = self.names[name]
            elif is_new:
                names.pop(name)
        pending = sorted(change for inode in names.values() for change in inode.pending)
        spared = set(survivors(pending, luck, dice))
        for name, inode in names.items():
            content = bytearray(inode.content)
            own = {change.number for change in inode.pending}
            for change in sorted(one for one in spared if one.number in own):
                apply(content, change)
            (folder / name).write_bytes(content)

    def remove(self) -> None:
        """Take the VFS and the folder away; its connections must be closed."""
        self._vfs.unregister()
        shutil.rmtree(self.folder)

    def end(self, connection: apsw.Connection) -> None:
        """Close a connection of a machine that is off: what it still writes is nowhere."""
        self.is_dumb = True
        connection.close()


def apply(content: bytearray, change: Change) -> None:
    """Change the bytes of a file."""
    _number, offset, written = change
    if written is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(written)] = written


def survivors(pending: list[Change], luck: Luck, dice: random.Random) -> list[Change]:
    """Choose what the platter has of changes that were not synced."""
    match luck:
        case Luck.NONE:
            return []
        case Luck.ALL:
            return pending
        case Luck.FIRST if pending:
            kept = pending[: dice.randint(1, len(pending))]
            number, offset, written = kept[-1]
            if written is not None:
                kept[-1] = Change(number, offset, written[: dice.randint(0, len(written))])
            return kept
        case _:
            pieces = [piece for change in pending for piece in _sectors(change)]
            return [piece for piece in pieces if dice.random() < 0.5]


def _sectors(change: Change) -> list[Change]:
    number, offset, written = change
    if written is None:
        return [change]
    edges = [0, *range(SECTOR - offset % SECTOR, len(written), SECTOR), len(written)]
    return [
        Change(number, offset + low, written[low:high]) for low, high in itertools.pairwise(edges)
    ]


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        self.called = name
        self._disk = disk
        super().__init__(name, "")

    @override
    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(name, flags, self._disk)

    @override
    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self._disk.is_dumb:
            return
        name = Path(filename).name
        self._disk.pass_by("delete", name)
        super().xDelete(filename, syncdir)
        self._disk.names.pop(name, None)
        if syncdir:
            self._disk.sync_folder()


class _File(apsw.VFSFile):
    """A file of SQLite's own unix VFS whose changes are noted, and whose syncs cost nothing."""

    def __init__(self, name: Any, flags: list[int], disk: Disk) -> None:
        super().__init__("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk = disk
        self._name = Path(path).name if path else ""
        self._inode = disk.names.setdefault(self._name, Inode()) if path else Inode()
        # As SQLite does it: the folder is synced with the first sync of a new journal.
        self._syncs_folder = bool(
            flags[0] & _JOURNALS and flags[0] & apsw.SQLITE_OPEN_CREATE and not self._inode.content
        )

    @override
    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.is_dumb:
            return
        self._change("write", offset, bytes(data))
        super().xWrite(data, offset)

    @override
    def xTruncate(self, newsize: int) -> None:
        if self._disk.is_dumb:
            return
        self._change("truncate", newsize, None)
        super().xTruncate(newsize)

    def _change(self, what: str, offset: int, content: bytes | None) -> None:
        change = Change(self._disk.passages + 1, offset, content)
        try:
            self._disk.pass_by(what, self._name)
        except PowerCutError:
            # It was under way: luck decides what of it is on the platter.
            self._inode.pending.append(change)
            raise
        self._inode.pending.append(change)

    @override
    def xSync(self, flags: int) -> None:
        if self._disk.is_dumb:
            return
        self._disk.pass_by("sync", self._name)
        self._inode.sync()
        if self._syncs_folder:
            self._syncs_folder = False
            self._disk.sync_folder()
