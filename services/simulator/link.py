"""The front's end of the socket pair to the courier."""

import asyncio
import itertools
from collections.abc import Callable
from typing import cast

from typing_extensions import override

from services.simulator import parcels
from services.simulator.parcels import Report, Reported, ToCourier, Told, Unframer


class Link(asyncio.Protocol):
    """Hands parcels over in order, many in one frame, and gives answers to who asked."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._outbox: list[ToCourier] = []
        self._unframer = Unframer()
        self._numbers = itertools.count(1)
        self._asked: dict[int, Callable[[Reported], None]] = {}
        self._waiting: dict[int, Callable[[], None]] = {}

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop has a class of its own

    @override
    def data_received(self, data: bytes) -> None:
        for body in self._unframer.feed(data):
            for parcel in parcels.for_front(body):
                if isinstance(parcel, Told):
                    self._waiting.pop(parcel.ticket, _nothing)()
                else:
                    asked = self._asked.pop(parcel.number, None)
                    if asked is not None:
                        asked(parcel)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def send(self, handed: list[ToCourier]) -> None:
        """Hand parcels over at the end of this turn of the loop."""
        if not handed:
            return
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox += handed

    def ask(self, answer: Callable[[Reported], None]) -> None:
        """Ask how far the courier is, counting all that was handed over before."""
        number = next(self._numbers)
        self._asked[number] = answer
        self.send([Report(number)])

    def ticket(self, answer: Callable[[], None]) -> int:
        """Make a ticket that calls back when a mail's events have been posted once."""
        number = next(self._numbers)
        self._waiting[number] = answer
        return number

    def close(self) -> None:
        """Hand over the rest and close: the courier ends."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._outbox and self._transport is not None:
            self._transport.write(parcels.frame(self._outbox))
        self._outbox = []


def _nothing() -> None:
    return None
