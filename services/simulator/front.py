"""The HTTP edge: stamps, lets the desk decide, answers after SES's latency."""

import asyncio
from collections.abc import Callable

import msgspec

from services.simulator.control import Control
from services.simulator.courier import cpu_seconds
from services.simulator.desk import Desk, Request
from services.simulator.dice import Dice
from services.simulator.link import Link
from services.simulator.parcels import Mail, Reported, ToCourier
from services.simulator.reply import Reply
from services.simulator.sends import World

_SUMMARY = "/_simulator/summary"
Carry = Callable[[Reply], None]


class Pace(msgspec.Struct, frozen=True):
    """SES's latency in seconds, and the spread evenly around it."""

    latency_s: float
    spread_s: float


class Front:
    """Brings requests to the desk and its replies back, each at its time."""

    def __init__(self, desk: Desk, control: Control, world: World, pace: Pace) -> None:
        self._desk = desk
        self._control = control
        self._world = world
        self._pace = pace
        self._dice: Dice = world.dice
        self.link: Link | None = None
        self.outstanding = 0

    def take(self, request: Request, carry: Carry) -> None:
        """Take a whole request; `carry` is called once with its reply."""
        link = self._linked()
        self.outstanding += 1
        if request.url == _SUMMARY and request.method == "GET":
            link.ask(lambda reported: self._summary(reported, carry))
            return
        reply = self._desk.take(request)
        if self._control.parcels or self._desk.parcels:
            link.send(self._control.parcels + self._desk.parcels)
            self._control.parcels, self._desk.parcels = [], []
        if not reply.late:
            self._finish(reply, carry)
            return
        delay = self._latency()
        loop = asyncio.get_running_loop()
        if reply.mails and self._world.faults.script.events.before_answer:
            loop.call_later(delay, self._tell_first, reply, carry)
        else:
            loop.call_later(delay, self._finish, reply, carry)

    def _linked(self) -> Link:
        if self.link is None:
            msg = "the courier is not linked yet"
            raise RuntimeError(msg)
        return self.link

    def _latency(self) -> float:
        script = self._world.faults.script
        latency, spread = self._pace.latency_s, self._pace.spread_s
        if script.latency_ms is not None:
            latency = script.latency_ms / 1000
        if script.spread_ms is not None:
            spread = script.spread_ms / 1000
        return max(0.0, latency + (2 * self._dice.random() - 1) * spread)

    def _summary(self, reported: Reported, carry: Carry) -> None:
        self._finish(self._control.summary(reported, cpu_seconds()), carry)

    def _tell_first(self, reply: Reply, carry: Carry) -> None:
        link = self._linked()
        mails, reply.mails = reply.mails, []
        ticket = link.ticket(lambda: self._finish(reply, carry))
        ticketed: list[ToCourier] = [msgspec.structs.replace(m, ticket=ticket) for m in mails]
        link.send(ticketed)

    def _finish(self, reply: Reply, carry: Carry) -> None:
        self.outstanding -= 1
        if reply.mails:
            told: list[Mail] = reply.mails
            self._linked().send([*told])
        carry(reply)
