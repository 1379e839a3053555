from services.scheduler.actor import SchedulerActor
from shared import actor, clock
from shared.actor import Place
from shared.config import Settings
from shared.wire import Wire


def make(_settings: Settings, _wire: Wire) -> SchedulerActor:
    """Build the scheduler: it needs no settings, digests tell it all."""
    return SchedulerActor(clock.read())


if __name__ == "__main__":
    actor.run(Place("scheduler", "scheduler", ("scheduler",)), make)
