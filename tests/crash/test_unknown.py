"""Lost answers while the webhook is down, in virtual time: silence then proves nothing."""

import pytest

from shared.domain import OnUnknown, State
from tests.world import amazon
from tests.world.amazon import Fate
from tests.world.building import make_world
from tests.world.world import World

__all__ = ["make_world"]

DEAF_S = 600.0


def lose_some(world: World) -> None:
    """Lose one answer in fifty, of mail that SES has and of mail that it has not."""

    def script(call) -> Fate:
        luck = world.dice.random()
        if luck < 0.01:
            return amazon.lose(amazon.ERROR)(call)
        if luck < 0.02:
            return amazon.refuse(amazon.ERROR)(call)
        return amazon.all_well(call)

    world.ses.script = script


def go_deaf(world: World, seconds: float) -> None:
    """Prove that events come; then send on while the webhook is down, and bring it up again."""
    world.callers.post("proof", 100)
    world.run(5.0)
    lose_some(world)
    world.sns.is_up = False
    world.callers.post("news", 600)
    world.run(seconds)
    world.ses.script = amazon.all_well


def by_state(world: World, state: State) -> set[str]:
    return {mail.address for mail in world.database().mails if mail.state is state}


@pytest.mark.against("N5")
def test_n5_ten_minutes_of_a_deaf_webhook_prove_no_absence(make_world):
    world = make_world("deaf")
    go_deaf(world, DEAF_S)
    doubtful = by_state(world, State.UNKNOWN)
    assert len(doubtful) > 5
    assert len(by_state(world, State.SENT)) + len(doubtful) == 700
    assert set(world.ses.accepted().values()) == {1}

    world.sns.is_up = True
    world.rest(600.0)
    # SNS brings late what SES has; the rest waits for the operator, and is sent by nobody.
    assert world.judge() == []
    assert set(world.ses.accepted().values()) == {1}
    held = by_state(world, State.UNKNOWN)
    assert held == {mail.address for mail in world.database().mails} - set(world.ses.accepted())
    assert held


@pytest.mark.against("N5")
def test_n5_events_that_sns_gave_up_leave_what_is_doubtful_held(make_world):
    world = make_world("given up")
    world.sns.gives_up = True
    go_deaf(world, 100.0)
    doubtful = by_state(world, State.UNKNOWN)
    assert doubtful & set(world.ses.accepted())
    world.sns.is_up = True
    world.run(150.0)
    assert by_state(world, State.UNKNOWN) == doubtful
    assert set(world.ses.accepted().values()) == {1}
    # A doubtful mail may be there: that is what Unknown says. All else must be true.
    assert {violation.rule for violation in world.judge()} <= {"untrue"}


@pytest.mark.against("N5")
@pytest.mark.parametrize("policy", [OnUnknown.RESEND_NOW, OnUnknown.ASSUME_SENT])
def test_n5_who_does_not_wait_for_proof_has_marked_copies_or_none(make_world, policy):
    world = make_world("blind", on_unknown=policy)
    go_deaf(world, 60.0)
    world.sns.is_up = True
    world.rest(300.0)
    mails, copies = world.database().mails, world.ses.accepted()
    twice = {address for address, found in copies.items() if found > 1}
    marked = {mail.address for mail in mails if mail.flags & 1}
    assert by_state(world, State.SENT) == {mail.address for mail in mails}
    assert twice <= marked
    if policy is OnUnknown.RESEND_NOW:
        assert twice
        assert world.judge() == []
        assert set(copies) == {mail.address for mail in mails}
    else:
        assert not marked
        assert {violation.rule for violation in world.judge()} <= {"untrue"}


@pytest.mark.against("E3", "N5")
def test_absence_is_proven_by_an_open_ear_alone(make_world):
    world = make_world("open")
    world.callers.post("proof", 100)
    world.run(5.0)
    lose_some(world)
    world.callers.post("news", 600)
    world.run(10.0)
    doubtful = by_state(world, State.UNKNOWN)
    assert doubtful
    world.rest(300.0)
    assert world.judge() == []
    mails = world.database().mails
    assert by_state(world, State.SENT) == {mail.address for mail in mails}
    assert set(world.ses.accepted().values()) == {1}
    assert {mail.address for mail in mails if mail.flags & 1} == doubtful


@pytest.mark.against("C1")
@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_c1_a_step_of_the_wall_clock_proves_nothing_and_doubles_nothing(make_world, step):
    world = make_world("step")
    world.callers.post("proof", 100)
    world.run(5.0)
    lose_some(world)
    world.callers.post("news", 600)
    world.run(2.0)
    world.step = step
    world.run(60.0)
    if step > 0:
        # Set back, the clock says of what is not claimed yet that it is not due.
        assert len(by_state(world, State.SENT)) + len(by_state(world, State.UNKNOWN)) == 700
    assert not by_state(world, State.FAILED) | by_state(world, State.STOPPED)
    world.ses.script = amazon.all_well
    world.run(120.0)
    assert set(world.ses.accepted().values()) == {1}
    assert {v.rule for v in world.judge()} <= {"stuck"}
