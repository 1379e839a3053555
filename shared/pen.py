"""What writes the log: to stderr, the lines of a crowd together."""

import asyncio
import logging
import select
from typing import TextIO

from typing_extensions import override


class Pen(logging.StreamHandler[TextIO]):
    """Writes lines; in an event loop those of one turn together, for a crowd leaves a crowd.

    What an operator should look at goes at once, behind what waits. A write is never more than a
    pipe takes as a whole (POSIX, PIPE_BUF), so that no other process's line comes in between.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[str] = []
        self._octets = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + self.terminator
            octets = len(line.encode(errors="replace"))
            if self._octets + octets > select.PIPE_BUF:
                self.flush()
            self._waiting.append(line)
            self._octets += octets
            if record.levelno > logging.INFO or not self._waits_for_turn(record):
                self.flush()
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)

    def _waits_for_turn(self, record: logging.LogRecord) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if len(self._waiting) == 1:
            loop.call_soon(self._end_turn, record)
        return True

    def _end_turn(self, record: logging.LogRecord) -> None:
        try:
            self.flush()
        except Exception:  # noqa: BLE001 - as above: no trouble of the log's ends its process
            self.handleError(record)

    @override
    def flush(self) -> None:
        self.acquire()
        try:
            lines, self._waiting, self._octets = self._waiting, [], 0
            if lines:
                self.stream.write("".join(lines))
            super().flush()
        finally:
            self.release()
