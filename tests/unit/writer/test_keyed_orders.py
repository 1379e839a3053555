"""Orders with an idempotency key: numbered KEY:BODY:NONCE, carried out once for a key and body."""

import pytest

from shared import protocol as p

KEY, BODY = "a" * 64, "b" * 64
KINDS = p.OrderDone | p.OrderRefused | p.TopicCancelled


def suppress(desk, order, email="a@b.com"):
    return desk.ask(p.Suppress("api", order, (p.Suppression(email),)), KINDS)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_another_order_of_the_same_key_and_body_gets_the_same_answer(desk, is_restarted):
    first = suppress(desk, f"{KEY}:{BODY}:1")
    assert first == p.OrderDone(f"{KEY}:{BODY}:1", 1)
    if is_restarted:
        desk.restart()
    # Not carried out: the address would be listed already, and `changed` 0.
    assert suppress(desk, f"{KEY}:{BODY}:2") == p.OrderDone(f"{KEY}:{BODY}:2", 1, replayed=True)
    assert suppress(desk, f"{KEY}:{BODY}:1") == first, "a repeat of the frame is no replay"


def test_another_body_of_the_same_key_is_refused_and_does_nothing(desk):
    suppress(desk, f"{KEY}:{BODY}:1")
    answer = suppress(desk, f"{KEY}:{'c' * 64}:2", "other@b.com")
    assert answer == p.OrderRefused(f"{KEY}:{'c' * 64}:2", "idempotency_mismatch")
    assert suppress(desk, "plain", "other@b.com").changed == 1
    assert suppress(desk, f"{KEY}:{BODY}:3").replayed


@pytest.mark.parametrize("other", ["a" * 63 + "b", "a" * 63 + "0", "a" * 63, "a" * 65])
def test_another_key_is_another_wish(desk, other):
    suppress(desk, f"{KEY}:{BODY}:1")
    answer = suppress(desk, f"{other}:{BODY}:2", "other@b.com")
    assert (answer.changed, answer.replayed) == (1, False)


def test_a_refusal_is_not_remembered_for_a_key(desk):
    """What was not possible may be by now."""
    pause = p.PauseTopic("api", f"{KEY}:{BODY}:1", "news")
    assert desk.ask(pause, KINDS) == p.OrderRefused(pause.order, "no_such_topic")
    desk.submit(["a@b.com"])
    again = p.PauseTopic("api", f"{KEY}:{BODY}:2", "news")
    assert desk.ask(again, KINDS) == p.OrderDone(again.order, 1)
    third = p.PauseTopic("api", f"{KEY}:{BODY}:3", "news")
    assert desk.ask(third, KINDS) == p.OrderDone(third.order, 1, replayed=True)


def test_a_cancel_with_a_key_is_answered_as_before(desk):
    desk.submit(["a@b.com"])
    cancel = p.CancelTopic("api", f"{KEY}:{BODY}:1", "news")
    assert desk.ask(cancel, KINDS) == p.TopicCancelled(cancel.order, 1, 0)
    again = p.CancelTopic("api", f"{KEY}:{BODY}:2", "news")
    assert desk.ask(again, KINDS) == p.TopicCancelled(again.order, 1, 0)
