import os
from functools import partial

from services.api import readiness
from services.api.actor import Api
from services.api.app import Parts, build
from services.api.line import Line
from services.api.reads import Reads
from services.api.server import Server
from shared import clock, config, log, setting_rules, wire
from shared.actor import Place, Station, lifetime, prepare
from shared.store.read import Reader


def main() -> None:
    """Run the API from settings to exit."""
    place = Place("api", "api", ("api",))
    settings, wire_, _lock = prepare(place.process)
    with lifetime(place, wire_):
        actor = Api(wire_.epoch)
        station = Station(actor, place, wire_)
        line = Line(actor, station.post, clock.read)
        is_writer_alive = partial(wire.is_held, wire_.folder, "writer")
        reads = Reads(Reader(settings.database))
        simulated = config.is_simulated()
        app = build(Parts(settings, actor, line, reads, is_writer_alive, simulated))
        log.get("api").info("settings", **config.shown(settings))
        for remark in setting_rules.remarks(settings.api_key, simulated=simulated):
            log.get("api").warning(remark)
        for remark in config.exposed(settings):
            log.get("api").warning(remark)
        for spot in readiness.blind_spots(settings):
            log.get("api").warning(spot)
        log.get("api").info("started", pid=os.getpid())
        Server(app, settings, actor, station).run()


if __name__ == "__main__":
    main()
