"""Retention: what is old goes, in small steps; what is counted, waits or is in use stays."""

import apsw
import pytest

from services.writer import retention
from services.writer.book import Book
from services.writer.retention import DAY_MS, Keep, Retention
from shared import protocol as p
from shared.clock import Now
from shared.domain import Feedback, Verdict
from shared.store.open import make_shrinkable, open_writer
from shared.store.write import Store

DAY_S = 86_400
FIVE = tuple(f"u{n}@example.com" for n in range(5))


def wait_days(desk, days: float) -> None:
    """Let days pass without a tick of the writer."""
    desk.now = Now(desk.now.mono + days * DAY_S, desk.now.wall + days * DAY_S)


def keep(desk, recipients: int = 0, events: int = 0) -> None:
    """Keep recipients and events for so many days from now on."""
    desk.writer._retention = Retention(Keep(recipients * DAY_MS, events * DAY_MS))


def walk(desk) -> int:
    """Let retention go through all once; answer how many steps it took."""
    work, steps = desk.writer._retention, 0
    wait_days(desk, 0.5)
    while work.next_at <= desk.now.mono + 1:
        desk.writer.settle(desk.now)
        desk.wait(0.06)
        steps += 1
    return steps


def step(desk) -> None:
    """Let retention take one step, whatever the writer has to do."""
    desk.store.begin()
    desk.writer._retention.step(Book(desk.store, desk.now))
    desk.store.commit()


def event(desk, recipient: int, kind=Feedback.DELIVERY, **more) -> None:
    fields = {"at": desk.now.ms, "sent_at": desk.now.ms, "recipient": recipient} | more
    email = f"u{recipient - 1}@example.com"
    post = p.EventPost("post", "sns", (p.Event(kind, email, f"ses-{recipient}", **fields),))
    desk.ask(p.RecordEvents(1, (post,)), p.EventsRecorded)


def count(desk, table: str) -> int:
    return desk.sql(f"SELECT count(*) FROM {table}")[0][0]


def counters(desk, topic: str = "news") -> dict[str, int]:
    """Answer a topic's counters; with whom is forgotten they equal a recount of the rows."""
    states = ("created", "processed", "sent", "failed", "stopped", "unknown", "suppressed")
    select = f"SELECT {', '.join(states)}, forgotten, forgotten_failed FROM topic WHERE name = ?"
    *numbers, forgotten, failed = desk.sql(select, topic)[0]
    rows = dict(
        desk.sql("SELECT status, count(*) FROM email_request WHERE topic_id = ? GROUP BY 1", topic)
    )
    assert sum(numbers) == sum(rows.values()) + forgotten
    assert numbers[3] == rows.get("Failed", 0) + failed
    return {state: number for state, number in zip(states, numbers, strict=True) if number}


# ── single events ──


def test_old_events_go_and_what_they_came_to_stays(desk):
    keep(desk, events=90)
    desk.submit(FIVE)
    desk.send_all()
    for recipient in range(1, 6):
        event(desk, recipient)
    event(desk, 1, Feedback.COMPLAINT)
    event(desk, 2, Feedback.OPEN)
    before = desk.results()
    wait_days(desk, 89)
    walk(desk)
    assert count(desk, "result") == 7
    wait_days(desk, 1)
    walk(desk)
    assert count(desk, "result") == 0
    assert desk.results() == before == {"Delivery": 5, "Complaint": 1, "Open": 1}
    assert desk.sql("SELECT feedback FROM recipient WHERE id IN (1, 2)") == [(50,), (30,)]
    assert desk.counts() == {"Sent": 5}
    assert count(desk, "opening") == 1


def test_an_event_said_again_after_it_went_counts_nothing(desk):
    keep(desk, events=1)
    desk.submit(FIVE)
    desk.send_all()
    first = desk.now.ms
    event(desk, 1)
    wait_days(desk, 2)
    walk(desk)
    event(desk, 1, at=first)
    assert desk.results() == {"Delivery": 1}


def test_a_late_event_is_kept_its_own_time_and_then_goes_too(desk):
    keep(desk, events=90)
    desk.submit(FIVE)
    desk.send_all()
    event(desk, 1)
    wait_days(desk, 60)
    event(desk, 1, Feedback.CLICK)
    wait_days(desk, 40)
    walk(desk)
    assert desk.sql("SELECT kind FROM result") == [(int(Feedback.CLICK),)]
    wait_days(desk, 50)
    walk(desk)
    assert count(desk, "result") == 0


def test_events_of_mail_that_was_scheduled_long_ago_are_kept_their_time(desk):
    keep(desk, events=10)
    desk.submit(FIVE, scheduled_at=desk.now.ms + 30 * DAY_MS)
    wait_days(desk, 30.1)
    desk.send_all()
    event(desk, 3)
    walk(desk)
    assert count(desk, "result") == 1
    wait_days(desk, 10)
    walk(desk)
    assert count(desk, "result") == 0


def test_the_walk_ends_where_recipients_are_young(desk):
    """A walk costs what is old, not what is there."""
    keep(desk, events=90)
    desk.submit(FIVE)
    desk.send_all()
    event(desk, 1)
    wait_days(desk, 91)
    for _ in range(3):
        desk.submit([f"u{n}@example.com" for n in range(5000)])
    desk.store.begin()
    for recipient in range(6, 15_006):
        desk.store.run("add_result", (recipient, 30, 1, None, None))
    desk.store.commit()
    desk.wait(1)
    walk(desk)
    # As in no real database, their events are old: only their own youth can have spared them.
    assert 14_000 <= count(desk, "result") <= 15_000


# ── recipients ──


def test_old_recipients_go_with_all_that_is_kept_of_them(desk):
    keep(desk, recipients=30)
    desk.submit(FIVE)
    desk.submit(FIVE, topic="other", content="<p>Failed</p>")
    desk.send_all()
    desk.send_all("other", Verdict.PERMANENT)
    event(desk, 1)
    event(desk, 2, Feedback.OPEN)
    wait_days(desk, 29)
    walk(desk)
    assert count(desk, "recipient") == 10
    wait_days(desk, 1)
    desk.submit(["new@example.com"], topic="third", content="<p>New</p>")
    walk(desk)
    for table in ("result", "opening", "refusal", "failure"):
        assert count(desk, table) == 0, table
    assert desk.sql("SELECT email FROM recipient") == [("new@example.com",)]
    assert count(desk, "batch") == 1
    assert desk.sql("SELECT html FROM content") == [("<p>New</p>",)]
    assert counters(desk) == {"sent": 5}
    assert counters(desk, "other") == {"failed": 5}
    assert desk.results()["Delivery"] == 1


def test_without_a_limit_nothing_goes(desk):
    desk.submit(FIVE)
    desk.send_all()
    event(desk, 1)
    wait_days(desk, 5000)
    walk(desk)
    assert (count(desk, "recipient"), count(desk, "result")) == (5, 1)


def test_who_waits_is_in_hand_or_unknown_stays_and_the_others_of_the_batch_go(desk):
    keep(desk, recipients=30)
    desk.submit(FIVE)
    sent, refused, lost, held = desk.claim(jobs=4)
    for job in (sent, refused, lost):
        desk.gate(job)
    desk.outcome(sent, Verdict.ACCEPTED)
    desk.outcome(refused, Verdict.FOR_NOW)
    desk.outcome(lost, Verdict.UNKNOWN)
    wait_days(desk, 31)
    walk(desk)
    assert count(desk, "recipient") == 5, "the fifth was never claimed: the batch is open"
    for job in (held, *desk.claim(jobs=9)):
        if job is not held:
            desk.gate(job)
            desk.outcome(job, Verdict.FOR_NOW)
    wait_days(desk, 31)
    walk(desk)
    assert [row[0] for row in desk.sql("SELECT id FROM recipient")] == [2, 3, 4, 5]
    counters(desk)


def test_a_batch_with_something_in_hand_is_left_alone(desk):
    """An event may prove a mail sent while its call is still in the air."""
    keep(desk, recipients=1)
    desk.submit(["u0@example.com"])
    sent_at = desk.now.ms
    wait_days(desk, 2)
    (job,) = desk.claim()
    desk.gate(job)
    event(desk, 1, at=sent_at, sent_at=sent_at)
    assert desk.counts() == {"Sent": 1}
    step(desk)
    assert count(desk, "recipient") == 1
    desk.outcome(job, Verdict.ACCEPTED)
    walk(desk)
    walk(desk)
    assert count(desk, "recipient") == 0
    assert counters(desk) == {"sent": 1}


def test_old_mail_that_left_late_is_kept_from_then_on(desk):
    """A topic may have been paused for a month."""
    keep(desk, recipients=30)
    desk.submit(FIVE)
    wait_days(desk, 40)
    desk.send_all()
    desk.submit(FIVE, topic="refused")
    walk(desk)
    assert count(desk, "recipient") == 10
    wait_days(desk, 20)
    desk.send_all("refused", Verdict.PERMANENT)
    wait_days(desk, 11)
    walk(desk)
    assert desk.sql("SELECT DISTINCT state FROM recipient") == [(3,)]
    wait_days(desk, 20)
    walk(desk)
    assert count(desk, "recipient") == 0
    counters(desk, "refused")


def test_a_batch_that_waits_holds_up_none_behind_it(desk):
    keep(desk, recipients=30)
    desk.submit(FIVE, topic="waits")
    for number in range(3):
        desk.submit(FIVE, content=f"{number}")
    desk.send_all()
    wait_days(desk, 31)
    walk(desk)
    assert count(desk, "batch") == 1
    assert counters(desk, "waits") == {"created": 5}
    assert counters(desk) == {"sent": 15}


def test_large_and_many_small_batches_go_in_small_steps(desk):
    keep(desk, recipients=30)
    desk.submit([f"u{n}@example.com" for n in range(1500)])
    for number in range(250):
        desk.submit([f"s{number}@example.com"], topic="small")
    for topic in ("news", "small"):
        for job in desk.claim(jobs=2000, topic=topic, size=50):
            desk.gate(job)
            desk.outcome(job, Verdict.ACCEPTED)
    wait_days(desk, 31)
    assert 1500 / retention.STEP_RECIPIENTS + 250 / retention.STEP_BATCHES <= walk(desk) <= 9
    assert count(desk, "recipient") == 0
    assert count(desk, "batch") == 0
    assert counters(desk) == {"sent": 1500}
    assert counters(desk, "small") == {"sent": 250}


def test_batches_of_one_due_time_are_all_found(desk):
    keep(desk, recipients=30)
    for number in range(2 * retention.STEP_BATCHES + 5):
        desk.submit([f"s{number}@example.com"], topic="small" if number % 2 else "waits")
    desk.send_all("small")
    wait_days(desk, 31)
    walk(desk)
    assert count(desk, "batch") == retention.STEP_BATCHES + 3
    assert desk.sql("SELECT DISTINCT state FROM recipient") == [(0,)]


def test_a_cancelled_topic_goes_once_its_rows_say_so(desk):
    keep(desk, recipients=30)
    desk.submit(FIVE)
    desk.ask(p.CancelTopic("api", "o-1", "news"), p.TopicCancelled)
    wait_days(desk, 31)
    for _ in range(5):
        desk.wait(0.05)
    walk(desk)
    walk(desk)
    assert count(desk, "recipient") == 0
    assert counters(desk) == {"stopped": 5}


def test_after_a_restart_it_goes_on(desk):
    keep(desk, recipients=30)
    desk.submit([f"u{n}@example.com" for n in range(1000)])
    for job in desk.claim(jobs=100, size=50):
        desk.gate(job)
        desk.outcome(job, Verdict.ACCEPTED)
    wait_days(desk, 31)
    step(desk)
    assert count(desk, "recipient") == 1000 - retention.STEP_RECIPIENTS
    assert counters(desk) == {"sent": 1000}
    desk.restart()
    keep(desk, recipients=30)
    walk(desk)
    assert count(desk, "recipient") == 0
    assert counters(desk) == {"sent": 1000}


def test_an_event_of_a_forgotten_recipient_changes_nothing(desk):
    keep(desk, recipients=30)
    desk.submit(FIVE)
    desk.send_all()
    wait_days(desk, 31)
    walk(desk)
    event(desk, 1)
    event(desk, 2, Feedback.COMPLAINT)
    assert desk.results() == {}
    assert counters(desk) == {"sent": 5}


def test_retry_failed_counts_only_those_still_there(desk):
    keep(desk, recipients=30)
    desk.submit(FIVE)
    desk.send_all(verdict=Verdict.PERMANENT)
    wait_days(desk, 31)
    desk.submit(FIVE[:3])
    desk.send_all(verdict=Verdict.PERMANENT)
    walk(desk)
    assert counters(desk) == {"failed": 8}
    answer = desk.ask(p.RetryFailed("api", "o-1", "news"), p.OrderDone)
    assert answer.changed == 3
    for _ in range(3):
        desk.wait(0.05)
    assert counters(desk) == {"failed": 5, "created": 3}
    assert len(desk.claim(jobs=9)) == 3


# ── contents ──


def test_the_newest_content_stays_until_there_is_a_newer_one(desk):
    """Senders know a content by its id: given out twice, it would bring back the old text."""
    keep(desk, recipients=30)
    desk.submit(FIVE, content="old")
    desk.submit(FIVE, content="newest")
    desk.send_all()
    wait_days(desk, 31)
    walk(desk)
    assert desk.sql("SELECT html FROM content") == [("newest",)]
    desk.restart()
    keep(desk, recipients=30)
    desk.submit(FIVE, content="newer")
    assert desk.sql("SELECT max(id) FROM content") == [(3,)]
    walk(desk)
    assert desk.sql("SELECT html FROM content") == [("newer",)]


def test_a_spared_content_that_is_used_again_stays(desk):
    keep(desk, recipients=30)
    desk.submit(FIVE, content="same")
    desk.send_all()
    wait_days(desk, 31)
    walk(desk)
    desk.submit(FIVE, content="same")
    desk.submit(FIVE, content="newer", topic="b")
    walk(desk)
    assert desk.sql("SELECT html FROM content ORDER BY id") == [("same",), ("newer",)]
    wait_days(desk, 31)
    desk.send_all("b")
    wait_days(desk, 31)
    walk(desk)
    assert desk.sql("SELECT html FROM content ORDER BY id")[0] == ("same",)


def test_a_content_of_two_batches_goes_with_the_last(desk):
    keep(desk, recipients=30)
    desk.submit(FIVE, content="same")
    desk.submit(FIVE, content="same", topic="later")
    desk.submit(FIVE, content="newest", topic="third")
    desk.send_all()
    wait_days(desk, 31)
    walk(desk)
    assert ("same",) in desk.sql("SELECT html FROM content")
    desk.send_all("later")
    wait_days(desk, 31)
    walk(desk)
    assert desk.sql("SELECT html FROM content") == [("newest",)]


# ── when, and the file ──


def test_a_step_waits_for_a_quiet_turn_but_not_for_ever():
    work, now = Retention(Keep()), Now(100.0, 1e9)
    work.next_at = 100.0
    assert work.is_due(now, is_idle=True)
    assert not work.is_due(now, is_idle=False)
    assert work.is_due(Now(101.0, 1e9 + 1), is_idle=False)


def test_the_writer_sleeps_between_walks(desk):
    keep(desk, recipients=30, events=90)
    walk(desk)
    assert desk.writer._retention.next_at >= desk.now.mono + 50


def test_a_file_that_is_mostly_free_gets_smaller(desk, monkeypatch):
    monkeypatch.setattr(retention, "SPARE_PAGES", 50)
    keep(desk, recipients=30)
    for number in range(3):
        desk.submit([f"u{n}@example.com" for n in range(5000)], content=f"{number}")
    for job in desk.claim(jobs=300, size=50):
        desk.gate(job)
        desk.outcome(job, Verdict.ACCEPTED)
    wait_days(desk, 31)
    _, pages = desk.store.pages()
    walk(desk)
    left, fewer = desk.store.pages()
    assert left <= 50
    assert fewer < pages / 2
    assert count(desk, "recipient") == 0


class Pages:
    """A file of so many pages, of which some are free."""

    can_shrink = True

    def __init__(self, free, pages):
        self.free, self.all = free, pages

    def pages(self):
        return self.free, self.all

    def shrink(self, pages):
        self.free -= pages
        self.all -= pages


@pytest.mark.parametrize(
    ("free", "pages", "left"),
    [(1900, 2000, 1900), (10_000, 100_000, 10_000), (30_000, 100_000, retention.SPARE_PAGES)],
)
def test_a_little_room_is_kept_for_what_comes(free, pages, left):
    work, file = Retention(Keep()), Pages(free, pages)
    for _ in range(free // retention.SHRINK_PAGES + 2):
        work._shrink(file)
    assert file.free == left
    assert pages - file.all == free - left


def test_old_strangers_are_not_kept_longer_than_events(desk):
    stranger = p.Event(Feedback.DELIVERY, "x@example.com", "m", at=1, sent_at=1)
    post = p.EventPost("post", "sns", (stranger,))
    desk.ask(p.RecordEvents(1, (post,)), p.EventsRecorded)
    for days, left in ((89, 1), (2, 0)):
        wait_days(desk, days)
        retention.age(desk.store, desk.now, Keep(events_ms=90 * DAY_MS))
        assert count(desk, "orphan") == left


def old_database(path) -> None:
    """Make one as releases before this did: without a way to shrink."""
    Store(path).close()
    connection = apsw.Connection(str(path))
    connection.pragma("auto_vacuum", 0)
    connection.execute("VACUUM")
    connection.close()


def test_a_new_database_can_shrink_and_a_small_old_one_learns_it(tmp_path):
    assert Store(tmp_path / "new.db").can_shrink
    old_database(tmp_path / "old.db")
    store = Store(tmp_path / "old.db")
    assert store.can_shrink
    assert store.advice == ""


def test_a_large_old_database_goes_on_and_says_what_can_be_done(tmp_path):
    path = tmp_path / "old.db"
    old_database(path)
    connection = open_writer(path, 16, 0)
    assert str(path) in make_shrinkable(connection, path, most=1000)
    assert connection.pragma("auto_vacuum") == 0
    assert make_shrinkable(connection, path) == ""


def test_a_file_that_cannot_shrink_is_left_alone(desk):
    desk.store.can_shrink = False
    keep(desk)
    walk(desk)
    assert desk.writer._retention.next_at >= desk.now.mono + 50


@pytest.mark.parametrize("order", ["retry_upto", "redate_upto", "cancelled_upto"])
def test_what_an_order_still_works_on_is_left_alone(desk, order):
    keep(desk, recipients=30)
    desk.submit(FIVE)
    desk.send_all()
    connection = apsw.Connection(str(desk.path))
    connection.execute(f"UPDATE topic SET {order} = 1 WHERE name = 'news'")
    connection.close()
    wait_days(desk, 31)
    step(desk)
    assert count(desk, "recipient") == 5
