"""The broker's state: one pace for all senders, the demand of each, the rate in force."""

import math
from collections.abc import Iterable

from typing_extensions import override

from services.broker.demand import Petitioner
from services.broker.lanes import Lanes
from services.broker.pace import WINDOW_S, Pace, chunk_at
from services.broker.throttle import Slowdown
from shared import crash
from shared.actor import Actor
from shared.clock import Now
from shared.protocol import Demand, Message, Permit, Permits, RateDigest, Throttled
from shared.wire import Letter

AHEAD_S = 0.04
"""Permits go out at most so long before their slot: time for the wire, and no hoard."""

BATCH_S = 0.02
"""Slots that lie ahead are granted together, so often."""

TELL_EVERY_S = 1.0
"""How often a sender is told the rate when it gets no permits."""

RATE_EXPIRES_S = 3.0
"""Without the writer no mail passes the gate, so nothing is lost by granting nothing."""

SETTLING_S = WINDOW_S + AHEAD_S
"""A new broker waits: permits of the one before it may still be used."""


class BrokerActor(Actor):
    """Grants permits; everything it knows it hears again within a second."""

    def __init__(self, now: Now, urgent_share: float) -> None:
        self._ready_at = now.mono + SETTLING_S
        self._ticked = -math.inf
        self._wake: float | None = None
        self._allowed: RateDigest | None = None
        self._allowed_at = -math.inf
        self._slowdown = Slowdown()
        self._rate = 0.0
        self._pace = Pace(1.0)
        self._lanes = Lanes(urgent_share)
        self._petitioners: dict[str, Petitioner] = {}
        self._throttles_heard: dict[str, tuple[int, int]] = {}
        self._is_idle = True
        self._unused = 0
        self._throttles = 0

    @override
    def receive(self, message: Message, now: Now) -> Iterable[Letter]:
        """Take a digest, a demand or a refusal of SES; permits go out with the tick."""
        self._wake = None
        match message:
            case Demand():
                self._hear_demand(message, now.mono)
            case RateDigest():
                self._hear_rate(message, now.mono)
            case Throttled():
                self._hear_throttled(message, now.mono)
            case _:
                return super().receive(message, now)
        return ()

    @override
    def tick(self, now: Now) -> Iterable[Letter]:
        """Grant what may start soon, and tell the rate to those who have not heard it lately."""
        self._wake = None
        self._ticked = now.mono
        self._forget_silent(now.mono)
        self._rate = self._rate_in_force(now.mono)
        if self._rate != self._pace.rate and self._rate > 0:
            self._pace.change(self._rate, now.mono)
        granted = self._grant(now.mono)
        if granted:
            crash.point("broker.granted")
        return [
            self._tell(sender, granted.get(sender, ()), now.mono)
            for sender, known in self._petitioners.items()
            if sender in granted or self._tell_at(known) <= now.mono
        ]

    @override
    def next_tick(self, now: Now) -> float:
        """Answer when the next grant or the next word about the rate is due."""
        if self._wake is None:
            self._wake = self._plan(now.mono)
        return self._wake

    @override
    def gauges(self, now: Now) -> dict[str, float]:
        """Answer the rate, its use, and who waits."""
        allowed = self._allowed.rate if self._allowed else 0.0
        return {
            "rate_allowed": allowed,
            "rate": self._rate,
            "granted_per_s": float(self._pace.started(now.mono - 1.0, now.mono)),
            "waiting_urgent": float(self._lanes.recipients(urgent=True)),
            "waiting_bulk": float(self._lanes.recipients(urgent=False)),
            "senders": float(len(self._petitioners)),
            "unused": float(self._unused),
            "throttles": float(self._throttles),
        }

    @override
    def notes(self) -> dict[str, str]:
        """Name what limits the rate."""
        if self._ticked < self._ready_at:
            limit = "starting"
        elif self._rate <= 0:
            limit = "no rate from the writer"
        elif self._allowed and self._rate < self._allowed.rate:
            limit = "throttled by SES"
        else:
            limit = "allowed rate"
        return {"limit": limit}

    def _hear_rate(self, digest: RateDigest, now: float) -> None:
        known = self._allowed
        if known is None or (digest.epoch, digest.seq) >= (known.epoch, known.seq):
            self._allowed = digest
            self._allowed_at = now

    def _hear_demand(self, demand: Demand, now: float) -> None:
        known = self._petitioners.get(demand.sender)
        if known and known.supersedes(demand):
            return
        if known is None or known.epoch != demand.epoch:
            # What its former epoch was granted stays in the log: it may have been used.
            known = self._petitioners[demand.sender] = Petitioner(demand)
        known.hear(demand, now)
        for slot in known.returned(demand.unused):
            self._unused += self._pace.give_back(slot)
        self._lanes.put(
            demand.sender,
            known.open_asks(demand.urgent, now),
            known.open_asks(demand.bulk, now),
        )

    def _hear_throttled(self, refusal: Throttled, now: float) -> None:
        epoch, seq = self._throttles_heard.get(refusal.sender, (refusal.epoch, -1))
        if refusal.epoch != epoch or refusal.seq > seq:
            self._throttles_heard[refusal.sender] = (refusal.epoch, refusal.seq)
            self._throttles += 1
            self._slowdown = self._slowdown.throttled(now)

    def _forget_silent(self, now: float) -> None:
        for sender in [name for name, known in self._petitioners.items() if known.is_silent(now)]:
            del self._petitioners[sender]
            self._lanes.put(sender, (), ())

    def _rate_in_force(self, now: float) -> float:
        if self._allowed is None or now - self._allowed_at > RATE_EXPIRES_S:
            return 0.0
        return self._slowdown.rate(self._allowed.rate, now)

    def _grant(self, now: float) -> dict[str, list[Permit]]:
        granted: dict[str, list[Permit]] = {}
        if self._rate <= 0 or now < self._ready_at:
            self._is_idle = True
            return granted
        if self._is_idle:
            self._pace.rest(now)
        while (turn := self._lanes.next()) is not None:
            sender, ask, _ = turn
            at = self._pace.earliest(now, ask.recipients)
            if at == math.inf:
                # Larger than a whole window since the rate fell; the sender will cut it smaller.
                self._lanes.drop(turn)
                continue
            if at > now + AHEAD_S:
                break
            self._lanes.grant(turn)
            self._petitioners[sender].granted(ask.ask, self._pace.take(at, ask.recipients))
            granted.setdefault(sender, []).append(Permit(ask.ask, at))
        self._is_idle = not self._lanes
        return granted

    def _tell(self, sender: str, permits: Iterable[Permit], now: float) -> Letter:
        known = self._petitioners[sender]
        known.told_at = now
        known.told_rate = self._rate
        return Letter(
            sender, Permits(known.epoch, tuple(permits), self._rate, chunk_at(self._rate))
        )

    def _tell_at(self, known: Petitioner) -> float:
        if self._rate <= 0:
            return math.inf
        return known.told_at + TELL_EVERY_S if known.told_rate == self._rate else -math.inf

    def _plan(self, now: float) -> float:
        if self._rate_in_force(now) != self._rate:
            return now
        wake = min((self._tell_at(known) for known in self._petitioners.values()), default=math.inf)
        return min(wake, self._grant_at(now), now + 1.0)

    def _grant_at(self, now: float) -> float:
        turn = self._lanes.next()
        if turn is None or self._rate <= 0:
            return math.inf
        if now < self._ready_at:
            return self._ready_at
        at = self._pace.earliest(now, turn.ask.recipients)
        # A slot that is free now serves a lone mail at once; those ahead are worth a batch.
        return now if at in {now, math.inf} else max(at - AHEAD_S, self._ticked + BATCH_S)
