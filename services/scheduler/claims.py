"""Claims that the writer has not answered yet."""

from services.scheduler.backlog import Line
from shared.protocol import Claim

REPEAT_AFTER_S = 0.5
FORGET_AFTER_S = 5.0
"""Whatever a claim leased that long ago and its sender does not hold, the writer takes back."""


class OpenClaim:
    """A claim on its way: when it was first asked and when last (monotonic seconds)."""

    __slots__ = ("asked_at", "claim", "first_at")

    def __init__(self, claim: Claim, now: float) -> None:
        self.claim = claim
        self.first_at = now
        self.asked_at = now

    @property
    def line(self) -> Line:
        """The line it claims from."""
        return Line(self.claim.topic, self.claim.urgent)

    @property
    def recipients(self) -> int:
        """The most recipients it can bring."""
        return self.claim.jobs * self.claim.size


class OpenClaims:
    """Every claim asked and not answered; ids never repeat, not even over restarts."""

    def __init__(self, first_id: int) -> None:
        self._next_id = first_id
        self._open: dict[int, OpenClaim] = {}

    def __len__(self) -> int:
        """Count the claims on their way."""
        return len(self._open)

    def new_id(self) -> int:
        """Answer an id for a new claim."""
        self._next_id += 1
        return self._next_id

    def ask(self, claim: Claim, now: float) -> None:
        """Remember a claim that goes out now."""
        self._open[claim.claim] = OpenClaim(claim, now)

    def close(self, claim: int) -> OpenClaim | None:
        """Take a claim that was answered; None if it is unknown or was answered before."""
        return self._open.pop(claim, None)

    def close_of_former(self, sender: str, epoch: int) -> list[OpenClaim]:
        """Take the claims for former epochs of a sender: the writer voids their leases."""
        return self._take(
            [
                claim_id
                for claim_id, open_ in self._open.items()
                if open_.claim.sender == sender and open_.claim.sender_epoch != epoch
            ]
        )

    def close_forgotten(self, now: float) -> list[OpenClaim]:
        """Take the claims that were repeated for too long."""
        return self._take(
            [
                claim_id
                for claim_id, open_ in self._open.items()
                if now - open_.first_at >= FORGET_AFTER_S
            ]
        )

    def repeats(self, now: float) -> list[Claim]:
        """Answer the claims to ask again now, under their old ids."""
        late = [open_ for open_ in self._open.values() if now - open_.asked_at >= REPEAT_AFTER_S]
        for open_ in late:
            open_.asked_at = now
        return [open_.claim for open_ in late]

    def repeats_at(self) -> float | None:
        """Answer when the next repeat is due."""
        return min((open_.asked_at + REPEAT_AFTER_S for open_ in self._open.values()), default=None)

    def jobs(self, sender: str) -> int:
        """Count the jobs asked for a sender."""
        return sum(o.claim.jobs for o in self._open.values() if o.claim.sender == sender)

    def asks_urgent(self, sender: str) -> bool:
        """Tell whether urgent jobs are asked for a sender."""
        return any(o.claim.urgent and o.claim.sender == sender for o in self._open.values())

    def _take(self, claim_ids: list[int]) -> list[OpenClaim]:
        return [self._open.pop(claim_id) for claim_id in claim_ids]
