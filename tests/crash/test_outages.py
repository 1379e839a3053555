"""SES in trouble, in virtual time: the queue waits, goes on by itself, nobody has two copies."""

import itertools
from collections import Counter

import pytest

from services.sender.reply import Entry, Reply
from shared.domain import OnUnknown, State
from tests.world import amazon
from tests.world.amazon import Fate
from tests.world.building import make_world
from tests.world.world import START, World

__all__ = ["make_world"]

BEGINS_S, LASTS_S = 4.0, 600.0
GATE_GOOD_S = 1.1


def states(world: World) -> Counter[str]:
    return Counter(mail.state.word for mail in world.database().mails)


def some(fates: list[amazon.Script]) -> amazon.Script:
    """Take one script after the other."""
    turns = itertools.cycle(fates)
    return lambda call: next(turns)(call)  # noqa: PLW0108 - the next turn at each call


def outage(world: World, script: amazon.Script, lasts: float) -> None:
    """Post, let SES fail in the midst of it, and come back."""
    world.callers.post("before", 300)
    world.callers.post("news", 500)
    world.after(BEGINS_S, lambda: setattr(world.ses, "script", script))
    world.after(BEGINS_S + lasts, lambda: setattr(world.ses, "script", amazon.all_well))
    world.after(BEGINS_S + 60.0, lambda: world.callers.post("meanwhile", 50))
    world.run(BEGINS_S + lasts)


def first_hold(world: World) -> float:
    """Answer when the account was held (monotonic, seconds)."""
    hold = world.writer.actor._account.hold
    assert hold is not None
    return START + (hold.since / 1000 - world.now.wall + world.time - START)


OUTAGES = {
    "500": some([amazon.refuse(amazon.ERROR), amazon.lose(amazon.ERROR)]),
    "timeout": some([amazon.refuse(amazon.TIMEOUT, 20.0), amazon.lose(amazon.TIMEOUT, 20.0)]),
    "refused": amazon.refuse(amazon.REFUSED, 0.001, arrives=False),
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("500", marks=pytest.mark.against("E3", "E4")),
        pytest.param("timeout", marks=pytest.mark.against("E3")),
        pytest.param("refused", marks=pytest.mark.against("E2")),
    ],
)
def test_ten_minutes_without_ses_lose_nothing_and_double_nothing(make_world, kind):
    world = make_world(kind)
    outage(world, OUTAGES[kind], LASTS_S)

    held_at = first_hold(world)
    inside = [(at, fate) for at, fate in world.ses.calls if at >= START + BEGINS_S]
    until_held = [at for at, _ in inside if at <= held_at + GATE_GOOD_S]
    probes = [(at, at + fate.takes) for at, fate in inside if at > held_at + GATE_GOOD_S]
    # Up to 2 R are in the air; what comes after them are probes, one at a time, ever rarer.
    assert 5 <= len(until_held) <= 2 * world.rate + 5
    assert 5 <= len(probes) <= 30
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(probes))

    world.rest(900.0)
    assert world.judge() == []
    assert states(world) == {"Sent": 850}
    assert set(world.ses.accepted().values()) == {1}


@pytest.mark.against("E3", "E4")
@pytest.mark.parametrize("policy", list(OnUnknown))
def test_what_is_doubtful_after_an_outage_goes_by_the_policy(make_world, policy):
    world = make_world("policy", on_unknown=policy)
    outage(world, OUTAGES["500"], 60.0)
    world.rest(300.0)
    mails = world.database().mails
    copies = world.ses.accepted()
    found = [violation for violation in world.judge() if violation.rule not in excused(policy)]
    assert found == []
    doubtful = {mail.address for mail in mails if mail.state is State.UNKNOWN}
    if policy is OnUnknown.CONFIRM_THEN_HOLD:
        # Those that SES has are proven by their events; of the others nothing is guessed.
        assert doubtful
        assert doubtful == {mail.address for mail in mails} - set(copies)
    else:
        assert doubtful == set()
    twice = {address for address, found in copies.items() if found > 1}
    marked = {mail.address for mail in mails if mail.flags & 1}
    assert twice <= marked
    assert not twice or policy is OnUnknown.RESEND_NOW


def excused(policy: OnUnknown) -> set[str]:
    """Name what each policy knowingly leaves: mail that waits, or is taken for sent."""
    return {
        OnUnknown.CONFIRM_THEN_HOLD: {"stuck"},
        OnUnknown.ASSUME_SENT: {"untrue"},
    }.get(policy, set())


@pytest.mark.against("E1")
def test_e1_throttling_ends_no_mail_however_often(make_world):
    world = make_world("E1", rate=100.0)
    unlucky = ["u1-7@example.com"] * 8

    def script(call) -> Fate:
        if call.addressees[0].email in unlucky:
            unlucky.pop()
        elif world.dice.random() >= 0.3:
            return amazon.all_well(call)
        return amazon.refuse(amazon.THROTTLED)(call)

    world.ses.script = script
    world.callers.post("news", 300)
    world.rest(600.0)
    assert world.judge() == []
    # Five refusals of another kind would have ended the unlucky one.
    assert not unlucky
    assert states(world) == {"Sent": 300}
    assert set(world.ses.accepted().values()) == {1}


FINAL = ("MESSAGE_REJECTED", "INVALID_PARAMETER")
STATUSES = (
    *("SUCCESS", "MAIL_FROM_DOMAIN_NOT_VERIFIED", "CONFIGURATION_SET_NOT_FOUND"),
    *("TEMPLATE_NOT_FOUND", "ACCOUNT_SUSPENDED", "ACCOUNT_THROTTLED"),
    *("ACCOUNT_DAILY_QUOTA_EXCEEDED", "INVALID_SENDING_POOL_NAME", "ACCOUNT_SENDING_PAUSED"),
    *("CONFIGURATION_SET_SENDING_PAUSED", "TRANSIENT_FAILURE", "FAILED", *FINAL),
)


@pytest.mark.against("E5")
def test_e5_every_entry_of_a_bulk_call_has_its_own_end(make_world):
    world = make_world("E5", rate=4000.0, senders=1, lane="bulk")
    seen: dict[str, str] = {}
    statuses = itertools.cycle(STATUSES)

    def script(call) -> Fate:
        said = []
        for who in call.addressees:
            is_new = who.email not in seen
            said.append(seen.setdefault(who.email, next(statuses)) if is_new else "SUCCESS")
        if said == ["SUCCESS"] * len(said):
            return amazon.all_well(call)
        accepts = tuple(word == "SUCCESS" for word in said)
        entries = tuple(Entry(word, message_id="") for word in said)
        return Fate(accepts, Reply(200, entries=entries))

    world.ses.script = script
    world.callers.post("news", 200)
    world.rest(1200.0)
    final = {address for address, word in seen.items() if word in FINAL}
    mails = {mail.address: mail for mail in world.database().mails}
    assert len(seen) == 200
    assert {a for a, mail in mails.items() if mail.state is State.FAILED} == final
    assert set(world.ses.accepted().values()) == {1}
    assert set(world.ses.accepted()) == set(mails) - final
    assert world.judge() == []


@pytest.mark.against("E5")
def test_e5_a_list_that_is_too_short_makes_the_whole_call_unknown(make_world):
    world = make_world("short", rate=4000.0, senders=1, lane="bulk")
    world.callers.post("proof", 100)
    world.run(5.0)

    def script(call) -> Fate:
        entries = tuple(Entry("SUCCESS", message_id="m") for _ in call.addressees[1:])
        return Fate((False,) * len(call.addressees), Reply(200, entries=entries))

    world.ses.script = script
    world.callers.post("news", 50)
    world.run(1.0)
    assert states(world) == {"Sent": 100, "Unknown": 50}
    world.ses.script = amazon.all_well
    world.rest(600.0)
    assert world.judge() == []
    assert states(world) == {"Sent": 150}
    assert set(world.ses.accepted().values()) == {1}


@pytest.mark.against("E6")
def test_e6_a_quota_used_up_in_mid_run_holds_all_until_it_is_lifted(make_world):
    world = make_world("E6")
    left = [500]

    def script(call) -> Fate:
        if left[0] < len(call.addressees):
            return amazon.refuse(amazon.QUOTA)(call)
        left[0] -= len(call.addressees)
        return amazon.all_well(call)

    world.ses.script = script
    world.callers.post("news", 1000)
    world.run(120.0)
    assert states(world)["Failed"] == 0
    assert world.writer.actor._account.hold.reason == "quota"
    left[0] = 10_000
    world.rest(1200.0)
    assert world.judge() == []
    assert states(world) == {"Sent": 1000}
    assert set(world.ses.accepted().values()) == {1}


@pytest.mark.against("E7")
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("SendingPausedException", "sending_paused"),
        ("AccountSuspendedException", "suspended"),
        ("MailFromDomainNotVerifiedException", "not_verified"),
        ("ExpiredTokenException", "credentials"),
        ("RequestTimeTooSkewed", "credentials"),
    ],
)
def test_e7_trouble_of_the_account_fails_no_mail(make_world, code, reason):
    world = make_world("E7")
    world.callers.post("news", 200)
    world.after(0.9, lambda: setattr(world.ses, "script", amazon.refuse(Reply(403, code, code))))
    world.run(30.0)
    assert world.writer.actor._account.hold.reason == reason
    world.ses.script = amazon.all_well
    world.rest(1200.0)
    assert world.judge() == []
    assert states(world) == {"Sent": 200}
    assert set(world.ses.accepted().values()) == {1}


@pytest.mark.against("E8")
@pytest.mark.parametrize("rate", [100.0, 400.0])
def test_e8_one_mail_in_a_hundred_refused_for_good_fails_alone(make_world, rate):
    world = make_world("E8", rate=rate)
    poison = {f"u1-{number}@example.com" for number in range(0, 400, 100)}

    def script(call) -> Fate:
        bad = [who.email in poison for who in call.addressees]
        if not any(bad):
            return amazon.all_well(call)
        # SES refuses a bulk call of which it will not have one mail as a whole.
        return amazon.refuse(amazon.REJECTED)(call)

    world.ses.script = script
    world.callers.post("news", 400)
    world.rest(600.0)
    assert world.judge() == []
    failed = {m.address: m.code for m in world.database().mails if m.state is State.FAILED}
    assert set(failed) == poison
    assert set(failed.values()) == {"MessageRejected"}
    others = {f"u1-{number}@example.com" for number in range(400)} - poison
    assert world.ses.accepted() == dict.fromkeys(others, 1)
