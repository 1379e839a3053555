"""Named points at which a process ends itself by SIGKILL: for tests of crashes, and nothing else.

`CRASH_AT=writer.before_commit:5` ends the writer when it passes that point for the fifth time in
its life, once in an installation: `DATA_DIR/crashed-NAME` says that it happened, and keeps the next
life from it. `CRASH_AT=sender.begun:poison@` kills with every mail that has this text in its
address, as often as it comes. Several are separated by commas. Only an installation on the
simulator is armed.
"""

import os
import signal
from pathlib import Path

from shared.errors import SettingsError

POINTS = {
    "api.checked": "a submission is checked, the writer has not got it yet",
    "api.stored": "the writer has said Stored, the client is not answered yet",
    "broker.granted": "permits are granted, their senders do not know yet",
    "results.verified": "posts are verified, the writer has not got their events yet",
    "results.recorded": "the writer has said that events are committed, SNS is not answered yet",
    "scheduler.claimed": "jobs are leased, their sender has not got them yet",
    "sender.received": "a job has come, its gate is not asked for yet",
    "sender.gated": "gate and permit are there, that a call begins is not written down yet",
    "sender.begun": "that a call begins is written down, nothing has left yet",
    "sender.answered": "SES has answered, the journal does not have it yet",
    "sender.journalled": "the journal has the answer, the writer does not have it yet",
    "writer.before_commit": "everything of a turn is written, nothing is committed yet",
    "writer.after_commit": "the turn is committed, nobody is answered yet",
    "writer.sweeping": "some rows have followed an order, their step is not committed yet",
}


BY_MAIL = {"sender.received", "sender.begun"}
"""Points that know the addresses at hand: a text with an @ is looked for in them."""


class Trap:
    """A text that no mail may have in its addresses."""

    def __init__(self, text: str) -> None:
        self.text = text

    def passed(self, about: object) -> None:
        """End if the text is found, every time."""
        if self.text in str(about):
            os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    """How many passages of a point are left, and the file that says that it is over."""

    def __init__(self, left: int, mark: Path) -> None:
        self.left = left
        self.mark = mark

    def passed(self, _about: object = None) -> None:
        """Count a passage; the last one is the end, unless another process was first."""
        self.left -= 1
        if self.left != 0:
            return
        try:
            self.mark.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


_armed: dict[str, Countdown | Trap] = {}


def arm(text: str, folder: Path, *, simulated: bool) -> None:
    """Arm the points of a CRASH_AT; what happened before in that folder does not happen again.

    Nothing is armed where mail may be real, whatever the text says. A text that cannot be read
    raises SettingsError: a test that waits for its crash in vain shall say why.
    """
    _armed.clear()
    for part in text.split(",") if simulated and text else ():
        name, _, rest = part.strip().partition(":")
        found = _read(name, rest, folder)
        if found is None:
            raise SettingsError(
                [f"CRASH_AT has {part!r}: write NAME:N, NAME as in shared/crash.py"]
            )
        if isinstance(found, Trap) or not found.mark.exists():
            _armed[name] = found


def _read(name: str, rest: str, folder: Path) -> Countdown | Trap | None:
    if name in BY_MAIL and "@" in rest:
        return Trap(rest)
    if name in POINTS and rest.isascii() and rest.isdigit() and int(rest) > 0:
        return Countdown(int(rest), folder / f"crashed-{name}")
    return None


def point(name: str, about: object = None) -> None:
    """Pass a point, with the mail that is at hand; nothing happens unless a test has armed it."""
    if _armed and name in _armed:
        _armed[name].passed(about)
