"""The tests can fail: each of six builds that are wrong on purpose is found, and by its name."""

import pytest

from scripts.benches import broken
from scripts.benches.builds import BUILDS, Change


@pytest.fixture(scope="module")
def tried():
    return broken.try_all()


@pytest.mark.timeout(400)
def test_on_a_build_that_is_whole_every_detector_passes(tried):
    assert tried[0] == {}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", range(len(BUILDS)), ids=[build.name for build in BUILDS])
def test_a_build_that_is_wrong_is_found(tried, number):
    finding = tried[1][number]
    assert [one for one in finding.found if not one.is_found] == []


def test_a_change_whose_text_has_moved_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("one\ntwo\ntwo\n")
    for old in ("three", "two"):
        with pytest.raises(ValueError, match="exactly once"):
            broken.spoil(tmp_path, [Change("a.py", old, "")])
    broken.spoil(tmp_path, [Change("a.py", "one", "1")])
    assert (tmp_path / "a.py").read_text() == "1\ntwo\ntwo\n"


def test_the_bench_fails_if_a_build_passes_for_whole(capsys):
    build = BUILDS[0]
    missed = broken.Finding(build, [broken.Found(build.detectors[0], "")], 1.0)
    found = missed._replace(found=[broken.Found(build.detectors[0], "3 violations")])
    assert broken.conclude({}, [found, missed]) == 1
    assert broken.conclude({"test_x": "assert 1 == 2"}, [found]) == 1
    assert broken.conclude({}, [found]) == 0
