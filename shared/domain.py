"""The words of the domain: ids, recipient states and their legal moves, what comes back."""

import enum
from typing import NewType

from shared.errors import IllegalMoveError

RecipientId = NewType("RecipientId", int)
TopicId = NewType("TopicId", int)
ContentId = NewType("ContentId", int)
JobId = NewType("JobId", int)
SubmissionId = NewType("SubmissionId", str)

NO_TOPIC = TopicId(1)
"""Mail that was posted without a topic_id shares this row; its name is NULL."""

MAX_RECIPIENTS_PER_CALL = 50
"""SendBulkEmail takes at most 50 destinations (SES developer guide)."""


class State(enum.IntEnum):
    """Where a recipient's mail is; the number is what the database keeps."""

    CREATED = 0  # accepted; waits for its time or turn, or for a retry
    PROCESSED = 1  # leased to a sender
    SENT = 2  # SES accepted it: a MessageId, or an event proves it
    FAILED = 3  # final, with SES's code and a sentence
    STOPPED = 4  # cancelled or expired, with the reason
    UNKNOWN = 5  # SES may have accepted it: the answer was lost
    SUPPRESSED = 6  # on the suppression list when accepted or when its turn came

    @property
    def word(self) -> str:
        """The state as the API and the ancestor's tables spell it."""
        return self.name.capitalize()


class Cause(enum.Enum):
    """Why a recipient moves from one state to another."""

    CLAIMED = "claimed by the scheduler for a sender"
    GIVEN_BACK = "surely not accepted by SES: goes back to the queue"
    ACCEPTED = "SES answered with a MessageId"
    PROVEN = "an event of ours proves that SES accepted it"
    REFUSED = "SES refused this mail for good"
    EXHAUSTED = "refused for now, and the attempts are used up"
    LOST = "the answer of SES was lost"
    CANCELLED = "its topic or message was cancelled"
    EXPIRED = "not sent before expires_at"
    LISTED = "its address is on the suppression list"
    ABSENT = "events prove that SES never had it, or the operator said to send again"
    ASSUMED_SENT = "told to take it for sent"
    ASSUMED_FAILED = "told to take it for failed"
    RETRIED = "told to try the failed ones again"


_WAITING = {
    Cause.CANCELLED: State.STOPPED,
    Cause.EXPIRED: State.STOPPED,
    Cause.LISTED: State.SUPPRESSED,
    Cause.PROVEN: State.SENT,
}

MOVES: dict[State, dict[Cause, State]] = {
    State.CREATED: _WAITING
    | {
        Cause.CLAIMED: State.PROCESSED,
        Cause.EXHAUSTED: State.FAILED,
        # The answer of a call whose lease had run out already:
        Cause.ACCEPTED: State.SENT,
    },
    State.PROCESSED: _WAITING
    | {
        Cause.GIVEN_BACK: State.CREATED,
        Cause.ACCEPTED: State.SENT,
        Cause.REFUSED: State.FAILED,
        Cause.EXHAUSTED: State.FAILED,
        Cause.LOST: State.UNKNOWN,
    },
    State.SENT: {Cause.PROVEN: State.SENT, Cause.ACCEPTED: State.SENT},
    State.FAILED: {
        Cause.RETRIED: State.CREATED,
        Cause.PROVEN: State.SENT,
        Cause.ACCEPTED: State.SENT,
    },
    State.STOPPED: {Cause.PROVEN: State.SENT, Cause.ACCEPTED: State.SENT},
    State.UNKNOWN: {
        Cause.PROVEN: State.SENT,
        Cause.ACCEPTED: State.SENT,
        Cause.ABSENT: State.CREATED,
        Cause.GIVEN_BACK: State.CREATED,
        Cause.REFUSED: State.FAILED,
        Cause.CANCELLED: State.STOPPED,
        Cause.ASSUMED_SENT: State.SENT,
        Cause.ASSUMED_FAILED: State.FAILED,
    },
    State.SUPPRESSED: {Cause.PROVEN: State.SENT, Cause.ACCEPTED: State.SENT},
}
"""Every legal move; the README draws this table."""


def move(state: State, cause: Cause) -> State:
    """Answer the state that follows, or raise IllegalMoveError."""
    try:
        return MOVES[state][cause]
    except KeyError:
        raise IllegalMoveError(f"{state.word} knows no move {cause.name}") from None


class Feedback(enum.IntEnum):
    """What SES and the recipient said of a mail, in the order of what outweighs what.

    The number is the lattice's rank, times ten to leave room; equal meanings share a rank's
    decade. Opens and clicks are counts and stand outside the lattice (rank 0).
    """

    SEND = 10
    DELIVERY_DELAY = 20
    DELIVERY = 30
    BOUNCE = 40
    REJECT = 41
    RENDERING_FAILURE = 42
    COMPLAINT = 50
    OPEN = 1
    CLICK = 2
    SUBSCRIPTION = 3

    @property
    def word(self) -> str:
        """The name as result_counts and SES's eventType spell it."""
        return FEEDBACK_WORDS[self]


FEEDBACK_WORDS: dict[Feedback, str] = {
    Feedback.SEND: "Send",
    Feedback.DELIVERY_DELAY: "DeliveryDelay",
    Feedback.DELIVERY: "Delivery",
    Feedback.BOUNCE: "Bounce",
    Feedback.REJECT: "Reject",
    Feedback.RENDERING_FAILURE: "Rendering Failure",
    Feedback.COMPLAINT: "Complaint",
    Feedback.OPEN: "Open",
    Feedback.CLICK: "Click",
    Feedback.SUBSCRIPTION: "Subscription",
}

SEEN_BITS: dict[Feedback, int] = {kind: 1 << place for place, kind in enumerate(FEEDBACK_WORDS)}
"""Which bit of `recipient.seen` says that a mail had an event of a kind (see migration 0004).

SEND is bit 0; the database keeps them, so that the order of FEEDBACK_WORDS is for ever.
"""

LATTICE_FLOOR = 10
"""Feedback below this rank is a count, not a verdict on the mail."""


class Verdict(enum.Enum):
    """What one SES answer means for one recipient (decided in services/sender/outcome.py)."""

    ACCEPTED = "accepted"
    PERMANENT = "permanent"  # this mail is refused for good
    FOR_NOW = "for_now"  # refused for now: up to 5 attempts
    THROTTLED = "throttled"  # the rate: back to the queue, spends no attempt
    ACCOUNT = "account"  # the account's trouble, not the mail's: hold all
    NOT_SENT = "not_sent"  # never left this machine: again, for ever
    UNKNOWN = "unknown"  # SES may have it


class OnUnknown(enum.Enum):
    """What to do about a mail whose answer from SES was lost (setting ON_UNKNOWN)."""

    CONFIRM_THEN_RESEND = "confirm_then_resend"
    CONFIRM_THEN_HOLD = "confirm_then_hold"
    RESEND_NOW = "resend_now"
    ASSUME_SENT = "assume_sent"


def format_mid(install: str, recipient: RecipientId) -> str:
    """Name a recipient's mail as SES sees it: a message tag, alphabet [A-Za-z0-9_-]."""
    return f"{install}-{recipient}"


def parse_mid(mid: str, install: str) -> RecipientId | None:
    """Read the recipient out of a `mid` tag, or None if it is not of this installation."""
    head, _, tail = mid.rpartition("-")
    if head != install or not tail.isascii() or not tail.isdigit() or len(tail) > 18:
        return None
    return RecipientId(int(tail))
