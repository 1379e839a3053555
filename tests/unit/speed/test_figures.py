"""The judges of single scenarios."""

import pytest

from scripts.benches.oracle import SECOND_NS
from scripts.speed import load, pacing


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_seen(share, value):
    assert load.percentile(range(100, 0, -1), share) == value


def test_answers_of_another_status_end_the_run():
    good = load.Answered(10.0, [1.0, 2.0, 3.0], 0)
    assert load.whole(good).p50_ms == 2.0
    with pytest.raises(load.RefusedError, match="2 of the requests"):
        load.whole(good._replace(refused=2))


def test_the_share_used_leaves_out_what_the_first_call_brought():
    steady = [second * SECOND_NS // 100 for second in range(1001)]
    assert pacing.look(steady, 100) == (100, 1.0)
    half = [0] * 50 + [second * SECOND_NS // 50 for second in range(1, 501)]
    assert pacing.look(half, 100).share == 0.5


def test_the_ancestors_bucket_gives_nearly_three_times_its_rate_in_a_second():
    seen = pacing.look(list(pacing.ancestor(100)), 100)
    assert seen.worst == 290
