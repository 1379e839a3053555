"""One Idempotency-Key is one set of mails; a stopped writer doubles nothing."""

import concurrent.futures
import signal
import threading

import pytest

from tests.system.stack import until


@pytest.mark.against("H46", "H49")
def test_fifty_parallel_posts_with_one_key_are_one_set_of_mails(stack):
    def post(_number: int) -> int:
        headers = {"Idempotency-Key": "one"}
        return stack.post([f"u{n}@example.com" for n in range(20)], headers=headers).status_code

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(post, range(50)))
    assert set(codes) <= {200, 409}
    assert 200 in codes
    stack.wait_counts({"Sent": 20})
    replay = stack.post(
        [f"u{n}@example.com" for n in range(20)], headers={"Idempotency-Key": "one"}
    )
    assert replay.headers["idempotent-replayed"] == "true"
    other = stack.post(["x@example.com"], headers={"Idempotency-Key": "one"})
    assert other.status_code == 422
    assert set(stack.accepted().values()) == {1}


@pytest.mark.against("Q1")
def test_a_stopped_writer_across_a_deadline_stores_each_address_once(stack):
    """A client without a key repeats on every 503, as a 503 says: surely nothing is stored."""
    codes: list[list[int]] = [[] for _ in range(3)]
    stack.kill("writer", signal.SIGSTOP)

    def insist(number: int) -> None:
        while True:
            answer = stack.post([f"u{number}@example.com"])
            codes[number].append(answer.status_code)
            if answer.status_code != 503 or len(codes[number]) > 200:
                return
            threading.Event().wait(0.2)

    clients = [threading.Thread(target=insist, args=(number,)) for number in range(3)]
    for client in clients:
        client.start()
    threading.Event().wait(8)  # past the submit deadline of five seconds
    stack.kill("writer", signal.SIGCONT)
    for client in clients:
        client.join(60)
    unknown = [c for c in codes if c[-1] == 504]
    until("the writer is heard again", stack.ready)
    stored = 3 - len(unknown)
    until("what was answered is sent", lambda: stack.counts().get("Sent", 0) >= stored)
    assert max(stack.accepted().values()) == 1, codes
    assert all(c[-1] in {200, 504} for c in codes), codes
