"""The suppression list: who gets on it, who is asked for, and who comes off it for good."""

import pytest

from services.writer import suppressions
from services.writer.book import Book
from shared import protocol as p
from shared.domain import Feedback, Verdict

GENERAL = "Permanent/General"


def feed(desk, kind=Feedback.BOUNCE, subtype=GENERAL, recipient=1, **more) -> None:
    event = p.Event(
        kind=kind,
        email=more.get("email", f"u{recipient - 1}@example.com"),
        message_id=more.get("message_id", f"ses-{recipient}"),
        at=more.get("at", desk.now.ms),
        sent_at=desk.now.ms,
        recipient=more.get("mid", recipient),
        subtype=subtype,
        detail=more.get("detail", ""),
    )
    desk.say(p.RecordEvents(1, (p.EventPost("post", "sns", (event,)),)))


def on_list(desk) -> list[tuple]:
    return desk.sql("SELECT email, reason, source, detail, recipient FROM suppression ORDER BY 1")


def send(desk, *emails: str) -> None:
    desk.submit(emails)
    desk.send_all()


def suppress(desk, *entries: p.Suppression, order="o-1") -> p.OrderDone:
    return desk.ask(p.Suppress("api", order, entries), p.OrderDone)


def unsuppress(desk, *emails: str, order="o-2") -> p.OrderDone:
    return desk.ask(p.Unsuppress("api", order, emails), p.OrderDone)


@pytest.mark.parametrize(
    ("kind", "subtype", "reason"),
    [
        (Feedback.BOUNCE, GENERAL, "bounce"),
        (Feedback.BOUNCE, "Permanent", "bounce"),
        (Feedback.BOUNCE, "Permanent/OnAccountSuppressionList", "bounce"),
        (Feedback.BOUNCE, "Permanent/UnsubscribedRecipient", "bounce"),
        (Feedback.BOUNCE, "Transient/General", None),
        (Feedback.BOUNCE, "Transient/Permanent", None),
        (Feedback.BOUNCE, "Undetermined/Undetermined", None),
        (Feedback.BOUNCE, "", None),
        (Feedback.COMPLAINT, "", "complaint"),
        (Feedback.COMPLAINT, "abuse", "complaint"),
        (Feedback.COMPLAINT, "OnAccountSuppressionList", "complaint"),
        (Feedback.COMPLAINT, "not-spam", None),
        (Feedback.COMPLAINT, "not-spam/OnAccountSuppressionList", None),
        (Feedback.REJECT, GENERAL, None),
        (Feedback.DELIVERY, GENERAL, None),
    ],
)
def test_a_permanent_bounce_or_a_complaint_puts_an_address_on_the_list(desk, kind, subtype, reason):
    send(desk, "u0@example.com", "u1@example.com")
    feed(desk, kind, subtype)
    expected = [("u0@example.com", reason, "event", subtype, 1)] if reason else []
    assert on_list(desk) == expected


def test_the_words_of_the_other_end_are_kept(desk):
    send(desk, "u0@example.com")
    feed(desk, detail="550 5.1.1 no such user")
    assert on_list(desk)[0][3] == "Permanent/General: 550 5.1.1 no such user"


def test_a_permanent_bounce_after_a_transient_one_counts(desk):
    send(desk, "u0@example.com")
    feed(desk, subtype="Transient/MailboxFull", at=1)
    assert on_list(desk) == []
    feed(desk, at=2)
    assert [row[0] for row in on_list(desk)] == ["u0@example.com"]
    assert desk.results() == {"Bounce": 1}


def test_the_list_knows_no_capitals(desk):
    send(desk, "Ann@Example.COM")
    feed(desk, email="aNN@example.com", mid=1)
    assert on_list(desk)[0][:2] == ("ann@example.com", "bounce")
    book = Book(desk.store, desk.now)
    asked = ["ANN@example.com", "bob@example.com", "ann@Example.com"]
    assert suppressions.listed(book, asked) == {"ANN@example.com", "ann@Example.com"}
    assert suppressions.blocked(book, [1]) == [1]


def test_nobody_is_listed_among_none(desk):
    book = Book(desk.store, desk.now)
    assert suppressions.listed(book, []) == set()
    assert suppressions.blocked(book, []) == []
    assert suppressions.listed(book, ["a@example.com"]) == set()
    assert suppress(desk).changed == unsuppress(desk).changed == 0


def test_an_address_listed_after_its_claim_is_blocked(desk):
    desk.submit(["u0@example.com", "u1@example.com"])
    desk.claim(jobs=2)
    suppress(desk, p.Suppression("u1@example.com"))
    assert suppressions.blocked(Book(desk.store, desk.now), [1, 2]) == [2]


@pytest.mark.parametrize("name", ["bounce", "complaint+r42", "Bounce"])
def test_the_mailbox_simulator_never_gets_on_the_list(desk, name):
    email = f"{name}@Simulator.amazonSES.com"
    send(desk, email)
    feed(desk, email=email)
    feed(desk, Feedback.COMPLAINT, "abuse", email=email)
    assert on_list(desk) == []


def test_a_bounce_before_our_own_write_counts(desk):
    desk.submit(["u0@example.com"])
    (job,) = desk.claim()
    desk.gate(job)
    feed(desk)
    assert len(on_list(desk)) == 1
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Sent": 1}
    assert desk.sql("SELECT sum(sent), sum(bounced) FROM sent_minute") == [(1, 1)]


def test_a_bounce_without_tags_counts_when_ses_has_told_its_id(desk):
    desk.submit(["u0@example.com"])
    (job,) = desk.claim()
    desk.gate(job)
    feed(desk, mid=None)
    assert on_list(desk) == []
    desk.outcome(job, Verdict.ACCEPTED)
    assert len(on_list(desk)) == 1


def test_a_forged_address_lists_nobody(desk):
    send(desk, "u0@example.com")
    feed(desk, email="victim@example.com")
    assert on_list(desk) == []


def test_what_sns_repeats_after_a_removal_does_not_list_again_but_a_new_mail_does(desk):
    send(desk, "u0@example.com")
    feed(desk, at=1)
    assert unsuppress(desk, "u0@example.com").changed == 1
    feed(desk, at=1)
    feed(desk, at=2)
    assert on_list(desk) == []
    send(desk, "u0@example.com")
    feed(desk, recipient=2, email="u0@example.com")
    assert on_list(desk)[0][4] == 2


def test_a_repeat_lists_nobody_even_when_the_raw_events_are_gone(desk):
    send(desk, "u0@example.com")
    feed(desk, at=1)
    unsuppress(desk, "u0@example.com")
    desk.store._connection.execute("DELETE FROM result")
    feed(desk, at=1)
    assert on_list(desk) == []
    assert desk.results() == {"Bounce": 1}
    assert desk.sql("SELECT sum(bounced) FROM sent_hour") == [(1,)]


def test_a_complaint_after_a_removal_is_news(desk):
    send(desk, "u0@example.com")
    feed(desk)
    unsuppress(desk, "u0@example.com")
    feed(desk, Feedback.COMPLAINT, "abuse")
    assert on_list(desk)[0][1] == "complaint"


def test_addresses_put_on_by_hand_and_those_on_it_stay_as_they_are(desk):
    send(desk, "u0@example.com")
    feed(desk)
    answer = suppress(
        desk,
        p.Suppression("U0@example.com", "manual", "by Ann"),
        p.Suppression("New@example.com", "manual", "by Ann"),
        p.Suppression("new@example.com", "manual", "by Bob"),
        p.Suppression("other@example.com", "unsubscribed"),
    )
    assert answer.changed == 2
    assert on_list(desk) == [
        ("new@example.com", "manual", "api", "by Ann", None),
        ("other@example.com", "unsubscribed", "api", "", None),
        ("u0@example.com", "bounce", "event", GENERAL, 1),
    ]


def test_an_event_leaves_an_address_on_the_list_as_it_is(desk):
    send(desk, "u0@example.com")
    suppress(desk, p.Suppression("u0@example.com", "manual", "by Ann"))
    feed(desk)
    assert on_list(desk) == [("u0@example.com", "manual", "api", "by Ann", None)]


def test_a_repeat_of_an_order_gets_the_same_answer_and_does_nothing(desk):
    entry = p.Suppression("a@example.com")
    assert suppress(desk, entry).changed == 1
    assert unsuppress(desk, "A@example.com", "b@example.com").changed == 1
    assert suppress(desk, entry).changed == 1, "the order was carried out before"
    assert on_list(desk) == []
    assert suppress(desk, entry, order="o-3").changed == 1
    assert unsuppress(desk, "a@example.com").changed == 1
    assert len(on_list(desk)) == 1


def test_ten_thousand_addresses_at_once(desk):
    entries = [p.Suppression(f"u{n}@example.com") for n in range(10_000)]
    assert suppress(desk, *entries).changed == 10_000
    emails = [f"U{n}@example.com" for n in range(10_000)]
    assert len(suppressions.listed(Book(desk.store, desk.now), emails)) == 10_000
    assert unsuppress(desk, *emails).changed == 10_000
