import asyncio
import sys

import uvloop

from services.sender import http
from services.sender.actor import Sender
from services.sender.aws import Aws, Endpoint
from services.sender.journal import Journal
from services.sender.lane import MOST_IN_AIR
from services.sender.outcome import bare_address
from services.sender.plain import MOST_THREADS, PlainClient
from services.sender.render import Letterhead
from services.sender.ses import BULK_PATH, SINGLE_PATH, Post, SignedPost, Way
from services.sender.shell import Shell
from services.sender.side import AccountWatch, SideThread
from services.sender.voice import Terms
from shared import actor, clock, log
from shared.actor import Place, Station
from shared.config import Settings
from shared.wire import Wire


def main() -> None:
    """Run sender N (the first argument) until it is stopped."""
    index = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    name = f"sender-{index}"
    settings, wire, _lock = actor.prepare(name)
    with actor.lifetime(place(name), wire):
        uvloop.run(run(settings, wire, index))


def place(name: str) -> Place:
    """Answer where a sender runs."""
    return Place("sender", name, (name,))


async def run(settings: Settings, wire: Wire, index: int) -> None:
    """Wire one sender up and run it."""
    now, name = clock.read(), f"sender-{index}"
    terms = Terms(
        name=name,
        epoch=wire.epoch,
        workers=settings.sender_workers,
        lane=settings.ses_send_api,
        our_from=bare_address(settings.aws_ses_from_email),
        most_in_air=MOST_THREADS if settings.ses_client == "boto3" else MOST_IN_AIR,
    )
    journal = Journal(settings.data_dir / "journals" / f"{name}.log")
    aws = Aws(settings)
    way = await open_way(settings, aws)
    # One sender reads the account for all; the others would only spend SES's 1 call/s.
    watch = AccountWatch(now.wall % 1.0 if index == 0 else None)
    side = SideThread(aws, name, watch)
    shell = Shell(Sender(terms, journal.replayed, journal.begun), journal, way, side)
    shell.head = Letterhead(
        settings.aws_ses_from_email, settings.aws_ses_configuration_set, settings.server_url
    )
    station = Station(shell, place(name), wire)
    shell.ring = lambda: station.ring()  # noqa: PLW0108 - the station makes its bell when it runs
    log.get("sender").info("started", replayed=len(journal.replayed), trouble=aws.trouble)
    await station.run_async()
    side.close()
    await way.close()
    journal.close()


async def open_way(settings: Settings, aws: Aws) -> Way:
    """Open the way to SES that the settings name."""
    await asyncio.to_thread(aws.refresh)
    if settings.ses_client == "boto3":
        return await asyncio.to_thread(PlainClient, aws)
    endpoint = await asyncio.to_thread(aws.endpoint)
    # The first signatures make what all later ones have at hand; no mail shall wait for that.
    for path in (SINGLE_PATH, BULK_PATH):
        aws.sign(endpoint, endpoint.url + path, b"{}")
    return SignedPost(aws, endpoint, open_post(aws, endpoint))


def open_post(aws: Aws, endpoint: Endpoint) -> Post:
    """Open what carries signed requests; aiohttp knows the ways of proxies, at its price."""
    if endpoint.proxy is None:
        return http.Post(endpoint.url, aws.tls())
    from services.sender.proxied import ProxiedPost

    return ProxiedPost(endpoint.url, aws.tls(), endpoint.proxy, MOST_IN_AIR)


if __name__ == "__main__":
    main()
