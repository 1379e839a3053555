"""The one HTTP edge of this actor: gets certificates, each on a thread of its own."""

import http.client
import ssl
import threading
import urllib.request
from queue import Empty, SimpleQueue

from services.results.certificate import LARGEST, Fetched, Source
from shared import clock

PATIENCE_S = 5.0


class BackgroundFetch:
    """Threads that get certificates, and the queue on which they come back.

    The keyring bounds how many run. They are daemons: none of them holds up the end of the process.
    """

    def __init__(self, patience: float = PATIENCE_S) -> None:
        self._patience = patience
        self._fetched: SimpleQueue[Fetched] = SimpleQueue()

    def ask(self, source: Source) -> None:
        """Begin to get a certificate."""
        threading.Thread(target=self._run, args=(source,), daemon=True).start()

    def take(self) -> list[Fetched]:
        """Answer what has come since."""
        fetched = []
        while True:
            try:
                fetched.append(self._fetched.get_nowait())
            except Empty:
                return fetched

    def _run(self, source: Source) -> None:
        try:
            fetched = Fetched(source.url, _get(source, self._patience))
        except (OSError, http.client.HTTPException, ValueError) as error:
            fetched = Fetched(source.url, b"", f"{type(error).__name__}: {error}"[:300])
        self._fetched.put(fetched)


def _get(source: Source, patience: float) -> bytes:
    deadline = clock.read().mono + patience
    with _opener(source).open(source.url, timeout=patience) as response:
        body = b""
        # Read piece by piece: a drip of single bytes keeps every socket's own time limit.
        while piece := response.read1(LARGEST):
            body += piece
            if len(body) > LARGEST:
                raise ValueError(f"more than {LARGEST} bytes were served")
            if clock.read().mono > deadline:
                raise TimeoutError("the answer takes too long")
        return body


def _opener(source: Source) -> urllib.request.OpenerDirector:
    """Put together an opener that follows no redirect, and knows plain http for loopback only.

    Proxies of the environment are used as AWS's own client uses them, but not for loopback.
    """
    opener = urllib.request.OpenerDirector()
    plain = urllib.request.HTTPHandler() if source.loopback else urllib.request.ProxyHandler()
    for handler in (
        urllib.request.HTTPSHandler(context=_tls(source)),
        plain,
        urllib.request.UnknownHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _tls(source: Source) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if source.loopback:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
