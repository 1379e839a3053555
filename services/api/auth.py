"""Who may use the API: keys, and strangers who try too often."""

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from shared.clock import Now

MOST_FAILURES = 20
WINDOW_S = 60.0
_MOST_CLIENTS = 10_000


class Keys:
    """The configured keys, kept as digests."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def admit(self, presented: Sequence[bytes]) -> bool:
        """Tell whether exactly one key was presented and is one of ours.

        Digests of equal length are compared, all of them, so that time tells nothing.
        """
        digest = hashlib.sha256(presented[0] if len(presented) == 1 else b"").digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return len(presented) == 1 and any(matches)


class Proxies:
    """The proxies whose X-Forwarded-For is believed."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._networks = [ip_network(address, strict=False) for address in addresses]

    def client(self, peer: str, forwarded: Sequence[str]) -> str | None:
        """Answer who is asking, for counting; None for this machine, which is never limited.

        Behind a trusted proxy it is the right-most hop that is no trusted proxy: what stands left
        of it anybody may have written.
        """
        hops = [hop.strip() for line in forwarded for hop in line.split(",")]
        client = _parse(peer)
        while client is not None and self._trusts(client) and hops:
            client = _parse(hops.pop())
        if client is None:
            return "unknown"
        return None if client.is_loopback else _counted(client)

    def limited(self, peer: str) -> str | None:
        """Answer for whom a connection counts; None for this machine and trusted proxies."""
        client = _parse(peer)
        if client is not None and self._trusts(client):
            return None
        return self.client(peer, ())

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


@lru_cache(256)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _counted(client: IPv4Address | IPv6Address) -> str:
    """Count an IPv6 site as one: whoever has one address has 2^64 of them."""
    if isinstance(client, IPv6Address):
        return str(IPv6Network((client, 64), strict=False))
    return str(client)


class Strangers:
    """Failed attempts by client: after 20 within a minute it waits for the minute to end."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[float, int]] = {}

    def wait(self, client: str | None, now: Now) -> float:
        """Answer how many seconds the client has to wait; 0 for none."""
        if client is None:
            return 0.0
        began, count = self._failures.get(client, (0.0, 0))
        left = began + WINDOW_S - now.mono
        return left if count >= MOST_FAILURES and left > 0 else 0.0

    def fail(self, client: str | None, now: Now) -> None:
        """Count one failed attempt."""
        if client is None:
            return
        began, count = self._failures.get(client, (now.mono, 0))
        if began + WINDOW_S <= now.mono:
            began, count = now.mono, 0
        self._failures.pop(client, None)
        if len(self._failures) >= _MOST_CLIENTS:
            # The one that failed longest ago goes, so that memory stays bounded.
            self._failures.pop(next(iter(self._failures)))
        self._failures[client] = (began, count + 1)
