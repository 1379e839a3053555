"""Addresses taken off SES's own list: one call at a time, each order once, always an answer."""

import asyncio
import math

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from services.sender.releases import GAP_S, KEEP_S, THROTTLED_S, TRIES, Ended, Release, Releases
from services.sender.shell import Shell
from services.sender.side import AccountWatch, SideThread, release
from shared import clock
from shared.protocol import AccountRead, ReleaseAtSes, ReleasedAtSes, Unreleased


def order(number: int, *emails: str) -> ReleaseAtSes:
    return ReleaseAtSes("api", f"o-{number}", emails or ("a@x.example", "b@x.example"))


def said(releases: Releases) -> list:
    letters, releases.letters = releases.letters, []
    assert {letter.to for letter in letters} <= {"api"}
    return [letter.message for letter in letters]


def carry_out(releases: Releases, now: float, ended=lambda email: Ended()) -> tuple[list, float]:
    """Make every call that is due; answer whom they were for, and when all was over."""
    called = []
    while releases.next_at() < math.inf:
        now = max(now, releases.next_at())
        call = releases.begin(now)
        called.append(call.email)
        releases.ended(call, ended(call.email), now)
    return called, now


def test_each_address_is_one_call_ten_a_second():
    releases = Releases()
    emails = tuple(f"u{n}@x.example" for n in range(100))
    releases.take(order(1, *emails), 50.0)
    called, now = carry_out(releases, 50.0)
    assert tuple(called) == emails
    assert now == pytest.approx(50.0 + 99 * GAP_S)
    assert said(releases) == [ReleasedAtSes("o-1", 100)]


def test_no_call_begins_while_one_is_under_way_or_too_soon_after_it():
    releases = Releases()
    releases.take(order(1), 50.0)
    first = releases.begin(50.0)
    assert first == Release("o-1", "a@x.example")
    assert releases.next_at() == math.inf
    assert releases.begin(60.0) is None
    releases.ended(first, Ended(), 50.02)
    assert releases.begin(50.05) is None
    assert releases.begin(50.1).email == "b@x.example"


def test_an_order_said_again_is_not_begun_again():
    releases = Releases()
    releases.take(order(1), 50.0)
    first = releases.begin(50.0)
    releases.take(order(1), 51.0)
    releases.ended(first, Ended(), 51.0)
    called, _ = carry_out(releases, 51.0)
    assert called == ["b@x.example"]
    assert said(releases) == [ReleasedAtSes("o-1", 2)]


def test_a_finished_order_gets_the_same_answer_for_a_while():
    releases = Releases()
    releases.take(order(1), 50.0)
    _, done = carry_out(releases, 50.0, lambda email: Ended("E: no" if email[0] == "a" else ""))
    [answer] = said(releases)
    assert answer == ReleasedAtSes("o-1", 1, (Unreleased("a@x.example", "E: no"),))
    releases.take(order(1), done + KEEP_S - 1)
    assert said(releases) == [answer]
    assert releases.next_at() == math.inf
    releases.take(order(1), done + KEEP_S + 1)
    assert said(releases) == []
    assert releases.next_at() < math.inf


def test_orders_are_served_one_after_the_other_and_an_empty_one_at_once():
    releases = Releases()
    releases.take(order(1), 50.0)
    releases.take(order(2, "c@x.example"), 50.0)
    releases.take(ReleaseAtSes("api", "o-3", ()), 50.0)
    assert said(releases) == [ReleasedAtSes("o-3", 0)]
    called, _ = carry_out(releases, 50.0)
    assert called == ["a@x.example", "b@x.example", "c@x.example"]
    assert [answer.order for answer in said(releases)] == ["o-1", "o-2"]


def test_an_address_named_twice_is_one_call():
    releases = Releases()
    releases.take(order(1, "a@x.example", "a@x.example"), 50.0)
    assert carry_out(releases, 50.0)[0] == ["a@x.example"]


def test_where_ses_wants_fewer_calls_it_is_asked_more_slowly_and_then_given_up():
    releases = Releases()
    releases.take(order(1), 50.0)
    slow = Ended("TooManyRequestsException: fewer", again=True)
    called, now = carry_out(releases, 50.0, lambda _: slow)
    assert called == ["a@x.example"] * TRIES
    assert now == pytest.approx(50.0 + (TRIES - 1) * THROTTLED_S)
    [answer] = said(releases)
    assert answer.released == 0
    assert [one.email for one in answer.refused] == ["a@x.example", "b@x.example"]


def test_a_throttle_that_passes_costs_nothing():
    releases = Releases()
    releases.take(order(1), 50.0)
    answers = iter([Ended("T: fewer", again=True), Ended(), Ended()])
    assert len(carry_out(releases, 50.0, lambda _: next(answers))[0]) == 3
    assert said(releases) == [ReleasedAtSes("o-1", 2)]


def test_what_would_refuse_every_address_is_asked_once():
    releases = Releases()
    releases.take(order(1, *(f"u{n}@x.example" for n in range(100))), 50.0)
    denied = Ended("AccessDeniedException: no", concerns_all=True)
    called, _ = carry_out(releases, 50.0, lambda _: denied)
    assert len(called) == 1
    [answer] = said(releases)
    assert [one.email for one in answer.refused] == [f"u{n}@x.example" for n in range(100)]
    assert {one.error for one in answer.refused} == {denied.error}


# ── what SES said ──


class Ses:
    """A client that is refused, or not."""

    def __init__(self, error=None):
        self.error, self.asked = error, []

    def delete_suppressed_destination(self, EmailAddress):  # noqa: N803 - SES's own spelling
        self.asked.append(EmailAddress)
        if self.error is not None:
            raise self.error

    def get_account(self):
        return {"SendQuota": {"MaxSendRate": 14.0}}


def refused(code: str, message: str = "words", status: int = 400) -> ClientError:
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "DeleteSuppressedDestination")


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (None, Ended()),
        (refused("NotFoundException", status=404), Ended()),
        (
            refused("AccessDeniedException", status=403),
            Ended(
                "AccessDeniedException: the credentials need the IAM action"
                " ses:DeleteSuppressedDestination.",
                concerns_all=True,
            ),
        ),
        (
            refused("TooManyRequestsException", status=429),
            Ended("TooManyRequestsException: SES wants fewer calls; try again later.", again=True),
        ),
        (refused("BadRequestException"), Ended("BadRequestException: words")),
        (
            refused("InvalidClientTokenId", status=403),
            Ended("InvalidClientTokenId: words", concerns_all=True),
        ),
    ],
)
def test_each_answer_of_ses_is_one_clear_sentence(error, ended):
    ses = Ses(error)
    assert release(ses, "a@x.example") == ended
    assert ses.asked == ["a@x.example"]


def test_where_ses_cannot_be_reached_the_others_are_not_tried():
    ended = release(Ses(EndpointConnectionError(endpoint_url="http://x")), "a@x.example")
    assert ended.error.startswith("EndpointConnectionError: ")
    assert ended.concerns_all


# ── in the process ──


class OneAws:
    def __init__(self, client):
        self.made = client

    def client(self, service, region=None):
        return self.made


def test_a_hundred_calls_do_not_hold_up_the_account(talk):
    """The account is read between two of them, on the same thread."""
    emails = tuple(f"u{n}@x.example" for n in range(100))
    client = Ses()

    async def play():
        side = SideThread(OneAws(client), "sender-0", AccountWatch(0.0))
        shell = Shell(talk.sender, NoJournal(), way=None, side=side)
        shell.receive(ReleaseAtSes("api", "o-1", emails), clock.read())
        while talk.sender.voice.account is None or not client.asked:
            shell.settle(clock.read())
            await asyncio.sleep(0.001)
        side.close()

    asyncio.run(play())
    assert isinstance(talk.sender.voice.account, AccountRead)
    assert len(client.asked) < 5


class NoJournal:
    size = 0

    def forget(self, left):
        list(left)
