"""The writer: takes messages, writes them in one transaction a turn, then answers."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from typing_extensions import override

from services.writer import digest, evidence, expiry, gates, retention, suspects, sweeps
from services.writer.account import Account
from services.writer.apply import Rules, apply_all
from services.writer.book import Book
from services.writer.refusal import Refusals, divide, refuse
from shared import crash, log
from shared import protocol as p
from shared.actor import Actor
from shared.clock import Now
from shared.domain import State
from shared.errors import StorageFullError, StoreError
from shared.store.write import Store
from shared.wire import Letter

CHORES_S = 1.0
SWEEP_S = 0.02
ROOM_BYTES = 4 * 1024 * 1024


Work: TypeAlias = set[tuple[int, int]]
"""Topics (and lanes) that have more mail waiting than before."""


class Written(NamedTuple):
    """What messages led to: answers, what moved state by state, and new work."""

    letters: list[Letter]
    moved: list[int]
    work: Work


def _sum(parts: Iterable[Written]) -> Written:
    letters: list[Letter] = []
    moved = [0] * len(State)
    work: Work = set()
    for part in parts:
        letters += part.letters
        moved = [total + count for total, count in zip(moved, part.moved, strict=True)]
        work |= part.work
    return Written(letters, moved, work)


class WriterActor(Actor):
    """Owns the database; everything that must survive passes here."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        self._log = log.get("writer")
        self._taken: list[p.Message] = []
        self._account = Account(store, rules.rate, rules.pause_at)
        self._levels = digest.Levels(rules.epoch)
        self._totals = list(store.row("totals") or [0] * len(State))
        self._evidence = evidence.Evidence(0, 0, None, None)
        self._trouble = ""
        self._refusals = Refusals()
        self._sweeps = sweeps.Sweeps()
        self._is_sweeping = True
        self._sweep_at = 0.0
        self._retention = retention.Retention(rules.keep)
        self._is_idle = True
        self._chores_at = 0.0

    @override
    def receive(self, message: p.Message, now: Now) -> Iterable[Letter]:
        """Gather; `settle` writes everything of the turn together."""
        self._taken.append(message)
        return ()

    @override
    def settle(self, now: Now) -> Iterable[Letter]:
        """Write what was gathered in one transaction; the answers go out after the commit."""
        self._is_idle = not self._taken
        if self._is_idle:
            return ()
        taken, self._taken = self._taken, []
        letters, changed = self._write(taken, now)
        if self._levels.is_behind(self._account):
            letters += self._levels.all(self._store, self._account, now, self._condition())
        elif (news := self._levels.news(self._store, self._account, now, changed)) is not None:
            letters.append(news)
        return letters

    @override
    def tick(self, now: Now) -> Iterable[Letter]:
        """Do what time asks for: expired leases, unknowns, sweeps, ageing, digests."""
        letters: list[Letter] = []
        changed: Work = set()
        if self._is_sweeping and now.mono >= self._sweep_at:
            changed |= self._transact(self._sweep, now)
            self._sweep_at = now.mono + SWEEP_S
        elif not self._is_sweeping and self._retention.is_due(now, is_idle=self._is_idle):
            self._transact(self._retention.step, now)
        if now.mono >= self._chores_at:
            changed |= self._transact(self._chores, now)
            self._chores_at = now.mono + CHORES_S
            if self._trouble:
                self._try_disk()
        if self._levels.is_due(now) or self._levels.is_behind(self._account):
            letters += self._levels.all(self._store, self._account, now, self._condition())
        elif (news := self._levels.news(self._store, self._account, now, changed)) is not None:
            letters.append(news)
        return letters

    @override
    def next_tick(self, now: Now) -> float:
        """Tick often only while the rows follow an order."""
        times = (self._levels.next_due, self._chores_at)
        return min(*times, self._sweep_at if self._is_sweeping else self._retention.next_at)

    @override
    def gauges(self, now: Now) -> dict[str, float]:
        """Answer the queue by state, commit times, quota and the age of the oldest mail."""
        words = {f"queue_{state.name.lower()}": float(self._totals[state]) for state in State}
        return {
            **words,
            **digest.gauges(self._store, self._account, now),
        }

    @override
    def notes(self) -> dict[str, str]:
        """Answer what holds the account or bulk mail, and the trouble of the disk, if any."""
        hold, pause = self._account.hold, self._account.bulk.pause
        return {
            "hold": f"{hold.reason}: {hold.detail}" if hold else "",
            "bulk_paused": pause.reason if pause else "",
            "rate_source": self._account.rate_source,
            "trouble": self._trouble,
            "bulk_refused": self._account.bulk.refused,
        }

    def _condition(self) -> digest.Condition:
        unknown = self._totals[State.UNKNOWN]
        found = self._evidence
        return digest.Condition(self._trouble, unknown, found.sent, found.heard, found.proven_since)

    def _write(self, taken: list[p.Message], now: Now) -> tuple[list[Letter], Work]:
        """Apply the messages of a turn and commit them together."""
        try:
            self._store.begin()
            letters, moved, changed = self._apply_all(taken, now)
            crash.point("writer.before_commit")
            self._store.commit()
            crash.point("writer.after_commit")
        except StorageFullError as error:
            self._undo(error)
            return self._refuse_all(taken, now, error.code), set()
        self._committed(moved)
        self._is_sweeping |= any(isinstance(message, p.Order) for message in taken)
        return letters, changed

    def _apply_all(self, taken: list[p.Message], now: Now) -> Written:
        """Apply them in one savepoint; if that fails, each in one of its own."""
        if len(taken) > 1 and not any(self._refusals.said(message, now) for message in taken):
            recent = self._account.recent
            try:
                return self._apply(taken, now)
            except StoreError:
                raise
            except Exception:  # noqa: BLE001 - the one that fails is found, and its fault is logged
                self._account.return_to(recent)
        return _sum(self._apply_one(message, now) for message in taken)

    def _refuse_all(self, taken: list[p.Message], now: Now, code: str) -> list[Letter]:
        refused = [x for one in taken for x in refuse(self._store, one, code)]
        self._refusals.note(refused, now)
        return refused

    def _apply_one(self, message: p.Message, now: Now) -> Written:
        """Apply one message; one that cannot be applied is refused by name, the rest goes on."""
        said = self._refusals.said(message, now)
        if said is not None:
            return Written([said], [0] * len(State), set())
        recent = self._account.recent
        try:
            return self._apply([message], now)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's own fault
            self._account.return_to(recent)
            self._log.warning("a message cannot be written", exc_info=error)
            return self._apply_parts(message, now)

    def _apply(self, messages: list[p.Message], now: Now) -> Written:
        book = Book(self._store, now)
        with self._store.savepoint():
            letters = list(apply_all(messages, book, self._account, self._rules))
            book.write()
        return Written(letters, book.moved, book.work)

    def _apply_parts(self, message: p.Message, now: Now) -> Written:
        """Find the poison in a message of many parts: the others are written all the same."""
        parts = divide(message)
        if len(parts) < 2:
            kind = type(message).__name__
            self._log.error("refused a poisonous message", message=kind, exc_info=True)
            refused = list(refuse(self._store, message, "poisonous"))
            self._refusals.note(refused, now)
            return Written(refused, [0] * len(State), set())
        return _sum(self._apply_one(part, now) for part in parts)

    def _transact(self, work: Callable[[Book], None], now: Now) -> Work:
        """Run a piece of the writer's own work in a transaction; answer what may be claimed."""
        book = Book(self._store, now)
        try:
            self._store.begin()
            work(book)
            book.write()
            self._store.commit()
        except StorageFullError as error:
            self._undo(error)
            return set()
        self._committed(book.moved)
        return book.work

    def _chores(self, book: Book) -> None:
        gates.expire(book, self._rules.boot)
        found = evidence.gather(book, self._rules.unknown_after_ms)
        self._evidence = found
        evidence.settle(book, self._rules.on_unknown, self._rules.unknown_after_ms, found)
        suspects.forget(book)
        self._account.bulk.look(book.now)
        retention.age(self._store, book.now, self._rules.keep)
        self._is_sweeping |= expiry.is_due(self._store, book.now.ms)

    def _sweep(self, book: Book) -> None:
        self._is_sweeping = self._sweeps.step(book)

    def _committed(self, moved: list[int]) -> None:
        if moved[State.UNKNOWN] > 0:
            self._log.warning("answers of SES were lost", recipients=moved[State.UNKNOWN])
        self._totals = [total + count for total, count in zip(self._totals, moved, strict=True)]

    def _try_disk(self) -> None:
        """Write as much as a submission may need, and take it away again.

        A small commit proves nothing: it may fit where a submission does not.
        """
        try:
            self._store.try_room(ROOM_BYTES)
        except StorageFullError as error:
            self._undo(error)
            return
        self._log.info("the database can be written again")
        self._trouble = ""

    def _undo(self, error: StorageFullError) -> None:
        self._store.rollback()
        self._account.load()
        if not self._trouble:
            self._log.error("nothing is stored until the disk is well again", reason=str(error))
        # Callers of the API are told too: where the file lies is for the log.
        self._trouble = str(error).replace(f"{self._store.path.parent}/", "")
