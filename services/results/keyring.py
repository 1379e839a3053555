"""Certificates by address: known ones at hand, others fetched in the background, failures brief."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from services.results import certificate
from services.results.certificate import Certificate, Fetched, Source, Unfit
from shared.clock import Now

FAILURE_S = 10.0
"""How long a failure is believed: shorter than SNS's 20 s between attempts."""

_FETCH_S = 10.0
_MOST_FETCHES = 8
_MOST_KNOWN = 64
_MOST_FAILED = 256


class Fetch(Protocol):
    """Gets what sources serve, elsewhere, while the actor goes on."""

    def ask(self, source: Source) -> None:
        """Begin to get a certificate."""

    def take(self) -> Iterable[Fetched]:
        """Answer what has come since."""


class _Asked(NamedTuple):
    source: Source
    give_up: float


class _Failed(NamedTuple):
    unfit: Unfit
    until: float


class Keyring:
    """Certificates of SNS; bounded, as a stranger may name any number of addresses."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetches = 0
        self.failures = 0
        self._fetch = fetch
        self._known: dict[str, Certificate] = {}
        self._failed: dict[str, _Failed] = {}
        self._asked: dict[str, _Asked] = {}

    @property
    def trouble(self) -> str:
        """Name the newest failure that is still believed."""
        for url, failed in reversed(self._failed.items()):
            return f"{url}: {failed.unfit.reason}"
        return ""

    @property
    def is_fetching(self) -> bool:
        """Tell whether a certificate is on its way."""
        return bool(self._asked)

    def find(self, source: Source, now: Now) -> Certificate | Unfit | None:
        """Answer the certificate of a source, why there is none, or None while it is fetched."""
        known = self._known.get(source.url)
        if known is not None and known.is_valid(now.wall):
            return known
        failed = self._failed.get(source.url)
        if failed is not None:
            return failed.unfit
        if source.url in self._asked:
            return None
        if len(self._asked) >= _MOST_FETCHES:
            return Unfit("too many other certificates are being fetched")
        self._asked[source.url] = _Asked(source, now.mono + _FETCH_S)
        self.fetches += 1
        self._fetch.ask(source)
        return None

    def collect(self, now: Now) -> list[str]:
        """Take what has come; answer the addresses that `find` now has an answer for."""
        self._forget_failures(now)
        settled = []
        for fetched in self._fetch.take():
            asked = self._asked.pop(fetched.url, None)
            if asked is not None:
                self._settle(asked.source, self._judge(fetched, asked.source, now), now)
                settled.append(fetched.url)
        # A name server that does not answer holds a fetch up for longer than its own time limit.
        for url, asked in list(self._asked.items()):
            if now.mono >= asked.give_up:
                del self._asked[url]
                self._settle(asked.source, Unfit(f"no answer in {_FETCH_S:.0f} s"), now)
                settled.append(url)
        return settled

    def _judge(self, fetched: Fetched, source: Source, now: Now) -> Certificate | Unfit:
        if fetched.error:
            return Unfit(fetched.error)
        return certificate.load(fetched.pem, source, now.wall)

    def _settle(self, source: Source, found: Certificate | Unfit, now: Now) -> None:
        if isinstance(found, Unfit):
            self.failures += 1
            self._failed[source.url] = _Failed(found, now.mono + FAILURE_S)
            _trim(self._failed, _MOST_FAILED)
        else:
            self._known[source.url] = found
            _trim(self._known, _MOST_KNOWN)

    def _forget_failures(self, now: Now) -> None:
        """Forget what failed long enough ago; the oldest stands first."""
        while self._failed and now.mono >= next(iter(self._failed.values())).until:
            del self._failed[next(iter(self._failed))]


def _trim(entries: dict[str, Certificate] | dict[str, _Failed], most: int) -> None:
    """Drop the oldest entries beyond a number."""
    while len(entries) > most:
        del entries[next(iter(entries))]
