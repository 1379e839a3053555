"""Events: counted exactly once, in any order, before or after our own write."""

import itertools

import pytest

from services.writer.moves import DUPLICATE_SUSPECTED
from shared import protocol as p
from shared.domain import SEEN_BITS, Feedback, Verdict

MANY = tuple(f"u{n}@example.com" for n in range(5))


def event(desk, kind=Feedback.DELIVERY, recipient=1, **more) -> p.Event:
    return p.Event(
        kind=kind,
        email=more.pop("email", f"u{recipient - 1}@example.com"),
        message_id=more.pop("message_id", f"ses-{recipient}"),
        at=more.pop("at", desk.now.ms),
        sent_at=desk.now.ms,
        recipient=more.pop("mid", recipient),
        **more,
    )


def tell(desk, *events: p.Event) -> None:
    post = p.EventPost("post-1", "sns-1", events)
    assert desk.ask(p.RecordEvents(1, (post,)), p.EventsRecorded).posts == ("post-1",)


def test_an_event_counts_once_however_often_it_comes(desk):
    desk.submit(MANY)
    desk.send_all()
    for _ in range(3):
        tell(desk, event(desk))
    tell(desk, event(desk), event(desk))
    assert desk.results() == {"Delivery": 1}
    assert desk.sql("SELECT count(*) FROM email_result") == [(1,)]


def test_result_counts_are_recipients_not_events(desk):
    desk.submit(MANY)
    desk.send_all()
    kind = Feedback.DELIVERY_DELAY
    tell(desk, event(desk, kind, at=1), event(desk, kind, at=2), event(desk, kind, 2, at=1))
    assert desk.results() == {"DeliveryDelay": 2}


def test_any_order_of_events_ends_in_the_same_row(desk):
    desk.submit(MANY)
    desk.send_all()
    kinds = [
        Feedback.SEND,
        Feedback.DELIVERY_DELAY,
        Feedback.DELIVERY,
        Feedback.BOUNCE,
        Feedback.COMPLAINT,
    ]
    for order in itertools.permutations(kinds):
        desk.store._connection.execute("UPDATE recipient SET feedback = 0")
        for kind in order:
            tell(desk, event(desk, kind, at=hash(order) + kind))
        assert desk.sql("SELECT feedback, state FROM recipient WHERE id = 1") == [(50, 2)]
    assert desk.results() == {kind.word: 1 for kind in kinds}


def test_an_event_before_our_own_write_proves_the_mail_sent_and_the_outcome_merges(desk):
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    tell(desk, event(desk, message_id="ses-1"))
    assert desk.counts() == {"Sent": 1}
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.counts() == {"Sent": 1}
    assert desk.sql("SELECT sum(sent), sum(heard) FROM sent_minute") == [(1, 1)]
    assert desk.sql("SELECT message_id, flags FROM recipient") == [("ses-1", 0)]


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.PERMANENT, Verdict.NOT_SENT])
def test_an_event_outweighs_whatever_the_call_seemed_to_say(desk, verdict):
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    desk.outcome(job, verdict)
    tell(desk, event(desk))
    assert desk.counts() == {"Sent": 1}
    desk.wait(10_000)
    assert desk.claim() == []


def test_an_event_without_tags_is_found_by_the_id_of_ses(desk):
    desk.submit(MANY)
    desk.send_all()
    tell(desk, event(desk, mid=None, message_id="ses-3", email="U2@example.com"))
    assert desk.results() == {"Delivery": 1}


def test_an_event_without_tags_before_our_own_write_is_not_lost(desk):
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    tell(desk, event(desk, mid=None, message_id="ses-1"))
    assert desk.results() == {}
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.results() == {"Delivery": 1}
    assert desk.sql("SELECT count(*) FROM orphan") == [(0,)]


def test_an_event_without_tags_before_a_late_answer_is_not_lost(desk):
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    tell(desk, event(desk, mid=None))
    desk.wait(61)  # the lease ends before the answer is told
    desk.outcome(job, Verdict.ACCEPTED)
    assert desk.results() == {"Delivery": 1}
    assert desk.sql("SELECT count(*) FROM orphan") == [(0,)]


def test_an_untagged_event_that_came_first_counts_once_a_tagged_one_tells_its_mail(desk):
    desk.submit(MANY)
    (job,) = desk.claim()
    desk.gate(job)
    desk.wait(61)  # the answer of SES is lost
    tell(desk, event(desk, Feedback.BOUNCE, mid=None, subtype="Permanent"))
    assert desk.results() == {}
    tell(desk, event(desk, Feedback.SEND))
    assert desk.results() == {"Send": 1, "Bounce": 1}
    assert desk.sql("SELECT count(*) FROM orphan") == [(0,)]
    assert desk.sql("SELECT email FROM suppression") == [("u0@example.com",)]


@pytest.mark.parametrize(
    "stray", [{"mid": 999}, {"email": "other@example.com"}, {"mid": None, "message_id": "foreign"}]
)
def test_an_event_of_nobody_we_know_is_kept_apart_and_changes_nothing(desk, stray):
    desk.submit(MANY)
    desk.send_all()
    tell(desk, event(desk, **stray))
    assert desk.results() == {}
    assert desk.sql("SELECT count(*) FROM orphan") == [(1,)]


def test_opens_count_once_per_recipient_and_in_total(desk):
    desk.submit(MANY)
    desk.send_all()
    opens = (p.Opened(1, 5), p.Opened(1, 6), p.Opened(2, 7), p.Opened(99, 8))
    for _ in range(2):
        desk.ask(p.RecordOpens("api", 1, 1, opens), p.OpensRecorded)
    tell(desk, event(desk, Feedback.OPEN, at=9))
    assert desk.results() == {"Open": 2}
    assert desk.sql("SELECT recipient, first_at, last_at, hits FROM opening") == [
        (1, 5, 9, 3),
        (2, 7, 7, 1),
    ]


def test_an_event_of_an_earlier_attempt_after_a_resend_is_a_suspected_duplicate(desk):
    desk.submit(MANY[:1])
    desk.send_all()
    tell(desk, event(desk, message_id="ses-other"))
    assert desk.sql("SELECT flags FROM recipient") == [(DUPLICATE_SUSPECTED,)]


def test_a_note_is_kept(desk):
    post = p.EventPost("post-1", "sns-1", (), "Successfully validated SNS topic")
    desk.ask(p.RecordEvents(1, (post,)), p.EventsRecorded)
    assert desk.sql("SELECT CAST(event AS TEXT) FROM orphan")[0][0].startswith("Successfully")


@pytest.mark.against("E9")
def test_one_poisonous_post_does_not_take_the_others_with_it(desk, monkeypatch):
    from services.writer import events

    real = events._result

    def poisoned(who, event):
        if event.detail == "poison":
            raise RuntimeError("poison")
        return real(who, event)

    monkeypatch.setattr(events, "_result", poisoned)
    desk.submit(MANY)
    desk.send_all()
    posts = (
        p.EventPost("good", "sns-1", (event(desk),)),
        p.EventPost("bad", "sns-2", (event(desk, recipient=2, detail="poison"),)),
    )
    answers = desk.say(p.RecordEvents(1, posts))
    assert answers == [
        p.EventsRecorded(1, ("good",)),
        p.EventsNotRecorded(1, ("bad",), "poisonous"),
    ]
    assert desk.results() == {"Delivery": 1}


def test_a_stray_event_is_kept_once(desk):
    for _ in range(3):
        tell(desk, event(desk, mid=None, message_id="foreign"))
    assert desk.sql("SELECT count(*) FROM orphan") == [(1,)]


def test_first_goes_by_the_recipients_bits_which_outlive_the_events(desk):
    desk.submit(MANY)
    desk.send_all()
    kinds = [Feedback.SEND, Feedback.DELIVERY, Feedback.CLICK, Feedback.SUBSCRIPTION]
    tell(desk, *(event(desk, kind) for kind in kinds), event(desk, Feedback.OPEN))
    assert desk.sql("SELECT seen, feedback FROM recipient WHERE id = 1") == [
        (1 | 4 | 128 | 256 | 512, 30)
    ]
    expected = dict.fromkeys([kind.word for kind in kinds] + ["Open"], 1)
    assert desk.results() == expected
    desk.store._connection.execute("DELETE FROM result")
    tell(desk, *(event(desk, kind) for kind in kinds), event(desk, Feedback.OPEN, at=1))
    desk.ask(p.RecordOpens("api", 1, 1, (p.Opened(1, 5),)), p.OpensRecorded)
    assert desk.results() == expected
    assert desk.sql("SELECT sum(heard) FROM sent_minute") == [(1,)]


def test_bits_and_verdict_are_written_in_one_update_and_only_for_news(desk, monkeypatch):
    desk.submit(MANY)
    desk.send_all()
    runs = []
    real, many = desk.store.run, desk.store.many
    monkeypatch.setattr(
        desk.store, "run", lambda name, values=(): runs.append(name) or real(name, values)
    )
    monkeypatch.setattr(
        desk.store, "many", lambda name, rows: runs.extend(name for _ in rows) or many(name, rows)
    )
    tell(desk, event(desk, Feedback.DELIVERY_DELAY, at=1))
    assert runs.count("set_feedback") == 1
    tell(desk, event(desk, Feedback.DELIVERY_DELAY, at=2))
    assert runs.count("set_feedback") == 1
    tell(desk, event(desk, Feedback.BOUNCE, subtype="Permanent/General"))
    assert runs.count("set_feedback") == 2
    assert desk.sql("SELECT feedback, seen & 0xffff FROM recipient WHERE id = 1") == [(40, 2 | 8)]


def test_events_of_one_mail_in_one_message_count_as_if_each_came_alone(desk):
    """The first of each mail is written with the others', the rest as things stand by then."""
    desk.submit(MANY)
    desk.send_all()
    kinds = Feedback.DELIVERY, Feedback.SEND, Feedback.DELIVERY, Feedback.OPEN
    several = [event(desk, kind, recipient=who) for kind in kinds for who in (1, 2)]
    posts = tuple(p.EventPost(str(n), str(n), (one,)) for n, one in enumerate(several))
    for _ in range(2):
        desk.say(p.RecordEvents(1, posts))
        assert desk.results() == {"Delivery": 2, "Send": 2, "Open": 2}
        assert desk.sql("SELECT sum(heard) FROM sent_minute") == [(2,)]
        rows = desk.sql("SELECT feedback, seen, flags FROM recipient WHERE id < 3")
        assert rows == [(30, 1 | 4 | 128, 0)] * 2


def test_every_kind_of_event_has_the_bit_that_the_migration_gave_it():
    assert {kind.word: bit for kind, bit in SEEN_BITS.items()} == {
        "Send": 1,
        "DeliveryDelay": 2,
        "Delivery": 4,
        "Bounce": 8,
        "Reject": 16,
        "Rendering Failure": 32,
        "Complaint": 64,
        "Open": 128,
        "Click": 256,
        "Subscription": 512,
    }
