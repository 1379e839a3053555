"""Recipients and suppressions as CSV, streamed page by page."""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.api import history
from services.api.history import stamp
from services.api.line import Line
from services.api.query import parameters, topic_of
from services.api.reads import Reads
from services.api.recipients import read_filter
from services.api.refusal import Fault, wrong
from shared.store.listing import Recipient, Wanted

ROWS = 500
"""Rows of one page: the loop spells them within some milliseconds."""

COLUMNS = (
    "id",
    "topic_id",
    "email",
    "status",
    "code",
    "detail",
    "attempts",
    "priority",
    "message_id",
    "accepted_at",
    "scheduled_at",
    "expires_at",
    "sent_at",
    "result",
    "results",
    "opens",
    "maybe_duplicate",
    "duplicate_suspected",
)
_FREE = ("topic_id", "email", "code", "detail", "message_id")
"""Columns with words that are not ours."""
_FLAGS = ("maybe_duplicate", "duplicate_suspected")
SUPPRESSION_COLUMNS = ("email", "reason", "source", "detail", "created_at")

# Where a spreadsheet may begin a cell, be its separator a comma, a semicolon or a tab.
_FORMULA = re.compile("(^|[;,\t\r\n|])(?=\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class Export:
    """Streams CSV: one short read a page, none ahead of the client, whatever the size.

    A fault in mid-stream is raised through: the server then closes the connection without the
    chunk that ends a body, so that no client takes the part for the whole.
    """

    def __init__(self, line: Line, reads: Reads, zone: ZoneInfo) -> None:
        self._line = line
        self._reads = reads
        self._zone = zone

    async def recipients(self, request: Request) -> Response:
        """Export a topic's recipients, oldest first, as they are when their page is read."""
        name = topic_of(request, "status", "result")
        faults: list[Fault] = []
        asked = read_filter(parameters(request, "status", "result"), faults)
        if faults:
            raise wrong(faults)
        wanted = asked.within(await self._reads.topic(name))
        # What is accepted from now on is not waited for: the file has an end.
        upto = await self._reads.newest()
        safe = _UNSAFE.sub("_", f"recipients-{name}").strip("_-")[:100]
        self._line.count("exports")
        return _stream(request, f"{safe}.csv", self._recipients(wanted, upto))

    async def suppressions(self, request: Request) -> Response:
        """Export the suppression list, in the order of addresses."""
        parameters(request)
        await self._reads.newest()  # a database that cannot be read is a 503, not a broken file
        self._line.count("exports")
        return _stream(request, "suppressions.csv", self._suppressions())

    async def _recipients(self, wanted: Wanted | None, upto: int) -> AsyncIterator[bytes]:
        yield lines([COLUMNS])
        cursor = None if wanted is None else 0
        while wanted is not None and cursor is not None:
            page = await self._reads.up(wanted, cursor, upto, ROWS)
            if page.recipients:
                yield lines(self._row(one) for one in page.recipients)
            cursor = page.next

    async def _suppressions(self) -> AsyncIterator[bytes]:
        yield lines([SUPPRESSION_COLUMNS])
        rows = await self._reads.suppressions("", ROWS)
        while rows:
            yield lines((*map(harmless, one[:-1]), stamp(one.created_at)) for one in rows)
            rows = await self._reads.suppressions(rows[-1].email, ROWS)

    def _row(self, one: Recipient) -> list[object]:
        told: dict[str, Any] = history.told(one, self._zone)
        for column in _FREE:
            told[column] = harmless(told[column])
        told["results"] = "|".join(told["results"])
        for column in _FLAGS:
            told[column] = "true" if told[column] else "false"
        return [told[column] for column in COLUMNS]


def lines(rows: Iterable[Iterable[object]]) -> bytes:
    """Spell rows as CSV (RFC 4180) in UTF-8."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def harmless(text: str | None) -> str | None:
    """Put an apostrophe before what a spreadsheet would take for the beginning of a formula.

    In addresses too: `=1+1@example.com` is a good one, and anybody may have signed up with it.
    """
    return _FORMULA.sub(r"\1'", text) if text else text


def _stream(request: Request, name: str, body: AsyncIterator[bytes]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    kind = "text/csv; charset=utf-8; header=present"
    if request.method == "HEAD":  # its body would be made in full, and thrown away
        return Response(None, headers=headers, media_type=kind)
    return StreamingResponse(body, headers=headers, media_type=kind)
