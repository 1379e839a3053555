import secrets

from services.writer.actor import WriterActor
from services.writer.apply import Rules
from services.writer.founding import found
from services.writer.reputation import PauseAt
from services.writer.retention import DAY_MS, Keep
from shared import actor, clock, log
from shared.actor import Place
from shared.config import Settings
from shared.store.read import Install
from shared.store.write import Store
from shared.wire import Budget, Wire

# Orders, gates and outcomes first; then submissions, small ones together, a large list alone, so
# that no transaction holds up the gate for long.
PLACE = Place(
    actor="writer",
    process="writer",
    mailboxes=("writer", "intake"),
    budgets=(Budget(), Budget(frames=200, octets=128 * 1024)),
)


def make(settings: Settings, _wire: Wire) -> WriterActor:
    """Open the database, bring it up to date and build the actor."""
    store = Store(settings.database, settings.db_cache_mb, settings.db_mmap_mb)
    now = clock.read()
    log.get("writer").info(
        "database open", path=str(settings.database), migrated=store.migrated or "nothing"
    )
    if 1 in store.migrated:
        log.get("writer").warning("there was no database: an empty one was made")
    if store.advice:
        log.get("writer").info(store.advice)
    found(store, Install(secrets.token_hex(4), secrets.token_bytes(32)), now.ms)
    rules = Rules(
        boot=clock.boot_id(),
        epoch=clock.new_epoch(now),
        rate=settings.max_send_per_second,
        on_unknown=settings.on_unknown,
        unknown_after_ms=settings.unknown_after * 1000,
        keep=Keep(settings.retention_days * DAY_MS, settings.raw_event_days * DAY_MS),
        pause_at=PauseAt(settings.pause_at_bounce_rate, settings.pause_at_complaint_rate),
    )
    return WriterActor(store, rules)


if __name__ == "__main__":
    actor.run(PLACE, make)
