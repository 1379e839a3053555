"""Makes the calls of a walk, judges each answer, and prints a line of it."""

import json
import socket
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import httpx2

from tests.system.asks import Ask

NEEDED = {
    401: "www-authenticate",
    429: "retry-after",
    503: "retry-after",
    "still_running": "retry-after",
}
"""Headers that a refusal must have, by status or code."""


class Walk:
    """Goes from call to call, and keeps what was not as expected."""

    def __init__(self, url: str, key: str) -> None:
        self.faults: list[str] = []
        self.calls = 0
        self.key = key
        self._url = url
        self.http = httpx2.Client(base_url=url, timeout=60)

    def close(self) -> None:
        self.http.close()

    def join(self, other: "Walk") -> None:
        """Count another walk's calls and faults as ours."""
        self.calls += other.calls
        self.faults += other.faults

    def all(self, asked: Iterable[Ask]) -> None:
        for ask in asked:
            self.call(ask)

    def call(self, ask: Ask, times: int = 1) -> None:
        """Make one call, so many times, and judge the last answer."""
        headers = [*ask.headers]
        keys = [self.key] if ask.key is None else ask.key
        headers += (("x-api-key", key) for key in keys)
        content = ask.body
        if content is not None and not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers.append(("content-type", "application/json"))
        for _ in range(times):
            answer = self.http.request(ask.method, ask.path, content=content, headers=headers)
        self._note(ask, answer, [*faults_of(ask, answer), *sealed(answer)])

    def raw(self, ask: Ask, pieces: Iterable[bytes]) -> None:
        """Say bytes that no HTTP client would, and judge the answer."""
        parts = urlsplit(self._url)
        with socket.create_connection((parts.hostname, parts.port or 80), 60) as line:
            for piece in pieces:
                line.sendall(piece)
            said = b""
            while chunk := line.recv(65536):
                said += chunk
        head, _, body = said.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        headers = [tuple(field.split(": ", 1)) for field in fields]
        answer = httpx2.Response(int(status.split()[1]), headers=headers, content=body)
        self._note(ask, answer, faults_of(ask, answer))

    def _note(self, ask: Ask, answer: httpx2.Response, faults: Iterable[str]) -> None:
        self.calls += 1
        is_json = answer.content and "json" in answer.headers.get("content-type", "")
        told = answer.json() if is_json else {}
        words = f"{told.get('code', '')}: {told['error']}" if "error" in told else answer.text
        line = f"{ask.method:6} {short(ask.path, 32):32} {short(ask.what, 42):42}"
        line += f" {ask.status} {answer.status_code} {short(words, 90)}"
        faults = [*faults]
        tell("BAD" if faults else "ok ", line, *faults)
        self.faults += (f"{line}: {fault}" for fault in faults)


def tell(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - what a script is for


def short(text: str, most: int) -> str:
    text = "".join(c if c.isprintable() and c.isascii() else "." for c in text)
    return text if len(text) <= most else f"{text[: most - 2]}.."


def faults_of(ask: Ask, answer: httpx2.Response) -> Iterator[str]:
    if answer.status_code != ask.status:
        yield f"status {answer.status_code}"
        return
    if ask.code:
        told = answer.json()
        if not told["error"] or told["code"] != ask.code:
            yield f"code {told['code']} instead of {ask.code}"
        first = [fault["pointer"] for fault in told["errors"]][:1]
        if ask.pointer is not None and first != [ask.pointer]:
            yield f"pointer {first} instead of {ask.pointer}"
        if not all(fault["message"] for fault in told["errors"]):
            yield "a fault without a sentence"
    # /ready has a status to tell, and nobody to ask for patience.
    name = "" if not ask.code else NEEDED.get(ask.status) or NEEDED.get(ask.code, "")
    if name and name not in answer.headers:
        yield f"no {name}"
    if not ask.fits(answer):
        yield "another answer"


def sealed(answer: httpx2.Response) -> Iterator[str]:
    """Every answer has these."""
    for name in ("x-request-id", "x-content-type-options", "cache-control"):
        if name not in answer.headers:
            yield f"no {name}"
