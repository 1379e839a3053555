"""What a submission must hold beyond its shape."""

from zoneinfo import ZoneInfo

import msgspec
import pytest

from services.api import address, shape, submission
from services.api.refusal import RefusalError
from services.api.submission import Times
from shared.protocol import Mail, Rejected
from tests.unit.api.rig import WALL, body, mail

SEOUL = ZoneInfo("Asia/Seoul")
NOW_MS = int(WALL * 1000)


def check(*mails, **changed):
    raw = msgspec.json.encode(body(*mails, **changed))
    return submission.check(shape.decode(raw), SEOUL, NOW_MS)


def faults(*mails, **changed):
    with pytest.raises(RefusalError) as caught:
        check(*mails, **changed)
    assert caught.value.status == 422
    return {fault.pointer: fault.message for fault in caught.value.faults}


def test_a_submission_becomes_mails_and_a_tally():
    checked = check(
        mail(topic_id="t", emails=["Ann@Example.com", "ann@example.com", "bad"]),
        mail(subject="Two", headers={"X-A": "1"}),
    )
    assert checked.mails == (
        Mail("t", "Hello", "<p>Hi</p>", ("Ann@example.com",)),
        Mail(None, "Two", "<p>Hi</p>", ("ann@example.com",), (("X-A", "1"),)),
    )
    assert (checked.tally.errors, checked.tally.duplicates) == (1, 1)
    (rejected,) = checked.tally.rejected
    assert rejected == Rejected(0, 2, "bad", "An email address must have an @-sign.")
    assert checked.times == Times()
    assert checked.places == (0, 1)


def test_every_fault_is_named_at_once():
    found = faults(
        mail(subject="a\r\nb", content=""),
        mail(topic_id="", headers={"From": "x"}),
        scheduled_at="tomorrow",
    )
    assert set(found) == {
        "/messages/0/subject",
        "/messages/0/content",
        "/messages/1/topic_id",
        "/messages/1/headers/From",
        "/scheduled_at",
    }


@pytest.mark.against("A22", "H35")
@pytest.mark.parametrize(
    "subject",
    ["", "a\r\nBcc: x", "a\n b", "a\0", "a\x7f", "a\x85", "a\u2028b", "a\u202eb", "x" * 999],
)
def test_bad_subjects(subject):
    assert list(faults(mail(subject=subject))) == ["/messages/0/subject"]


@pytest.mark.parametrize("subject", ["x" * 998, "1월 뉴스레터 🎉", "\u05e9\u200f!", " "])
def test_good_subjects(subject):
    assert check(mail(subject=subject)).mails[0].subject == subject


@pytest.mark.against("A22")
@pytest.mark.parametrize("topic", ["", "a\0", "a\n", "\x9f", "x" * 256])
def test_bad_topics(topic):
    assert list(faults(mail(topic_id=topic))) == ["/messages/0/topic_id"]


@pytest.mark.against("A34")
@pytest.mark.parametrize("topic", ["../../x", "'; DROP TABLE x; --", "🎉", "a/b?c#d%", "x" * 255])
def test_a_topic_may_be_anything_else(topic):
    assert check(mail(topic_id=topic)).mails[0].topic == topic


def test_priority():
    mails = check(mail(priority="urgent"), mail(priority="bulk"), mail(priority=None), mail()).mails
    assert [one.urgent for one in mails] == [True, False, False, False]
    for wrong in ("Urgent", "", "high"):
        assert faults(mail(priority=wrong)) == {"/messages/0/priority": "must be bulk or urgent"}


def test_expiry():
    due = "2027-01-16 09:00:00"
    times = check(scheduled_at=due, expires_at="2027-01-16T00:00:01Z").times
    assert times == Times(1_800_057_600_000, 1_800_057_601_000)
    assert check(expires_at=None).times == check(expires_at="").times == Times()
    assert check(expires_at="2028-01-17 08:00:00").times.expires_at
    for wrong, word in (
        ("tomorrow", "is not a time"),
        (due, "not after scheduled_at"),
        ("2027-01-15 18:00:00", "not after scheduled_at"),
        ("2028-01-19 00:00:00", "more than a year and a day ahead"),
    ):
        assert word in faults(scheduled_at=due, expires_at=wrong)["/expires_at"]


@pytest.mark.parametrize(
    "text", ["2027-01-15T08:00:00Z", "2027-01-15T07:59:59Z", "1970-01-01 09:00:00"]
)
def test_times_that_have_passed_are_told_apart_from_nonsense(text):
    """Mail that has expired is no mistake if its request is a repeat."""
    times = check(expires_at=text).times
    assert [fault.pointer for fault in times.passed] == ["/expires_at"]
    assert times.expires_at is not None
    assert [fault.pointer for fault in check(scheduled_at="2027-01-15T07:00:00Z").times.passed] == [
        "/scheduled_at"
    ]
    assert set(faults(mail(subject=""), expires_at=text)) == {"/messages/0/subject", "/expires_at"}


def test_the_places_of_mails_are_those_of_the_request():
    checked = check(mail(), mail(emails=["bad"]), mail(subject="Three"))
    assert checked.places == (0, 2)
    assert [one.subject for one in checked.mails] == ["Hello", "Three"]


@pytest.mark.against("A36")
def test_content_is_measured_in_bytes():
    ten_mb = 10 * 1024 * 1024
    check(mail(content="x" * ten_mb))
    assert list(faults(mail(content="x" * (ten_mb + 1)))) == ["/messages/0/content"]
    assert list(faults(mail(content="한" * 4_000_000))) == ["/messages/0/content"]
    assert list(faults(mail(content=""))) == ["/messages/0/content"]


def test_a_message_without_addresses_and_no_message_at_all():
    assert list(faults(mail(), mail(emails=[]))) == ["/messages/1/emails"]
    raw = msgspec.json.encode({"messages": []})
    with pytest.raises(RefusalError):
        submission.check(shape.decode(raw), SEOUL, NOW_MS)


@pytest.mark.against("H19", "H20")
def test_ten_thousand_addresses_are_taken_and_not_one_more():
    emails = [f"user{n}@example.com" for n in range(10_000)]
    assert len(check(mail(emails=emails)).mails[0].emails) == 10_000
    assert "10001" in faults(mail(emails=[*emails, "x@example.com"]))["/messages"]
    assert "10001" in faults(mail(emails=emails), mail())["/messages"]
    assert "/messages" in faults(*[mail()] * 10_001)


def test_one_address_in_two_messages_is_no_duplicate():
    assert check(mail(), mail()).tally.duplicates == 0


def test_bad_addresses_beyond_a_hundred_are_counted_only():
    checked = check(mail(emails=["bad"] * 150), mail(emails=["worse"] * 10 + ["ann@example.com"]))
    assert checked.tally.errors == 160
    assert len(checked.tally.rejected) == 100
    assert [len(one.emails) for one in checked.mails] == [1]


def test_no_good_address_at_all_refuses_the_whole():
    found = faults(mail(emails=["bad"] * 60), mail(emails=["a@localhost"] * 60))
    assert len(found) == 100
    assert "/messages/1/emails/0" in found


def test_ten_thousand_plain_addresses_all_go_the_short_way(monkeypatch):
    monkeypatch.setattr(address, "validate_email", None)
    emails = [f"user.name{n}+tag@mail-{n % 50}.example.com" for n in range(10_000)]
    checked = check(mail(emails=emails, content="<h1>Hi</h1>" * 3000))
    assert [one.emails for one in checked.mails] == [tuple(emails)]


@pytest.mark.against("A36", "H37")
@pytest.mark.timeout(30)
def test_hostile_content_takes_no_time():
    """What goes back and forth over half a million tags would take hours."""
    check(mail(content="<a" * 500_000), mail(content='<a href="https://x.example">' * 100_000))
