from services.broker.actor import BrokerActor
from shared import actor, clock
from shared.actor import Place
from shared.config import Settings
from shared.wire import Wire


def make(settings: Settings, _wire: Wire) -> BrokerActor:
    """Build the broker: the writer tells it the rate."""
    return BrokerActor(clock.read(), settings.urgent_share)


if __name__ == "__main__":
    actor.run(Place("broker", "broker", ("broker",)), make)
