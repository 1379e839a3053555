"""Refusals: what is answered to a message that could not be written."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from shared import protocol as p
from shared.clock import Now
from shared.store.write import Store
from shared.wire import Letter

REMEMBERED_S = 60.0

_answers: msgspec.msgpack.Decoder[p.Stored | p.Ordered] = msgspec.msgpack.Decoder(
    p.Stored | p.Ordered
)


class Refusals:
    """What was refused lately, so that a repeat of it gets the same answer.

    A second copy of a submission may wait in the mailbox while the first is refused for want of
    room; to store it then would make the refusal a lie, and the client's next try a double.
    """

    def __init__(self) -> None:
        self._said: dict[str, tuple[Letter, float]] = {}

    def note(self, letters: Iterable[Letter], now: Now) -> None:
        """Remember refusals for as long as copies may be under way."""
        self._said = {key: said for key, said in self._said.items() if said[1] > now.mono}
        for letter in letters:
            match letter.message:
                case p.NotStored(submission=key) | p.OrderFailed(order=key):
                    self._said[key] = (letter, now.mono + REMEMBERED_S)
                case _:
                    continue

    def said(self, message: p.Message, now: Now) -> Letter | None:
        """Answer what this submission or order was refused with, if it was."""
        match message:
            case p.Submit():
                key = str(message.submission)
            case _ if isinstance(message, p.Order):
                key = message.order
            case _:
                return None
        letter, until = self._said.get(key, (None, 0.0))
        return letter if until > now.mono else None


def refuse(store: Store, message: p.Message, code: str) -> Iterator[Letter]:
    """Answer those who wait for a person; the actors repeat what they hold and need no answer.

    What an earlier turn wrote is written, also when this turn failed: a repeat of a submission or
    an order that is in the database gets its answer, never a refusal.

    An outcome or an opens batch that is poisonous is acknowledged all the same: said again it
    would only fail again, and what it reports is in the log.
    """
    match message:
        case p.Submit() | p.LookUp():
            stored: p.Message | None = _answered(store, message.submission)
            yield Letter(message.reply_to, stored or p.NotStored(message.submission, code))
        case _ if isinstance(message, p.Order):
            done = _answered(store, message.order)
            yield Letter(message.reply_to, done or p.OrderFailed(message.order, code))
        case p.RecordEvents():
            posts = tuple(post.post for post in message.posts)
            yield Letter("results", p.EventsNotRecorded(message.epoch, posts, code))
        case p.RecordOpens() if code == "poisonous":
            yield Letter(message.reply_to, p.OpensRecorded(message.epoch, message.seq))
        case p.RecordOutcomes() if code == "poisonous":
            yield Letter(message.sender, p.OutcomesRecorded(message.epoch, (message.seq,)))
        case _:
            return


def _answered(store: Store, number: str) -> p.Message | None:
    row = store.row("answered", (number,))
    return _answers.decode(row[0]) if row else None


def divide(message: p.Message) -> list[p.Message]:
    """Cut a message of many parts into messages of one; any other is its own only part."""
    match message:
        case p.RecordEvents():
            return [replace(message, posts=(post,)) for post in message.posts]
        case p.RecordOutcomes():
            return [replace(message, outcomes=(outcome,)) for outcome in message.outcomes]
        case p.AskGate():
            return [replace(message, jobs=(job,)) for job in message.jobs]
        case p.ClaimWork():
            return [replace(message, claims=(claim,)) for claim in message.claims]
        case _:
            return [message]
