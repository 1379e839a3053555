"""Questions to other actors: repeated until answered, or until their time is up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from shared.clock import Now
from shared.wire import Letter

REPEAT_OCTETS_PER_S = 16 * 1024 * 1024
"""A reader that is slow, not gone, is not buried under copies of what it has already."""

A = TypeVar("A")


class Phase(NamedTuple):
    """One letter, sent every so many seconds until a time (monotonic)."""

    letter: Letter
    every: float
    until: float
    octets: int = 0


@dataclass(slots=True)
class _Ask(Generic[A]):
    phases: list[Phase]
    done: Callable[[A | None], None]
    sent: float


class Asks(Generic[A]):
    """The open questions of one kind, by id; whoever asked is called once, None for no answer."""

    def __init__(self) -> None:
        self._open: dict[str, _Ask[A]] = {}
        self.octets = 0

    def __len__(self) -> int:
        """Count the open questions."""
        return len(self._open)

    def ask(
        self, key: str, phases: Iterable[Phase], done: Callable[[A | None], None], now: Now
    ) -> list[Letter]:
        """Open a question; its phases follow one another."""
        ask: _Ask[A] = _Ask(list(phases), done, now.mono)
        self._open[key] = ask
        self.octets += ask.phases[0].octets
        return [ask.phases[0].letter]

    def phases_left(self, key: str) -> int:
        """Count the phases of a question from the present one on; 0 if it is not open."""
        ask = self._open.get(key)
        return 0 if ask is None else len(ask.phases)

    def answer(self, key: str, answer: A) -> None:
        """Close a question; an answer that nobody waits for any more is dropped."""
        ask = self._open.pop(key, None)
        if ask is not None:
            self.octets -= ask.phases[0].octets
            ask.done(answer)

    def repeat(self, now: Now) -> list[Letter]:
        """Say again what is due, go on to the next phase, give up what is out of time."""
        letters = []
        patience = self.octets / REPEAT_OCTETS_PER_S
        for key, ask in list(self._open.items()):
            if self._pass_time(key, ask, now):
                continue
            phase = ask.phases[0]
            if now.mono >= ask.sent + phase.every + (patience if phase.octets else 0.0):
                ask.sent = now.mono
                letters.append(phase.letter)
        return letters

    def hurry(self) -> None:
        """Repeat everything with the next turn: who shall answer has just started anew."""
        for ask in self._open.values():
            ask.sent = float("-inf")

    def _pass_time(self, key: str, ask: _Ask[A], now: Now) -> bool:
        """Leave phases whose time is up; True if none is left and the question was closed."""
        while now.mono >= ask.phases[0].until:
            self.octets -= ask.phases[0].octets
            if len(ask.phases) == 1:
                del self._open[key]
                ask.done(None)
                return True
            del ask.phases[0]
            ask.sent = float("-inf")
            self.octets += ask.phases[0].octets
        return False
