from services.scheduler.actor import SchedulerActor
from shared import actor, clock
from shared.actor import Place
from shared.config import Settings
from shared.wire import Wire


def make(settings: Settings, _wire: Wire) -> SchedulerActor:
    """Build the scheduler: all but the share of urgent mail is told by digests."""
    return SchedulerActor(clock.read(), settings.urgent_share)


if __name__ == "__main__":
    actor.run(Place("scheduler", "scheduler", ("scheduler",)), make)
