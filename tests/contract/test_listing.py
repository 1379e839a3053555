"""Walking recipients in a real database: every one that fits, once, in order, in short steps."""

import itertools
import random

import pytest

from shared.domain import FEEDBACK_WORDS, SEEN_BITS, Feedback, State
from shared.store import listing
from shared.store.listing import NEWEST, Suppressed, Wanted
from tests.unit.api.shelf import Shelf

WORDS = [state.word for state in State]


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


@pytest.fixture
def short_steps(monkeypatch):
    monkeypatch.setattr(listing, "ROOM", 7)
    monkeypatch.setattr(listing, "BATCHES", 3)
    monkeypatch.setattr(listing, "LOOKS", 2)


def down(shelf, wanted=Wanted(), limit=5):  # noqa: B008 - it is frozen
    found, cursor = [], NEWEST
    while cursor is not None:
        page = shelf.reader.listing.down(wanted, cursor, limit)
        assert len(page.recipients) <= limit
        assert page.next is None or page.next < cursor
        found += page.recipients
        cursor = page.next
    return found


def up(shelf, wanted, upto=NEWEST, limit=5):
    found, cursor = [], 0
    while cursor is not None:
        page = shelf.reader.listing.up(wanted, cursor, upto, limit)
        assert len(page.recipients) <= limit
        assert page.next is None or page.next > cursor
        found += page.recipients
        cursor = page.next
    return found


def fill(shelf, dice):
    """Put some topics in, one of them being cancelled, with recipients in every state."""
    topics = [shelf.topic(f"t{number}") for number in range(3)]
    for _ in range(40):
        topic = dice.choice(topics)
        emails = [
            f"User{dice.randrange(9)}@x.example" for _ in range(dice.choice((1, 1, 1, 4, 20)))
        ]
        first = shelf.batch(topic, *emails)
        for recipient in range(first, first + len(emails)):
            stand(shelf, recipient, topic, State(dice.randrange(7)))
            shelf.set(recipient, seen=dice.choice((0, 1, 5, 128)))
    rows = shelf.sql.execute("SELECT id FROM recipient").fetchall()
    for (recipient,) in dice.sample(rows, 10):
        shelf.sql.execute("DELETE FROM recipient WHERE id = ?", (recipient,))
        for table in ("failure", "unknown"):
            shelf.sql.execute(f"DELETE FROM {table} WHERE recipient = ?", (recipient,))
    cut = "UPDATE topic SET cancelled_upto = 25, swept_upto = 10 WHERE id = ?"
    shelf.sql.execute(cut, (topics[0],))
    return topics


def stand(shelf, recipient, topic, state):
    shelf.set(recipient, state=state)
    match state:
        case State.FAILED:
            shelf.add("failure", recipient=recipient, topic=topic)
        case State.UNKNOWN:
            shelf.add("unknown", recipient=recipient, job=1, since=1)
        case State.PROCESSED:
            shelf.lease(recipient)


def expected(shelf, topic, state, bit, email):
    """Answer what the ancestor's view has, which nobody reads by steps."""
    rows = shelf.sql.execute(
        "SELECT view.id FROM email_request AS view JOIN recipient ON recipient.id = view.id"
        " WHERE (?1 IS NULL OR topic_id = (SELECT name FROM topic WHERE id = ?1))"
        " AND (?2 IS NULL OR status = ?2) AND (?3 = 0 OR seen & ?3)"
        " AND (?4 IS NULL OR lower(view.email) = lower(?4)) ORDER BY view.id",
        (topic, None if state is None else WORDS[state], bit, email),
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("few", [20_000, -1], ids=["off other tables", "by looking"])
@pytest.mark.parametrize("seed", range(3))
def test_steps_find_whoever_fits_and_nobody_else(shelf, short_steps, monkeypatch, few, seed):
    monkeypatch.setattr(listing, "FEW", few)
    topics = fill(shelf, random.Random(seed))
    shelf.sql.execute("BEGIN")
    for topic, state, bit, email in itertools.product(
        (None, topics[0], topics[2]), (None, *State), (0, 1, 128), (None, "USER3@X.example")
    ):
        wanted = Wanted(topic, state, bit, email)
        ids = expected(shelf, topic, state, bit, email)
        assert [one.id for one in down(shelf, wanted)] == ids[::-1], wanted
        if topic is not None:
            assert [one.id for one in up(shelf, wanted)] == ids, wanted
            upto = ids[len(ids) // 2] if ids else 50
            below = [one for one in ids if one <= upto]
            assert [one.id for one in up(shelf, wanted, upto)] == below, wanted


def test_a_topic_of_many_single_messages_is_walked_by_hundreds(shelf, monkeypatch):
    topic = shelf.topic("ones")
    shelf.sql.execute("BEGIN")
    for number in range(3000):
        shelf.batch(topic, f"{number}@x.example")
    shelf.sql.execute("COMMIT")
    asked = []
    ask = shelf.reader.listing._ask
    monkeypatch.setattr(
        shelf.reader.listing, "_ask", lambda name, values: asked.append(name) or ask(name, values)
    )
    assert down(shelf, Wanted(topic, email="2@X.EXAMPLE"))[0].id == 3
    assert len(asked) <= 16
    asked.clear()
    assert len(up(shelf, Wanted(topic), limit=1000)) == 3000
    assert len(asked) <= 24


def test_no_question_holds_a_checkpoint_up(shelf):
    topic = shelf.topic("t")
    first = shelf.batch(topic, *(f"{number}@x.example" for number in range(50)))
    shelf.reader.listing.down(Wanted(topic), NEWEST, 3)
    shelf.reader.listing.up(Wanted(topic), 0, NEWEST, 3)
    shelf.reader.listing.story(first)
    shelf.reader.listing.suppressions("", 1)
    shelf.reader.topics(NEWEST, 1)
    shelf.batch(topic, "one@more.example")
    assert shelf.sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall() == [(0, 0, 0)]


def test_rows_that_go_away_while_they_are_walked_over_are_missed_and_nothing_else(shelf):
    topic = shelf.topic("t")
    for number in range(6):
        shelf.batch(topic, f"{number}a@x.example", f"{number}b@x.example")
    page = shelf.reader.listing.up(Wanted(topic), 0, NEWEST, 3)
    shelf.sql.execute("DELETE FROM recipient WHERE id <= 8")
    shelf.sql.execute("DELETE FROM batch WHERE last <= 8")
    rest = shelf.reader.listing.up(Wanted(topic), page.next, NEWEST, 10)
    assert [one.id for one in page.recipients + rest.recipients] == [1, 2, 3, 9, 10, 11, 12]
    assert shelf.reader.listing.up(Wanted(topic), 12, NEWEST, 10) == ([], None)
    assert shelf.reader.listing.newest() == 12


def test_what_an_order_has_not_reached_yet_reads_as_the_order_says(shelf):
    topic = shelf.topic(
        "t", cancelled_upto=1, redate_upto=2, redated_upto=2, redate_due=9000, redate_scheduled=1
    )
    shelf.batch(topic, "a@x.example")
    shelf.batch(topic, "b@x.example", due_at=5000, scheduled=1)
    shelf.batch(topic, "c@x.example", due_at=5000, scheduled=1)
    third, second, first = down(shelf)
    assert (first.state, first.code) == (State.STOPPED, "cancelled")
    assert (second.state, second.code, second.scheduled_at) == (State.CREATED, None, 9000)
    assert third.scheduled_at == 5000
    shelf.sql.execute("UPDATE topic SET redate_scheduled = 0")
    assert down(shelf)[1].scheduled_at is None, "now is no schedule"
    assert shelf.reader.listing.story(second.id).place.due_at == 9000


def test_the_suppression_list_is_read_by_address(shelf):
    for email in ("c@x.example", "a@x.example", "b@x.example"):
        shelf.add("suppression", email=email, reason="bounce", source="event", created_at=7)
    a = Suppressed("a@x.example", "bounce", "event", "", 7)
    listed = shelf.reader.listing
    assert listed.suppressions("", 2) == [a, a._replace(email="b@x.example")]
    assert listed.suppressions("b@x.example", 2) == [a._replace(email="c@x.example")]
    assert listed.suppressions("c@x.example", 2) == []
    assert listed.suppression("A@X.example") == a
    assert listed.suppression("d@x.example") is None


def test_a_topic_tells_its_queue(shelf):
    topic = shelf.topic("t/ü'\"", cancelled_upto=1, cancelled_at=3, paused_at=4, pause_reason="why")
    shelf.batch(topic, "a@x.example", due_at=1)  # cancelled; its row does not say so yet
    facts = shelf.reader.topic("t/ü'\"")
    assert (facts.is_renewed, facts.bulk_due, facts.paused_at, facts.pause_reason) == (
        False, None, 4, "why",
    )  # fmt: skip
    shelf.batch(topic, "b@x.example", due_at=50)
    shelf.batch(topic, "c@x.example", due_at=70, urgent=1)
    shelf.batch(topic, "d@x.example", due_at=90)
    retried = shelf.batch(topic, "e@x.example", due_at=5, next=6)
    shelf.add("retry", recipient=retried, topic=topic, urgent=1, due_at=60)
    facts = shelf.reader.topic("t/ü'\"")
    assert facts.is_renewed
    assert (facts.work_due, facts.bulk_due, facts.urgent_due) == (None, 50, 70)
    assert (facts.bulk_retry_due, facts.urgent_retry_due) == (None, 60)
    assert (facts.last_due, facts.last_retry_due) == (90, 60)
    for urgent, due in ((0, 50), (1, 60)):
        shelf.add("work", topic=topic, urgent=urgent, next_due=due)
    assert shelf.reader.topic("t/ü'\"").work_due == 50
    assert shelf.reader.topic("t/ü'\"") == shelf.reader.topics(NEWEST, 1)[0]
    shelf.add("topic_result", topic=topic, kind=Feedback.BOUNCE, recipients=2)
    assert shelf.reader.topic("t/ü'\"").results == {"Bounce": 2}


def test_topics_come_newest_first(shelf):
    names = [f"t{number}" for number in range(5)]
    ids = [shelf.topic(name) for name in names]
    assert [one.name for one in shelf.reader.topics(NEWEST, 3)] == names[:1:-1]
    assert [one.name for one in shelf.reader.topics(ids[1], 9)] == ["t0", None]
    assert shelf.reader.topics(1, 9) == []


def test_every_kind_of_event_can_be_looked_for(shelf):
    topic = shelf.topic("t")
    for kind in FEEDBACK_WORDS:
        shelf.set(shelf.batch(topic, "a@x.example"), seen=SEEN_BITS[kind])
    found = [down(shelf, Wanted(seen=SEEN_BITS[kind])) for kind in FEEDBACK_WORDS]
    assert [[one.id for one in rows] for rows in found] == [[n + 1] for n in range(len(found))]


def test_of_a_cancelled_topic_whose_mail_is_deleted_nobody_knows_what_came_last(shelf):
    topic = shelf.topic("t", cancelled_upto=1, cancelled_at=3)
    shelf.batch(topic, "a@x.example")
    assert not shelf.reader.topic("t").is_renewed
    shelf.sql.execute("DELETE FROM batch")
    assert shelf.reader.topic("t").is_renewed
