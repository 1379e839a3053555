"""What services/sender/shell.py is to a sender, in virtual time: journal, calls, answers."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from services.sender.actor import Sender
from services.sender.hand import Call
from services.sender.journal import Journal
from services.sender.reply import Ending
from services.sender.shell import CALLS_A_TURN
from services.sender.voice import Terms
from shared import crash
from shared import protocol as p
from shared.actor import Actor
from shared.clock import Now, new_epoch
from shared.wire import Letter
from tests.world.seat import Killed, Seat

if TYPE_CHECKING:
    from tests.world.world import World

CALL_COSTS_S = 0.0004


class Hull(Actor):
    """One life of a sender; its journal outlives it."""

    def __init__(self, world: "World", seat: Seat, path: Path) -> None:
        self.journal = Journal(path)
        terms = Terms(seat.name, new_epoch(world.now), len(world.senders), world.lane)
        self.sender = Sender(terms, self.journal.replayed, self.journal.begun)
        self._world = world
        self._seat = seat

    def receive(self, message: p.Message, now: Now) -> Iterable[Letter]:
        return self.sender.receive(message, now)

    def settle(self, now: Now) -> Iterable[Letter]:
        letters = list(self.sender.settle(now))
        self._keep_journal()
        self._start_calls(now)
        return letters

    def tick(self, now: Now) -> Iterable[Letter]:
        return self.settle(now)

    def next_tick(self, now: Now) -> float:
        return self.sender.next_tick(now)

    def _keep_journal(self) -> None:
        self.journal.append(self.sender.unwritten)
        self.sender.unwritten.clear()
        self.journal.forget(self.sender.journal_left())

    def _start_calls(self, now: Now) -> None:
        for number in range(CALLS_A_TURN):
            look = now._replace(mono=now.mono + number * CALL_COSTS_S)
            call = self.sender.next_call(look)
            if call is None:
                return
            crash.point("sender.gated")
            self.journal.append([call.job.job])
            crash.point("sender.begun", call.addressees)
            begins_at = look.mono + CALL_COSTS_S + self._world.lateness() / 2
            self._world.at(begins_at, self._when_awake(lambda call=call: self._begin(call)))

    def _when_awake(self, do: Callable[[], None]) -> Callable[[], None]:
        """Do it in this life only, and not while stopped."""
        life = self._seat.life

        def act() -> None:
            if not self._seat.is_life(life):
                return
            if not self._seat.is_awake(life):
                self._world.at(self._seat.stopped_until, act)
                return
            try:
                do()
            except Killed:
                self._seat.kill()
                return
            self._seat.wake(self._world.time)

        return act

    def _begin(self, call: Call) -> None:
        if self._world.time > call.start_by:
            self.sender.withhold(call, self._world.now)
            return
        takes, ending = self._world.ses.call(call)
        then = self._when_awake(lambda: self._finish(call, ending))
        self._world.at(self._world.time + takes, then)

    def _finish(self, call: Call, ending: Ending) -> None:
        crash.point("sender.answered")
        self.sender.finished(call, ending, self._world.now)
        self._keep_journal()
        crash.point("sender.journalled")
