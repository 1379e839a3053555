"""/v1/events: open pixels, the count of sent mail, and what SNS posts."""

import base64
import re

from starlette.requests import Request
from starlette.responses import Response

from services.api import head
from services.api.body import BodyRoom
from services.api.line import Line
from services.api.reads import Reads
from services.api.refusal import Fault, RefusalError, unavailable, wrong
from services.api.replies import reply
from services.api.serial import Serial
from shared.errors import StoreError
from shared.protocol import CheckPost, PostChecked
from shared.token import read_open_token

LARGEST_POST = 512 * 1024
"""Bytes; SNS sends at most 256 KB of message, escaped into an envelope."""
_ROOM = 32 * 1024 * 1024

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="
)
"""A transparent PNG of one pixel."""

LONGEST_HOURS = 8760
_CODES = {400: "bad_post", 403: "not_believed", 413: "too_large"}


class Events:
    """Takes in what comes back, and counts what went out."""

    def __init__(self, line: Line, reads: Reads) -> None:
        self._line = line
        self._reads = reads
        self._room = BodyRoom(_ROOM, LARGEST_POST)
        self._ids = Serial(32)

    async def open(self, request: Request) -> Response:
        """Answer with the pixel, whatever was asked; count it if the token is one of ours."""
        if request.method == "GET":
            await self._count_open(request.query_params.get("request_id", ""))
        return Response(PIXEL, media_type="image/png")

    async def sent(self, request: Request) -> Response:
        """Count what was sent in the last hours."""
        hours = _hours(request.query_params.get("hours", "24"))
        return reply({"count": await self._reads.sent_since(self._line.now().ms, hours)})

    async def results(self, request: Request) -> Response:
        """Hand an SNS post to `results`; 200 says that its events are committed."""
        if head.text(request.scope, b"x-amz-sns-rawdelivery").lower() == "true":
            told = "Raw message delivery has no signature: turn it off for this subscription."
            raise RefusalError(400, "raw_delivery", told)
        async with self._room.body(request) as raw:
            post = CheckPost(
                reply_to="api",
                post=self._ids.next(),
                message_type=head.text(request.scope, b"x-amz-sns-message-type"),
                body=raw,
            )
            checked = await self._line.check(post)
        if checked is None:
            raise unavailable("not_committed", "The post was not committed in time; post it again.")
        if checked.status != 200:
            raise _refused(checked)
        return reply({"status": "ok"})

    async def _count_open(self, token: str) -> None:
        try:
            secret = await self._reads.pixel_secret()
        except StoreError:
            self._line.count("opens_unreadable")
            return
        recipient = None if secret is None else read_open_token(secret, token)
        if recipient is None:
            self._line.count("opens_refused")
        else:
            self._line.open(recipient)


def _hours(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= LONGEST_HOURS:
        raise wrong([Fault("", f"hours must be a number from 1 to {LONGEST_HOURS}")])
    return int(text)


def _refused(checked: PostChecked) -> RefusalError:
    if checked.status >= 500:
        return unavailable("not_committed", checked.reason or "The post could not be committed.")
    code = _CODES.get(checked.status, "refused")
    return RefusalError(checked.status, code, checked.reason or "The post was refused.")
