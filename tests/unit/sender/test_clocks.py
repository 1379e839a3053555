"""The wall clock jumps: gates, permits and the words of a sender go by the monotonic one."""

import pytest

from shared.clock import Now
from shared.protocol import Demand, Holding, Room
from tests.unit.sender.rig import START, Talk

HOUR_S = 3600.0

pytestmark = pytest.mark.against("C1")


class Jumpy(Talk):
    """A sender whose wall clock may be set while it talks."""

    def __init__(self, **more):
        self.wall = 1_700_000_000.0
        super().__init__(**more)

    @property
    def now(self):
        return Now(self.mono, self.wall + self.mono - START)


@pytest.fixture(params=[HOUR_S, -HOUR_S], ids=["ahead", "back"])
def step(request):
    return request.param


def test_c1_gate_and_permit_are_good_for_their_time_and_no_longer(step):
    talk = Jumpy()
    talk.ready(talk.job(1), talk.job(2))
    (first, _), (second, _) = talk.asks()
    talk.permits((first, talk.mono + 0.03), (second, talk.mono + 0.04))
    talk.wall += step
    assert talk.call() is None
    talk.mono += 0.03
    call = talk.call()
    assert call.job.job == 1
    talk.mono += 0.03
    assert talk.call() is None, "late is late"
    talk.end(call)
    talk.wall -= step
    assert talk.call() is None


def test_c1_what_it_says_and_when_is_the_same_with_and_without_jumps(step):
    still, jumpy = Jumpy(), Jumpy()
    for talk in (still, jumpy):
        talk.ready(talk.job(1), talk.job(2))
        for _ in range(4):
            if talk is jumpy:
                talk.wall += step
            talk.wait(0.7, step=0.05)
    assert [x.to for x in still.said] == [x.to for x in jumpy.said]
    for kind in (Demand, Room, Holding):
        first, second = (
            [letter.message for letter in talk.said if isinstance(letter.message, kind)]
            for talk in (still, jumpy)
        )
        assert first == second != []
