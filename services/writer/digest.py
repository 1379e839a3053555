"""Digests: what the writer tells the others of its state, whole and numbered, again and again."""

from typing import NamedTuple

from msgspec.structs import replace

from services.writer.account import Account
from shared.clock import Now
from shared.protocol import RateDigest, TopicWork, WorkDigest, WriterState
from shared.store.write import Row, Store
from shared.wire import Letter

EVERY_S = 0.5
HORIZON_MS = 2_000
DAY_MS = 86_400_000


class Condition(NamedTuple):
    """What the API is told besides the account."""

    trouble: str
    unknown_held: int
    sent: int
    heard: int


class Levels:
    """Numbers the digests and knows when the next round is due."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._seq = 0
        self.next_due = 0.0

    def is_due(self, now: Now) -> bool:
        """Tell whether the half-second round is due."""
        return now.mono >= self.next_due

    def work(self, store: Store, account: Account, now: Now) -> Letter:
        """Say every topic that has mail due within two seconds."""
        horizon = now.ms + HORIZON_MS
        later = store.row("later_work", (horizon,))
        rows = store.rows("due_work", (horizon,))
        return self._digest(rows, later[0] if later else None, account, now)

    def news(
        self, store: Store, account: Account, now: Now, changed: set[tuple[int, int]]
    ) -> Letter | None:
        """Say at once which of the topics that changed have mail due within two seconds."""
        horizon = now.ms + HORIZON_MS
        rows = [row for key in changed for row in store.rows("work_of", (*key, horizon))]
        if not rows:
            return None
        digest = self._digest(rows, None, account, now)
        return digest._replace(message=replace(digest.message, whole=False))

    def _digest(self, rows: list[Row], next_due: int | None, account: Account, now: Now) -> Letter:
        self._seq += 1
        hold = account.hold
        message = WorkDigest(
            epoch=self._epoch,
            seq=self._seq,
            topics=tuple(TopicWork(topic, bool(urgent), due) for topic, urgent, due in rows),
            next_due=next_due,
            held_until=now.mono + (hold.probe_at - now.ms) / 1000 if hold else 0.0,
            probing=hold is not None,
        )
        return Letter("scheduler", message)

    def rest(self, account: Account, now: Now, condition: Condition) -> list[Letter]:
        """Tell the broker the rate, and the API whether a post can be stored."""
        self._seq += 1
        self.next_due = now.mono + EVERY_S
        state = WriterState(
            epoch=self._epoch,
            seq=self._seq,
            storing=not condition.trouble,
            trouble=condition.trouble,
            account=account.state(now),
            unknown_held=condition.unknown_held,
            bulk_refused=account.bulk_refused,
            sent=condition.sent,
            heard=condition.heard,
        )
        return [
            Letter("broker", RateDigest(self._epoch, self._seq, account.rate)),
            Letter("api", state),
        ]


def gauges(store: Store, account: Account, now: Now) -> dict[str, float]:
    """Answer commit times, the WAL, the age of the oldest waiting mail, the rate, the quota."""
    oldest = store.row("oldest_work")
    state = account.state(now)
    times = sorted(store.commit_ms) or [0.0]
    found = {
        "commit_p50_ms": times[len(times) // 2],
        "commit_p99_ms": times[int(len(times) * 0.99)],
        "wal_mb": store.wal_bytes() / 1e6,
        "rate_allowed": state.rate,
        "sent_24h": float(state.sent_24h),
        "oldest_waiting_s": max(0.0, (now.ms - oldest[0]) / 1000) if oldest and oldest[0] else 0.0,
    }
    if state.quota is not None:
        found["quota_max"] = state.quota
    if state.quota_left is not None:
        found["quota_left"] = float(state.quota_left)
    return found


def age(store: Store, now: Now) -> None:
    """Forget what is kept for a time only, a few rows at once."""
    for name in ("age_answered", "age_idempotency"):
        store.run(name, (now.ms - DAY_MS,))
    store.run("age_minutes", ((now.ms - 2 * DAY_MS) // 60_000,))
    store.run("age_orphans")
