"""The account's state: rate, quota and holds, kept in the database, obeyed at claim and gate."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from services.writer import hold as rules
from services.writer.book import Lease
from services.writer.bulk import BulkLane
from services.writer.hold import Hold, Streak
from services.writer.reputation import PauseAt
from shared import log
from shared.clock import Now
from shared.domain import Verdict
from shared.protocol import (
    AccountHold,
    AccountRead,
    AccountState,
    Answer,
    OrderDone,
    OrderRefused,
    ResumeBulk,
    SetRate,
)
from shared.store.write import Row, Store

DAY_MS = 86_400_000
PROBE_LIMIT_S = 30.0
"""A probe that has not been heard of for so long (a call takes 20 s) is given up."""

QUOTA_PAUSE_MS = 60_000
_REFRESH_S = 1.0
_NEAR = 2_000


class Recent(NamedTuple):
    """What the row does not say: how the newest calls ended, and which is the probe."""

    streak: Streak
    probe: int | None
    probe_until: float


class Account:
    """What holds for every mail alike."""

    def __init__(self, store: Store, rate: float | None, pause_at: PauseAt) -> None:
        self._store = store
        self.bulk = BulkLane(store, pause_at)
        self._setting = rate
        self._streak = Streak()
        self._probe: int | None = None
        self._probe_until = 0.0
        self._left: int | None = None
        self._left_at = -1.0
        self._row: Row = ()
        self.hold: Hold | None = None
        self.load()

    def load(self) -> None:
        """Read the row again: at start, and after a turn that was undone."""
        row = self._store.row("account")
        assert row is not None, "the writer makes it before it takes mail"
        self._row = row
        reason, detail, since, failures, probe_at = row[11:16]
        self.hold = Hold(reason, detail, since, failures, probe_at) if reason else None
        self._left_at = -1.0
        self.bulk.load()

    @property
    def recent(self) -> Recent:
        """What the newest calls have shown."""
        return Recent(self._streak, self._probe, self._probe_until)

    def return_to(self, recent: Recent) -> None:
        """Forget what came after that: it was undone."""
        self._streak, self._probe, self._probe_until = recent
        self.load()

    @property
    def rate(self) -> float:
        """R before throttling, in recipients per second."""
        return self._rate()[0]

    @property
    def rate_source(self) -> str:
        """Which limit R comes from: setting, account, api or fallback."""
        return self._rate()[1]

    @property
    def rate_wanted(self) -> float | None:
        """The rate set by an order, in recipients per second; None goes by the setting."""
        wanted: float | None = self._row[10]
        return wanted

    def jobs_allowed(self, now: Now, urgent: int) -> int | None:
        """Answer how many jobs of a lane may be claimed: None for as many as wanted."""
        if not urgent and self.bulk.is_paused:
            return 0
        if self.hold is None:
            return None
        return 0 if self._is_probing(now) or now.ms < self.hold.probe_at else 1

    def begin_probe(self, job: int, now: Now) -> None:
        """Let this one job through a hold."""
        self._probe = job
        self._probe_until = now.mono + PROBE_LIMIT_S

    def _is_probing(self, now: Now) -> bool:
        """Tell whether a probe is under way; one that was cancelled, paused or listed is not."""
        if self._probe is None or now.mono >= self._probe_until:
            return False
        return self._store.row("lease", (self._probe,)) is not None

    def may_send(self, lease: Lease, count: int, now: Now) -> bool:
        """Tell whether a job may go: its lane, no hold (or it is the probe), and quota for it.

        By the quota as `quota_left` found it for this message: what `count_gated` took from it
        since then is not in the database yet.
        """
        if not lease.urgent and self.bulk.is_paused:
            return False
        if self.hold is not None and lease.job != self._probe:
            return False
        if lease.gated_at is not None:
            return True  # counted when its attempt was recorded
        if self._left is None or self._left >= count:
            return True
        self._hold(self._quota_hold(now))
        return False

    def count_gated(self, count: int) -> None:
        """Count recipients let through the gate against what the quota leaves."""
        if self._left is not None:
            self._left -= count

    def quota_left(self, now: Now) -> int | None:
        """Answer what the quota leaves: less sent, by us or by SES's count, and in flight."""
        quota = self._row[1]
        if quota is None or quota < 0:
            self._left = None
            return None
        is_fresh = now.mono - self._left_at < _REFRESH_S and self._left is not None
        if not is_fresh or (self._left or 0) < _NEAR:
            flying = self._store.row("in_flight")
            used = self.used_24h(now) + (int(flying[0]) if flying else 0)
            self._left = rules.quota_left(quota, used)
            self._left_at = now.mono
        return self._left

    def used_24h(self, now: Now) -> int:
        """Answer what was sent in 24 hours: our count or SES's, whichever is more."""
        minutes = (now.ms - DAY_MS) // 60_000, now.ms // 60_000 + 1
        own = self._store.row("sent_minutes", minutes)
        sent_ses, _, ever_at_read = self._row[2:5]
        ever = (self._store.row("sent_ever") or (0,))[0]
        is_current = self._row[5] is not None and now.ms - self._row[5] < DAY_MS
        by_ses = sent_ses + ever - ever_at_read if is_current else 0
        return max(int(own[0]) if own else 0, by_ses)

    def judge(self, answers: Sequence[Answer], job: int, now: Now) -> None:
        """Take what one call's answers say of the account."""
        is_probe = job == self._probe
        if is_probe:
            self._probe = None
        self._streak = rules.lengthen(self._streak, answers)
        may_change = self.hold is None or is_probe
        is_accepted = any(answer.verdict is Verdict.ACCEPTED for answer in answers)
        is_line_trouble = self.hold is not None and self.hold.reason in rules.LINE_TROUBLE
        if may_change or (is_accepted and is_line_trouble):
            self._hold(rules.judge(self.hold, self._streak, answers, now.ms))

    def take_read(self, message: AccountRead, now: Now) -> None:
        """Take what GetAccount said; being told to stop or to go on changes the hold."""
        if message.error:
            self._store.run("set_read_error", (message.error,))
            self.load()
            return
        if message.at == self._row[5]:
            return  # the same read said again: it knows nothing of what came after it
        values = (
            message.max_rate,
            message.quota,
            int(message.sent_24h),
            message.at,
            int(message.sandbox),
            int(message.sending_enabled),
            message.enforcement,
        )
        self._store.run("set_account_read", values)
        self.load()
        reason = self.hold.reason if self.hold else ""
        if message.enforcement == "SHUTDOWN":
            self._hold(self.hold or rules.renew(None, "suspended", "SES shut it down", now.ms))
        elif not message.sending_enabled:
            self._hold(self.hold or rules.renew(None, "sending_paused", "SES paused it", now.ms))
        elif reason in {"suspended", "sending_paused"} or (
            reason == "quota" and (self.quota_left(now) or 0) > 0
        ):
            self._hold(None)

    def set_rate(self, message: SetRate) -> OrderDone | OrderRefused:
        """Take the rate that was set through the API, or return to the setting.

        One above the account's MaxSendRate is refused, as far as that is known.
        """
        most = self._row[0]
        if message.rate is not None and most and message.rate > most:
            return OrderRefused(message.order, "rate_too_high", limit=most)
        is_new = message.rate != self.rate_wanted
        if is_new:
            self._store.run("set_rate_wanted", (message.rate,))
            self.load()
            log.get("writer").info("rate set", rate=self.rate, source=self.rate_source)
        return OrderDone(message.order, changed=int(is_new))

    def resume_bulk(self, message: ResumeBulk, now: Now) -> OrderDone:
        """Let bulk mail go on that was paused for bounces or complaints; changed 0: it went."""
        return OrderDone(message.order, changed=int(self.bulk.resume(now)))

    def state(self, now: Now) -> AccountState:
        """Answer what the digest and the API say of the account."""
        rate, source = self._rate()
        hold = self.hold
        return AccountState(
            rate=rate,
            rate_source=source,
            max_rate=self._row[0],
            quota=self._row[1],
            quota_left=self.quota_left(now),
            sent_24h=self.used_24h(now),
            read_at=self._row[5],
            sandbox=None if self._row[6] is None else bool(self._row[6]),
            sending_enabled=None if self._row[7] is None else bool(self._row[7]),
            enforcement=self._row[8],
            read_error=self._row[9],
            hold=hold and AccountHold(hold.reason, hold.detail, hold.since, hold.probe_at),
        )

    def _rate(self) -> tuple[float, str]:
        return rules.rate_in_force(self._setting, self.rate_wanted, self._row[0])

    def _quota_hold(self, now: Now) -> Hold:
        """Hold until the oldest mail of the last 24 hours no longer counts, as far as we know."""
        row = self._store.row("first_sent_minute", ((now.ms - DAY_MS) // 60_000,))
        frees_at = (row[0] + 1) * 60_000 + DAY_MS if row and row[0] is not None else 0
        # SES's own count may free up sooner than ours: look again every minute.
        detail = "the 24-hour quota is used up"
        if frees_at > now.ms:
            until = datetime.fromtimestamp(frees_at / 1000, UTC)
            detail += f" until about {until:%Y-%m-%d %H:%M} UTC"
        since = self.hold.since if self.hold else now.ms
        return Hold("quota", detail, since, 1, now.ms + QUOTA_PAUSE_MS)

    def _hold(self, hold: Hold | None) -> None:
        if hold == self.hold:
            return
        self._store.run("set_hold", hold or Hold("", "", 0, 0, 0))
        if hold is None:
            log.get("writer").info("sending goes on")
        else:
            log.get("writer").warning("sending waits", reason=hold.reason, detail=hold.detail)
        self.hold = hold
