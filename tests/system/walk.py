"""Calls every route and every refusal of the API, and prints what came back, a line a call.

python -m tests.system.walk            on an installation of its own: everything
python -m tests.system.walk URL KEY    on a running one: what can be asked from outside; whatever
                                       mail is accepted is due in 300 days and cancelled at the end
Exit code 0: every answer was as expected.
"""

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.system import asks, asks_orders, asks_posts, asks_refused, inside
from tests.system.amazon import Amazon
from tests.system.asks import MESSAGES, Ask
from tests.system.stack import KEY, Stack
from tests.system.walker import Walk, tell

TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:ses"
ZONE = "Europe/Berlin"  # its clocks skip an hour each spring


# ── from outside ──


def outside(walk: Walk, zone: ZoneInfo, topic_arn: str, cert_host: str | None = None) -> None:
    topic = f"walk-{secrets.token_hex(4)}"
    walk.all(asks.strangers())
    walk.all(asks.unreadable())
    walk.all(asks.misshapen())
    walk.all(asks.invalid(zone))
    walk.all(asks_refused.parameters())
    walk.all(asks_refused.names())
    walk.all(asks_refused.orders())
    walk.all(asks_refused.fields(zone))
    walk.all(asks.taken(topic, zone))
    walk.all(asks_orders.steered(topic, asks.TAKEN))
    for part in (asks_orders.mails, asks_orders.odd_names, asks_orders.suppressed):
        walk.all(part(f"{topic}-{part.__name__}"))
        walk.call(Ask("stop the rest", "DELETE", f"/v1/topics/{topic}-{part.__name__}", 200))
    walk.all(asks_orders.account())
    walk.all(asks.counts())
    walk.all(asks.pixels())
    walk.all(asks_posts.posts(topic_arn, cert_host))
    heads(walk)


def heads(walk: Walk) -> None:
    """What is refused before its body, or before it is a request."""
    host = b"Host: walk\r\nX-API-KEY: " + walk.key.encode() + b"\r\nConnection: close\r\n"
    json_ = b"Content-Type: application/json\r\n"
    for path in (MESSAGES, "/v1/suppressions"):
        large = b"POST " + path.encode() + b" HTTP/1.1\r\n" + host + json_
        large += b"Content-Length: 26214401\r\n\r\n"
        walk.raw(Ask("25 MB and a byte", "POST", path, 413, "too_large"), [large])
    walk.raw(Ask("no HTTP", "HELLO", "", 400, "bad_request"), [b"HELLO\r\n\r\n"])
    long = b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 17_000 + b"\r\n\r\n"
    walk.raw(Ask("a head of 17 KB", "GET", "/health", 431, "head_too_large"), [long])


# ── on an installation of our own ──


@contextmanager
def installation(folder: Path, amazon: Amazon, **more: str) -> Iterator[Stack]:
    stack = Stack(folder, SCHEDULE_TIMEZONE=ZONE, TRUSTED_PROXIES="127.0.0.1", **more)
    stack.settings(SNS_CERT_HOSTS=f"{stack.environment['SNS_CERT_HOSTS']},{amazon.host}")
    try:
        yield stack.start()
    finally:
        stack.close()


def everything(folder: Path) -> Walk:
    """Walk on an installation of our own, and on one without a listed topic beside it."""
    with ExitStack() as ends:
        amazon = Amazon(TOPIC_ARN)
        ends.callback(amazon.close)
        stack = ends.enter_context(installation(folder, amazon))
        stack.connect_events()
        walk = Walk(stack.url, KEY)
        ends.callback(walk.close)
        with ThreadPoolExecutor(2) as pool:
            slow = pool.submit(inside.slow_body, walk)
            other = pool.submit(without_topic, folder / "unlisted", amazon)
            outside(walk, ZoneInfo(ZONE), TOPIC_ARN, amazon.host)
            inside.everything(walk, stack, amazon)
            slow.result()
        walk.join(other.result())
    return walk


def without_topic(folder: Path, amazon: Amazon) -> Walk:
    """Walk where SNS_TOPIC_ARN is empty."""
    folder.mkdir()
    with installation(folder, amazon, SNS_TOPIC_ARN="") as stack:
        walk = Walk(stack.url, KEY)
        inside.unlisted(walk, amazon)
        walk.close()
    return walk


def main(arguments: list[str]) -> int:
    if len(arguments) == 2:
        walk = Walk(*arguments)
        zone = ZoneInfo(os.environ.get("SCHEDULE_TIMEZONE") or "Asia/Seoul")
        outside(walk, zone, os.environ.get("SNS_TOPIC_ARN") or TOPIC_ARN)
        walk.close()
    elif not arguments:
        with tempfile.TemporaryDirectory() as folder:
            walk = everything(Path(folder))
    else:
        tell(__doc__)
        return 2
    bad = len(walk.faults)
    tell(f"{walk.calls} calls, {f'{bad} not' if bad else 'all'} as expected")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
