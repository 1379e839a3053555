"""The whole product as killer and oracle see it."""

from scripts.benches.evidence import Scene
from tests.system.stack import KEY, PROCESSES, Stack


def ours(stack: Stack) -> dict[str, int]:
    """Answer our processes; the simulator, which is two, stands in for Amazon and is spared."""
    actors = {*PROCESSES, "sender"}
    return {name: pid for name, pid in stack.pids().items() if name.partition("-")[0] in actors}


def scene_of(stack: Stack, rate: float) -> Scene:
    """Say where an installation listens, what it keeps, and which processes it has."""
    return Scene(
        port=stack.port,
        key=KEY,
        simulator_port=stack.simulator_port,
        database=stack.folder / "data" / "ses-sender.db",
        log=stack.log,
        rate=rate,
        pids=lambda: ours(stack),
    )
