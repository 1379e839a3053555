"""Cancelling a topic: obeyed at once, the rows follow, nothing later is sent."""

from shared import protocol as p
from shared.domain import Feedback, Verdict

MANY = tuple(f"u{n}@example.com" for n in range(10))


def cancel(desk, topic="news", order="order-1") -> p.TopicCancelled:
    return desk.ask(p.CancelTopic("api", order, topic), p.TopicCancelled)


def sweep(desk) -> None:
    for _ in range(10):
        desk.wait(0.03)


def test_cancel_stops_what_waits_and_what_is_leased_and_counts_what_is_in_the_air(desk):
    desk.submit(MANY)
    (sent, flying, leased) = desk.claim(jobs=3)
    for job in (sent, flying):
        desk.gate(job)
    desk.outcome(sent, Verdict.ACCEPTED)
    answer = cancel(desk)
    assert (answer.stopped, answer.in_flight) == (8, 1)
    assert desk.counts() == {"Sent": 1, "Processed": 1, "Stopped": 8}
    assert desk.claim(jobs=10) == []
    assert desk.gate(leased)[0].recipients == ()
    desk.outcome(flying, Verdict.ACCEPTED)
    sweep(desk)
    assert desk.counts() == {"Sent": 2, "Stopped": 8}


def test_the_answer_is_the_same_for_a_repeat(desk):
    desk.submit(MANY)
    first = cancel(desk)
    desk.submit(MANY)
    assert cancel(desk) == first
    assert desk.counts() == {"Created": 10, "Stopped": 10}


def test_an_unknown_topic_has_nothing_to_stop(desk):
    assert cancel(desk, "nobody") == p.TopicCancelled("order-1", 0, 0)


def test_later_posts_to_a_cancelled_topic_are_new_mail(desk):
    desk.submit(MANY)
    cancel(desk)
    desk.submit(MANY[:2])
    assert len(desk.claim(jobs=20)) == 2
    sweep(desk)
    assert desk.counts() == {"Processed": 2, "Stopped": 10}


def test_a_gate_that_was_open_is_not_renewed_and_what_comes_back_stays(desk):
    desk.submit(MANY[:2])
    first, second = desk.claim(jobs=2)
    for job in (first, second):
        desk.gate(job)
    cancel(desk)
    assert desk.gate(first)[0].recipients == ()
    assert desk.counts() == {"Processed": 2}
    desk.outcome(first, None)
    desk.outcome(second, Verdict.THROTTLED)
    assert desk.counts() == {"Stopped": 2}


def test_retries_of_a_cancelled_topic_are_stopped_too(desk):
    desk.submit(MANY[:2])
    for job in desk.claim(jobs=2):
        desk.gate(job)
        desk.outcome(job, Verdict.FOR_NOW)
    assert cancel(desk).stopped == 2
    sweep(desk)
    desk.wait(4000)
    assert desk.claim(jobs=2) == []
    assert desk.counts() == {"Stopped": 2}
    assert desk.sql("SELECT count(*) FROM retry") == [(0,)]


def test_the_rows_are_written_in_steps_and_count_as_stopped_before(desk):
    desk.submit(f"u{n}@example.com" for n in range(5000))
    assert cancel(desk).stopped == 5000
    stopped = []
    for _ in range(3):
        assert desk.counts() == {"Stopped": 5000}
        stopped.append(desk.sql("SELECT count(*) FROM recipient WHERE state = 4")[0][0])
        desk.wait(0.02)
    assert stopped == [2000, 4000, 5000], "the first step is made with the order"


def test_cancelled_in_the_middle_of_a_cancel_s_sweep_all_is_stopped_and_counted_once(desk):
    desk.submit(f"u{n}@example.com" for n in range(5000))
    cancel(desk)
    desk.submit(f"v{n}@example.com" for n in range(3000))
    assert desk.counts() == {"Stopped": 5000, "Created": 3000}
    assert cancel(desk, order="order-2").stopped == 3000
    desk.restart()
    assert desk.counts() == {"Stopped": 8000}
    sweep(desk)
    assert desk.sql("SELECT count(*) FROM recipient WHERE state = 4") == [(8000,)]
    assert desk.sql("SELECT count(*) FROM topic WHERE swept_upto < cancelled_upto") == [(0,)]


def test_mail_posted_after_a_cancel_is_claimed_although_the_sweep_is_not_over(desk):
    for n in range(3):
        desk.submit([f"u{n}-{m}@example.com" for m in range(2000)])
    cancel(desk)
    desk.submit(["new@example.com"])
    assert [who.email for job in desk.claim(jobs=9) for who in job.addressees] == [
        "new@example.com"
    ]


def test_an_event_moves_a_stopped_mail_to_sent_before_and_after_its_row_is_written(desk):
    desk.submit(MANY)
    cancel(desk)
    for recipient in (1, 2):
        event = p.Event(Feedback.SEND, f"u{recipient - 1}@example.com", "m", 1, 1, recipient)
        desk.say(p.RecordEvents(1, (p.EventPost("x", "y", (event,)),)))
        assert desk.counts() == {"Sent": recipient, "Stopped": 10 - recipient}
        sweep(desk)
    assert desk.counts() == {"Sent": 2, "Stopped": 8}


def test_an_unknown_mail_of_a_cancelled_topic_is_stopped_once_it_is_proven_absent(desk, tmp_path):
    from shared.domain import OnUnknown

    desk.on_unknown = OnUnknown.RESEND_NOW
    desk.restart()
    desk.submit(MANY[:1])
    (job,) = desk.claim()
    desk.gate(job)
    cancel(desk)
    desk.outcome(job, Verdict.UNKNOWN)
    assert desk.counts() == {"Unknown": 1}
    desk.wait(2)
    assert desk.counts() == {"Stopped": 1}
