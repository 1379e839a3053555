"""A real sender takes addresses off the simulator's suppression list."""

import pytest
from botocore.exceptions import ClientError

from shared.protocol import AccountRead, ReleaseAtSes, ReleasedAtSes
from shared.wire import Letter
from tests.process.test_sender_process import NAME, Around
from tests.process.test_simulator_rig import simulator


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with simulator(tmp_path_factory.mktemp("list")) as rig:
        yield rig


@pytest.fixture
def world(tmp_path, rig):
    one = Around(tmp_path, rig)
    one.boxes.append(one.wire.mailbox("api"))
    one.start()
    yield one
    one.close()


def ask(world, order, *emails):
    message = ReleaseAtSes("api", order, emails)
    world.wire.send(Letter(NAME, message))
    world.until(lambda: any(one.order == order for one in world.heard(ReleasedAtSes)))
    return [one for one in world.heard(ReleasedAtSes) if one.order == order]


def test_addresses_leave_the_list_of_ses_and_strangers_are_as_good(world, rig):
    for email in ("a@dest.example", "b+tag@dest.example", "stays@dest.example"):
        rig.ses.put_suppressed_destination(EmailAddress=email, Reason="BOUNCE")
    world.ready()
    world.until(lambda: world.heard(AccountRead))
    emails = ("a@dest.example", "b+tag@dest.example", "never@dest.example")
    assert ask(world, "o-1", *emails) == [ReleasedAtSes("o-1", 3)]
    for email in emails:
        with pytest.raises(ClientError, match="NotFoundException"):
            rig.ses.get_suppressed_destination(EmailAddress=email)
    assert rig.ses.get_suppressed_destination(EmailAddress="stays@dest.example")
    rig.ses.put_suppressed_destination(EmailAddress="a@dest.example", Reason="BOUNCE")
    world.said.clear()
    assert ask(world, "o-1", *emails) == [ReleasedAtSes("o-1", 3)]
    assert rig.ses.get_suppressed_destination(EmailAddress="a@dest.example"), "not done twice"
    assert world.end() == 0


def test_a_missing_permission_is_named_once_for_all(world, rig):
    denied = {"api": "DeleteSuppressedDestination"}
    rig.rule("error", code="AccessDeniedException", status=403, match=denied)
    world.ready()
    [answer] = ask(world, "o-2", *(f"u{n}@dest.example" for n in range(50)))
    rig.faults()
    assert answer.released == 0
    assert len(answer.refused) == 50
    assert {one.error for one in answer.refused} == {
        "AccessDeniedException: the credentials need the IAM action"
        " ses:DeleteSuppressedDestination."
    }
