"""single, bulk, cpu: mails a second and what they cost, beside the straight way."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from scripts.benches.evidence import heard
from scripts.speed.bed import Bed, recipients
from scripts.speed.machine import Idle, busy, cpu_s, pinned
from scripts.speed.rounds import Line, Target

MAILS = {"single": 20_000, "bulk": 100_000}
HEARD = 10_000
"""Mails a round of those whose events are waited for."""

EVENTS = 2
"""Of a mail: Send and Delivery."""

STRAIGHT = 3_000
AT_LEAST = {"single": 5, "bulk": 30}
CPU_AT_MOST = {"single": 500, "bulk": 60}


def run(rounds: int) -> list[Line]:
    """Measure both lanes, R open: accept to the last mail Sent, then to the last event of each."""
    return [line for lane in MAILS for line in (*_lane(lane, rounds), *_with_events(lane, rounds))]


def _lane(lane: str, rounds: int) -> Iterator[Line]:
    ours, straight, cpu, idles = [], [], [], []
    mails = MAILS[lane]
    with Bed(MAX_SEND_PER_SECOND="100000", SES_SEND_API=lane) as bed:
        pids = list(bed.pids().values())
        send(bed, 2_000, "warm")
        for number in range(rounds):
            idle, used, began = Idle.now(), cpu_s(pids), time.monotonic()
            send(bed, mails, f"round{number}")
            ours.append(mails / (time.monotonic() - began))
            cpu.append((cpu_s(pids) - used) / mails * 1e6)
            idles.append(idle.share())
            straight.append(_straight(bed))
    what = "mails/s; boto3, 32 threads"
    yield Line(
        lane, what, tuple(ours), tuple(straight), Target(at_least=AT_LEAST[lane]), busy(idles)
    )
    what = f"CPU s per million to Sent, {lane}"
    yield Line("cpu", what, tuple(cpu), target=Target(at_most=CPU_AT_MOST[lane]))


def _with_events(lane: str, rounds: int) -> Iterator[Line]:
    """Measure mails until the Send and the Delivery of each are committed; then on one core."""
    with Bed(events=True, MAX_SEND_PER_SECOND="100000", SES_SEND_API=lane) as bed:
        pids = bed.pids().values()
        _hear(bed, 0)  # it is warm now
        spent = []
        for number in range(1, rounds + 1):
            used = cpu_s(pids)
            _hear(bed, number)
            spent.append((cpu_s(pids) - used) / HEARD * 1e6)
        yield Line("cpu", f"CPU s per million to the second event, {lane}", tuple(spent))
        if (os.cpu_count() or 1) > 1:
            with pinned(pids):
                rates = tuple(_hear(bed, rounds + number) for number in range(1, rounds + 1))
            what = f"mails/s to the second event, all our processes on one core, {lane}"
            yield Line("cpu", what, rates)


def _hear(bed: Bed, number: int) -> float:
    """Send a round and wait for its events; answer the mails a second. Rounds count from 0."""
    began = time.monotonic()
    send(bed, HEARD, f"heard{number}")
    events = (number + 1) * HEARD * EVENTS
    bed.wait_until(lambda: heard(bed.database) == events, "every event is committed")
    return HEARD / (time.monotonic() - began)


def send(bed: Bed, mails: int, topic: str) -> None:
    """Post so many and wait until all are Sent."""
    bed.post(recipients(mails, topic), topic)
    bed.wait_until_sent()


def _straight(bed: Bed) -> float:
    command = [sys.executable, "-m", "scripts.speed.straight", bed.simulator_url, str(STRAIGHT)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(said)["rate"])
