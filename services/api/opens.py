"""Hits of open pixels: gathered, handed to the writer in batches, held until it has them."""

from collections import Counter

from shared.clock import Now
from shared.domain import RecipientId
from shared.protocol import Opened, OpensRecorded, RecordOpens
from shared.wire import Letter

BATCH = 1000
FLUSH_S = 0.2
REPEAT_S = 0.5
MOST_WAITING = 100_000
MOST_OF_ONE = 10
"""Hits of one recipient in one batch; more of them are a script's, not a reader's."""


class Opens:
    """The hits that are not committed yet; at most one batch of them is on its way."""

    def __init__(self, epoch: int) -> None:
        self.dropped = 0
        self._epoch = epoch
        self._waiting: list[Opened] = []
        self._of_one: Counter[RecipientId] = Counter()
        self._batch: Letter | None = None
        self._seq = 0
        self._sent = 0.0

    def __len__(self) -> int:
        """Count the hits that are not committed yet."""
        on_the_way = self._batch.message if self._batch else None
        batch = len(on_the_way.opens) if isinstance(on_the_way, RecordOpens) else 0
        return len(self._waiting) + batch

    def add(self, recipient: RecipientId, now: Now) -> None:
        """Take one hit, unless memory or this recipient's share is used up."""
        if len(self._waiting) >= MOST_WAITING or self._of_one[recipient] >= MOST_OF_ONE:
            self.dropped += 1
            return
        self._of_one[recipient] += 1
        self._waiting.append(Opened(recipient, now.ms))

    def flush(self, now: Now, *, at_once: bool = False) -> list[Letter]:
        """Send the next batch, or the one on its way again."""
        if self._batch is not None:
            if now.mono < self._sent + REPEAT_S:
                return []
            self._sent = now.mono
            return [self._batch]
        full = len(self._waiting) >= BATCH
        if not self._waiting or not (full or at_once or now.mono >= self._sent + FLUSH_S):
            return []
        self._seq += 1
        batch, self._waiting = tuple(self._waiting[:BATCH]), self._waiting[BATCH:]
        self._of_one.clear()
        self._batch = Letter("writer", RecordOpens("api", self._epoch, self._seq, batch))
        self._sent = now.mono
        return [self._batch]

    def recorded(self, receipt: OpensRecorded) -> None:
        """Let go of a batch that is committed."""
        if (receipt.epoch, receipt.seq) == (self._epoch, self._seq):
            self._batch = None

    def hurry(self) -> None:
        """Repeat with the next turn: the writer has just started anew."""
        self._sent = float("-inf")
