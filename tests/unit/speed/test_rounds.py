"""What a benchmark says of its figures: medians, ratios round by round, a verdict."""

import json

import pytest
from rich.console import Console

from scripts.speed.rounds import NONE, Line, Target, draw, save


@pytest.mark.parametrize(
    ("target", "value", "is_met"),
    [
        (Target(at_most=2), 2.0, True),
        (Target(at_most=2), 2.001, False),
        (Target(at_least=5), 5.0, True),
        (Target(at_least=5), 4.999, False),
        (NONE, 1e9, True),
    ],
)
def test_a_limit_itself_is_met(target, value, is_met):
    assert target.is_met(value) is is_met


def test_a_target_reads_as_in_the_table():
    assert [str(each) for each in (Target(at_most=0.6), Target(at_least=30), NONE)] == [
        "≤ 0.6",
        "≥ 30",
        "",
    ]


def test_a_figure_that_stands_alone_is_judged_by_its_median():
    line = Line("start", "s", (9.0, 2.0, 1.0), target=Target(at_most=2.5))
    assert line.judged == 2.0
    assert line.is_met


def test_beside_a_baseline_the_ratios_of_the_rounds_are_judged_not_the_ratio_of_medians():
    line = Line("bulk", "mails/s", (10.0, 40.0, 90.0), (1.0, 10.0, 10.0), Target(at_least=9))
    assert line.ratios == (10.0, 4.0, 9.0)
    assert line.judged == 9.0
    assert line.is_met


def test_rounds_that_lack_their_partner_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        assert Line("bulk", "mails/s", (1.0, 2.0), (1.0,)).ratios


LINES = (
    Line("bulk", "mails/s", (4e4, 5e4, 6e4), (1e3, 1e3, 1e3), Target(at_least=30), "CPU bound"),
    Line("start", "s", (3.0, 2.0, 4.0), target=Target(at_most=2.5)),
)


def test_the_table_has_medians_ratios_with_their_range_targets_and_notes():
    console = Console(width=160)
    with console.capture() as capture:
        console.print(draw(LINES, "2 cores"))
    text = capture.get()
    (bulk,) = [line for line in text.splitlines() if "bulk" in line]
    for part in ("50,000", "1,000", "50.00 (40.00 to 60.00)", "≥ 30", "CPU bound"):
        assert part in bulk
    assert "MISSED" not in bulk
    (start,) = [line for line in text.splitlines() if "start" in line]
    assert "≤ 2.5 MISSED" in start
    assert "2 cores" in text


def test_the_file_has_every_round_and_the_verdict(tmp_path):
    path = tmp_path / "bench.json"
    save(LINES, "2 cores", path)
    written = json.loads(path.read_text())
    assert written["machine"] == "2 cores"
    bulk, start = written["lines"]
    assert bulk["ours"] == [4e4, 5e4, 6e4]
    assert bulk["baseline"] == [1e3, 1e3, 1e3]
    assert (bulk["judged"], bulk["target"], bulk["is_met"]) == (50.0, "≥ 30", True)
    assert (start["judged"], start["is_met"]) == (3.0, False)
