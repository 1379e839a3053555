import os
import sys
from functools import partial

from services.api.actor import Api
from services.api.app import Parts, build
from services.api.line import Line
from services.api.reads import Reads
from services.api.server import Server
from shared import clock, config, log, wire
from shared.actor import Place, Station, new_epoch, prepare
from shared.store.read import Reader


def main() -> None:
    """Run the API from settings to exit."""
    settings, wire_, _lock = prepare("api")
    try:
        actor = Api(new_epoch(clock.read()))
        station = Station(actor, Place("api", "api", ("api",)), wire_)
        line = Line(actor, station.post, clock.read)
        is_writer_alive = partial(wire.is_held, wire_.folder, "writer")
        reads = Reads(Reader(settings.database))
        simulated = config.is_simulated()
        app = build(Parts(settings, actor, line, reads, is_writer_alive, simulated))
        log.get("api").info("started", pid=os.getpid())
        Server(app, settings, actor, station).run()
        log.get("api").info("stopped")
    except Exception:  # noqa: BLE001
        # As in shared.actor.run: say it, tell Sentry, and let supervisord start us anew.
        log.get("api").exception("crashed")
        log.flush()
        sys.exit(1)
    finally:
        wire_.close()


if __name__ == "__main__":
    main()
