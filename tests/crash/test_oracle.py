"""The oracle can fail: it passes a true story, and finds each lie that is told into it."""

import pytest

from scripts.benches.facts import (
    Arrival,
    Cancelled,
    Clients,
    Counts,
    Database,
    Evidence,
    Mail,
    Posted,
    Told,
)
from scripts.benches.oracle import SECOND_NS, held_for_operator, judge, worst_second
from shared.domain import SEEN_BITS, Feedback, State

SEND, DELIVERY = SEEN_BITS[Feedback.SEND], SEEN_BITS[Feedback.DELIVERY]
ADDRESSES = {number: f"u{number}@example.com" for number in range(1, 5)}


def sent(number: int, **changes) -> Mail:
    facts = {
        "topic": "news",
        "address": ADDRESSES[number],
        "state": State.SENT,
        "feedback": int(Feedback.DELIVERY),
        "message_id": f"m{number}",
        "seen": SEND | DELIVERY,
    }
    return Mail(number, **(facts | changes))


def arrival(number: int, **changes) -> Arrival:
    facts = {
        "at_ns": number * SECOND_NS,
        "mid": f"home-{number}",
        "address": ADDRESSES[number],
        "accepted": True,
        "message_id": f"m{number}",
    }
    return Arrival(**(facts | changes))


def true_story() -> Evidence:
    """Four mails: three were sent, the last was cancelled; the second was refused once before."""
    stopped = Mail(4, "late", ADDRESSES[4], State.STOPPED, 0, code="cancelled")
    return Evidence(
        clients=Clients(
            told=(
                Told("news", {n: ADDRESSES[n] for n in (1, 2, 3)}),
                Told("late", {4: ADDRESSES[4]}),
            ),
            cancelled=(Cancelled("late", 1, 0, SECOND_NS),),
            refused=frozenset({"refused@example.com"}),
            unheard=(frozenset({"a@example.com", "b@example.com"}),),
        ),
        arrivals=(
            arrival(1),
            arrival(2, accepted=False, message_id="", at_ns=SECOND_NS),
            arrival(2),
            arrival(3),
        ),
        database=Database(
            install="home",
            mails=(sent(1), sent(2, attempts=2), sent(3), stopped),
            counts=Counts(
                topics={"news": (0, 0, 3, 0, 0, 0, 0), "late": (0, 0, 0, 0, 1, 0, 0)},
                kinds={("news", Feedback.SEND): 3, ("news", Feedback.DELIVERY): 3},
                sent_minutes=3,
                heard_minutes=3,
                sent_hours=3,
                sent_ever=3,
            ),
            results={
                (number, kind): 1
                for number in (1, 2, 3)
                for kind in (Feedback.SEND, Feedback.DELIVERY)
            },
        ),
        events={"Send": Posted(3, 3), "Delivery": Posted(3, 2)},
        rate=2.0,
    )


def rules(evidence: Evidence) -> set[str]:
    return {violation.rule for violation in judge(evidence)}


def with_mail(changed: Mail) -> Evidence:
    story = true_story()
    mails = tuple(changed if mail.id == changed.id else mail for mail in story.database.mails)
    return story._replace(database=story.database._replace(mails=mails))


def with_database(**changes) -> Evidence:
    story = true_story()
    return story._replace(database=story.database._replace(**changes))


def with_counts(**changes) -> Evidence:
    return with_database(counts=true_story().database.counts._replace(**changes))


def with_arrival(*more: Arrival) -> Evidence:
    story = true_story()
    return story._replace(arrivals=story.arrivals + more)


def with_clients(**changes) -> Evidence:
    story = true_story()
    return story._replace(clients=story.clients._replace(**changes))


def test_a_true_story_is_believed():
    assert judge(true_story()) == []


# ── lost ──


def test_a_mail_that_was_accepted_and_is_not_there_is_lost():
    gone = true_story().database.mails[1:]
    assert "lost" in rules(with_database(mails=gone))


def test_an_id_that_was_answered_for_another_address_is_lost():
    assert "lost" in rules(with_mail(sent(1, address="else@example.com")))


def test_a_mail_that_ended_without_a_reason_is_lost():
    assert "lost" in rules(with_mail(sent(1, state=State.FAILED)))


def test_a_cancelled_mail_that_nobody_cancelled_is_lost():
    assert "lost" in rules(with_mail(sent(1, state=State.STOPPED, code="cancelled")))


# ── invented ──


def test_a_mail_that_was_stored_for_a_repeat_too_is_invented():
    mails = (*true_story().database.mails, sent(1)._replace(id=5))
    assert "invented" in rules(with_database(mails=mails))


@pytest.mark.parametrize("address", ["refused@example.com", "nobody@example.com", "a@example.com"])
def test_a_row_of_what_was_refused_or_never_posted_or_of_half_a_submission_is_invented(address):
    mails = (*true_story().database.mails, sent(1)._replace(id=5, address=address))
    assert "invented" in rules(with_database(mails=mails))


def test_a_submission_without_an_answer_may_be_stored_whole():
    story = true_story()
    both = (
        sent(1)._replace(id=5, address="a@example.com"),
        sent(1)._replace(id=6, address="b@example.com"),
    )
    stored = story._replace(database=story.database._replace(mails=story.database.mails + both))
    assert "invented" not in rules(stored)


# ── doubled ──


def test_a_second_copy_without_a_mark_is_found():
    assert "doubled" in rules(with_arrival(arrival(2, message_id="m2b", at_ns=9 * SECOND_NS)))


@pytest.mark.parametrize(("flags", "found"), [(1, set()), (3, set()), (2, {"doubled"})])
def test_a_second_copy_is_excused_by_the_mark_it_had_before_it_left(flags, found):
    story = with_mail(sent(2, attempts=2, flags=flags))
    again = arrival(2, message_id="m2b", at_ns=9 * SECOND_NS)
    assert rules(story._replace(arrivals=(*story.arrivals, again))) == found


def test_more_copies_than_attempts_are_found_though_they_are_marked():
    story = with_mail(sent(1, flags=1))
    again = arrival(1, message_id="m1b", at_ns=9 * SECOND_NS)
    assert rules(story._replace(arrivals=(*story.arrivals, again))) == {"doubled"}


# ── untrue ──


def test_a_mail_that_is_sent_and_that_ses_does_not_have_is_untrue():
    story = true_story()
    assert rules(story._replace(arrivals=story.arrivals[1:])) == {"untrue"}


def test_a_sent_mail_with_an_id_that_ses_never_gave_is_untrue():
    assert rules(with_mail(sent(1, message_id="m9"))) == {"untrue"}


def test_a_mail_that_ses_has_and_that_is_not_sent_is_untrue():
    story = with_mail(sent(1, state=State.FAILED, code="MessageRejected"))
    assert "untrue" in rules(story)


@pytest.mark.parametrize("mid", ["home-77", "elsewhere-1", ""])
def test_a_copy_of_a_mail_that_we_do_not_know_is_untrue(mid):
    assert rules(with_arrival(arrival(1, mid=mid, at_ns=9 * SECOND_NS))) == {"untrue"}


def test_a_copy_to_another_address_is_untrue():
    story = true_story()
    wrong = arrival(1, address="else@example.com")
    assert rules(story._replace(arrivals=(wrong, *story.arrivals[1:]))) == {"untrue"}


# ── miscounted ──


@pytest.mark.parametrize("column", range(len(State)))
def test_a_counter_that_is_not_a_recount_is_found(column):
    counted = [0, 0, 3, 0, 0, 0, 0]
    counted[column] += 1
    topics = true_story().database.counts.topics | {"news": tuple(counted)}
    assert rules(with_counts(topics=topics)) == {"miscounted"}


def test_a_topic_without_a_counter_is_found():
    topics = {"late": true_story().database.counts.topics["late"]}
    assert rules(with_counts(topics=topics)) == {"miscounted"}


@pytest.mark.parametrize("sum_", ["sent_minutes", "heard_minutes", "sent_hours", "sent_ever"])
def test_a_sum_that_is_not_a_recount_is_found(sum_):
    assert rules(with_counts(**{sum_: 4})) == {"miscounted"}


def test_a_database_that_is_not_sound_is_found():
    assert rules(with_database(integrity="row 3 missing from index")) == {"miscounted"}


# ── events ──


def test_an_event_that_got_its_200_and_is_not_stored_is_found():
    results = dict(true_story().database.results)
    del results[1, Feedback.SEND]
    assert "events" in rules(with_database(results=results))


def test_an_event_that_is_stored_twice_is_found():
    results = true_story().database.results | {(1, Feedback.SEND): 2}
    assert rules(with_database(results=results)) == {"events"}


def test_an_event_that_never_got_its_200_may_be_stored_or_not():
    story = true_story()
    for acked in (2, 3):
        assert rules(story._replace(events=story.events | {"Delivery": Posted(4, acked)})) == set()


def test_copies_of_an_event_are_answered_more_often_than_it_was_made():
    story = true_story()
    assert rules(story._replace(events=story.events | {"Send": Posted(3, 9)})) == set()
    assert rules(story._replace(events=story.events | {"Send": Posted(4, 9)})) == {"events"}


def test_a_recipient_that_is_counted_twice_for_a_kind_is_found():
    kinds = true_story().database.counts.kinds | {("news", Feedback.SEND): 4}
    assert rules(with_counts(kinds=kinds)) == {"events"}


def test_a_row_that_has_not_seen_its_event_is_found():
    assert rules(with_mail(sent(1, seen=SEND))) == {"events"}


# ── stuck ──


@pytest.mark.parametrize("state", [State.CREATED, State.PROCESSED, State.UNKNOWN])
def test_a_mail_that_waits_for_ever_is_stuck(state):
    assert "stuck" in rules(with_mail(sent(1, state=state)))


@pytest.mark.parametrize("left", ["leases", "retries", "open_batches"])
def test_what_is_left_over_is_stuck(left):
    assert rules(with_database(**{left: 1})) == {"stuck"}


def test_a_lost_answer_of_before_the_last_gap_waits_for_the_operator():
    story = with_mail(sent(1, state=State.UNKNOWN, unknown_since=99))
    heard = story._replace(database=story.database._replace(ear_since=100))
    assert [mail.id for mail in held_for_operator(heard.database)] == [1]
    assert "stuck" not in rules(heard)


def test_a_lost_answer_of_after_it_is_stuck():
    story = with_mail(sent(1, state=State.UNKNOWN, unknown_since=100))
    assert "stuck" in rules(story._replace(database=story.database._replace(ear_since=100)))


# ── too fast ──


def test_more_than_the_rate_in_a_second_is_found_refused_calls_included():
    refused = {"accepted": False, "message_id": "", "at_ns": SECOND_NS + 1}
    assert rules(with_arrival(arrival(1, **refused))) == {"too fast"}


def test_calls_exactly_a_second_apart_are_in_two_seconds():
    assert worst_second([0, SECOND_NS]) == 1
    assert worst_second([SECOND_NS - 1, 0]) == 2
    assert worst_second([]) == 0


# ── disobeyed ──


def test_a_mail_that_leaves_after_its_cancel_was_answered_is_found():
    story = with_mail(sent(4, topic="late", flags=1))
    late = arrival(4, at_ns=9 * SECOND_NS)
    assert "disobeyed" in rules(story._replace(arrivals=(*story.arrivals, late)))


def test_what_the_answer_named_as_in_flight_may_leave():
    story = with_clients(cancelled=(Cancelled("late", 0, 1, SECOND_NS),))
    late = arrival(4, at_ns=9 * SECOND_NS)
    assert "disobeyed" not in rules(story._replace(arrivals=(*story.arrivals, late)))


def test_what_was_accepted_after_the_cancel_is_new_mail():
    told = (true_story().clients.told[0], Told("late", {4: ADDRESSES[4]}, 2 * SECOND_NS))
    story = with_clients(told=told)
    late = arrival(4, at_ns=9 * SECOND_NS)
    assert "disobeyed" not in rules(story._replace(arrivals=(*story.arrivals, late)))


def test_fewer_stopped_than_the_answer_said_are_found():
    assert rules(with_clients(cancelled=(Cancelled("late", 2, 0, SECOND_NS),))) == {"disobeyed"}


# ── leaked ──


def test_a_secret_in_the_log_is_found():
    assert rules(true_story()._replace(leaks=("key=…",))) == {"leaked"}
