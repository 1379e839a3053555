"""SES and SNS in virtual time: verdicts as a test wants them, a ledger, events that come later."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from scripts.benches.facts import Arrival, Posted
from services.sender.hand import Call
from services.sender.reply import Ending, Entry, NoReply, Reply
from shared import protocol as p
from shared.domain import Feedback, format_mid

if TYPE_CHECKING:
    from tests.world.world import World

WAY_S = 0.03
"""The network's delay varies by so much."""

RECORD_AGAIN_S = 1.0
BUNDLE_S = 0.05
KINDS = (Feedback.SEND, Feedback.DELIVERY)


class Fate(NamedTuple):
    """What SES does with a call: whom it accepts, what it says (None: the truth), and when."""

    accepts: tuple[bool, ...]
    ending: Ending | None = None
    takes: float = 0.06
    arrives: bool = True


Script = Callable[[Call], Fate]


def all_well(call: Call) -> Fate:
    """Accept everybody and say so."""
    return Fate((True,) * len(call.addressees))


def refuse(ending: Ending, takes: float = 0.06, *, arrives: bool = True) -> Script:
    """Accept nobody and answer this."""
    return lambda call: Fate((False,) * len(call.addressees), ending, takes, arrives)


def lose(ending: Ending, takes: float = 0.06) -> Script:
    """Accept everybody and answer this in place of the truth."""
    return lambda call: Fate((True,) * len(call.addressees), ending, takes)


ERROR = Reply(503, "ServiceUnavailable", "Service unavailable")
TIMEOUT = NoReply(left=True, detail="timed out")
REFUSED = NoReply(left=False, detail="connection refused")
THROTTLED = Reply(429, "TooManyRequestsException", "Maximum sending rate exceeded.")
QUOTA = Reply(429, "TooManyRequestsException", "Daily message quota exceeded.")
PAUSED = Reply(400, "SendingPausedException", "Sending paused")
REJECTED = Reply(400, "MessageRejected", "Email content is not allowed")


class Ses:
    """Takes calls; `script` says what becomes of each, `ledger` is what SES saw."""

    def __init__(self, world: "World") -> None:
        self.script: Script = all_well
        self.ledger: list[Arrival] = []
        self.calls: list[tuple[float, Fate]] = []
        self._world = world
        self._ids = 0

    def call(self, call: Call) -> tuple[float, Ending]:
        """Take a call that leaves now; answer after how long it ends, and how."""
        world, fate = self._world, self.script(call)
        self.calls.append((world.time, fate))
        at = world.time + world.dice.random() * WAY_S
        entries = []
        for who, is_accepted in zip(call.addressees, fate.accepts, strict=True):
            self._ids += 1
            message = f"ses-{self._ids}" if is_accepted else ""
            entries.append(Entry("SUCCESS" if is_accepted else "FAILED", message_id=message))
            if fate.arrives:
                mid = format_mid(world.install, who.recipient)
                self.ledger.append(Arrival(int(at * 1e9), mid, who.email, is_accepted, message))
            if is_accepted:
                world.sns.publish(who, message)
        if fate.ending is not None:
            return fate.takes, fate.ending
        if call.is_bulk:
            return fate.takes, Reply(200, entries=tuple(entries))
        is_accepted = fate.accepts[0]
        return fate.takes, Reply(200, message_id=message) if is_accepted else REJECTED

    def accepted(self) -> Counter[str]:
        """Count the copies that each address has."""
        return Counter(one.address for one in self.ledger if one.accepted)


class Sns:
    """Events of accepted mails: late, in any order, some twice; through the webhook if it is up.

    While the webhook is down posts wait (SNS tries again), or, if it `gives_up`, are lost.
    """

    def __init__(self, world: "World") -> None:
        self.is_up = True
        self.gives_up = False
        self.waiting: dict[str, tuple[float, p.EventPost]] = {}
        self._made: Counter[str] = Counter()
        self._acked: dict[str, set[str]] = defaultdict(set)
        self._posts: dict[str, p.EventPost] = {}
        self._world = world
        world.at(world.time, self._second)
        world.at(world.time, self._bundle)

    def publish(self, who: p.Addressee, message: str) -> None:
        """Say later that SES has a mail, and that it was delivered."""
        world = self._world
        for kind in KINDS:
            self._made[kind.word] += 1
            at, name = world.now.ms + int(kind), f"{message}-{kind.word}"
            event = p.Event(kind, who.email, message, at, world.now.ms, who.recipient, who.attempt)
            post = self._posts[name] = p.EventPost(name, name, (event,))
            self.waiting[name] = world.time + 0.1 + 3.0 * world.dice.random(), post

    def posted(self) -> dict[str, Posted]:
        """Answer SNS's own count."""
        return {word: Posted(made, len(self._acked[word])) for word, made in self._made.items()}

    def hear(self, message: p.Message) -> None:
        """Take the writer's word on posts; what is committed gets its 200, and comes again."""
        if not isinstance(message, p.EventsRecorded) or not self.is_up:
            return
        for name in message.posts:
            post = self.waiting.pop(name, (0.0, None))[1]
            if post is not None:
                self._acked[post.events[0].kind.word].add(name)
                if self._world.dice.random() < 0.05:
                    self.waiting[name] = self._world.time + 5.0 * self._world.dice.random(), post

    def _second(self) -> None:
        world = self._world
        world.at(world.time + 1.0, self._second)
        if self.is_up:
            world.send("results", "writer", p.EarOpen(1))

    def _bundle(self) -> None:
        world = self._world
        world.at(world.time + BUNDLE_S, self._bundle)
        due = [name for name, (at, _) in self.waiting.items() if at <= world.time][:500]
        if not due:
            return
        if not self.is_up:
            for name in due if self.gives_up else ():
                del self.waiting[name]
            return
        world.dice.shuffle(due)
        for name in due:
            self.waiting[name] = world.time + RECORD_AGAIN_S, self._posts[name]
        world.send("results", "writer", p.RecordEvents(1, tuple(self._posts[n] for n in due)))
