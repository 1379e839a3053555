"""Clients of the API in virtual time, and the API's part: ask until there is an answer."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from scripts.benches.facts import Cancelled, Clients, Told
from shared import protocol as p
from shared.domain import SubmissionId

if TYPE_CHECKING:
    from tests.world.world import World

DEADLINE_S = 5.0
AGAIN_S = 1.0


class Callers:
    """What clients posted and ordered, and what they were told; all with a single topic a post."""

    def __init__(self, world: "World") -> None:
        self.open: dict[str, Callable[[], None]] = {}
        self._told: list[Told] = []
        self._cancelled: list[Cancelled] = []
        self._refused: set[str] = set()
        self._posts: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._topics: dict[str, str] = {}
        self._number = 0
        self._world = world

    def post(self, topic: str, recipients: int, *, urgent: bool = False) -> None:
        """Post a mail for so many; after its deadline ask what became of it."""
        self._number += 1
        name, world = f"sub-{self._number}", self._world
        emails = tuple(f"u{self._number}-{n}@example.com" for n in range(recipients))
        self._posts[name] = topic, emails
        mail = p.Mail(topic, "Hi", f"<p>{name}</p>", emails, urgent=urgent)
        submit = p.Submit(
            "api", SubmissionId(name), world.time + DEADLINE_S, world.time, world.now.ms, None,
            (mail,), p.Tally(0, 0),
        )  # fmt: skip
        world.send("api", "writer", submit)
        look_up = p.LookUp("api", SubmissionId(name))
        self.open[name] = lambda: world.send("api", "writer", look_up)
        world.at(world.time + DEADLINE_S + AGAIN_S, lambda: self._again(name))

    def cancel(self, topic: str) -> None:
        """Cancel a topic."""
        self._order(p.CancelTopic("api", self._new_order(topic), topic))

    def pause(self, topic: str) -> None:
        """Pause a topic."""
        self._order(p.PauseTopic("api", self._new_order(topic), topic))

    def resume(self, topic: str) -> None:
        """Let a topic go on."""
        self._order(p.ResumeTopic("api", self._new_order(topic), topic))

    def hear(self, message: p.Message) -> None:
        """Take what the writer answers."""
        match message:
            case p.Stored():
                if self.open.pop(message.submission, None):
                    topic, emails = self._posts[message.submission]
                    told = dict(enumerate(emails, start=message.firsts[0]))
                    self._told.append(Told(topic, told, self._now_ns))
            case p.NotStored():
                if self.open.pop(message.submission, None):
                    self._refused.update(self._posts[message.submission][1])
            case p.TopicCancelled() if self.open.pop(message.order, None):
                topic, n, flying = self._topics[message.order], message.stopped, message.in_flight
                self._cancelled.append(Cancelled(topic, n, flying, self._now_ns))
            case p.OrderDone() | p.OrderRefused():
                self.open.pop(message.order, None)

    def facts(self) -> Clients:
        """Answer what all were told."""
        return Clients(tuple(self._told), tuple(self._cancelled), frozenset(self._refused))

    @property
    def _now_ns(self) -> int:
        return int(self._world.time * 1e9)

    def _new_order(self, topic: str) -> str:
        self._number += 1
        self._topics[f"order-{self._number}"] = topic
        return f"order-{self._number}"

    def _order(self, order: p.Order) -> None:
        self.open[order.order] = lambda: self._world.send("api", "writer", order)
        self._again(order.order)

    def _again(self, name: str) -> None:
        if name in self.open:
            self.open[name]()
            self._world.at(self._world.time + AGAIN_S, lambda: self._again(name))
