"""The posting child: signs and posts what the front hands over, so that the front only answers."""

import asyncio
import resource
from collections.abc import Callable
from typing import cast

from typing_extensions import override

from services.simulator import parcels
from services.simulator.deliveries import Deliveries
from services.simulator.envelope import Notice, Sealer
from services.simulator.parcels import (
    Confirm,
    Forget,
    Mail,
    Publish,
    Report,
    Reported,
    Routes,
    Start,
    Switches,
    ToCourier,
    ToFront,
    Told,
    Unframer,
)
from services.simulator.post import Poster
from services.simulator.sign import key_from_pem


def cpu_seconds() -> float:
    """Give the CPU time this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Courier:
    """Works off notices with many posts at once; retries and delays wait in the event loop."""

    def __init__(self, deliveries: Deliveries, poster: Poster, clock: Callable[[], float]) -> None:
        self._deliveries = deliveries
        self._poster = poster
        self._clock = clock
        self._sealer: Sealer | None = None
        self._ready: asyncio.Queue[Notice] = asyncio.Queue()
        self._held: list[Notice] = []
        self._tickets: dict[int, int] = {}
        self._era = 0
        self.tell: Callable[[ToFront], None] = lambda _parcel: None

    def receive(self, handed: list[ToCourier]) -> None:
        """Take one frame of parcels, in order."""
        fresh: set[int] = set()
        for parcel in handed:
            if isinstance(parcel, Mail):
                self._take_mail(parcel)
                fresh.add(parcel.ticket)
            else:
                self._take(parcel)
        for ticket in fresh - {0}:
            self._end_ticket(ticket, 0)

    async def work(self) -> None:
        """Post notices one after another; many of these run at once."""
        while True:
            notice = await self._ready.get()
            if notice.era != self._era or self._sealer is None:
                continue
            if not notice.request:
                notice.request = self._sealer.request(notice)
            status = await self._poster.post(notice.endpoint, notice.request)
            if notice.era == self._era:
                self._after(notice, status)

    def _take(self, parcel: ToCourier) -> None:
        match parcel:
            case Publish():
                self._queue(self._deliveries.of_publish(parcel, self._clock()))
            case Confirm():
                self._queue(self._deliveries.of_confirm(parcel, self._clock()))
            case Report():
                self.tell(self._report(parcel.number))
            case Forget():
                self._forget()
            case _:
                self._take_state(parcel)

    def _take_state(self, parcel: ToCourier) -> None:
        if isinstance(parcel, Routes):
            self._deliveries.routes = parcel
        elif isinstance(parcel, Switches):
            self._deliveries.switches = parcel.events
            if not parcel.events.hold:
                held, self._held = self._held, []
                self._queue(held)
        elif isinstance(parcel, Start):
            key = key_from_pem(parcel.key_pem)
            self._sealer = Sealer(key, parcel.cert_url, parcel.base_url)

    def _take_mail(self, mail: Mail) -> None:
        notices = self._deliveries.of_mail(mail, self._clock())
        if self._deliveries.switches.hold:
            for notice in notices:
                notice.era = self._era
            self._held += notices
            return
        for notice in notices:
            pause = self._deliveries.pause_of(notice)
            if pause > 0:
                self._later(notice, pause)
                continue
            if notice.ticket:
                self._tickets[notice.ticket] = self._tickets.get(notice.ticket, 0) + 1
            self._queue([notice])

    def _queue(self, notices: list[Notice]) -> None:
        for notice in notices:
            notice.era = self._era
            self._ready.put_nowait(notice)

    def _later(self, notice: Notice, pause: float) -> None:
        notice.era = self._era
        loop = asyncio.get_running_loop()
        loop.call_later(pause, self._ready.put_nowait, notice)

    def _after(self, notice: Notice, status: int | None) -> None:
        pause = self._deliveries.after_attempt(notice, status)
        if notice.ticket and notice.tried == 1 and notice.ticket in self._tickets:
            self._end_ticket(notice.ticket, 1)
        if pause is not None:
            self._later(notice, pause)

    def _end_ticket(self, ticket: int, ended: int) -> None:
        """Count a first attempt; the last one of a ticket lets the API's answer go out."""
        left = self._tickets.get(ticket, 0) - ended
        if left > 0:
            self._tickets[ticket] = left
        else:
            self._tickets.pop(ticket, None)
            self.tell(Told(ticket))

    def _report(self, number: int) -> Reported:
        return Reported(number, self._deliveries.tallies, self._deliveries.unrouted, cpu_seconds())

    def _forget(self) -> None:
        self._era += 1
        self._held.clear()
        self._deliveries.clear()
        for ticket in list(self._tickets):
            self._end_ticket(ticket, self._tickets[ticket])


class Pipe(asyncio.Protocol):
    """The courier's end of the socket pair; when the front is gone, so is the courier."""

    def __init__(self, courier: Courier, gone: asyncio.Event) -> None:
        self._courier = courier
        self._gone = gone
        self._unframer = Unframer()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pipe = cast("asyncio.Transport", transport)  # uvloop has a class of its own
        self._courier.tell = lambda parcel: pipe.write(parcels.frame([parcel]))

    @override
    def data_received(self, data: bytes) -> None:
        for body in self._unframer.feed(data):
            self._courier.receive(parcels.for_courier(body))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
