"""The wall clock jumps: the broker's permits are the same to the microsecond."""

import pytest

from shared.clock import Now


@pytest.mark.against("C1")
@pytest.mark.parametrize("rate", [24, 500])
def test_c1_permits_do_not_depend_on_the_wall_clock(world, worst_second, rate):
    class Jumpy(world):
        """Its wall clock is an hour ahead or back every other second."""

        @property
        def now(self) -> Now:
            return Now(self.time, self.time + 1.7e9 + 3600.0 * (int(self.time) % 3 - 1))

    still, jumpy = world(rate), Jumpy(rate)
    for one in (still, jumpy):
        one.run(12.0)
    assert jumpy.calls == still.calls != []
    assert worst_second(jumpy.calls) <= rate
