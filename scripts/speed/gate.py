"""gate: how long the writer's leave to make a call takes while a client posts list after list."""

import contextlib
import json
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from scripts.speed.bed import LARGEST, Bed, letter, recipients
from scripts.speed.load import press, request
from scripts.speed.rounds import Line, Target
from shared import wire

RATE = 500
SECONDS = 12.0
SETTLING_S = 3.5
"""By then a gauge, the newest 512 answers of a sender, holds nothing older than the load."""

LISTS = 20
"""Lists between two looks at the clock."""

P50, P99 = Target(at_most=15), Target(at_most=60)


class Gate(NamedTuple):
    """Milliseconds from ask to answer: the median, one in a hundred, that of the worst window."""

    p50: float
    p99: float
    worst_p99: float


def run(rounds: int) -> list[Line]:
    """Measure at 500/s in the single lane, first without the client, then with it."""
    with Bed(MAX_SEND_PER_SECOND=str(RATE), SES_SEND_API="single") as bed:
        mails = int(RATE * (SECONDS + SETTLING_S) * (rounds + 1) * 1.2)
        bed.post(recipients(mails), "news")
        quiet = watch(bed, SECONDS / 2)
        loaded, lists = [], []
        for _ in range(rounds):
            with Client(bed) as client:
                loaded.append(watch(bed, SECONDS))
            lists.append(client.rate)
    note = f"without lists {quiet.p50:.2g}; {statistics.median(lists):.0f} lists/s"
    what = f"ask to answer, p50 ms, {RATE}/s beside lists of {LARGEST:,}"
    median = Line("gate", what, tuple(one.p50 for one in loaded), (), P50, note)
    note = f"without lists {quiet.p99:.2g}; worst {max(one.worst_p99 for one in loaded):.3g}"
    what = f"ask to answer, p99 ms, {RATE}/s beside lists of {LARGEST:,}"
    return [median, Line("gate", what, tuple(one.p99 for one in loaded), (), P99, note)]


def watch(bed: Bed, seconds: float) -> Gate:
    """Read the senders' gauges for so long, once they have settled.

    A gauge is of the newest 512 answers, about two seconds. The p99 is the mean of the windows'.
    """
    with contextlib.closing(wire.subscribe(f"tcp://127.0.0.1:{bed.ports.stats}")) as socket:
        time.sleep(SETTLING_S)
        p50, p99 = [], []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not socket.poll(3_000):
                raise RuntimeError("the monitor is not heard")
            for process in json.loads(socket.recv())["processes"]:
                if process["actor"] == "sender":
                    p50.append(process["gauges"]["gate_p50_ms"])
                    p99.append(process["gauges"]["gate_p99_ms"])
    return Gate(statistics.median(p50), statistics.mean(p99), max(p99))


class Client:
    """Posts lists that are due tomorrow, back to back, as long as the context lasts."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._post)
        self.rate = 0.0

    def __enter__(self) -> "Client":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """End with the answer to the last list."""
        self._over.set()
        self._thread.join()

    def _post(self) -> None:
        later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        emails = recipients(LARGEST, "later")
        mail = {"topic_id": "later", "emails": emails, "subject": "Bench", "content": letter()}
        body = json.dumps({"messages": [mail], "scheduled_at": later}).encode()
        headers = {"X-API-KEY": self._bed.key, "Content-Type": "application/json"}
        lists = [request("/v1/messages", headers, body)] * LISTS
        stored, began = 0, time.monotonic()
        while not self._over.is_set():
            stored += len(press(self._bed.ports.api, lists, 1).times_ms)
            self.rate = stored / (time.monotonic() - began)
