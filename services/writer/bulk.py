"""The bulk lane: whether its mail waits for its reputation, and whether bulk calls are refused."""

from services.writer import reputation
from services.writer.reputation import Pause, PauseAt
from shared import log
from shared.clock import Now
from shared.protocol import BulkPause, Reputation
from shared.store.write import Store

SILENT_S = 180.0
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000


class BulkLane:
    """What holds for bulk mail alone; urgent mail goes on."""

    def __init__(self, store: Store, pause_at: PauseAt) -> None:
        self._store = store
        self._pause_at = pause_at
        self._heard: float | None = None
        self._pause = Pause()
        self.refused = ""
        self.day = self.week = Reputation()
        self.load()

    def load(self) -> None:
        """Read the row again: at start, and after a turn that was undone."""
        row = self._store.row("bulk_lane")
        assert row is not None, "the writer makes it before it takes mail"
        self.refused, since, reason, *lifted = row
        self._pause = Pause(since, reason, *map(bool, lifted))

    @property
    def is_paused(self) -> bool:
        """Tell whether bulk mail waits."""
        return self._pause.since is not None

    @property
    def pause(self) -> BulkPause | None:
        """Why bulk mail waits, and since when; None if it goes."""
        since = self._pause.since
        return None if since is None else BulkPause(self._pause.reason, since)

    def look(self, now: Now) -> None:
        """Count the last day and week, and let bulk mail wait if they ask for it."""
        self._count(now)
        self._set(reputation.judge(self._pause, self.day, self._pause_at, now.ms))
        self._forget(now)

    def resume(self, now: Now) -> bool:
        """Let bulk mail go on by hand; False if it did not wait."""
        was_paused = self.is_paused
        self._count(now)
        self._set(reputation.resume(self._pause, self.day, self._pause_at))
        return was_paused

    def refuse(self, reason: str, now: Now) -> None:
        """Remember that SES refuses SendBulkEmail as such; senders say so again each minute."""
        self._heard = now.mono
        if reason != self.refused:
            self._store.run("set_bulk_refused", (reason,))
            self.refused = reason

    def _forget(self, now: Now) -> None:
        """Forget that bulk calls are refused once no sender has said so for a while."""
        if self._heard is None:
            self._heard = now.mono  # a fresh writer listens first
        if self.refused and now.mono - self._heard > SILENT_S:
            self.refuse("", now)

    def _count(self, now: Now) -> None:
        self.day = self._since("reputation_minutes", (now.ms - _DAY_MS) // _MINUTE_MS)
        self.week = self._since("reputation_hours", (now.ms - 7 * _DAY_MS) // _HOUR_MS)

    def _since(self, statement: str, since: int) -> Reputation:
        return Reputation(*(self._store.row(statement, (since,)) or (0, 0, 0)))

    def _set(self, pause: Pause) -> None:
        if pause == self._pause:
            return
        self._store.run("set_bulk_pause", pause)
        if pause.since is None and self.is_paused:
            log.get("writer").info("bulk mail goes on")
        elif pause.since is not None and not self.is_paused:
            log.get("writer").warning("bulk mail waits until it is resumed", reason=pause.reason)
        self._pause = pause
