"""events: posts of SNS verified, committed and answered, beside an app that answers 200."""

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

from scripts import stage
from scripts.benches.evidence import heard
from scripts.speed import plain
from scripts.speed.bed import Bed
from scripts.speed.load import press, whole
from scripts.speed.machine import busy
from scripts.speed.rounds import Line, Target
from scripts.speed.throughput import send
from services.simulator import sign
from services.simulator.envelope import Notice, Sealer
from services.simulator.events import SUBJECT, events_of
from services.simulator.parcels import Mail, RetryPolicy
from services.simulator.verdict import Fate
from shared.domain import RecipientId, format_mid
from shared.store import sql
from shared.store.open import open_reader

MAILS = 3_000
"""A round; each mail has a Send and a Delivery."""

CLIENTS = 256
"""Connections; with few of them three processes wait for each other in turn."""

KEY_BITS = 2048
"""As SNS's own."""

NOTHINGS = 4
"""How many times over the app that does nothing is asked: once is too soon over."""

_STATEMENTS = sql.load(str(Path(__file__).with_name("events.sql")))


class EventsError(Exception):
    """What was answered with 200 is not in the database."""


def run(rounds: int) -> list[Line]:
    """Measure posts of events of mail that was sent before, new ones each round."""
    ours, others = [], []
    key = sign.make_key(KEY_BITS)
    with (
        certificate(sign.certificate_of(key, datetime.now(UTC))) as url,
        Bed(MAX_SEND_PER_SECOND="100000", SES_SEND_API="bulk", SNS_CERT_HOSTS=_host(url)) as bed,
        plain.running() as port,
    ):
        sealer = Sealer(key, url, bed.simulator_url)
        for number in range(rounds + 1):
            posts = write_posts(bed, sealer, f"events{number}")
            answered = whole(press(bed.ports.api, posts, CLIENTS))
            if (events := heard(bed.database)) != (number + 1) * len(posts):
                raise EventsError(f"{events} events are committed")
            other = whole(press(port, posts * NOTHINGS, CLIENTS))
            if number:  # the first round warms up
                ours.append(answered)
                others.append(other)
    what = f"signed posts/s, {CLIENTS} connections; an app that answers 200 and does nothing"
    rates = tuple(x.rate for x in ours), tuple(x.rate for x in others)
    note = busy([x.idle for x in ours])
    return [
        Line("events", what, *rates, Target(at_least=0.25), note),
        Line("events", "p99 of an answer, ms", tuple(x.p99_ms for x in ours)),
    ]


def _rows(bed: Bed, statement: str, *values: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(open_reader(bed.database)) as connection:
        return connection.execute(_STATEMENTS[statement], values).fetchall()


def write_posts(bed: Bed, sealer: Sealer, topic: str) -> list[bytes]:
    """Send mail and write the posts SNS makes of it, two a mail: all Sends, then all Deliveries."""
    send(bed, MAILS, topic)
    ((install,),) = _rows(bed, "install")
    told = [events_of(_mail(row, install), stage.REGION) for row in _rows(bed, "sent", topic)]
    notices = [_notice(bed, events[kind].text) for kind in (0, 1) for events in told]
    with ThreadPoolExecutor() as pool:  # RSA leaves the interpreter's lock alone
        return list(pool.map(sealer.request, notices))


def _mail(row: tuple[Any, ...], install: str) -> Mail:
    number, email, message_id, attempts, sent_at = row
    return Mail(
        message_id=message_id,
        at_s=sent_at / 1000,
        source="letter@shop.example.com",
        to=[email],
        cc=[],
        bcc=[],
        subject="Bench",
        headers=[],
        tags=[("mid", format_mid(install, RecipientId(number))), ("att", str(attempts))],
        configuration_set="demo",
        operation="SendBulkEmail",
        fates=[Fate.DELIVERY],
    )


def _notice(bed: Bed, text: str) -> Notice:
    return Notice(
        kind="event",
        type="Notification",
        endpoint=f"{bed.url}/v1/events/results",
        topic_arn=stage.TOPIC_ARN,
        message_id=str(uuid.uuid4()),
        text=text,
        signature_version="2",
        retry=RetryPolicy(),
        at_s=time.time(),
        subject=SUBJECT,
        subscription_arn=f"{stage.TOPIC_ARN}:{uuid.uuid4()}",
    )


@contextlib.contextmanager
def certificate(pem: bytes) -> Iterator[str]:
    """Serve a certificate as SNS does, at the address that is yielded."""

    class Desk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pem)

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Desk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{sign.certificate_path(pem)}"
        server.shutdown()


def _host(url: str) -> str:
    return url.split("/")[2]
