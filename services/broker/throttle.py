"""How SES's refusals lower the rate, and how it climbs back."""

from typing import NamedTuple

HALVE_AT_MOST_EVERY_S = 1.0
"""The calls already in the air are refused too; they say the same thing once more."""

CLIMB_EVERY_S = 10.0
CLIMB_BY = 0.05
FLOOR = 1.0
"""Recipients per second that are tried however often SES refuses."""


class Slowdown(NamedTuple):
    """The share of the allowed rate that was in force at a moment (monotonic seconds)."""

    share: float = 1.0
    since: float = 0.0

    def share_at(self, now: float) -> float:
        """Answer the share now: a twentieth of the allowed rate more for every ten seconds."""
        return min(1.0, self.share + CLIMB_BY * ((now - self.since) // CLIMB_EVERY_S))

    def throttled(self, now: float) -> "Slowdown":
        """Halve, unless that was just done."""
        if self.share < 1.0 and now - self.since < HALVE_AT_MOST_EVERY_S:
            return self
        return Slowdown(self.share_at(now) / 2, now)

    def rate(self, allowed: float, now: float) -> float:
        """Answer the rate in force."""
        return max(min(FLOOR, allowed), allowed * self.share_at(now))
