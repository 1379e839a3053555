"""The moves a recipient may make, and the words on the wire of SES."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.domain import (
    FEEDBACK_WORDS,
    LATTICE_FLOOR,
    MOVES,
    Cause,
    Feedback,
    RecipientId,
    State,
    format_mid,
    move,
    parse_mid,
)
from shared.errors import IllegalMoveError

FINAL = {State.SENT, State.STOPPED, State.SUPPRESSED}


class Walk(RuleBasedStateMachine):
    """Any walk over the legal moves: one recipient, from acceptance on."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.CREATED
        self.was_proven = False
        self.may_be_at_ses = False

    @rule(cause=st.sampled_from(Cause))
    def try_anything(self, cause: Cause) -> None:
        before = self.state
        if cause not in MOVES[before]:
            with pytest.raises(IllegalMoveError, match=f"{before.word} knows no move {cause.name}"):
                move(before, cause)
            return
        self.state = move(before, cause)
        self.was_proven |= cause is Cause.PROVEN

    @precondition(lambda self: self.state in FINAL)
    @rule()
    def final_states_are_left_for_sent_alone(self) -> None:
        assert set(MOVES[self.state].values()) <= {State.SENT}

    @precondition(lambda self: self.state is State.UNKNOWN)
    @rule()
    def what_ses_may_have_is_sent_again_only_when_its_absence_is_known(self) -> None:
        back = {cause for cause, to in MOVES[State.UNKNOWN].items() if to is State.CREATED}
        assert back == {Cause.ABSENT, Cause.GIVEN_BACK}

    @invariant()
    def an_event_moves_any_state_to_sent(self) -> None:
        assert move(self.state, Cause.PROVEN) is State.SENT

    @invariant()
    def what_is_proven_stays_sent(self) -> None:
        assert not self.was_proven or self.state is State.SENT


TestWalk = Walk.TestCase


def test_every_state_has_its_moves_and_every_cause_is_used():
    assert set(MOVES) == set(State)
    assert {cause for moves in MOVES.values() for cause in moves} == set(Cause)


def test_every_state_can_be_reached_and_sent_can_be_reached_from_each():
    reached, edge = {State.CREATED}, [State.CREATED]
    while edge:
        fresh = set(MOVES[edge.pop()].values()) - reached
        reached |= fresh
        edge += fresh
    assert reached == set(State)


def test_only_a_claim_puts_a_recipient_into_a_senders_hands():
    ways = {
        (f, c) for f, moves in MOVES.items() for c, to in moves.items() if to is State.PROCESSED
    }
    assert ways == {(State.CREATED, Cause.CLAIMED)}


def test_the_numbers_of_the_ancestors_states_are_kept():
    words = ["Created", "Processed", "Sent", "Failed", "Stopped", "Unknown", "Suppressed"]
    assert [State(number).word for number in range(7)] == words


def test_a_complaint_outweighs_a_bounce_and_a_bounce_a_delivery():
    order = [Feedback.SEND, Feedback.DELIVERY_DELAY, Feedback.DELIVERY, Feedback.BOUNCE]
    assert sorted(order) == order
    assert all(other < Feedback.COMPLAINT for other in Feedback if other is not Feedback.COMPLAINT)


def test_opens_and_clicks_are_counts_outside_the_lattice():
    counts = {feedback for feedback in Feedback if feedback < LATTICE_FLOOR}
    assert counts == {Feedback.OPEN, Feedback.CLICK, Feedback.SUBSCRIPTION}


def test_every_feedback_has_the_word_ses_uses():
    assert set(FEEDBACK_WORDS) == set(Feedback)
    assert Feedback.RENDERING_FAILURE.word == "Rendering Failure"


@given(
    st.integers(0, 10**18 - 1).map(RecipientId), st.from_regex(r"[a-z0-9-]{1,16}", fullmatch=True)
)
def test_a_mid_reads_back_and_is_a_legal_message_tag(recipient, install):
    mid = format_mid(install, recipient)
    assert parse_mid(mid, install) == recipient
    assert set(mid) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    "mid", ["", "abc", "abc-", "abd-1", "abc-x", "abc-1-2", "abc-\uff11", "abc-" + "1" * 19, "-1"]
)
def test_a_foreign_mid_is_nobodys(mid):
    assert parse_mid(mid, "abc") is None
