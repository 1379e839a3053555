"""The API as an actor: what it has asked the others, and what it has heard from them."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from typing_extensions import override

from services.api.asks import Asks, Phase
from services.api.opens import Opens
from shared.actor import Actor
from shared.clock import Now
from shared.domain import RecipientId
from shared.protocol import (
    CheckPost,
    EarOpen,
    LookUp,
    Message,
    NotStored,
    OpensRecorded,
    Order,
    OrderAnswer,
    OrderDone,
    OrderFailed,
    OrderRefused,
    PostChecked,
    ReleaseAtSes,
    ReleasedAtSes,
    Snapshot,
    Stored,
    Submit,
    Suppress,
    TopicCancelled,
    Unsuppress,
    WriterState,
)
from shared.wire import Letter

STORE_S = 5.0
"""What a submission's deadline leaves the writer; later it refuses to commit it."""
LOOK_UP_S = 10.0
"""How long a lost answer is asked for."""
ORDER_S = 10.0
RELEASE_S = 25.0
"""What SES may take for a hundred addresses."""
CHECK_S = 13.0
"""SNS waits 15 s for an answer (SNS developer guide)."""
LEVEL_S = 2.0
"""How long the writer's level may take to show what an order has changed; one comes each 0.5 s."""
DRAIN_S = 5.0
"""How long a stop waits for the writer to take the last hits of open pixels."""
SUBMIT_OCTETS = 64 * 1024 * 1024
"""Submissions that may wait for the writer."""

_SETTLED = frozenset({"late", "absent", "idempotency_mismatch"})
_SILENT_S = 3.0
_BUSY_TICK_S = 0.05
_IDLE_TICK_S = 0.2


class _Watch(NamedTuple):
    """Somebody who waits for a level of the writer that shows something."""

    shows: Callable[[WriterState], bool]
    done: Callable[[WriterState | None], None]
    until: float


class Api(Actor):
    """Repeats what the writer and `results` have not answered; remembers the newest levels."""

    def __init__(self, epoch: int) -> None:
        self.submissions: Asks[Stored | NotStored] = Asks()
        self.orders: Asks[OrderAnswer] = Asks()
        self.releases: Asks[ReleasedAtSes] = Asks()
        self.posts: Asks[PostChecked] = Asks()
        self.opens = Opens(epoch)
        self.counts: Counter[str] = Counter()
        self.writer: WriterState | None = None
        self.snapshot: Snapshot | None = None
        self.snapshot_mono = float("-inf")
        self._writer_mono = float("-inf")
        self._watches: list[_Watch] = []
        self._epoch = epoch
        self._ticked = 0.0
        self._ear_open = False
        self._ear_at = float("-inf")
        self._stop_by = float("inf")

    # What requests ask for

    def store(
        self,
        submit: Submit,
        octets: int,
        done: Callable[[Stored | NotStored | None], None],
        now: Now,
    ) -> list[Letter]:
        """Have a submission stored; after its deadline ask what became of it."""
        look_up = LookUp(submit.reply_to, submit.submission)
        phases = (
            Phase(Letter("intake", submit), 0.5, submit.deadline, octets),
            Phase(Letter("intake", look_up), 0.5, submit.deadline + LOOK_UP_S),
        )
        return self.submissions.ask(submit.submission, phases, done, now)

    def order(
        self, order: Order, done: Callable[[OrderAnswer | None], None], now: Now
    ) -> list[Letter]:
        """Have an order carried out."""
        to = "intake" if isinstance(order, Suppress | Unsuppress) else "writer"
        phase = Phase(Letter(to, order), 0.5, now.mono + ORDER_S)
        return self.orders.ask(order.order, (phase,), done, now)

    def release(
        self, wish: ReleaseAtSes, done: Callable[[ReleasedAtSes | None], None], now: Now
    ) -> list[Letter]:
        """Have addresses taken off SES's own suppression list, by the first sender."""
        phase = Phase(Letter("sender-0", wish), 5.0, now.mono + RELEASE_S)
        return self.releases.ask(wish.order, (phase,), done, now)

    def check(
        self, post: CheckPost, done: Callable[[PostChecked | None], None], now: Now
    ) -> list[Letter]:
        """Have an SNS post verified and its events committed."""
        phase = Phase(Letter("results", post), 1.0, now.mono + CHECK_S, len(post.body))
        return self.posts.ask(post.post, (phase,), done, now)

    def open(self, recipient: RecipientId, now: Now) -> list[Letter]:
        """Count a hit of an open pixel."""
        self.opens.add(recipient, now)
        return self.opens.flush(now)

    def watch(
        self,
        shows: Callable[[WriterState], bool],
        done: Callable[[WriterState | None], None],
        now: Now,
    ) -> list[Letter]:
        """Wait until the writer's level shows something; then, or when its time is up, tell it."""
        self._watches.append(_Watch(shows, done, now.mono + LEVEL_S))
        self._look(now)
        return []

    def heard(self, now: Now) -> WriterState | None:
        """Answer the writer's newest level, None while it is not heard."""
        return None if now.mono > self._writer_mono + _SILENT_S else self.writer

    def trouble(self, now: Now) -> str:
        """Answer why nothing can be stored at present; empty if it can."""
        writer = self.heard(now)
        if writer is None:
            return "the writer is not heard"
        return "" if writer.storing else writer.trouble or "the writer cannot store"

    def listen(self, *, ears: bool) -> None:
        """Say from now on that the webhook is up, or no more: the server opened or closes."""
        self._ear_open = ears

    # What the loop calls

    @override
    def receive(self, message: Message, now: Now) -> Iterable[Letter]:
        match message:
            case Stored():
                self.submissions.answer(message.submission, message)
            case NotStored():
                self._hear_refusal(message)
            case TopicCancelled() | OrderDone() | OrderRefused() | OrderFailed():
                self.orders.answer(message.order, message)
            case OpensRecorded():
                self.opens.recorded(message)
            case PostChecked():
                self.posts.answer(message.post, message)
            case WriterState():
                self._hear_writer(message, now)
            case _:
                return self._hear_rest(message, now)
        return ()

    def _hear_rest(self, message: Message, now: Now) -> Iterable[Letter]:
        match message:
            case ReleasedAtSes():
                self.releases.answer(message.order, message)
            case Snapshot():
                self.snapshot, self.snapshot_mono = message, now.mono
            case _:
                return super().receive(message, now)
        return ()

    @override
    def tick(self, now: Now) -> Iterable[Letter]:
        self._ticked = now.mono
        letters = self.submissions.repeat(now) + self.orders.repeat(now) + self.posts.repeat(now)
        letters += self.releases.repeat(now)
        letters += self.opens.flush(now)
        self._look(now)
        if self._ear_open and now.mono >= self._ear_at:
            self._ear_at = now.mono + 1.0
            letters.append(Letter("results", EarOpen(self._epoch)))
        return letters

    @override
    def next_tick(self, now: Now) -> float:
        return self._ticked + (_BUSY_TICK_S if self._is_waiting() else _IDLE_TICK_S)

    @override
    def stop(self, now: Now) -> Iterable[Letter]:
        self.listen(ears=False)
        self._stop_by = now.mono + DRAIN_S
        return self.opens.flush(now, at_once=True)

    @override
    def is_drained(self, now: Now) -> bool:
        # Requests have ended by now; hits of open pixels are not worth a slow stop.
        return len(self.opens) == 0 or now.mono >= self._stop_by

    @override
    def gauges(self, now: Now) -> dict[str, float]:
        return {
            "submissions_waiting": float(len(self.submissions)),
            "submission_mb_waiting": self.submissions.octets / 1e6,
            "posts_waiting": float(len(self.posts)),
            "opens_waiting": float(len(self.opens)),
            "opens_dropped": float(self.opens.dropped),
            **{name: float(count) for name, count in self.counts.items()},
        }

    def _is_waiting(self) -> bool:
        asks = (self.submissions, self.orders, self.posts, self.releases, self.opens, self._watches)
        return any(len(open_) for open_ in asks)

    def _look(self, now: Now) -> None:
        """Tell those who wait for a level of the writer, once it is there or their time is up."""
        waiting, self._watches = self._watches, []
        for watch in waiting:
            writer = self.heard(now)
            if now.mono >= watch.until or (writer is not None and watch.shows(writer)):
                watch.done(writer)
            else:
                self._watches.append(watch)

    def _hear_refusal(self, message: NotStored) -> None:
        """Take a refusal, unless it may mean the question instead of the submission.

        Once the deadline has passed a look-up is under way: that it could not be answered for
        trouble with the disk does not say that the submission is not stored.
        """
        looking_up = self.submissions.phases_left(message.submission) == 1
        if not looking_up or message.code in _SETTLED:
            self.submissions.answer(message.submission, message)

    def _hear_writer(self, state: WriterState, now: Now) -> None:
        known = self.writer
        if known is not None and (state.epoch, state.seq) < (known.epoch, known.seq):
            return
        if known is None or state.epoch != known.epoch:
            # What its predecessor had read and not answered is lost with it.
            self.submissions.hurry()
            self.orders.hurry()
            self.opens.hurry()
        self.writer, self._writer_mono = state, now.mono
        self._look(now)
