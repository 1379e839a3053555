"""One job's way through the gate: when to ask, how long the answer is good; pure.

An answer does not say which ask it answers, so it counts from the first ask of its round, the
earliest it can have been committed after. A round is asked once and, without an answer in half a
second, again. A round that had to be asked twice may bring two answers, and the second could be
taken for the answer of a later round that it does not belong to: such a round is therefore the
job's last one. If it does not bring the job out in time, the job goes back as not sent, as it does
after any round that had no answer for as long as one is good.
"""

import math

from shared.domain import RecipientId

GOOD_FOR_S = 1.0
RENEW_AFTER_S = 0.6
REPEAT_AFTER_S = 0.5


class GateAsks:
    """The asks of one job; times are monotonic seconds."""

    __slots__ = ("_answered", "_first", "_last_round", "_newest", "recipients")

    def __init__(self) -> None:
        self.recipients: tuple[RecipientId, ...] = ()
        self._answered = -math.inf  # the first ask of the newest round with an answer
        self._first: float | None = None  # the first ask of the round without an answer
        self._newest = -math.inf
        self._last_round = False

    def wants_ask(self, now: float) -> bool:
        """Tell whether the writer must be asked now."""
        if self._first is not None:
            return now - self._newest >= REPEAT_AFTER_S and now - self._first < GOOD_FOR_S
        return not self._last_round and now - self._answered >= RENEW_AFTER_S

    def asked(self, now: float) -> None:
        """Note that an ask goes out."""
        self._newest = now
        if self._first is None:
            self._first = now
        else:
            self._last_round = True

    def opened(self, recipients: tuple[RecipientId, ...]) -> float | None:
        """Take an answer; say when its round began, None if it is the second of a round."""
        if self._first is None:
            return None
        self.recipients = recipients
        self._answered, self._first = self._first, None
        return self._answered

    def is_open(self, now: float) -> bool:
        """Tell whether a call may start now."""
        return now - self._answered < GOOD_FOR_S

    def is_lost(self, now: float) -> bool:
        """Tell whether the job can no longer come through and must go back."""
        if self.is_open(now):
            return False
        if self._first is None:
            return self._last_round
        # Stopped when it was time to repeat it, this process may have asked but once.
        return now - self._first >= GOOD_FOR_S
