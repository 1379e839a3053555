"""Real processes stopped, killed, given up and flooded; each time everything is accounted for.

One installation lives through all of it. Every test posts mail of its own, breaks something while
it goes out, makes it well again, lets all come to rest, and has the oracle judge everything so far.
"""

import concurrent.futures
import os
import signal
import threading
import xmlrpc.client
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from supervisor.xmlrpc import SupervisorTransport

from scripts.benches import killer, oracle
from scripts.benches.customers import Customer
from scripts.benches.evidence import gather
from scripts.benches.killer import DOMAIN
from scripts.benches.kills import PROOF_S
from shared import wire
from tests.crash.scenes import scene_of
from tests.system.stack import Stack, until

RATE = 300
# SNS must not give up while the API starts anew: events it dropped would leave nothing to prove by.
RULES = {"SIMULATOR_RATE": str(RATE), "UNKNOWN_AFTER": "20", "SIMULATOR_RETRY_SECONDS": "5"}
SENDERS = ("sender-0", "sender-1")

LARGE = "<p>" + "x" * 4_000_000
FLOOD = 32
"""Posts of 4 MB at once: twice what may wait for the writer."""

MOST_MB = 500.0
"""The API's memory at most, generously: itself, 64 MB that wait, their frames, what it reads."""

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()

pytestmark = pytest.mark.timeout(300)


class Place:
    """The installation, the customer of all tests, and supervisord's remote control."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.scene = scene_of(stack, RATE)
        self.customer = Customer(self.scene)

    def post(self, topic: str, mails: int) -> None:
        self.customer.post(topic, addresses(topic, mails))

    def tell_supervisord(self, order: str, program: str) -> None:
        """Give an order such as stopProcess, as supervisorctl does, and wait until it is done."""
        where = f"unix://{wire.run_folder(self.stack.folder / 'data')}/ctl.sock"
        transport = SupervisorTransport(None, None, where)
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport) as remote:
            assert getattr(remote.supervisor, order)(f"{program}:{program}")

    def arrived(self, topic: str) -> int:
        """Count what SES has seen of a topic, accepted or not."""
        return len(self._seen(topic))

    def accepted(self, topic: str) -> int:
        """Count what SES has accepted of a topic."""
        return sum(row["verdict"] == "accepted" for row in self._seen(topic))

    def _seen(self, topic: str) -> list[dict[str, Any]]:
        return [row for row in self.stack.ledger() if row["address"].startswith(f"{topic}.")]

    def wait_arrived(self, topic: str, mails: int) -> None:
        until(f"{mails} of {topic} have left", lambda: self.arrived(topic) >= mails)

    def judge(self) -> None:
        """Let all come to rest; everything since the first test must be true."""
        until("all are well", lambda: self.stack.missing() == [] and self.stack.ready())
        killer.come_to_rest(self.scene, self.customer, PROOF_S)
        assert oracle.judge(gather(self.scene, self.customer.clients())) == []


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    with Stack(tmp_path_factory.mktemp("processes"), **RULES).living() as stack:
        yield Place(stack)


def addresses(topic: str, mails: int) -> list[str]:
    return [f"{topic}.{number}@{DOMAIN}" for number in range(mails)]


# ── a process stands still ──


@pytest.mark.against("K14")
def test_k14_senders_that_stood_still_send_nothing_stale_when_they_wake(place):
    """Stopped in full flow; meanwhile one topic is cancelled: whatever was through the gate or had
    a permit when they were stopped, no call of that topic may start any more. The other topic goes
    on, everybody once, at no more than R.

    One call each may be stopped between its last look at the clock and the socket: nothing can
    take that back, and the cancel's answer has counted it as in flight.
    """
    place.post("k14-cancelled", 3000)
    place.post("k14-goes-on", 600)
    place.wait_arrived("k14-cancelled", 200)
    place.wait_arrived("k14-goes-on", 50)
    for name in SENDERS:
        place.stack.kill(name, signal.SIGSTOP)
    # By then every gate and permit of theirs is void, and what was on the wire has arrived.
    until("they are missed", lambda: set(place.stack.missing()) == set(SENDERS), 20)
    place.customer.cancel("k14-cancelled")
    held = "SELECT count(*) FROM lease JOIN topic ON topic.id = topic WHERE name = 'k14-cancelled'"
    in_hand = place.stack.sql(held)[0][0]
    assert in_hand > 2 * len(SENDERS), "they wake with hardly anything in hand: proves nothing"
    before = place.arrived("k14-cancelled")
    for name in SENDERS:
        place.stack.kill(name, signal.SIGCONT)
    place.wait_arrived("k14-goes-on", 600)
    place.judge()
    assert before <= place.arrived("k14-cancelled") <= before + len(SENDERS)
    sent = place.accepted("k14-cancelled")
    assert place.stack.counts("k14-cancelled") == {"Sent": sent, "Stopped": 3000 - sent}
    assert place.stack.counts("k14-goes-on") == {"Sent": 600}


@pytest.mark.against("Q1")
def test_q1_a_flood_while_the_writer_stands_still_is_bounded_and_each_answer_is_true(place):
    """What does not fit is refused at once; of the rest each post is stored once, or refused."""
    pid = place.scene.pids()["api"]
    floods = [[f"q1.{post}.{number}@{DOMAIN}" for number in range(5)] for post in range(FLOOD)]
    more = {"content": LARGE, "scheduled_at": TOMORROW}
    place.stack.kill("writer", signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(FLOOD) as pool:
        try:
            posts = [
                pool.submit(place.customer.post_once, "q1", emails, **more) for emails in floods
            ]
            until("it is missed", lambda: place.stack.http.get("/ready").status_code == 503, 20)
            answer = place.stack.post([f"refused@{DOMAIN}"], "q1")
        finally:
            place.stack.kill("writer", signal.SIGCONT)
        for post in posts:
            post.result()
    place.customer.post("q1", addresses("q1", 5), scheduled_at=TOMORROW)
    place.customer.cancel("q1")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    refused = place.customer.clients().refused
    assert any(emails[0] in refused for emails in floods)
    assert own_mb(pid, "VmHWM") < MOST_MB
    place.judge()
    assert place.scene.pids()["api"] == pid, "the API has died of it"


def own_mb(pid: int, figure: str) -> float:
    """Read a figure of a process's memory, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(figure))


# ── a process is gone for good ──


@pytest.mark.against("S4")
def test_s4_without_a_writer_nothing_is_accepted_and_the_queue_is_kept(place):
    place.post("s4-writer", 600)
    place.wait_arrived("s4-writer", 100)
    place.tell_supervisord("stopProcess", "writer")
    refused = until("it is missed", lambda: answer_if(place.stack.http.get("/ready"), 503), 20)
    assert refused.json()["checks"]["storing"] == "the writer is not heard"
    assert "The process writer is not heard." in until(
        "it is named", lambda: (d := degraded(place)) and any("writer" in x for x in d) and d, 20
    )
    answer = place.stack.post([f"refused@{DOMAIN}"], "s4-writer")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    place.tell_supervisord("startProcess", "writer")
    place.judge()
    assert place.stack.counts("s4-writer") == {"Sent": 600}


@pytest.mark.against("S4")
def test_s4_without_a_broker_mail_is_accepted_and_waits(place):
    place.post("s4-broker", 600)
    place.wait_arrived("s4-broker", 100)
    place.tell_supervisord("stopProcess", "broker")
    told = "The process broker is not heard."
    until("it is named", lambda: told in degraded(place), 20)
    assert place.stack.ready(), "mail can be stored all the same"
    before = place.arrived("s4-broker")
    place.post("s4-broker-late", 100)
    assert place.arrived("s4-broker") == before < 600
    assert place.arrived("s4-broker-late") == 0
    place.tell_supervisord("startProcess", "broker")
    place.judge()
    assert place.stack.counts("s4-broker") == {"Sent": 600}
    assert place.stack.counts("s4-broker-late") == {"Sent": 100}


def answer_if(answer: httpx2.Response, status: int) -> httpx2.Response | None:
    return answer if answer.status_code == status else None


def degraded(place: Place) -> list[str]:
    return place.stack.http.get("/ready").json()["degraded"]


# ── kill -9 ──


@pytest.mark.against("K10")
def test_k10_the_scheduler_killed_in_the_midst_of_its_batches_claims_nothing_twice(place):
    place.post("k10", 700)
    for goal in (100, 400):
        place.wait_arrived("k10", goal)
        former = place.stack.kill("scheduler")
        until(
            "it is back",
            lambda former=former: place.scene.pids().get("scheduler", former) != former,
        )
    place.judge()
    assert place.stack.counts("k10") == {"Sent": 700}
    accepted = place.stack.accepted()
    assert {accepted[address] for address in addresses("k10", 700)} == {1}


@pytest.mark.against("K13")
def test_k13_all_killed_at_once_in_mid_send_and_while_a_client_posts(place):
    place.post("k13", 600)
    place.wait_arrived("k13", 200)
    client = threading.Thread(target=place.post, args=("k13-meanwhile", 300))
    client.start()
    former = place.scene.pids()
    for pid in former.values():
        os.kill(pid, signal.SIGKILL)
    until("all are back", lambda: is_replaced(former, place.scene.pids()))
    client.join()
    place.judge()
    assert place.stack.counts("k13") == {"Sent": 600}


def is_replaced(former: dict[str, int], now: dict[str, int]) -> bool:
    return now.keys() == former.keys() and all(now[name] != former[name] for name in former)
