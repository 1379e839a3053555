"""The actor as a dialogue: what comes in, what goes out, and when."""

import json

import pytest

from services.results import posts as posts_module
from services.results import refusal
from shared.errors import StoreError
from shared.protocol import (
    CheckPost,
    ConfirmTopic,
    EarOpen,
    EventsNotRecorded,
    EventsRecorded,
    PostChecked,
    RecordEvents,
    TopicConfirmed,
    WorkDigest,
)
from shared.wire import Letter
from tests.unit.results.rig import (
    CERT_URL,
    INSTALL,
    TOPIC,
    answers,
    check,
    ears,
    log_lines,
    recorded,
)

SEND = json.dumps(
    {
        "eventType": "Send",
        "mail": {
            "timestamp": "2026-09-01T10:00:03.000Z",
            "messageId": "0100abc-1",
            "destination": ["r@dest.example"],
            "tags": {"mid": [f"{INSTALL}-9001"], "att": ["1"]},
        },
    }
)
FOREIGN = "arn:aws:sns:eu-west-1:666666666666:evil"


@pytest.mark.against("K11")
def test_200_comes_after_the_writers_word_and_not_before(desk, sns):
    letters = desk.post(sns.notification(SEND))
    assert answers(letters) == []
    (post,) = recorded(letters)
    assert (post.post, post.sns_id) == ("p1", "165545c9-2a5c-472c-8df2-7ff2be2b3b1b")
    assert [(e.recipient, e.email) for e in post.events] == [(9001, "r@dest.example")]
    assert desk.turn(EventsRecorded(7, ("p1",))) == [Letter("api", PostChecked("p1", 200))]


def test_all_posts_of_a_turn_travel_together(desk, sns):
    messages = [check(sns.notification(SEND), f"p{n}") for n in range(1200)]
    letters = desk.turn(*messages)
    assert [len(letter.message.posts) for letter in letters if letter.to == "writer"] == [
        500,
        500,
        200,
    ]
    assert [post.post for post in recorded(letters)] == [message.post for message in messages]


def test_what_waits_goes_as_soon_as_the_writer_has_answered(desk, sns):
    first, second, third = (sns.notification(SEND, MessageId=f"m{n}") for n in range(3))
    assert len(recorded(desk.post(first, "p1"))) == 1
    assert recorded(desk.post(second, "p2")) == []
    assert recorded(desk.post(third, "p3")) == []
    letters = desk.turn(EventsRecorded(7, ("p1",)))
    assert answers([one for one in letters if one.to == "api"]) == [("p1", 200)]
    assert [post.post for post in recorded(letters)] == ["p2", "p3"]


def test_what_follows_at_once_is_bundled_for_one_commit(desk, sns):
    assert len(recorded(desk.post(sns.notification(SEND), "p1"))) == 1
    assert recorded(desk.post(sns.notification(SEND), "p2")) == []
    assert recorded(desk.post(sns.notification(SEND), "p3")) == []
    assert desk.actor.next_tick(desk.now) == pytest.approx(desk.now.mono + 0.02)
    assert [post.post for post in recorded(desk.wait(0.021))] == ["p2", "p3"]


@pytest.mark.against("K11", "Q3")
def test_posts_are_repeated_each_second_until_they_are_recorded(desk, sns):
    desk.turn(*(check(sns.notification(SEND), name) for name in ("p1", "p2")))
    desk.turn(EventsRecorded(7, ("p1",)))
    assert recorded(desk.wait(0.9)) == []
    assert [post.post for post in recorded(desk.wait(0.2))] == ["p2"]
    assert recorded(desk.wait(0.5)) == []
    assert [post.post for post in recorded(desk.wait(1.0))] == ["p2"]
    desk.turn(EventsRecorded(7, ("p2",)))
    assert recorded(desk.wait(1.0)) == []


def test_a_post_under_way_is_not_done_twice(desk, sns):
    fields = sns.notification(SEND)
    desk.post(fields)
    assert desk.post(fields) == []
    assert desk.actor.gauges(desk.now)["posts"] == 2  # the one that taught the certificate too


@pytest.mark.against("K11")
def test_a_repeat_after_the_answer_gets_the_same_answer(desk, sns):
    fields = sns.notification(SEND)
    desk.post(fields)
    said = desk.turn(EventsRecorded(7, ("p1",)))
    assert desk.post(fields) == said
    forged = {**fields, "Message": "x"}
    assert desk.post(forged, "p2") == desk.post(forged, "p2") != []
    assert desk.actor.gauges(desk.now)["refused_forged"] == 1


def test_answers_are_kept_only_so_many(desk, monkeypatch):
    monkeypatch.setattr(posts_module, "_MOST_ANSWERS", 3)
    for number in range(10):
        desk.turn(check(b"", f"p{number}"))
    assert len(desk.actor._posts._answers) == 3


def test_the_same_sns_message_in_two_posts_goes_to_the_writer_twice(desk, sns):
    """Which of them counts is the writer's to know: it has them under one SNS id."""
    fields = sns.notification(SEND)
    letters = desk.turn(check(fields, "p1"), check(fields, "p2"))
    assert [post.sns_id for post in recorded(letters)] == [fields["MessageId"]] * 2


@pytest.mark.against("H59")
def test_what_the_writer_cannot_record_is_503(desk, sns):
    desk.post(sns.notification(SEND))
    (letter,) = desk.turn(EventsNotRecorded(7, ("p1",), "storage_full"))
    assert (letter.to, letter.message.status) == ("api", 503)
    assert "storage_full" in letter.message.reason
    assert desk.turn(EventsRecorded(7, ("p1",))) == []


@pytest.mark.against("H59")
def test_a_writer_that_stays_silent_is_503_within_snss_patience(desk, sns):
    desk.post(sns.notification(SEND))
    assert answers(desk.wait(9.9)) == []
    assert answers(desk.wait(1.1)) == [("p1", 503)]
    assert desk.actor.is_drained(desk.now)


def test_answers_to_unknown_posts_change_nothing(desk):
    assert desk.turn(EventsRecorded(6, ("nobody",)), TopicConfirmed("nobody")) == []
    assert desk.turn(EventsNotRecorded(6, ("nobody",), "x")) == []


# ── refusals ──


@pytest.mark.against("A8")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Message": "changed"}, refusal.FORGED),
        ({"Signature": "AAAA"}, refusal.FORGED),
        ({"Signature": ""}, refusal.NO_SIGNATURE),
        ({"SignatureVersion": "3"}, refusal.NO_SIGNATURE),
        ({"SignatureVersion": "1"}, refusal.FORGED),
        ({"TopicArn": FOREIGN}, refusal.FOREIGN_TOPIC),
        ({"SigningCertURL": "https://evil.com/x.pem"}, refusal.CERTIFICATE_URL),
        ({"MessageId": "a\nb"}, refusal.ODD_ID),
    ],
)
def test_a_forgery_is_refused_at_once_and_nothing_is_fetched_or_written(desk, sns, change, code):
    letters = desk.post({**sns.notification(SEND), **change})
    assert letters == [Letter("api", PostChecked("p1", code.status, code.reason))]
    assert desk.fetch.asked == []


@pytest.mark.against("A15", "H58")
def test_a_missing_or_differing_type_header_is_400(desk, sns):
    assert answers(desk.post(sns.notification(SEND), "p1", header="")) == [("p1", 400)]
    assert answers(desk.post(sns.notification(SEND), "p2", header="Alarm")) == [("p2", 400)]


@pytest.mark.against("H60")
def test_a_raw_delivery_is_400_with_the_way_out(desk):
    (letter,) = desk.turn(check(SEND.encode()))
    assert letter.message.status == 400
    assert "raw message delivery" in letter.message.reason


@pytest.mark.against("A12", "H51")
def test_an_attackers_own_topic_is_refused_before_any_fetch(make_desk, sns):
    desk = make_desk()
    assert answers(desk.post(sns.notification(SEND, TopicArn=FOREIGN))) == [("p1", 403)]
    assert desk.fetch.asked == []


@pytest.mark.against("A27")
def test_refusals_are_logged_once_a_minute_with_their_number(desk, sns):
    with log_lines() as lines:
        for number in range(50):
            desk.turn(check(b"", f"p{number}"))
        desk.turn(check({**sns.notification(), "Signature": ""}, "other"))
        desk.wait(61, check(b"", "late"))
    assert [(line["status"], line["count"]) for line in lines] == [(400, 1), (403, 1), (400, 50)]


@pytest.mark.against("Q1")
def test_too_many_posts_under_way_are_503(desk, sns, monkeypatch):
    monkeypatch.setattr(posts_module, "MOST_POSTS", 2)
    fields = sns.notification(SEND)
    letters = desk.turn(*(check(fields, f"p{n}") for n in range(3)))
    assert answers(letters) == [("p2", 503)]
    desk.turn(EventsRecorded(7, ("p0",)))
    assert answers(desk.post(fields, "p3")) == []


@pytest.mark.against("Q1")
def test_too_many_octets_waiting_for_a_certificate_are_503(make_desk, sns, monkeypatch):
    monkeypatch.setattr(posts_module, "MOST_OCTETS", 3000)
    desk = make_desk()
    fields = sns.notification("x" * 4000)
    assert answers(desk.post(fields, "p1")) == []
    assert answers(desk.post(fields, "p2")) == [("p2", 503)]
    assert [post.post for post in recorded(desk.serve())] == ["p1"]
    assert answers(desk.post(fields, "p3")) == []


# ── certificates ──


def test_posts_wait_for_the_certificate_and_then_all_go_on(make_desk, sns):
    desk = make_desk()
    fields = sns.notification(SEND)
    assert desk.turn(check(fields, "p1"), check(fields, "p2")) == []
    assert desk.fetch.asked == [CERT_URL]
    assert desk.actor.next_tick(desk.now) <= desk.now.mono + 0.02
    forged = {**fields, "Message": "x"}
    desk.post(forged, "p3")
    letters = desk.serve()
    assert [post.post for post in recorded(letters)] == ["p1", "p2"]
    assert answers(letters) == [("p3", 403)]
    assert desk.fetch.asked == [CERT_URL]


@pytest.mark.against("N6", "H59")
def test_a_certificate_that_cannot_be_had_is_503_and_heals(make_desk, sns):
    desk = make_desk()
    desk.post(sns.notification(SEND), "p1")
    letters = desk.serve(error="connection refused")
    assert answers(letters) == [("p1", 503)]
    assert "connection refused" not in letters[0].message.reason
    assert answers(desk.post(sns.notification(SEND), "p2")) == [("p2", 503)]
    assert "connection refused" in desk.actor.notes()["certificate"]
    desk.wait(30)
    assert desk.actor.notes() == {}
    assert answers(desk.post(sns.notification(SEND), "p3")) == []
    assert [post.post for post in recorded(desk.serve())] == ["p3"]


@pytest.mark.against("N6")
def test_a_fetch_that_never_ends_is_503(make_desk, sns):
    desk = make_desk()
    desk.post(sns.notification(SEND))
    assert answers(desk.wait(5)) == []
    assert answers(desk.wait(5)) == [("p1", 503)]
    assert desk.actor.is_drained(desk.now)


def test_the_tick_still_comes_while_a_certificate_is_fetched(make_desk, sns):
    desk = make_desk()
    desk.post(sns.notification(SEND))
    for _ in range(40):
        desk.wait(0.02, EarOpen(9))
    assert ears(desk.wait(0.5, EarOpen(9)))


# ── topics ──


def test_without_a_listed_topic_the_genuine_one_is_named_and_put_off(make_desk, sns):
    desk = make_desk(topics=())
    fields = sns.notification(SEND)
    with log_lines() as lines:
        desk.post(fields, "p1")
        (letter,) = desk.serve()
        desk.post(fields, "p2")
        desk.post({**fields, "Message": "x"}, "p3")
    assert (letter.message.status, TOPIC in letter.message.reason) == (503, True)
    assert desk.actor.notes()["unlisted_topic"] == TOPIC
    assert desk.actor.gauges(desk.now)["unlisted_topics"] == 1
    assert [line for line in lines if line.get("topic_arn") == TOPIC] == lines[:1]
    assert desk.actor.gauges(desk.now)["refused_forged"] == 1


def test_a_forged_post_names_no_topic(make_desk, sns):
    desk = make_desk(topics=())
    desk.post({**sns.notification(SEND), "Message": "x"})
    assert answers(desk.serve()) == [("p1", 403)]
    assert desk.actor.notes() == {}


@pytest.mark.against("A13")
def test_a_subscription_of_an_unlisted_topic_is_not_confirmed(make_desk, sns):
    desk = make_desk(topics=())
    desk.post(sns.confirmation())
    letters = desk.serve()
    assert answers(letters) == [("p1", 503)]
    assert [letter.to for letter in letters] == ["api"]


def test_unlisted_topics_are_remembered_only_so_many(make_desk, sns):
    desk = make_desk(topics=())
    desk.post(sns.notification(SEND))
    desk.serve()
    for number in range(150):
        desk.post(sns.notification("{}", TopicArn=f"{TOPIC}-{number}"), f"q{number}")
    assert desk.actor.gauges(desk.now)["unlisted_topics"] == 100


# ── confirmations ──


def test_a_subscription_is_confirmed_by_a_sender_and_then_200(desk, sns):
    letters = desk.post(sns.confirmation())
    assert letters == [Letter("sender-0", ConfirmTopic("p1", TOPIC, "f00d" * 64))]
    assert desk.turn(TopicConfirmed("p1")) == [Letter("api", PostChecked("p1", 200))]


@pytest.mark.against("A13", "A33", "H54")
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
    ],
)
def test_a_subscribe_url_is_never_fetched(desk, sns, url):
    for kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        desk.post(sns.confirmation(kind, SubscribeURL=url), kind)
    assert desk.fetch.asked == []


def test_the_request_to_confirm_is_repeated_every_two_seconds_and_then_503(desk, sns):
    desk.post(sns.confirmation())
    asked = []
    for second in range(1, 12):
        letters = desk.wait(1.0)
        asked += [second for letter in letters if letter.to == "sender-0"]
        if answers(letters):
            break
    assert asked == [2, 4, 6, 8]
    assert answers(letters) == [("p1", 503)]
    assert desk.turn(TopicConfirmed("p1")) == []


def test_a_confirmation_that_sns_refuses_is_503_and_its_words_are_for_the_log_alone(desk, sns):
    desk.post(sns.confirmation())
    with log_lines() as lines:
        (letter,) = desk.turn(TopicConfirmed("p1", "AuthorizationError: not allowed"))
    assert "AuthorizationError" in lines[0]["detail"]
    assert "AuthorizationError" not in letter.message.reason
    assert letter.message.status == 503


@pytest.mark.against("A13", "H54")
def test_a_forged_or_foreign_confirmation_confirms_nothing(desk, sns):
    assert answers(desk.post({**sns.confirmation(), "Token": "evil"}, "p1")) == [("p1", 403)]
    assert answers(desk.post(sns.confirmation(TopicArn=FOREIGN), "p2")) == [("p2", 403)]


def test_the_answers_of_writer_and_sender_are_not_mixed_up(desk, sns):
    desk.post(sns.confirmation(), "c")
    desk.post(sns.notification(SEND), "n")
    assert desk.turn(EventsRecorded(7, ("c",)), TopicConfirmed("n")) == []


@pytest.mark.against("A14")
def test_an_unsubscription_is_warned_of_and_200(desk, sns):
    with log_lines() as lines:
        letters = desk.post(sns.confirmation("UnsubscribeConfirmation"))
    assert answers(letters) == [("p1", 200)]
    assert [(line["level"], line["topic_arn"]) for line in lines] == [("WARNING", TOPIC)]


# ── texts without an event ──


@pytest.mark.against("H55", "H56")
@pytest.mark.parametrize(
    "text",
    [
        "Successfully validated SNS topic for Amazon SES event publishing.\n",
        '{"eventType":"Teleport","mail":{"messageId":"m"}}',
        '{"eventType":"Send"}',
        "[" * 100_000,
    ],
)
def test_a_verified_text_without_an_event_is_kept_as_a_note_and_200(desk, sns, text):
    (post,) = recorded(desk.post(sns.notification(text)))
    assert (post.events, post.note) == ((), text[:1000])
    assert answers(desk.turn(EventsRecorded(7, ("p1",)))) == [("p1", 200)]


@pytest.mark.against("H58")
def test_a_256_kb_message_is_taken(desk, sns):
    (post,) = recorded(desk.post(sns.notification("x" * 262_144)))
    assert len(post.note) == 1000


@pytest.mark.against("A14")
def test_an_old_post_is_taken_and_counted(desk, sns):
    (post,) = recorded(desk.post(sns.notification(SEND, Timestamp="2026-08-30T10:00:00.000Z")))
    assert len(post.events) == 1
    assert desk.actor.gauges(desk.now)["stale"] == 1


# ── the installation's id ──


def test_before_the_first_migration_posts_are_put_off(desk, sns):
    desk.actor._install = desk.install = None
    assert answers(desk.post(sns.notification(SEND), "p1")) == [("p1", 503)]
    desk.install = INSTALL
    assert len(recorded(desk.post(sns.notification(SEND), "p2"))) == 1


def test_a_database_that_cannot_be_read_puts_posts_off(desk, sns):
    def broken():
        raise StoreError("cannot read")

    desk.actor._install = None
    desk.actor._read_install = broken
    assert answers(desk.post(sns.notification(SEND))) == [("p1", 503)]


# ── the ear ──


@pytest.mark.against("N5")
def test_while_the_api_is_heard_the_writer_is_told_each_second(desk):
    assert ears(desk.wait(1.0)) == []
    assert ears(desk.wait(1.0, EarOpen(9))) == [EarOpen(9)]
    assert ears(desk.wait(0.5)) == []
    assert ears(desk.wait(0.5)) == [EarOpen(9)]
    assert ears(desk.wait(1.0)) == [EarOpen(9)]
    assert ears(desk.wait(1.0)) == []
    assert desk.actor.gauges(desk.now)["ear_open"] == 0


def test_a_new_start_of_api_or_results_is_a_new_ear(desk):
    assert ears(desk.wait(1.0, EarOpen(3))) == [EarOpen(7)]
    assert ears(desk.wait(1.0, EarOpen(8))) == [EarOpen(8)]


@pytest.mark.against("N5")
def test_an_ear_that_takes_no_topic_is_not_open(make_desk):
    desk = make_desk(topics=())
    assert ears(desk.wait(1.0, EarOpen(9))) == []


# ── the end, and what is shown ──


def test_a_stopping_actor_finishes_and_leaves_new_posts_to_its_successor(desk, sns):
    desk.post(sns.notification(SEND), "p1")
    assert list(desk.actor.stop(desk.now)) == []
    assert desk.post(sns.notification(SEND), "p2") == []
    assert not desk.actor.is_drained(desk.now)
    assert ears(desk.wait(1.0, EarOpen(9))) == []
    assert answers(desk.turn(EventsRecorded(7, ("p1",)))) == [("p1", 200)]
    assert desk.actor.is_drained(desk.now)


def test_the_gauges_tell_what_happened(desk, sns):
    for number in range(3):
        desk.post(sns.notification(SEND), f"p{number}")
    gauges = desk.actor.gauges(desk.now)
    assert (gauges["posts"], gauges["verified"], gauges["events"]) == (4, 4, 3)
    assert (gauges["noted"], gauges["under_way"], gauges["certificate_fetches"]) == (1, 3, 1)
    desk.wait(1.0)
    assert desk.actor.gauges(desk.now)["lag_s"] == pytest.approx(2.02)
    desk.wait(1.0)
    assert desk.actor.gauges(desk.now)["lag_s"] == 0.0


def test_other_messages_are_a_fault_of_the_wire(desk):
    with pytest.raises(TypeError):
        desk.turn(WorkDigest(1, 1, (), None, 1.0))


def test_a_post_is_answered_where_it_came_from(desk, sns):
    body = json.dumps(sns.notification(SEND)).encode()
    desk.turn(CheckPost("api-2", "p1", "Notification", body))
    (letter,) = desk.turn(EventsRecorded(7, ("p1",)))
    assert letter.to == "api-2"


def test_frames_to_the_writer_carry_our_epoch(desk, sns):
    (letter,) = desk.post(sns.notification(SEND))
    assert isinstance(letter.message, RecordEvents)
    assert letter.message.epoch == 7
