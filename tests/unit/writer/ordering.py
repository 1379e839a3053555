"""A caller's orders, legal or not, and what a bystander learns from their answers."""

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import rule

from shared import protocol as p
from shared.domain import State
from tests.unit.writer.recount import Recount

TOPICS = st.sampled_from(["red", "blue", "red", "blue", "nowhere"])
DUE = st.sampled_from([None, 3, 60])
RATES = st.sampled_from([None, 0.5, 24.0, 500.0])


class Ordering(Recount):
    """Orders, and what must never happen again after them."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.topic_of: dict[int, str | None] = {}
        self.email_of: dict[int, str] = {}
        self.expires: dict[int, int] = {}
        self.not_before: dict[int, int] = {}
        self.dead: set[int] = set()
        self.paused: set[str] = set()

    def tell(self, message: p.Message) -> list[p.Message]:
        """Say it to the writer, as well as circumstances allow; answer what it answers."""
        raise NotImplementedError

    def renew(self) -> None:
        """Senders ask again whether what they have in hand may go."""
        raise NotImplementedError

    def of(self, topic: str) -> list[int]:
        return [recipient for recipient, name in self.topic_of.items() if name == topic]

    def anyone(self, data) -> int:
        return data.draw(st.sampled_from([*sorted(self.topic_of), 999]))

    def order(self, kind: type, *values, **more) -> p.Ordered:
        (answer,) = self.tell(kind("api", f"order-{next(self.numbers)}", *values, **more))
        assert isinstance(answer, p.TopicCancelled | p.OrderDone | p.OrderRefused)
        return answer

    def steer(self, kind: type, topic: str, **more) -> p.OrderDone | None:
        """Give an order over a topic; one that nobody has heard of is refused."""
        answer = self.order(kind, topic, **more)
        if topic in self.topic_of.values():
            assert isinstance(answer, p.OrderDone)
            return answer
        assert answer == p.OrderRefused(answer.order, "no_such_topic")
        return None

    def assert_may_go(self, recipient: int) -> None:
        now = self.desk.now.ms
        assert recipient not in self.dead, "it was cancelled"
        assert self.topic_of[recipient] not in self.paused
        assert self.expires.get(recipient, now + 1) > now, "it has expired"
        assert self.not_before.get(recipient, now) <= now, "it is not due"

    # Few rules with a choice inside: hypothesis drops about half of the rules from each walk, and
    # without the way of a mail there is nothing to order.
    @rule(data=st.data(), topic=TOPICS, due=DUE)
    def steer_topic(self, data, topic, due):
        some = [self.pause, self.resume, self.reschedule, self.cancel, self.retry_failed]
        data.draw(st.sampled_from([*some, self.cancel, self.retry_failed]))(topic, due)
        if data.draw(st.booleans()):
            self.renew()

    def in_the_air(self, topic: str) -> int:
        """How many of a topic are through the gate."""
        gated = "SELECT recipients, topic.name FROM lease JOIN topic ON topic.id = lease.topic "
        found = self.rows(gated + "WHERE gated_at IS NOT NULL AND topic.name = ?", topic)
        states = self.states()
        leased = [
            int.from_bytes(b[n : n + 8], "little") for b, _ in found for n in range(0, len(b), 8)
        ]
        return sum(states[who] is State.PROCESSED for who in leased)

    def pause(self, topic, _due=None) -> None:
        if (answer := self.steer(p.PauseTopic, topic, reason="because")) is not None:
            self.paused.add(topic)
            assert answer.changed == self.count(topic, "created")
            assert answer.in_flight == self.in_the_air(topic)

    def resume(self, topic, _due=None) -> None:
        if (answer := self.steer(p.ResumeTopic, topic)) is not None:
            self.paused.discard(topic)
            assert answer.changed == self.count(topic, "created")

    def reschedule(self, topic, due) -> None:
        due_at = None if due is None else self.desk.now.ms + due * 1000
        if (answer := self.steer(p.RescheduleTopic, topic, due_at=due_at)) is not None:
            assert answer.changed == self.count(topic, "created")
            assert answer.in_flight == self.in_the_air(topic)
            self.not_before |= dict.fromkeys(self.of(topic), due_at or 0)

    def cancel(self, topic, _due=None) -> None:
        before, states = self.count(topic, "stopped"), self.states()
        answer = self.order(p.CancelTopic, topic)
        assert self.count(topic, "stopped") == before + answer.stopped
        assert answer.in_flight == self.in_the_air(topic)
        self.dead |= {who for who in self.of(topic) if states[who] is not State.SENT}

    def retry_failed(self, topic, _due=None) -> None:
        states = self.states()
        failed = [who for who in self.of(topic) if states[who] is State.FAILED]
        if (answer := self.steer(p.RetryFailed, topic)) is not None:
            assert answer.changed == len(failed)
            self.dead -= set(failed)

    @rule(data=st.data(), flag=st.booleans())
    def steer_mail(self, data, flag):
        some = [self.cancel_mail, self.resolve, self.resolve, self.suppress]
        data.draw(st.sampled_from(some))(data, flag)

    def cancel_mail(self, data, _flag) -> None:
        recipient = self.anyone(data)
        answer = self.order(p.CancelMail, recipient)
        if recipient not in self.topic_of:
            assert answer == p.OrderRefused(answer.order, "no_such_message")
            return
        assert answer.state is self.state(recipient)
        if isinstance(answer, p.OrderDone):
            self.dead.add(recipient)
            assert answer.state in {State.STOPPED, State.UNKNOWN}

    def resolve(self, data, resend) -> None:
        unknown = [row[0] for row in self.rows("SELECT recipient FROM unknown")]
        recipient = data.draw(st.sampled_from(unknown)) if unknown else self.anyone(data)
        answer = self.order(p.ResolveMail, recipient, resend)
        assert answer.state is self.states().get(recipient)
        if isinstance(answer, p.OrderDone):
            assert unknown
            assert not resend or recipient not in self.dead

    def suppress(self, data, is_off) -> None:
        email = data.draw(st.sampled_from(sorted(self.email_of.values()))).lower()
        before = self.rows("SELECT count(*) FROM suppression WHERE email = ?", email)[0][0]
        if is_off:
            assert self.order(p.Unsuppress, (email,)).changed == before
        else:
            assert self.order(p.Suppress, (p.Suppression(email),)).changed == 1 - before

    def set_rate(self, data) -> None:
        rate, is_bulk = data.draw(st.tuples(RATES, st.booleans()))
        answer = self.order(p.ResumeBulk) if is_bulk else self.order(p.SetRate, rate)
        if is_bulk:
            assert answer == p.OrderDone(answer.order)  # it did not wait
        elif isinstance(answer, p.OrderRefused):
            assert rate is not None
            assert answer.limit is not None
            assert rate > answer.limit

    def listed(self) -> set[str]:
        return {row[0] for row in self.rows("SELECT email FROM suppression")}

    @rule(seconds=st.sampled_from([0.02, 0.5, 1, 5, 21, 61, 61, 310, 4000]))
    def wait(self, seconds):
        self.desk.wait(seconds)
