"""Refusals: what is answered to a message that could not be written."""

from collections.abc import Iterator

from msgspec.structs import replace

from shared import protocol as p
from shared.wire import Letter


def refuse(message: p.Message, code: str) -> Iterator[Letter]:
    """Answer those who wait for a person; the actors repeat what they hold and need no answer.

    An outcome or an opens batch that is poisonous is acknowledged all the same: said again it
    would only fail again, and what it reports is in the log.
    """
    match message:
        case p.Submit() | p.LookUp():
            yield Letter(message.reply_to, p.NotStored(message.submission, code))
        case p.CancelTopic():
            yield Letter(message.reply_to, p.OrderFailed(message.order, code))
        case p.RecordEvents():
            posts = tuple(post.post for post in message.posts)
            yield Letter("results", p.EventsNotRecorded(message.epoch, posts, code))
        case p.RecordOpens() if code == "poisonous":
            yield Letter(message.reply_to, p.OpensRecorded(message.epoch, message.seq))
        case p.RecordOutcomes() if code == "poisonous":
            yield Letter(message.sender, p.OutcomesRecorded(message.epoch, (message.seq,)))
        case _:
            return


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
