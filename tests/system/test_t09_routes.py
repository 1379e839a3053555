"""Every route and every refusal, called on a whole installation."""

import pytest

from tests.system import walk


@pytest.mark.timeout(180)
def test_every_call_is_answered_as_expected(tmp_path):
    assert walk.everything(tmp_path).faults == []
