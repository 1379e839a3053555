"""Outcomes are said in batches and again until acknowledged."""

import math

from services.sender.reports import FLUSH_AT, Reports
from shared.domain import JobId
from shared.protocol import Outcome


def outcome(number):
    return Outcome(JobId(number), ())


def test_the_first_outcome_goes_at_once_and_the_next_ones_together():
    reports = Reports()
    reports.add(outcome(1))
    assert reports.due(10.0) == [(1, (outcome(1),))]
    reports.add(outcome(2))
    reports.add(outcome(3))
    assert reports.due(10.01) == []
    assert reports.next_at() == 10.025
    assert reports.due(10.025) == [(2, (outcome(2), outcome(3)))]


def test_a_full_batch_does_not_wait():
    reports = Reports()
    reports.add(outcome(0))
    reports.due(10.0)
    for number in range(1, FLUSH_AT + 2):
        reports.add(outcome(number))
    (batch,) = reports.due(10.001)
    assert len(batch[1]) == FLUSH_AT


def test_a_batch_is_repeated_under_its_number_until_acknowledged():
    reports = Reports()
    reports.add(outcome(1))
    first = reports.due(10.0)
    assert reports.due(10.9) == []
    assert reports.next_at() == 11.0
    assert reports.due(11.0) == first
    assert JobId(1) in reports
    reports.acknowledged([1, 77])
    assert reports.due(13.0) == []
    assert len(reports) == 0
    assert reports.next_at() == math.inf


def test_replayed_outcomes_are_reported_like_new_ones():
    reports = Reports([outcome(number) for number in range(FLUSH_AT + 1)])
    assert [seq for seq, _ in reports.due(10.0)] == [1, 2]
    reports.acknowledged([1])
    assert list(reports) == [outcome(FLUSH_AT)]
    assert list(reports.jobs()) == [FLUSH_AT]
