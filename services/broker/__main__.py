from services.broker.actor import BrokerActor
from shared import actor, clock
from shared.actor import Place
from shared.config import Settings
from shared.wire import Wire


def make(_settings: Settings, _wire: Wire) -> BrokerActor:
    """Build the broker: it needs no settings, the writer tells it the rate."""
    return BrokerActor(clock.read())


if __name__ == "__main__":
    actor.run(Place("broker", "broker", ("broker",)), make)
