"""The run loop every actor shares: take mail, act on time, send, report, drain, stop.

An actor holds state and decides; it never touches a socket or a clock. The loop keeps the rules
of the wire: mail is drained before time is acted on, letters go out after the whole turn is
settled, a report goes to the monitor each second, SIGTERM drains before the process ends.
"""

import asyncio
import contextlib
import ctypes
import gc
import math
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from shared import clock, config, crash, log, wire
from shared.clock import Now
from shared.config import Settings
from shared.errors import AlreadyRunningError, SettingsError
from shared.protocol import Message, Report
from shared.wire import Budget, Letter, Lock, Mailbox, Wire

DRAIN_LIMIT_S = 25.0
"""A call takes at most 20 s; supervisord's stopwaitsecs is longer than this."""

_COLLECT = (20_000, 20, 20)
"""When Python looks for garbage in rings. A burst makes objects by the thousand and next to no
rings: looking as often as it does by default (700, 10, 10) takes a tenth of the CPU."""

_STARTSECS = 2.0
_PR_SET_PDEATHSIG = 1


class Actor:
    """What an actor is to the loop; each overrides what it needs."""

    def receive(self, message: Message, now: Now) -> Iterable[Letter]:
        """Take one message; answer the letters to send."""
        raise TypeError(f"{type(self).__name__} takes no {type(message).__name__} at {now.wall}")

    def settle(self, now: Now) -> Iterable[Letter]:  # noqa: ARG002 - for those who override
        """End a turn after all its mail was received (the writer commits here)."""
        return ()

    def tick(self, now: Now) -> Iterable[Letter]:  # noqa: ARG002 - for those who override
        """Act on time; called when `next_tick` has come, after the mail."""
        return ()

    def next_tick(self, now: Now) -> float:  # noqa: ARG002 - for those who override
        """Answer the monotonic time at which `tick` is wanted next; never, unless overridden."""
        return math.inf

    def stop(self, now: Now) -> Iterable[Letter]:  # noqa: ARG002 - for those who override
        """Begin to drain: SIGTERM came."""
        return ()

    def is_drained(self, now: Now) -> bool:  # noqa: ARG002 - for those who override
        """Tell whether nothing is left that must be finished before the process ends."""
        return True

    def gauges(self, now: Now) -> dict[str, float]:  # noqa: ARG002 - for those who override
        """Answer numbers for the stats socket."""
        return {}

    def notes(self) -> dict[str, str]:
        """Answer words for the stats socket."""
        return {}


class Place(NamedTuple):
    """Where an actor runs: its name, its process's name, its mailboxes in order of priority."""

    actor: str
    process: str
    mailboxes: tuple[str, ...]
    budgets: tuple[Budget, ...] = ()


class Station:
    """One process: an actor, its mailboxes and the wire; `turn` is the whole loop."""

    def __init__(self, actor: Actor, place: Place, wire_: Wire) -> None:
        self.actor = actor
        self.place = place
        self.wire = wire_
        self.epoch = wire_.epoch
        self.mailboxes: list[Mailbox[Message]] = [wire_.mailbox(name) for name in place.mailboxes]
        budgets = place.budgets or (Budget(),) * len(place.mailboxes)
        self._budgets = dict(zip(place.mailboxes, budgets, strict=True))
        self._report_at = 0.0
        self._stop_by: float | None = None

    def turn(self) -> float:
        """Do what there is to do; answer how many seconds may pass until the next turn."""
        now = clock.read()
        letters: list[Letter] = []
        for mailbox in self.mailboxes:
            for message in mailbox.drain(self._budgets[mailbox.name]):
                letters += self.actor.receive(message, now)
        now = clock.read()
        letters += self.actor.settle(now)
        if now.mono >= self.actor.next_tick(now):
            letters += self.actor.tick(now)
        if now.mono >= self._report_at:
            letters.append(Letter("monitor", self._report(now)))
            self._report_at = now.mono + 1.0
        self.post(letters)
        if any(mailbox.full for mailbox in self.mailboxes):
            return 0.0
        return max(0.0, min(self.actor.next_tick(now), self._report_at) - now.mono)

    def post(self, letters: Iterable[Letter]) -> None:
        """Send letters; what cannot go is dropped here and sent again by its owner."""
        self.wire.post(letters)

    def stop(self) -> None:
        """Begin to drain (SIGTERM, SIGINT); a second signal changes nothing."""
        if self._stop_by is None:
            now = clock.read()
            self._stop_by = now.mono + DRAIN_LIMIT_S
            log.get(self.place.actor).info("draining")
            self.post(self.actor.stop(now))

    def is_over(self) -> bool:
        """Tell whether the process may end: drained, or out of time."""
        if self._stop_by is None:
            return False
        now = clock.read()
        return now.mono >= self._stop_by or self.actor.is_drained(now)

    def _report(self, now: Now) -> Report:
        gauges = {
            "rss_mb": _resident_mb(),
            "cpu_s": _cpu_seconds(),
            "dropped": float(self.wire.dropped),
            **self.actor.gauges(now),
        }
        for mailbox in self.mailboxes:
            gauges[f"{mailbox.name}_frames"] = float(mailbox.frames)
            gauges[f"{mailbox.name}_bad_frames"] = float(mailbox.bad_frames)
            gauges[f"{mailbox.name}_behind"] = float(mailbox.full)
        return Report(
            actor=self.place.actor,
            process=self.place.process,
            pid=os.getpid(),
            epoch=self.epoch,
            at=now.ms,
            gauges=gauges,
            notes=self.actor.notes(),
            errors=tuple(log.recent_errors),
        )

    def run(self) -> None:
        """Turn until stopped and drained, waiting on sockets in between."""
        ear, mouth = socket.socketpair()
        for end in (ear, mouth):
            end.setblocking(False)  # noqa: FBT003 - the standard library's signature
        signal.set_wakeup_fd(mouth.fileno())
        # The handler only notes: it may run in the middle of a turn, a log line, a transaction.
        signals: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: signals.append(number))
        while not self.is_over():
            if signals:
                self.stop()
            wait = self.turn()
            if wait > 0:
                self.wire.poll(self.mailboxes, ear.fileno(), 0.05 if self._stop_by else wait)
                with contextlib.suppress(BlockingIOError):
                    ear.recv(64)

    async def run_async(self, *, signals: bool = True) -> None:
        """Do the same inside an event loop that has other work too."""
        loop = asyncio.get_running_loop()
        bell = asyncio.Event()
        for mailbox in self.mailboxes:
            loop.add_reader(wire.descriptor(mailbox), bell.set)
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop_and_ring, bell)
        self.ring = bell.set
        while not self.is_over():
            bell.clear()
            wait = self.turn()
            if wait <= 0 or any(wire.readable(mailbox) for mailbox in self.mailboxes):
                await asyncio.sleep(0)
                continue
            handle = loop.call_later(0.05 if self._stop_by else wait, bell.set)
            await bell.wait()
            handle.cancel()

    ring: Callable[[], None] = staticmethod(lambda: None)
    """Wakes an async station: something outside the wire happened."""

    def _stop_and_ring(self, bell: asyncio.Event) -> None:
        self.stop()
        bell.set()


def prepare(process: str) -> tuple[Settings, Wire, Lock]:
    """Read the settings, log, tie our life to supervisord's and take our lock; or exit.

    Exit codes: 78 for wrong settings, 75 when another process holds the lock for longer than a
    predecessor may need to drain.
    """
    try:
        settings = config.load()
        crash_at = config.merged().get("CRASH_AT", "")
        crash.arm(crash_at, settings.data_dir, simulated=config.is_simulated())
    except SettingsError as error:
        print(f"{process}: the settings are wrong:", *error.faults, sep="\n  ", file=sys.stderr)  # noqa: T201
        # supervisord ignores the exit code of a process that ends within startsecs.
        _wait_out(_STARTSECS + 1.0 if config.under_supervisord() else 0.0)
        sys.exit(config.EXIT_SETTINGS)
    _die_with_parent()
    gc.freeze()  # modules stay for good: not looked at again
    gc.set_threshold(*_COLLECT)
    log.configure(settings, process)
    # Whatever this process makes, database, WAL or socket, is its own user's alone.
    os.umask(0o077)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = wire.run_folder(settings.data_dir)
    return settings, Wire(folder), _take_lock(folder, process)


def _take_lock(folder: Path, process: str) -> Lock:
    lock = Lock(folder, process)
    give_up = clock.read().mono + wire.LOCK_WAIT_S
    if lock.take():
        return lock
    log.get(process).warning("waiting for the former process to end", pid=lock.holder())
    while clock.read().mono < give_up:
        if lock.take():
            return lock
        _wait_out(0.1)
    error = AlreadyRunningError(f"{process} is already running as pid {lock.holder()}")
    log.get(process).error(str(error))
    sys.exit(config.EXIT_ALREADY_RUNNING)


def _wait_out(seconds: float) -> None:
    signal.sigtimedwait({signal.SIGUSR2}, seconds)


def _die_with_parent() -> None:
    """Ask the kernel for SIGTERM when supervisord dies: no orphan keeps sending."""
    if config.under_supervisord():
        parent = os.getppid()  # 1 in a container, where supervisord is the first process
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def run(place: Place, make: Callable[[Settings, Wire], Actor]) -> None:
    """Run one actor's process on the plain loop, from settings to exit."""
    settings, wire_, _lock = prepare(place.process)
    with lifetime(place, wire_):
        station = Station(make(settings, wire_), place, wire_)
        log.get(place.actor).info("started", pid=os.getpid())
        station.run()


@contextlib.contextmanager
def lifetime(place: Place, wire_: Wire) -> Iterator[None]:
    """Say how a process ends; a crash is logged, told to Sentry and the monitor, and exits 1.

    The one broad catch: whatever it was, supervisord starts us anew.
    """
    try:
        yield
        log.get(place.actor).info("stopped")
    except Exception:  # noqa: BLE001
        log.get(place.actor).exception("crashed")
        now, errors = clock.read(), tuple(log.recent_errors)
        last = Report(place.actor, place.process, os.getpid(), wire_.epoch, now.ms, {}, {}, errors)
        wire_.send(Letter("monitor", last))
        log.flush()
        wire_.close(linger_ms=200)
        sys.exit(1)
    finally:
        wire_.close()


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
