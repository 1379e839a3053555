"""pacing: what SES sees of R: the fullest second, and how much of R is used."""

import math
import time
from collections.abc import Iterator, Sequence
from http.client import OK
from typing import NamedTuple

from scripts.benches.evidence import call, read_ledger
from scripts.benches.oracle import SECOND_NS, worst_second
from scripts.speed.bed import Bed, recipients
from scripts.speed.rounds import Line, Target
from scripts.stage import StageError

SECONDS = {1: 20.0, 14: 12.0, 24: 10.0, 100: 8.0, 500: 8.0, 2_000: 8.0}
"""Rate → how long to look."""

AT_REST_S = 1.5
LEAST_SHARE = 0.93


class Seen(NamedTuple):
    """The fullest second in recipients, and the share of R between the first call and the last."""

    worst: int
    share: float


def run(rounds: int) -> list[Line]:
    """Send at each rate from rest; slow rates first, so that no second holds two rates."""
    with Bed() as bed:
        seen = [{rate: _send(bed, rate, number) for rate in SECONDS} for number in range(rounds)]
    return [line for rate in SECONDS for line in _lines(rate, [one[rate] for one in seen])]


def _lines(rate: int, seen: Sequence[Seen]) -> Iterator[Line]:
    """Draw two lines; "never" is for the worst of all rounds."""
    bucket = look(list(ancestor(rate)), rate)
    worst = (float(max(one.worst for one in seen)),)
    note = f"the ancestor's bucket: {bucket.worst:,}"
    yield Line("pacing", f"R = {rate:,}: fullest second", worst, (), Target(at_most=rate), note)
    shares = tuple(one.share for one in seen)
    note = f"the ancestor's bucket: {bucket.share:.2f}"
    target = Target(at_least=LEAST_SHARE)
    yield Line("pacing", f"R = {rate:,}: share used", shares, (), target, note)


def _send(bed: Bed, rate: int, number: int) -> Seen:
    """Send from rest for a while; answer what SES saw of it."""
    status, answer = bed.ask("PATCH", "/v1/account", {"max_send_per_second": rate})
    if status != OK:
        raise StageError(f"the rate was not set: {status} {answer}")
    time.sleep(AT_REST_S)
    before = int(bed.ask_simulator("summary")["recipients"])
    topic = f"pace-{rate}-{number}"
    bed.post(recipients(math.ceil(1.2 * rate * SECONDS[rate]), topic), topic)
    time.sleep(SECONDS[rate])
    bed.ask("DELETE", f"/v1/topics/{topic}")
    bed.wait_until_sent()
    ledger = call(bed.ports.simulator, "GET", f"/_simulator/ledger?after={before}")[1]
    stamps_ns = [one.at_ns for one in read_ledger(ledger)]
    if not stamps_ns:
        raise StageError(f"at R = {rate} nothing was sent in {SECONDS[rate]:g} s")
    return look(stamps_ns, rate)


def look(stamps_ns: Sequence[int], rate: int) -> Seen:
    """Judge arrivals; what the first call brought was sent before the time began."""
    first, last = min(stamps_ns), max(stamps_ns)
    after_first = sum(stamp > first for stamp in stamps_ns)
    return Seen(worst_second(stamps_ns), after_first / ((last - first) / SECOND_NS) / rate)


def ancestor(rate: int) -> Iterator[int]:
    """Yield arrivals from the ancestor's bucket, in virtual time, with a backlog from 0.99 s on.

    It holds R, is full at rest, gets a tenth of R more every 100 ms and R anew each second.
    """
    yield from [99 * SECOND_NS // 100] * rate
    for tick in range(10, 60):
        tokens = rate if tick % 10 == 0 else math.ceil(rate / 10)
        yield from [tick * SECOND_NS // 10] * tokens
