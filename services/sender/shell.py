"""The sender's edge: starts calls at their moment, keeps the journal, brings the answers back."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from typing_extensions import override

from services.sender.actor import Sender
from services.sender.bulk import bulk_body
from services.sender.hand import Call
from services.sender.journal import Journal
from services.sender.releases import Release
from services.sender.render import Letterhead, single_body
from services.sender.reply import Ending
from services.sender.ses import Way
from services.sender.side import SideThread
from shared import clock, crash, log
from shared.actor import Actor
from shared.clock import Now
from shared.errors import StorageFullError
from shared.protocol import ConfirmTopic, Message
from shared.wire import Letter

JOURNAL_RETRY_S = 1.0
CALLS_A_TURN = 8


class Shell(Actor):
    """Runs a sender inside an event loop; `ring` wakes the loop's station."""

    def __init__(self, sender: Sender, journal: Journal, way: Way, side: SideThread) -> None:
        self.ring: Callable[[], None] = lambda: None
        self.head = Letterhead()
        self._sender = sender
        self._journal = journal
        self._way = way
        self._side = side
        self._tasks: set[asyncio.Task[None]] = set()
        self._crash: BaseException | None = None
        self._letters: list[Letter] = []
        self._journal_at = 0.0

    @override
    def receive(self, message: Message, now: Now) -> Iterable[Letter]:
        """Hand a message on."""
        return self._sender.receive(message, now)

    @override
    def settle(self, now: Now) -> Iterable[Letter]:
        """Settle the turn, write what is new to the journal, start the calls that are due."""
        if self._crash is not None:
            raise self._crash
        letters = [*self._letters, *self._sender.releases.letters, *self._sender.settle(now)]
        self._letters.clear()
        self._sender.releases.letters.clear()
        self._keep_journal(now)
        self._start_side_calls(now)
        self._start_calls()
        return letters

    @override
    def tick(self, now: Now) -> Iterable[Letter]:
        """Do what became due while the mail was read."""
        return self.settle(now)

    @override
    def next_tick(self, now: Now) -> float:
        """Answer when there is something to do next."""
        sender = self._sender
        times = [sender.next_tick(now), self._side.watch.next_at, sender.releases.next_at()]
        if self._sender.halted:
            times.append(self._journal_at)
        return min(times)

    @override
    def stop(self, now: Now) -> Iterable[Letter]:
        """Begin to drain."""
        letters = list(self._sender.stop(now))
        self._keep_journal(now)
        return letters

    @override
    def is_drained(self, now: Now) -> bool:
        """Tell whether nothing is left in the air or unrecorded."""
        return self._sender.is_drained(now)

    @override
    def gauges(self, now: Now) -> dict[str, float]:
        """Answer numbers for the stats socket."""
        return {**self._sender.gauges(now), "journal_bytes": float(self._journal.size)}

    @override
    def notes(self) -> dict[str, str]:
        """Answer words for the stats socket."""
        return self._sender.notes()

    def _start_calls(self) -> None:
        """Start a handful of calls; their bytes leave before the next turn starts more."""
        for _ in range(CALLS_A_TURN):
            # A permit is good for milliseconds, and the call before took its time to render and
            # sign: so each has its own look at the clock.
            now = clock.read()
            call = self._sender.next_call(now)
            if call is None:
                return
            crash.point("sender.gated")
            if self._note_begin(call, now):
                crash.point("sender.begun", call.addressees)
                self._start(call)
            else:
                self._sender.withhold(call, now)

    def _note_begin(self, call: Call, now: Now) -> bool:
        """Write down that a call begins: after a kill, one that is not written was never made."""
        try:
            self._journal.append([call.job.job])
        except StorageFullError as error:
            self._halt(error, now)
            return False
        return True

    def _start(self, call: Call) -> None:
        welcome = self._sender.welcome
        assert welcome is not None
        head = self.head._replace(install=welcome.install, pixel_secret=welcome.pixel_secret)
        body = None
        if call.is_bulk:
            body = bulk_body(head, call.cut, call.addressees, call.job.headers)
            if body is None:
                call = self._sender.too_large(call)
        if body is None:
            body = single_body(head, call.cut, call.addressees[0], call.job.headers)
        self._spawn(self._finish(call, self._way.send(body, is_bulk=call.is_bulk)))

    async def _finish(self, call: Call, sent: Coroutine[Any, Any, Ending]) -> None:
        now = clock.read()
        if now.mono > call.start_by:
            # Stopped or starved since the permit was looked at: a call made now would be one too
            # many in some second at SES.
            sent.close()
            self._sender.withhold(call, now)
            self.ring()
            return
        ending = await sent
        crash.point("sender.answered")
        now = clock.read()
        self._sender.finished(call, ending, now)
        # At once, not with the next turn: until it is written only this process knows the answer.
        self._keep_journal(now)
        crash.point("sender.journalled")
        self.ring()

    def _keep_journal(self, now: Now) -> None:
        """Write new outcomes; while the disk refuses them, no call may start."""
        sender = self._sender
        # Halted for a call that could not be noted, there may be no outcome to try with.
        if (sender.unwritten or sender.halted) and now.mono >= self._journal_at:
            try:
                self._journal.append(sender.unwritten)
            except StorageFullError as error:
                self._halt(error, now)
                return
            sender.unwritten.clear()
            sender.halted = ""
        if not sender.unwritten:
            self._journal.forget(sender.journal_left())

    def _halt(self, error: StorageFullError, now: Now) -> None:
        if not self._sender.halted:
            log.get("sender").error("no call starts until the journal can be written")
        self._sender.halted = str(error)
        self._journal_at = now.mono + JOURNAL_RETRY_S

    def _start_side_calls(self, now: Now) -> None:
        if self._side.watch.is_due(now.mono):
            self._spawn(self._read_account(now))
        while self._sender.confirmations:
            self._spawn(self._confirm(self._sender.confirmations.popleft()))
        release = self._sender.releases.begin(now.mono)
        if release is not None:
            self._spawn(self._release(release))

    async def _read_account(self, now: Now) -> None:
        found = await self._side.account(now)
        self._side.watch.read(found, clock.read().mono)
        if found.error:
            log.get("sender").warning("the account could not be read", reason=found.error)
        self._sender.voice.account = found
        self.ring()

    async def _confirm(self, message: ConfirmTopic) -> None:
        self._letters.append(Letter("results", await self._side.confirm(message)))
        self.ring()

    async def _release(self, release: Release) -> None:
        ended = await self._side.release(release.email)
        self._sender.releases.ended(release, ended, clock.read().mono)
        self.ring()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            # A fault of ours ends the process: raised in the next turn, in the run loop.
            self._crash = fault
            self.ring()
