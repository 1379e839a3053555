"""Which SES call a job becomes, and how much a sender may hold; pure.

A job is one call, whatever lane it takes. Where a job of several recipients must take the single
lane (bulk refused, or a content that SendBulkEmail cannot carry), the call is for its first
recipient and the others go back as not sent, under the same gate and outcome: one permit, one
call, one answer, and no second use of a gate. So do those too many for a rate that has fallen
since. It is the rare way, so its price (they are claimed again) does not matter.
"""

import math

from services.sender.outcome import BulkFault
from shared.domain import MAX_RECIPIENTS_PER_CALL, ContentId

BULK_FROM_RATE = 160.0
CALL_RATE_PAUSE_S = 600.0
MOST_IN_AIR = 500
"""Calls of one sender: enough for 500/s at an answer a second; bounds sockets and memory."""

MOST_WAITING = 256
"""Jobs: a process starts about 2,000 calls a second, and at an open rate no more shall wait here
than can go while their gate is good."""

_REMEMBERED = 1000


class Lane:
    """The choice between SendEmail and SendBulkEmail (setting SES_SEND_API).

    `most` is how many recipients a call may have at the rate in force.
    """

    def __init__(self, choice: str) -> None:
        self._choice = choice
        self._refused_until = -math.inf
        self._solo: dict[ContentId, None] = {}
        self.most = MAX_RECIPIENTS_PER_CALL
        self._refusal = ""

    def is_bulk(self, rate: float, now: float) -> bool:
        """Tell whether jobs should be made for SendBulkEmail."""
        if self._choice == "single" or now < self._refused_until:
            return False
        return self._choice == "bulk" or rate >= BULK_FROM_RATE

    def size(self, rate: float, chunk: int, now: float) -> int:
        """Answer how many recipients a job should have at most."""
        if not self.is_bulk(rate, now):
            return 1
        return max(1, min(MAX_RECIPIENTS_PER_CALL, chunk))

    def takes_bulk(self, content: ContentId, recipients: int, now: float) -> bool:
        """Tell whether this job goes as a bulk call; by itself, one recipient needs none."""
        if self._choice == "single" or now < self._refused_until or content in self._solo:
            return False
        return recipients > 1 or self._choice == "bulk"

    def fault(self, fault: BulkFault, content: ContentId, now: float) -> None:
        """Learn what SES refused about a bulk call."""
        if fault.kind == "content":
            self.go_alone(content)
            return
        self._refusal = fault.detail
        self._refused_until = math.inf if fault.kind == "refused" else now + CALL_RATE_PAUSE_S

    def go_alone(self, content: ContentId) -> None:
        """Send the mails of this content one by one from now on."""
        self._solo[content] = None
        if len(self._solo) > _REMEMBERED:
            del self._solo[next(iter(self._solo))]

    def refusal(self, now: float) -> str:
        """Answer why bulk calls are refused as such at this time, empty if they are not."""
        return self._refusal if now < self._refused_until else ""


def most_in_call(rate: float) -> int:
    """Answer how many recipients a call may have at all at R: twice as many as a job is made for.

    Jobs made for a higher rate may be larger. R is kept up with calls of a fortieth of it; one of a
    whole second's would wait until nothing else was granted for a second, longer than an ask lives.
    """
    return max(1, min(MAX_RECIPIENTS_PER_CALL, math.floor(rate / 40)))


def share(rate: float, workers: int, most: int = MOST_IN_AIR) -> int:
    """Answer how many calls one sender may have in the air: its part of 2 R, at least one."""
    return max(1, min(most, math.floor(2.0 * rate / workers)))


def waiting_room(rate: float, workers: int, size: int) -> int:
    """Answer how many jobs may wait here: 0.25 s of this sender's part of R, at least two.

    At three calls a second or fewer the next job is here long before its turn, and one that waits
    is one more before the first of another topic: so one is enough.
    """
    calls = rate / workers / size
    return max(2 if calls > 3.0 else 1, min(MOST_WAITING, math.ceil(0.25 * calls)))
