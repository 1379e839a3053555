"""The serving front process: builds its parts, listens, keeps house, stops cleanly."""

import asyncio
import datetime
import logging
import signal
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from services.simulator.account import Account
from services.simulator.connection import Connection, Edge
from services.simulator.control import Control
from services.simulator.desk import Desk
from services.simulator.dice import Dice
from services.simulator.faults import Faults
from services.simulator.front import Front, Pace
from services.simulator.ledger import Ledger
from services.simulator.link import Link
from services.simulator.mailbox import Mailbox
from services.simulator.parcels import Start
from services.simulator.sends import World
from services.simulator.sets import ConfigurationSets
from services.simulator.settings import Settings
from services.simulator.sign import certificate_of, certificate_path, key_to_pem, make_key
from services.simulator.sns import Sns
from services.simulator.state import StateFile
from services.simulator.stream import Listener
from services.simulator.suppression import SuppressionList
from services.simulator.verdict import Oracle

log = logging.getLogger("simulator")
_HOUSEKEEPING_S: Final = 0.1
_TURNS_TO_FINISH: Final = 20  # of housekeeping: how long a stop waits for answers under way


class Clocks(msgspec.Struct, frozen=True):
    """The monotonic and the wall clock, the lead of the one over it, and the date of the start."""

    now_ns: Callable[[], int]
    wall_ns: Callable[[], int]
    wall_offset_s: float
    started: datetime.datetime


class Serving:
    """One front process from its first parcel to its last ledger line."""

    def __init__(self, settings: Settings, clocks: Clocks, dice: Dice) -> None:
        self._settings = settings
        self._clocks = clocks
        self._dice = dice
        self._world = _world(settings, clocks, dice)
        self._sns = Sns(settings.region, dice)
        self._control = Control(self._world, self._sns, clocks.now_ns)
        secret = settings.secret_key if settings.check_signatures else None
        self._desk = Desk(self._world, self._sns, self._control, secret)
        pace = Pace(settings.latency_ms / 1000, settings.spread_ms / 1000)
        self._front = Front(self._desk, self._control, self._world, pace)
        self._state = StateFile(settings.directory)
        self._ledger_path = settings.directory / "ledger.jsonl"
        self._courier_lost = False

    async def serve(self, pipe: socket.socket) -> int:
        """Serve until SIGTERM or SIGINT; 1 if the courier was lost."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        link = Link(lambda: self._lose_courier(stop))
        await loop.create_unix_connection(lambda: link, sock=pipe)
        self._front.link = link
        edge = Edge(self._front, self._dice, keep_headers=self._settings.check_signatures)
        listener = Listener(self._settings.port, lambda: Connection(edge), self._clocks)
        self._begin(link, listener.port)
        await self._keep_house(stop)
        listener.close()
        await self._finish(edge)
        link.close()
        return 1 if self._courier_lost else 0

    def _begin(self, link: Link, port: int) -> None:
        """Hand the key to the courier, take up the earlier state, say who we are."""
        key = make_key(self._settings.key_bits)
        pem = certificate_of(key, self._clocks.started)
        path = certificate_path(pem)
        base = f"http://127.0.0.1:{port}"
        self._desk.certificate = (path, pem)
        link.send([Start(key_to_pem(key), base + path, base, self._settings.region)])
        self._state.load(self._sns, self._world.sets)
        self._desk.changed = self._save
        self._control.changed = self._desk.announce
        self._control.flush = self._write_ledger
        self._desk.announce()
        link.send(self._desk.parcels)
        self._desk.parcels = []
        log.warning("SIMULATOR of SES and SNS on %s: nothing leaves this machine", base)

    async def _keep_house(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._write_ledger()
            try:
                async with asyncio.timeout(_HOUSEKEEPING_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _finish(self, edge: Edge) -> None:
        """Let the answers under way go out, then close."""
        for _turn in range(_TURNS_TO_FINISH):
            if self._front.outstanding == 0:
                break
            await asyncio.sleep(_HOUSEKEEPING_S)
        for connection in list(edge.open):
            connection.close()
        self._write_ledger()

    def _write_ledger(self) -> None:
        chunk = self._world.ledger.flush()
        if chunk and self._settings.ledger_file:
            with self._ledger_path.open("ab") as file:
                file.write(chunk)

    def _save(self) -> None:
        self._state.save(self._sns, self._world.sets)

    def _lose_courier(self, stop: asyncio.Event) -> None:
        if not stop.is_set():
            log.error("the courier is gone: stopping, to be started again")
            self._courier_lost = True
            stop.set()


def _world(settings: Settings, clocks: Clocks, dice: Dice) -> World:
    return World(
        account=Account(settings.rate, settings.burst, settings.quota, settings.region),
        sets=ConfigurationSets(),
        suppression=SuppressionList(),
        faults=Faults(),
        ledger=Ledger(),
        mailbox=Mailbox(keep=settings.keep_bodies),
        oracle=Oracle(settings.seed, settings.bounce_share, settings.complaint_share),
        dice=dice,
        wall_offset_s=clocks.wall_offset_s,
    )
