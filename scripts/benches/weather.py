"""Faults of SES and SNS at random, for a while each; most of the time all is well."""

import random
import threading
from collections.abc import Iterator
from typing import Any, Final

from scripts.benches.evidence import Scene, call

FAULTS: Final[dict[str, dict[str, Any]]] = {
    "SES throttles": {"rules": [{"do": "throttle", "match": {"every_nth": 10, "count": 3}}]},
    "SES answers 500, not accepted": {"rules": [{"do": "error", "match": {"every_nth": 5}}]},
    "SES answers 500, accepted": {"rules": [{"do": "accept_500", "match": {"every_nth": 7}}]},
    "SES closes, accepted": {"rules": [{"do": "accept_close", "match": {"every_nth": 7}}]},
    "SES closes, not accepted": {"rules": [{"do": "close", "match": {"every_nth": 7}}]},
    "SES cuts its answers": {"rules": [{"do": "truncate", "match": {"every_nth": 7}}]},
    "SES drips its answers": {"rules": [{"do": "slow_drip", "match": {"every_nth": 5}}]},
    "SES hangs": {"rules": [{"do": "hang", "match": {"every_nth": 9, "count": 4}}]},
    "SES takes half a second": {"rules": [], "latency_ms": 500, "spread_ms": 200},
    "SNS posts everything thrice": {"rules": [], "events": {"duplicate": 2}},
    "SNS shuffles": {"rules": [], "events": {"shuffle": True, "shuffle_s": 3}},
    "SNS is before SES's answer": {"rules": [], "events": {"before_answer": True}},
    "SNS is late": {"rules": [], "events": {"delay_s": 4}},
}
"""What the simulator is told; `services/simulator/faults.py` knows the words."""

FOUL_S = (3.0, 8.0)
FAIR_S = (10.0, 20.0)


def change_at_random(scene: Scene, seed: int, is_over: threading.Event) -> list[str]:
    """Break something and mend it again until it is over; answer what was broken."""
    dice = random.Random(seed)  # noqa: S311 - it shall be repeatable
    broken = []
    for name in _in_turns(dice):
        if is_over.wait(dice.uniform(*FAIR_S)):
            break
        tell(scene, FAULTS[name])
        broken.append(name)
        is_over.wait(dice.uniform(*FOUL_S))
        tell(scene, {})
    return broken


def tell(scene: Scene, script: dict[str, Any]) -> None:
    """Put another fault script in force."""
    status, answer = call(scene.simulator_port, "POST", "/_simulator/faults", script)
    if status != 200:
        raise ValueError(f"the simulator does not take {script}: {answer!r}")


def _in_turns(dice: random.Random) -> Iterator[str]:
    """Answer every fault once, shuffled, before any comes again."""
    while True:
        names = list(FAULTS)
        dice.shuffle(names)
        yield from names
