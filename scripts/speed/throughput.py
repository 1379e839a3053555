"""single, bulk, cpu: mails a second and what they cost, beside the straight way."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from scripts.benches.evidence import heard
from scripts.speed.bed import Bed, recipients
from scripts.speed.machine import Idle, cpu_s
from scripts.speed.rounds import Line, Target

MAILS = {"single": 20_000, "bulk": 100_000}
HEARD = 10_000
"""Mails a round of those whose events are waited for."""

STRAIGHT = 3_000
AT_LEAST = {"single": 5, "bulk": 30}
CPU_AT_MOST = {"single": 500, "bulk": 60}
LITTLE_IDLE = 0.1


def run(rounds: int) -> list[Line]:
    """Measure both lanes, R open: accept to the last mail Sent, then to the last event of each."""
    return [line for lane in MAILS for line in (*_lane(lane, rounds), _with_events(lane, rounds))]


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
    note = "" if min(idles) > LITTLE_IDLE else f"idle {statistics.median(idles):.0%}: CPU bound"
    what = "mails/s; boto3, 32 threads"
    yield Line(lane, what, tuple(ours), tuple(straight), Target(at_least=AT_LEAST[lane]), note)
    what = f"CPU s per million to Sent, {lane}"
    yield Line("cpu", what, tuple(cpu), target=Target(at_most=CPU_AT_MOST[lane]))


def _with_events(lane: str, rounds: int) -> Line:
    """Measure what mails cost until the Send and the Delivery of each are committed."""
    cpu, stored = [], 0
    with Bed(events=True, MAX_SEND_PER_SECOND="100000", SES_SEND_API=lane) as bed:
        pids = list(bed.pids().values())
        for number in range(rounds + 1):
            used = cpu_s(pids)
            send(bed, HEARD, f"heard{number}")
            stored += 2 * HEARD
            wait_for_events(bed, stored)
            if number:  # the first round warms up
                cpu.append((cpu_s(pids) - used) / HEARD * 1e6)
    return Line("cpu", f"CPU s per million to the second event, {lane}", tuple(cpu))


def send(bed: Bed, mails: int, topic: str) -> None:
    """Post so many and wait until all are Sent."""
    bed.post(recipients(mails, topic), topic)
    bed.wait_until_sent()


def wait_for_events(bed: Bed, number: int) -> None:
    """Wait until so many events are committed."""
    bed.wait_until(lambda: heard(bed.database) >= number, "every event is committed")


def _straight(bed: Bed) -> float:
    command = [sys.executable, "-m", "scripts.speed.straight", bed.simulator_url, str(STRAIGHT)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(said)["rate"])
