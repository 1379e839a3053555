"""Which gauge of which process makes which top-level number of the snapshot."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from msgspec import Struct

Gauges: TypeAlias = Mapping[str, Mapping[str, float]]
"""By process: what it last reported."""


class Queue(Struct, frozen=True):
    """Recipients by state."""

    created: float | None
    processed: float | None
    sent: float | None
    failed: float | None
    stopped: float | None
    unknown: float | None
    suppressed: float | None


class Rate(Struct, frozen=True):
    """Recipients per second; `binding` is the limit that holds the rate down, in one word."""

    allowed: float | None
    in_force: float | None
    used: float | None
    binding: str | None


class Quota(Struct, frozen=True):
    """Recipients in 24 hours."""

    max: float | None
    left: float | None
    sent_24h: float | None


class Events(Struct, frozen=True):
    """What SNS posts: events per second, and seconds from SES's time to our commit."""

    per_s: float | None
    lag_s: float | None


class Reputation(Struct, frozen=True):
    """Bounces and complaints per mail of 24 hours, 0 to 1; why bulk mail is paused, if it is."""

    bounce_rate: float | None
    complaint_rate: float | None
    bulk_paused: str | None


class CommitMs(Struct, frozen=True):
    """Milliseconds a commit of the writer took."""

    p50: float | None
    p99: float | None


class Overview(Struct, frozen=True):
    """The numbers of the whole; None where the process that owns one is not heard."""

    queue: Queue
    oldest_waiting_s: float | None
    rate: Rate
    quota: Quota
    throttles: float | None
    events: Events
    reputation: Reputation
    commit_ms: CommitMs
    wal_mb: float | None


class Words(NamedTuple):
    """What the writer's notes say of the limits; empty where they say nothing."""

    hold: str
    rate_source: str
    bulk_paused: str = ""


def lift(gauges: Gauges, words: Words) -> Overview:
    """Take every top-level number from the process that owns it."""

    def of(process: str) -> Callable[[str], float | None]:
        return gauges.get(process, {}).get

    writer, broker, results = of("writer"), of("broker"), of("results")
    rate = Rate(
        allowed=writer("rate_allowed"),
        in_force=broker("rate"),
        used=broker("granted_per_s"),
        binding=None,
    )
    quota = Quota(writer("quota_max"), writer("quota_left"), writer("sent_24h"))
    return Overview(
        queue=Queue(*(writer(f"queue_{state}") for state in Queue.__struct_fields__)),
        oldest_waiting_s=writer("oldest_waiting_s"),
        rate=Rate(rate.allowed, rate.in_force, rate.used, binding_limit(rate, quota, words)),
        quota=quota,
        throttles=broker("throttles"),
        events=Events(results("events_per_s"), results("lag_s")),
        reputation=Reputation(
            writer("bounce_rate"), writer("complaint_rate"), words.bulk_paused or None
        ),
        commit_ms=CommitMs(writer("commit_p50_ms"), writer("commit_p99_ms")),
        wal_mb=writer("wal_mb"),
    )


def binding_limit(rate: Rate, quota: Quota, words: Words) -> str | None:
    """Name the limit that holds the rate down now, the hardest first.

    hold:REASON | quota | throttle | setting | account | fallback; None while nothing is known.
    """
    if words.hold:
        return f"hold:{words.hold.partition(':')[0]}"
    if quota.left is not None and quota.left <= 0:
        return "quota"
    # 0.5 %: the broker's number may be one digest older than the writer's.
    if rate.allowed and rate.in_force is not None and rate.in_force < 0.995 * rate.allowed:
        return "throttle"
    return words.rate_source or None
