"""The exception tree.

SesSenderError
├── SettingsError          the environment or .env is wrong: every fault named, exit 78
├── AlreadyRunningError    another process holds this actor's lock: exit 75
├── StoreError             the database cannot be used
│   ├── StorageFullError   no space left: what came is refused, what is stored stays
│   │   └── StorageLostError   the file was deleted or replaced: nothing is written to nowhere
│   └── StoreTooNewError   a newer release made this database
├── IllegalMoveError       a recipient was asked for a move that its state does not know
└── FrameError             bytes on the wire that are no message of ours
"""


class SesSenderError(Exception):
    """Any fault this project names itself."""


class SettingsError(SesSenderError):
    """The settings are wrong; `faults` has one sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class AlreadyRunningError(SesSenderError):
    """Another process holds this actor's lock."""


class StoreError(SesSenderError):
    """The database cannot be used; the message has the path and the reason."""


class StorageFullError(StoreError):
    """No space is left for the database; `code` is what those who wait are told."""

    code = "storage_full"


class StorageLostError(StorageFullError):
    """The database's file is not where it was opened: what is written to it is gone at the end."""

    code = "storage_failed"


class StoreTooNewError(StoreError):
    """The database was made by a newer release."""


class IllegalMoveError(SesSenderError):
    """A recipient's state does not know this move."""


class FrameError(SesSenderError):
    """Bytes on the wire that are no message of ours; `frame` keeps them."""

    def __init__(self, reason: str, frame: bytes) -> None:
        super().__init__(reason)
        self.frame = frame
