"""Demand as a level, and what becomes of lost and late permits."""

import math

import pytest

from services.sender.permits import Air, Permits, air, within
from shared.domain import JobId
from shared.protocol import Ask, Permit


def job(number):
    return JobId(number)


def room(calls):
    return Air(calls, calls)


def test_urgent_asks_come_first_and_the_room_bounds_them_all():
    permits = Permits()
    permits.want(job(1), 3, 10.0, urgent=False)
    permits.want(job(2), 1, 10.0, urgent=True)
    permits.want(job(3), 2, 10.0, urgent=False)
    listing = permits.listing(room(2), 10.0)
    assert listing.urgent == (Ask(2, 1),)
    assert listing.bulk == (Ask(1, 3),)


def test_the_level_is_said_on_change_and_four_times_a_second():
    permits = Permits()
    assert permits.listing(room(9), 10.0) is None
    permits.want(job(1), 1, 10.0, urgent=False)
    assert permits.listing(room(9), 10.0) is not None
    assert permits.listing(room(9), 10.1) is None
    assert permits.next_listing() == 10.25
    assert permits.listing(room(9), 10.25) is not None
    permits.want(job(2), 1, 10.3, urgent=False)
    assert permits.listing(room(9), 10.3) is not None


def test_the_end_of_all_wishes_is_said_once():
    permits = Permits()
    permits.want(job(1), 1, 10.0, urgent=False)
    permits.listing(room(9), 10.0)
    permits.take([Permit(1, 10.1)], 10.05)
    assert permits.pop_due(10.1).job == 1
    listing = permits.listing(room(9), 10.11)
    assert listing == ((), (), ())
    assert permits.listing(room(9), 20.0) is None
    assert permits.next_listing() == math.inf


def test_a_permit_at_hand_takes_a_place_in_the_air():
    permits = Permits()
    for number in (1, 2, 3):
        permits.want(job(number), 1, 10.0, urgent=False)
    permits.take([Permit(1, 10.5)], 10.0)
    assert permits.granted == 1
    assert permits.listing(room(2), 10.0).bulk == (Ask(2, 1),)


def test_asks_that_did_not_fit_are_said_when_there_is_room():
    permits = Permits()
    permits.want(job(1), 1, 10.0, urgent=False)
    permits.want(job(2), 1, 10.0, urgent=False)
    assert permits.listing(room(1), 10.0).bulk == (Ask(1, 1),)
    assert permits.listing(room(2), 10.05).bulk == (Ask(1, 1), Ask(2, 1))


def test_permits_come_due_in_order_of_their_time():
    permits = Permits()
    permits.want(job(1), 1, 10.0, urgent=False)
    permits.want(job(2), 1, 10.0, urgent=False)
    permits.take([Permit(1, 10.4), Permit(2, 10.2)], 10.0)
    assert permits.next_due() == 10.2
    assert permits.pop_due(10.1) is None
    assert permits.pop_due(10.5).job == 2
    assert permits.pop_due(10.5).job == 1


def test_a_permit_nobody_asked_for_is_listed_as_unused_for_a_second():
    permits = Permits()
    permits.take([Permit(99, 10.0)], 10.0)
    assert permits.listing(room(9), 10.0).unused == (99,)
    assert permits.listing(room(9), 10.5).unused == (99,)
    assert permits.listing(room(9), 11.0).unused == ()


def test_a_repeated_permit_is_not_a_second_one():
    permits = Permits()
    permits.want(job(1), 1, 10.0, urgent=False)
    permits.take([Permit(1, 10.5), Permit(1, 10.5)], 10.0)
    assert permits.granted == 1
    assert permits.listing(room(9), 10.0).unused == ()
    assert permits.pop_due(10.5) is not None
    assert permits.pop_due(10.5) is None


def test_a_withdrawn_wish_is_unused_whether_granted_or_not():
    permits = Permits()
    permits.want(job(1), 1, 10.0, urgent=False)
    permits.want(job(2), 1, 10.0, urgent=True)
    permits.take([Permit(1, 10.5)], 10.0)
    permits.withdraw(job(1), 10.1)
    permits.withdraw(job(2), 10.1)
    permits.withdraw(job(3), 10.1)
    assert permits.pop_due(11.0) is None
    assert permits.next_due() == math.inf
    assert permits.listing(room(9), 10.1) == ((), (), (1, 2))


def test_an_ask_passed_over_by_its_lane_is_asked_anew():
    permits = Permits()
    for number in (1, 2):
        permits.want(job(number), 1, 10.0, urgent=False)
    permits.want(job(3), 1, 10.0, urgent=True)
    permits.take([Permit(2, 10.5)], 10.1)
    listing = permits.listing(room(9), 10.1)
    assert listing == ((Ask(3, 1),), (Ask(4, 1),), (1,))


def test_an_ask_that_waited_too_long_is_asked_anew_for_no_more_than_fits():
    permits = Permits()
    permits.want(job(1), 20, 10.0, urgent=False)
    permits.want(job(2), 2, 10.8, urgent=False)
    permits.ask_anew_since(10.5, 5, 11.0)
    assert permits.listing(room(9), 11.0) == ((), (Ask(2, 2), Ask(3, 5)), (1,))


def test_an_ask_too_large_for_a_fallen_rate_is_cut_at_once():
    permits = Permits()
    permits.want(job(1), 25, 10.0, urgent=False)
    permits.want(job(2), 2, 10.0, urgent=True)
    permits.take((), 10.1, 3)
    assert permits.listing(room(9), 10.1) == ((Ask(2, 2),), (Ask(3, 3),), (1,))


def test_one_place_in_the_air_is_for_urgent_mail_alone():
    permits = Permits()
    for number in (1, 2, 3):
        permits.want(job(number), 1, 10.0, urgent=False)
    assert permits.listing(Air(2, 1), 10.0).bulk == (Ask(1, 1),)
    assert permits.listing(Air(1, 0), 10.1).bulk == ()
    permits.want(job(4), 1, 10.2, urgent=True)
    assert permits.listing(Air(1, 0), 10.2) == ((Ask(4, 1),), (), ())
    assert permits.listing(Air(3, 2), 10.3) == ((Ask(4, 1),), (Ask(1, 1),), ())


def test_where_places_are_few_bulk_may_take_them_all():
    assert [air(share, 0) for share in (1, 3, 4, 500)] == [(1, 1), (3, 3), (4, 3), (500, 499)]
    assert air(4, 3) == (1, 0)


@pytest.mark.parametrize(
    ("recipients", "size", "left"),
    [
        (0, 50, (101, 100)),
        (4_900, 50, (3, 2)),
        (4_951, 50, (1, 0)),
        (6_000, 50, (1, 0)),
        (499, 1, (500, 499)),
    ],
)
def test_calls_of_many_are_fewer_in_the_air_and_one_place_is_left_to_urgent_mail(
    recipients, size, left
):
    assert within(Air(500, 499), recipients, size) == left
