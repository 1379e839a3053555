"""The API's actor as dialogues: what it asks, how often, and when it gives up."""

import pytest

from services.api.actor import CHECK_S, LEVEL_S, LOOK_UP_S, ORDER_S, RELEASE_S, STORE_S, Api
from services.api.asks import Asks, Phase
from shared.domain import RecipientId, SubmissionId
from shared.protocol import (
    CancelTopic,
    CheckPost,
    EarOpen,
    LookUp,
    NotStored,
    OpensRecorded,
    OrderDone,
    OrderFailed,
    OrderRefused,
    PauseTopic,
    PostChecked,
    RecordOpens,
    ReleaseAtSes,
    ReleasedAtSes,
    Snapshot,
    Submit,
    Suppress,
    Suppression,
    Tally,
    TopicCancelled,
    Unsuppress,
    Welcome,
)
from shared.wire import Letter
from tests.unit.api.rig import at, stored, writer_state

MB = 1024 * 1024


def submit(submission: str = "s1") -> Submit:
    return Submit(
        "api", SubmissionId(submission), at(STORE_S).mono, at(0).mono, 1, None, (), Tally(0, 0)
    )


@pytest.fixture
def api():
    actor = Api(epoch=5)
    list(actor.receive(writer_state(), at(0)))
    return actor


def sent(letters, kind):
    return [letter.message for letter in letters if isinstance(letter.message, kind)]


def test_a_submission_is_repeated_each_half_second_until_stored(api):
    given = []
    assert api.store(submit(), 10, given.append, at(0)) == [Letter("intake", submit())]
    assert not sent(api.tick(at(0.4)), Submit)
    assert sent(api.tick(at(0.51)), Submit) == [submit()]
    assert not sent(api.tick(at(0.9)), Submit)
    assert sent(api.tick(at(1.1)), Submit) == [submit()]
    api.receive(stored(submit()), at(1.2))
    assert given == [stored(submit())]
    assert not sent(api.tick(at(9)), Submit | LookUp)
    assert api.submissions.octets == 0


def test_after_the_deadline_it_is_looked_up_and_never_submitted_again(api):
    given = []
    api.store(submit(), 10, given.append, at(0))
    asked = [letter for tenth in range(49, 160) for letter in api.tick(at(tenth / 10))]
    ups = [i for i, letter in enumerate(asked) if isinstance(letter.message, LookUp)]
    assert {letter.to for letter in asked if isinstance(letter.message, LookUp)} == {"intake"}
    assert len(ups) == pytest.approx(LOOK_UP_S / 0.5, abs=2)
    assert not sent(asked[ups[0] :], Submit)
    assert given == [None]
    assert len(api.submissions) == 0


@pytest.mark.parametrize("code", ["late", "absent", "idempotency_mismatch"])
def test_a_look_up_is_answered_by_what_settles_it(api, code):
    given = []
    api.store(submit(), 10, given.append, at(0))
    api.tick(at(5.1))
    api.receive(NotStored(SubmissionId("s1"), code), at(5.2))
    assert given == [NotStored(SubmissionId("s1"), code)]


@pytest.mark.parametrize("code", ["storage_full", "storage_failed", "poisonous"])
def test_trouble_with_a_look_up_does_not_say_that_nothing_is_stored(api, code):
    given = []
    api.store(submit(), 10, given.append, at(0))
    api.tick(at(5.1))
    api.receive(NotStored(SubmissionId("s1"), code), at(5.2))
    assert given == []
    api.receive(stored(submit()), at(5.7))
    assert given == [stored(submit())]


def test_a_refusal_before_the_deadline_is_final(api):
    given = []
    api.store(submit(), 10, given.append, at(0))
    api.receive(NotStored(SubmissionId("s1"), "storage_full"), at(0.1))
    assert given == [NotStored(SubmissionId("s1"), "storage_full")]


def test_an_answer_that_nobody_waits_for_is_dropped(api):
    api.receive(stored(submit("gone")), at(0))
    api.receive(TopicCancelled("gone", 1, 1), at(0))
    api.receive(PostChecked("gone", 200), at(0))


def test_large_submissions_are_repeated_less_often(api):
    """A writer that is slow is not buried under copies."""
    for number in range(2):
        api.store(submit(f"s{number}"), 32 * MB, lambda _: None, at(0))
    assert not sent(api.tick(at(4.4)), Submit)
    assert len(sent(api.tick(at(4.6)), Submit)) == 2


def test_a_writer_that_starts_anew_is_told_everything_at_once(api):
    api.store(submit(), 64 * MB, lambda _: None, at(0))
    api.order(CancelTopic("api", "o1", "t"), lambda _: None, at(0))
    api.receive(writer_state(epoch=1, seq=2), at(0.05))
    assert api.tick(at(0.06)) == []
    api.receive(writer_state(epoch=2, seq=1), at(0.1))
    assert [type(letter.message) for letter in api.tick(at(0.11))] == [Submit, CancelTopic]


def test_the_newest_level_of_the_writer_wins(api):
    api.receive(writer_state(epoch=2, seq=5, storing=False, trouble="the disk is full"), at(0))
    api.receive(writer_state(epoch=2, seq=4), at(0))
    api.receive(writer_state(epoch=1, seq=9), at(0))
    assert api.trouble(at(0)) == "the disk is full"


def test_a_writer_that_is_silent_for_three_seconds_is_no_writer(api):
    assert api.trouble(at(2.9)) == ""
    assert api.trouble(at(3.1)) == "the writer is not heard"
    assert Api(1).trouble(at(0)) == "the writer is not heard"


def test_a_cancel_is_repeated_until_confirmed(api):
    given = []
    order = CancelTopic("api", "o1", "t")
    assert api.order(order, given.append, at(0)) == [Letter("writer", order)]
    assert sent(api.tick(at(0.6)), CancelTopic) == [order]
    api.receive(TopicCancelled("o1", 2, 1), at(0.7))
    assert given == [TopicCancelled("o1", 2, 1)]


def test_a_cancel_that_fails_or_is_not_confirmed_ends(api):
    given = []
    api.order(CancelTopic("api", "o1", "t"), given.append, at(0))
    api.receive(OrderFailed("o1", "storage_full"), at(0.1))
    api.order(CancelTopic("api", "o2", "t"), given.append, at(0))
    api.tick(at(ORDER_S))
    assert given == [OrderFailed("o1", "storage_full"), None]


def test_changes_of_the_suppression_list_go_where_submissions_go(api):
    """Mail that is posted after an address was listed must find it there, and the reverse."""
    for order in (
        Suppress("api", "o1", (Suppression("a@b.com"),)),
        Unsuppress("api", "o2", ("a@b.com",)),
    ):
        assert api.order(order, lambda _: None, at(0)) == [Letter("intake", order)]


@pytest.mark.parametrize(
    "answer", [OrderDone("o1", 3), OrderRefused("o1", "no_such_topic"), OrderFailed("o1", "x")]
)
def test_an_order_ends_with_whatever_the_writer_answers(api, answer):
    given = []
    api.order(PauseTopic("api", "o1", "t"), given.append, at(0))
    api.receive(answer, at(0.1))
    assert given == [answer]
    assert len(api.orders) == 0


def test_addresses_are_released_by_the_first_sender_which_has_time_for_it(api):
    given = []
    wish = ReleaseAtSes("api", "o1", ("a@b.com",))
    assert api.release(wish, given.append, at(0)) == [Letter("sender-0", wish)]
    assert not sent(api.tick(at(4.9)), ReleaseAtSes)
    assert sent(api.tick(at(5.1)), ReleaseAtSes) == [wish]
    api.receive(ReleasedAtSes("o1", 1), at(6))
    assert given == [ReleasedAtSes("o1", 1)]
    api.release(wish, given.append, at(0))
    api.tick(at(RELEASE_S))
    assert given[1:] == [None]


def test_whoever_waits_for_a_level_of_the_writer_is_told_once_it_shows(api):
    given = []

    def watch(rate):
        assert api.watch(lambda writer: writer.rate_wanted == rate, given.append, at(0)) == []

    watch(None)
    assert given == [api.writer], "it shows already"
    watch(20)
    watch(30)
    api.receive(writer_state(seq=2, rate_wanted=5.0), at(0.5))
    assert len(given) == 1
    api.receive(writer_state(seq=3, rate_wanted=20.0), at(1))
    assert [one.rate_wanted for one in given[1:]] == [20]
    api.tick(at(LEVEL_S))
    assert [one.rate_wanted for one in given[2:]] == [20], "the newest, though it does not show"
    api.tick(at(9))
    assert len(given) == 3


def test_nobody_waits_for_a_level_of_a_writer_that_is_silent(api):
    given = []
    api.watch(lambda _: True, given.append, at(4))
    assert given == []
    assert api.next_tick(at(4)) < at(4).mono + 1
    api.tick(at(6.1))
    assert given == [None]


def test_a_post_is_repeated_each_second_for_thirteen(api):
    given = []
    post = CheckPost("api", "p1", "Notification", b"{}")
    assert api.check(post, given.append, at(0)) == [Letter("results", post)]
    assert not sent(api.tick(at(0.9)), CheckPost)
    assert sent(api.tick(at(1.1)), CheckPost) == [post]
    api.tick(at(CHECK_S))
    assert given == [None]


def test_opens_go_in_batches_one_at_a_time(api):
    first = sent(api.open(RecipientId(1), at(1)), RecordOpens)
    assert [[one.recipient for one in batch.opens] for batch in first] == [[1]]
    assert api.open(RecipientId(2), at(1.1)) == []
    api.open(RecipientId(3), at(1.1))
    assert api.tick(at(1.4)) == []  # the first is not recorded yet
    assert sent(api.tick(at(1.6)), RecordOpens) == first
    api.receive(OpensRecorded(5, 1), at(1.7))
    (second,) = sent(api.tick(at(1.9)), RecordOpens)
    assert (second.epoch, second.seq) == (5, 2)
    assert [one.recipient for one in second.opens] == [2, 3]


def test_a_receipt_of_another_batch_lets_go_of_nothing(api):
    api.open(RecipientId(1), at(1))
    for other in (OpensRecorded(5, 0), OpensRecorded(4, 1)):
        api.receive(other, at(1))
    assert len(api.opens) == 1


def test_a_thousand_opens_do_not_wait_for_their_time(api):
    api.open(RecipientId(1), at(1))
    for number in range(1500):
        api.open(RecipientId(number), at(1))
    api.receive(OpensRecorded(5, 1), at(1))
    (batch,) = sent(api.tick(at(1.01)), RecordOpens)
    assert len(batch.opens) == 1000
    assert len(api.opens) == 1500


def test_memory_for_opens_is_bounded(api):
    """One recipient's hits in a batch, and all of them together."""
    for _ in range(100_000):
        api.open(RecipientId(1), at(1))
    assert len(api.opens) == 1 + 10
    for number in range(2, 200_000):
        api.opens.add(RecipientId(number), at(1))
    assert len(api.opens) == 100_001
    assert api.gauges(at(1))["opens_dropped"] > 0


def test_a_stop_flushes_opens_and_does_not_wait_for_ever(api):
    api.open(RecipientId(1), at(1))
    api.receive(OpensRecorded(5, 1), at(1))
    api.open(RecipientId(2), at(1.01))
    (batch,) = sent(api.stop(at(1.02)), RecordOpens)
    assert [one.recipient for one in batch.opens] == [2]
    assert not api.is_drained(at(1.1))
    assert api.is_drained(at(6.1))
    api.receive(OpensRecorded(5, 2), at(1.2))
    assert api.is_drained(at(1.2))


def test_the_webhook_is_said_to_be_up_each_second_while_it_is(api):
    assert not sent(api.tick(at(0)), EarOpen)
    api.listen(ears=True)
    assert api.tick(at(0.1)) == [Letter("results", EarOpen(5))]
    assert not sent(api.tick(at(1.0)), EarOpen)
    assert sent(api.tick(at(1.2)), EarOpen)
    api.listen(ears=False)
    assert not sent(api.tick(at(9)), EarOpen)


def test_it_ticks_often_while_it_waits_and_seldom_else(api):
    list(api.tick(at(0)))
    assert api.next_tick(at(0)) == pytest.approx(at(0.2).mono)
    api.store(submit(), 1, lambda _: None, at(0))
    assert api.next_tick(at(0)) == pytest.approx(at(0.05).mono)


def test_it_keeps_the_newest_snapshot_and_takes_nothing_that_is_not_its_own(api):
    api.receive(Snapshot(b"{}"), at(1))
    assert api.snapshot == Snapshot(b"{}")
    with pytest.raises(TypeError):
        api.receive(Welcome(1, "a", b""), at(1))


def test_asks_count_the_octets_of_the_phase_they_are_in():
    asks: Asks[str] = Asks()
    letter = Letter("intake", submit())
    phases = (Phase(letter, 1, at(1).mono, 100), Phase(letter, 1, at(2).mono))
    asks.ask("a", phases, lambda _: None, at(0))
    assert asks.octets == 100
    asks.repeat(at(1))
    assert (asks.octets, len(asks)) == (0, 1)
    asks.repeat(at(2))
    assert len(asks) == 0
