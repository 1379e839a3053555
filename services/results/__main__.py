from services.results.actor import Results
from services.results.fetch import BackgroundFetch
from services.results.keyring import Keyring
from services.results.trust import Trust
from shared import actor, clock
from shared.config import Settings
from shared.store.read import Reader
from shared.wire import Wire


def make(settings: Settings, _wire: Wire) -> Results:
    """Put the actor together."""
    reader = Reader(settings.database)

    def read_install() -> str | None:
        found = reader.install()
        return found.install if found else None

    trust = Trust(frozenset(settings.sns_topic_arn), settings.sns_cert_hosts)
    return Results(clock.new_epoch(clock.read()), trust, Keyring(BackgroundFetch()), read_install)


if __name__ == "__main__":
    actor.run(actor.Place("results", "results", ("results",)), make)
