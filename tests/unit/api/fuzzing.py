"""Requests straight to the API's ASGI application, and what holds of every answer."""

import asyncio
import json
import re
from collections.abc import Iterator
from email.headerregistry import Address
from email.parser import Parser
from typing import Any, NamedTuple

from shared.protocol import Order, ReleaseAtSes, Submit
from tests.unit.api.rig import WALL, Rig
from tests.unit.api.shelf import Shelf

CHANGES = Submit | Order | ReleaseAtSes
NOW_MS = int(WALL * 1000)


class Call(NamedTuple):
    """A request as uvicorn hands it on."""

    method: str
    path: str
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: tuple[bytes, ...] = ()


class Answered(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Fuzzed:
    """An API on a real database; requests go straight to its ASGI application."""

    def __init__(self, folder: Any) -> None:
        shelf = Shelf(folder)
        shelf.batch(shelf.topic("news"), *(f"u{n}@b.com" for n in range(3)))
        shelf.add("suppression", email="a@b.com", reason="left", source="api", created_at=1)
        self.rig = Rig(reader=shelf.reader)
        self.runner = asyncio.Runner()

    def ask(self, call: Call) -> Answered:
        self.rig.letters.clear()
        return self.runner.run(self._ask(call))

    def changes(self) -> list[Any]:
        return [letter for letter in self.rig.letters if isinstance(letter.message, CHANGES)]

    async def _ask(self, call: Call) -> Answered:
        pieces = iter(call.body or (b"",))
        left = len(call.body or (b"",))
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            if left < 0:
                await asyncio.Event().wait()  # the client is still there, and listens
            return {"type": "http.request", "body": next(pieces), "more_body": left > 0}

        async def send(message: Any) -> None:
            said.append(message)

        scope = {
            "type": "http",
            "method": call.method,
            "path": call.path,
            "raw_path": call.path.encode(),
            "root_path": "",
            "query_string": call.query,
            "headers": list(call.headers),
            "client": ("127.0.0.1", 1),
        }
        await self.rig.app(scope, receive, send)
        start, *rest = said
        assert start["type"] == "http.response.start"
        assert rest[-1].get("more_body", False) is False, "an answer that ends"
        names = [name for name, _ in start["headers"]]
        assert len(names) == len(set(names))
        for name, value in start["headers"]:
            assert not re.search(rb"[\r\n\0]", name + value)
        sent = b"".join(one.get("body", b"") for one in rest)
        return Answered(start["status"], dict(start["headers"]), sent)


def judge(fuzzed: Fuzzed, call: Call, answer: Answered) -> None:
    """Check what holds of every answer, whatever was asked."""
    assert 200 <= answer.status < 500, answer
    assert not 300 <= answer.status < 400
    assert answer.headers[b"x-content-type-options"] == b"nosniff"
    if answer.status >= 400:
        assert fuzzed.changes() == [], "what is refused changes nothing"
        assert answer.headers[b"content-type"] == b"application/json"
        if call.method != "HEAD":
            error = json.loads(answer.body)
            assert error["error"]
            assert re.fullmatch("[a-z_]+", error["code"])
            assert isinstance(error["errors"], list)
    if call.method in {"GET", "HEAD"}:
        assert fuzzed.changes() == [], "what only looks changes nothing"
    for letter in fuzzed.changes():
        if isinstance(letter.message, Submit):
            assert list(faults_of(letter.message)) == []


def faults_of(submit: Submit) -> Iterator[str]:
    """Look through a submission with other eyes than the API's."""
    count = 0
    for one in submit.mails:
        count += len(one.emails)
        if not one.subject or len(one.subject) > 998 or re.search(r"[\0-\x1f\x7f]", one.subject):
            yield f"subject {one.subject!r}"
        if one.topic is not None and (not one.topic or re.search(r"[\0-\x1f]", one.topic)):
            yield f"topic {one.topic!r}"
        if not one.content:
            yield "content"
        for email in one.emails:
            if not is_one_mailbox(email):
                yield f"address {email!r}"
        for name, value in one.headers:
            if list(Parser().parsestr(f"{name}: {value}\n\n").items()) != [(name, value)]:
                yield f"header {name!r}"
    if not 1 <= count <= 10_000:
        yield f"{count} addresses"
    for at in (submit.scheduled_at, submit.expires_at):
        if at is not None and not NOW_MS < at < NOW_MS + 400 * 86_400_000:
            yield f"time {at}"


def is_one_mailbox(email: str) -> bool:
    """Ask Python's own parser of addresses."""
    if not email.isascii() or not email.isprintable() or len(email) > 254 or " " in email:
        return False
    read = Address(addr_spec=email)
    return read.addr_spec == email and "." in read.domain and len(read.username) <= 64
