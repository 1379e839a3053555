"""Who is next: urgent mail before bulk but for its share, and within a lane each topic in turn."""

from services.scheduler.backlog import Line
from services.scheduler.turns import Turns

URGENT, BULK = True, False


class Lanes:
    """The turns of the two lanes, and of the topics in each.

    `urgent_share` is the part of the claims that is urgent while bulk waits, as the broker deals
    out the rate.
    """

    def __init__(self, urgent_share: float) -> None:
        self._lanes: Turns[bool] = Turns({URGENT: urgent_share, BULK: 1 - urgent_share})
        self._topics: dict[bool, Turns[Line]] = {URGENT: Turns(), BULK: Turns()}

    def line_up(self, due: list[Line]) -> None:
        """Say which lines wait now."""
        lines = _by_lane(due)
        self._lanes.line_up([lane for lane in lines if lines[lane]])
        for lane, topics in self._topics.items():
            topics.line_up(lines[lane])

    def deal(self, able: list[Line], jobs: int, size: int) -> dict[Line, int]:
        """Deal out jobs of `size` recipients to lines that wait; urgent lines come first."""
        lines = _by_lane(able)
        shares = self._lanes.pick([lane for lane in lines if lines[lane]], jobs, size)
        dealt: dict[Line, int] = {}
        for lane, topics in self._topics.items():
            dealt |= topics.pick(lines[lane], shares.get(lane, 0), size)
        return dealt

    def settle(self, line: Line, missed: int) -> None:
        """Take back what a line was charged for and did not get, in recipients."""
        self._lanes.charge(line.urgent, -missed)
        self._topics[line.urgent].charge(line, -missed)


def _by_lane(lines: list[Line]) -> dict[bool, list[Line]]:
    return {lane: [line for line in lines if line.urgent is lane] for lane in (URGENT, BULK)}
