"""Kills processes at random while clients go on, then lets the installation come to rest."""

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from scripts.benches.customers import Customer, wait_until
from scripts.benches.evidence import Scene, held, pending_events, waiting

DOMAIN = "crash.example.com"
ALL_AT_ONCE = 20
"""One kill in so many takes every process together."""

HASTY = 5
"""One submission in so many is posted once, by a client that does not repeat."""

TOPICS = 4
"""Portions go to these in turn; the first is a new one each time, to be cancelled."""


class Plan(NamedTuple):
    """How much is sent, how often something is killed, and how far apart (seconds)."""

    seed: int
    kills: int
    mails: int
    pause: tuple[float, float]
    portion: int = 100

    @property
    def seconds(self) -> float:
        """About how long the killing takes."""
        return self.kills * sum(self.pause) / 2


class Kill(NamedTuple):
    """Who was killed, and how much was under way then."""

    names: tuple[str, ...]
    under_way: int


def kill_at_random(scene: Scene, plan: Plan, tell: Callable[[int, Kill], None]) -> list[Kill]:
    """Kill so many times, at random, with random pauses; the seed decides who and when."""
    dice = random.Random(plan.seed)  # noqa: S311 - it shall be repeatable
    kills = []
    for number in range(1, plan.kills + 1):
        time.sleep(dice.uniform(*plan.pause))
        pids = scene.pids()
        names = sorted(pids)
        chosen = names if number % ALL_AT_ONCE == 0 else [dice.choice(names)] if names else []
        left = waiting(scene.database)
        for name in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[name], signal.SIGKILL)
        kills.append(Kill(tuple(chosen), left.queued))
        tell(number, kills[-1])
    return kills


def submissions(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """Answer what is posted, portion by portion: topic and addresses, none twice."""
    for number, first in enumerate(range(0, plan.mails, plan.portion)):
        last = min(first + plan.portion, plan.mails)
        turn = number % TOPICS
        yield (
            f"crash-{plan.seed}-{turn or f'cancel-{number}'}",
            [f"r{plan.seed}.{one}@{DOMAIN}" for one in range(first, last)],
        )


def send_all(customer: Customer, plan: Plan) -> None:
    """Post everything over two thirds of the killing; a quarter is cancelled in mid-send."""
    posts = list(submissions(plan))
    began = time.monotonic()
    for number, (topic, emails) in enumerate(posts):
        time.sleep(max(0.0, began + plan.seconds * 0.67 * number / len(posts) - time.monotonic()))
        if number % TOPICS == 1:
            customer.cancel(posts[number - 1][0])
        (customer.post_once if number % HASTY == HASTY - 1 else customer.post)(topic, emails)


class Crowd:
    """A customer at work in a thread of its own; `end` waits for it and raises what it raised."""

    def __init__(self, customer: Customer, plan: Plan) -> None:
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(customer, plan), daemon=True)
        self._thread.start()

    def _run(self, customer: Customer, plan: Plan) -> None:
        try:
            send_all(customer, plan)
        except BaseException as error:  # noqa: BLE001 - raised again by `end`
            self._fault = error

    def end(self) -> None:
        """Wait until everything is posted."""
        self._thread.join()
        if self._fault is not None:
            raise self._fault


def come_to_rest(scene: Scene, customer: Customer, seconds: float) -> int:
    """Wait until nothing is under way; answer how many mails the operator had to decide about.

    Those are Unknown from before the webhook's last gap: nothing could prove that SES has not got
    them. Once nothing else is left they are sent again, by hand.
    """
    resent = 0
    give_up = time.monotonic() + seconds
    for _ in itertools.repeat(None, 3):
        wait_until(lambda: _is_resting(scene), give_up - time.monotonic())
        found = held(scene.database)
        for recipient in found:
            customer.resend(recipient)
        resent += len(found)
        if not found:
            break
    return resent


def _is_resting(scene: Scene) -> bool:
    left = waiting(scene.database)
    if left.queued or left.leases or left.unknown > len(held(scene.database)):
        return False
    return pending_events(scene) == 0
