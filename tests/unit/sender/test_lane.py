"""Single or bulk, and how much to hold."""

import pytest

from services.sender.lane import MOST_IN_AIR, Lane, most_in_call, share, waiting_room
from services.sender.outcome import BulkFault
from shared.domain import ContentId

ONE = ContentId(1)


@pytest.mark.parametrize(
    ("choice", "rate", "size"),
    [("single", 999, 1), ("bulk", 1, 9), ("auto", 159, 1), ("auto", 160, 9)],
)
def test_the_setting_and_the_rate_choose_the_lane(choice, rate, size):
    assert Lane(choice).size(rate, 9, 0.0) == size


def test_a_job_has_at_most_what_ses_takes():
    assert Lane("bulk").size(9999.0, 125, 0.0) == 50
    assert Lane("bulk").size(9999.0, 0, 0.0) == 1


def test_one_recipient_alone_needs_no_bulk_call_unless_told_so():
    assert not Lane("auto").takes_bulk(ONE, 1, 0.0)
    assert Lane("auto").takes_bulk(ONE, 2, 0.0)
    assert Lane("bulk").takes_bulk(ONE, 1, 0.0)
    assert not Lane("single").takes_bulk(ONE, 2, 0.0)


def test_bulk_refused_for_want_of_permission_is_refused_for_good():
    lane = Lane("bulk")
    lane.fault(BulkFault("refused", "AccessDenied"), ONE, 10.0)
    assert lane.size(500, 9, 1e9) == 1
    assert not lane.takes_bulk(ContentId(2), 5, 1e9)
    assert lane.refusal(1e9) == "AccessDenied"


def test_bulk_refused_by_the_call_rate_rests_for_ten_minutes():
    lane = Lane("auto")
    lane.fault(BulkFault("call_rate", "Rate exceeded"), ONE, 10.0)
    assert not lane.takes_bulk(ONE, 5, 609.0)
    assert lane.refusal(609.0) == "Rate exceeded"
    assert lane.takes_bulk(ONE, 5, 610.0)
    assert lane.refusal(610.0) == ""


def test_a_content_that_bulk_refuses_goes_alone_and_no_other():
    lane = Lane("auto")
    lane.fault(BulkFault("content", "BadRequest"), ONE, 10.0)
    assert not lane.takes_bulk(ONE, 5, 10.0)
    assert lane.takes_bulk(ContentId(2), 5, 10.0)
    assert lane.refusal(10.0) == ""


def test_what_is_remembered_of_contents_is_bounded():
    lane = Lane("auto")
    for number in range(2000):
        lane.go_alone(ContentId(number))
    assert lane.takes_bulk(ContentId(0), 5, 0.0)
    assert not lane.takes_bulk(ContentId(1999), 5, 0.0)


@pytest.mark.parametrize(
    ("rate", "workers", "calls"),
    [(24, 2, 24), (24, 5, 9), (1, 2, 1), (0.5, 1, 1), (0.0, 1, 1), (1e6, 1, MOST_IN_AIR)],
)
def test_all_senders_together_have_at_most_2_r_calls_in_the_air(rate, workers, calls):
    assert share(rate, workers) == calls


@pytest.mark.parametrize(
    ("rate", "workers", "size", "jobs"),
    [(24, 2, 1, 3), (1, 2, 1, 1), (6, 2, 1, 1), (7, 2, 1, 2), (500, 2, 6, 11), (0, 1, 1, 1)],
)
def test_a_quarter_second_of_work_waits_here(rate, workers, size, jobs):
    assert waiting_room(rate, workers, size) == jobs


@pytest.mark.parametrize(("rate", "most"), [(0.5, 1), (79, 1), (500, 12), (5000, 50)])
def test_a_call_is_at_most_a_fortieth_of_r(rate, most):
    assert most_in_call(rate) == most
