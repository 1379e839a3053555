"""Digests: what the writer tells the others of its state, whole and numbered, again and again."""

from typing import NamedTuple

from msgspec.structs import replace

from services.writer.account import Account
from services.writer.reputation import share
from shared.clock import Now
from shared.protocol import RateDigest, TopicWork, WorkDigest, WriterState
from shared.store.write import Row, Store, ids
from shared.wire import Letter

EVERY_S = 0.5
HORIZON_MS = 2_000


class Condition(NamedTuple):
    """What the API is told besides the account."""

    trouble: str
    unknown_held: int
    sent: int
    heard: int
    proven_since: int | None = None


class Levels:
    """Numbers the digests and knows when the next round is due."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._seq = 0
        self.next_due = 0.0
        self._told: tuple[float, bool] | None = None

    def is_due(self, now: Now) -> bool:
        """Tell whether the half-second round is due."""
        return now.mono >= self.next_due

    def is_behind(self, account: Account) -> bool:
        """Tell whether the rate or the pause of bulk mail is another than the last round said."""
        return self._told is not None and self._told != (account.rate, account.bulk.is_paused)

    def all(self, store: Store, account: Account, now: Now, condition: Condition) -> list[Letter]:
        """Say everything: the half-second round, or a change that is to be in force at once."""
        self.next_due = now.mono + EVERY_S
        self._told = account.rate, account.bulk.is_paused
        return [self._work(store, account, now), *self._rest(account, now, condition)]

    def _work(self, store: Store, account: Account, now: Now) -> Letter:
        """Say every topic that has mail due within two seconds, in the lanes that may go."""
        horizon, lanes = now.ms + HORIZON_MS, _lanes(account)
        rows = store.rows("due_work", (ids(lanes), horizon))
        return self._digest(rows, _next_due(store, lanes, horizon), account, now)

    def news(
        self, store: Store, account: Account, now: Now, changed: set[tuple[int, int]]
    ) -> Letter | None:
        """Say at once which of the topics that changed have mail due within two seconds."""
        horizon, lanes = now.ms + HORIZON_MS, _lanes(account)
        keys = [key for key in changed if key[1] in lanes]
        rows = [row for key in keys for row in store.rows("work_of", (*key, horizon))]
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

    def _rest(self, account: Account, now: Now, condition: Condition) -> list[Letter]:
        """Tell the broker the rate, and the API whether a post can be stored."""
        self._seq += 1
        state = WriterState(
            epoch=self._epoch,
            seq=self._seq,
            storing=not condition.trouble,
            trouble=condition.trouble,
            account=account.state(now),
            unknown_held=condition.unknown_held,
            bulk_refused=account.bulk.refused,
            sent=condition.sent,
            heard=condition.heard,
            proven_since=condition.proven_since,
            rate_wanted=account.rate_wanted,
            bulk_pause=account.bulk.pause,
            day=account.bulk.day,
            week=account.bulk.week,
        )
        return [
            Letter("broker", RateDigest(self._epoch, self._seq, account.rate)),
            Letter("api", state),
        ]


def _lanes(account: Account) -> tuple[int, ...]:
    """Answer which lanes may go, by the number of their column: bulk 0, urgent 1."""
    return (1,) if account.bulk.is_paused else (0, 1)


def _next_due(store: Store, lanes: tuple[int, ...], after: int) -> int | None:
    """Answer the soonest due time of these lanes after a time (wall ms)."""
    rows = [store.row("later_work", (lane, after)) for lane in lanes]
    return min((row[0] for row in rows if row and row[0] is not None), default=None)


def gauges(store: Store, account: Account, now: Now) -> dict[str, float]:
    """Answer commits, the WAL, the oldest waiting mail's age, rate, quota and reputation."""
    oldest = _next_due(store, (0, 1), 0)
    state, day = account.state(now), account.bulk.day
    times = sorted(store.commit_ms) or [0.0]
    found = {
        "commits": float(store.commits),
        "commit_p50_ms": times[len(times) // 2],
        "commit_p99_ms": times[int(len(times) * 0.99)],
        "wal_mb": store.wal_bytes() / 1e6,
        "rate_allowed": state.rate,
        "sent_24h": float(state.sent_24h),
        "oldest_waiting_s": 0.0 if oldest is None else max(0.0, (now.ms - oldest) / 1000),
        "bounce_rate": share(day.bounced, day.sent),
        "complaint_rate": share(day.complained, day.sent),
    }
    if state.quota is not None:
        found["quota_max"] = state.quota
    if state.quota_left is not None:
        found["quota_left"] = float(state.quota_left)
    return found
