"""/v1/account: rate, quota, events, reputation; and the steering of them."""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from services.api import ordered, readiness, shape
from services.api.body import require_json
from services.api.line import Line
from services.api.ordered import Wishes
from services.api.query import parameters
from services.api.readiness import Life, Pace
from services.api.refusal import Fault, RefusalError, unavailable, wrong
from services.api.replies import replay_header, reply, utc
from shared.config import Settings
from shared.protocol import (
    AccountHold,
    AccountState,
    BulkPause,
    OrderRefused,
    Reputation,
    ResumeBulk,
    SetRate,
    WriterState,
)

LEAST_RATE = 0.01
MOST_RATE = 100_000.0

AWS_REVIEW = {"bounce": 0.05, "complaint": 0.001}
"""Shares at which AWS looks at an account (SES developer guide, sending statistics)."""
AWS_PAUSE = {"bounce": 0.10, "complaint": 0.005}
"""Shares at which AWS may pause its sending (as above)."""


class RateBody(Struct, forbid_unknown_fields=True):
    """R as wished, in recipients per second; null: the setting's again."""

    max_send_per_second: float | None


_rate = msgspec.json.Decoder(RateBody)


class Account:
    """Answers for the account as a whole."""

    def __init__(
        self, line: Line, settings: Settings, lives: Callable[[], Sequence[Life] | None]
    ) -> None:
        self._line = line
        self._settings = settings
        self._lives = lives
        self._wishes = Wishes()

    async def account(self, request: Request) -> Response:
        """Tell what the account allows, how it is used, and what stands in the way."""
        parameters(request)
        writer = self._line.writer()
        if writer is None:
            told = "The writer is not heard: what the account allows is not known at present."
            raise unavailable("writer_not_heard", told)
        account = writer.account
        body = {
            "rate": self._rate(writer),
            "quota": {"max": account.quota, "used": account.sent_24h, "left": account.quota_left},
            "sandbox": account.sandbox,
            "sending_enabled": account.sending_enabled,
            "enforcement": account.enforcement or None,
            "hold": _hold(account.hold),
            "read_at": utc(account.read_at),
            "read_error": account.read_error or None,
            "bulk": _bulk(writer.bulk_pause),
            "events": _events(writer),
            "reputation": {
                "day": _reputation(writer.day),
                "week": _reputation(writer.week),
                "limits": self._limits(),
            },
        }
        return reply(body)

    async def change(self, request: Request) -> Response:
        """Set the rate, or return to the setting's; answer what is then in force."""
        parameters(request)
        async with self._wishes.take(request) as wish:
            require_json(request.scope)
            rate = shape.read(wish.raw, _rate).max_send_per_second
            if rate is not None and not LEAST_RATE <= rate <= MOST_RATE:
                told = f"must be null or a number from {LEAST_RATE:g} to {MOST_RATE:.0f}"
                raise wrong([Fault("/max_send_per_second", told)])
            await ordered.carry_out(self._line, SetRate("api", wish.order(), rate), _too_high)
        writer = await self._line.level(lambda writer: writer.rate_wanted == rate)
        return reply({"status": "ok", "rate": None if writer is None else self._rate(writer)})

    async def resume(self, request: Request) -> Response:
        """Let bulk mail go on that was paused for bounces or complaints."""
        parameters(request)
        async with self._wishes.take(request) as wish:
            if wish.raw.strip():
                require_json(request.scope)
                shape.read(wish.raw, shape.empty)
            order = ResumeBulk("api", wish.order())
            done = await ordered.carry_out(self._line, order, ordered.impossible)
        writer = await self._line.level(lambda writer: writer.bulk_pause is None)
        bulk = None if writer is None else _bulk(writer.bulk_pause)
        return reply({"status": "ok", "bulk": bulk}, headers=replay_header(replayed=done.replayed))

    def _rate(self, writer: WriterState) -> dict[str, object]:
        pace = readiness.pace(self._lives())
        setting = self._settings.max_send_per_second
        return {
            "in_force": _in_force(writer.account, pace),
            "source": writer.account.rate_source,
            "setting": "auto" if setting is None else setting,
            "api": writer.rate_wanted,
            "account": writer.account.max_rate,
            "throttled": pace.throttled,
            "now": pace.now,
        }

    def _limits(self) -> dict[str, dict[str, float | None]]:
        pauses_at = {
            "bounce": self._settings.pause_at_bounce_rate,
            "complaint": self._settings.pause_at_complaint_rate,
        }
        return {
            kind: {
                "aws_review": AWS_REVIEW[kind],
                "aws_pause": AWS_PAUSE[kind],
                "pauses_at": share if share < 1 else None,
            }
            for kind, share in pauses_at.items()
        }


def _in_force(account: AccountState, pace: Pace) -> float:
    """Answer R: what the writer allows, or less while SES throttles.

    The broker's own number may be a second older than the writer's.
    """
    is_less = pace.throttled and pace.rate is not None and pace.rate < account.rate
    return pace.rate if is_less and pace.rate is not None else account.rate


def _hold(hold: AccountHold | None) -> dict[str, object] | None:
    if hold is None:
        return None
    return {
        "reason": hold.reason,
        "detail": hold.detail,
        "since": utc(hold.since),
        "probe_at": utc(hold.probe_at),
    }


def _bulk(pause: BulkPause | None) -> dict[str, object]:
    return {
        "paused": pause is not None,
        "reason": None if pause is None else pause.reason,
        "since": None if pause is None else utc(pause.since),
    }


def _events(writer: WriterState) -> dict[str, object]:
    return {
        "proven": writer.proven_since is not None,
        "since": utc(writer.proven_since),
        "sent": writer.sent,
        "heard": writer.heard,
    }


def _reputation(counted: Reputation) -> dict[str, float | None]:
    sent = counted.sent
    return {
        "sent": sent,
        "bounces": counted.bounced,
        "complaints": counted.complained,
        "bounce_rate": round(counted.bounced / sent, 6) if sent else None,
        "complaint_rate": round(counted.complained / sent, 6) if sent else None,
    }


def _too_high(answer: OrderRefused) -> RefusalError:
    if answer.code != "rate_too_high" or answer.limit is None:
        return ordered.impossible(answer)
    told = (
        f"is more than SES allows this account: {answer.limit:g} recipients per second;"
        " ask AWS for a higher sending rate first"
    )
    return wrong([Fault("/max_send_per_second", told)], answer.code)
