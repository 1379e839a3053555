"""A mail as the body of a SendEmail call: the pixel, the tags, the headers; pure.

The HTML is cut once per content; for each recipient what is left to do is a join of bytes.
"""

import functools
import re
from typing import NamedTuple

import msgspec

from shared.domain import RecipientId, format_mid
from shared.protocol import Addressee, Headers
from shared.token import open_token

PIXEL_TAIL = '" width="1" height="1" alt="" style="display:block;border:0;width:1px;height:1px">'

_COMMENT_END = re.compile(r"--!?>")
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_json = msgspec.json.Encoder().encode


class Letterhead(NamedTuple):
    """What every mail of this installation shares."""

    sender: str = ""
    configuration_set: str = ""
    server_url: str = ""
    install: str = ""
    pixel_secret: bytes = b""

    @property
    def pixel_head(self) -> str:
        """The open pixel up to the token."""
        return f'<img src="{self.server_url.rstrip("/")}/v1/events/open?request_id='

    def token(self, recipient: RecipientId) -> str:
        """The token in one recipient's pixel."""
        return open_token(self.pixel_secret, recipient)


class Cut:
    """A content, cut where the pixel goes; its encoded stretches are made once, when needed."""

    def __init__(self, subject: str, html: str) -> None:
        place = pixel_place(html)
        self.subject = subject
        self.before = html[:place]
        self.after = html[place:]

    @functools.cached_property
    def simple(self) -> tuple[bytes, bytes]:
        """The `Simple` content as JSON, up to and after the pixel."""
        return (
            b'{"Simple":{"Subject":{"Data":'
            + _json(self.subject)
            + b',"Charset":"UTF-8"},"Body":{"Html":{"Data":"'
            + inner_json(self.before),
            inner_json(self.after) + b'","Charset":"UTF-8"}}',
        )

    @property
    def size(self) -> int:
        """About how many bytes this takes in memory, its encoded stretches included."""
        return 4 * (len(self.subject) + len(self.before) + len(self.after)) + 1000


def pixel_place(html: str) -> int:
    """Find where the open pixel goes: before the last `</body>` outside comments, else the end.

    A comment that is never closed swallows all that follows, so the end is where it begins.
    """
    place, start = -1, 0
    while True:
        comment = html.find("<!--", start)
        end = len(html) if comment < 0 else comment
        for found in _BODY_END.finditer(html, start, end):
            place = found.start()
        if comment < 0:
            break
        # `<!-->` and `<!--->` are whole comments (HTML standard, 13.2.5.43), hence + 2.
        closing = _COMMENT_END.search(html, comment + 2)
        if closing is None:
            break
        start = closing.end()
    return place if place >= 0 else end


def inner_json(text: str) -> bytes:
    """Encode a stretch of a JSON string, without its quotes."""
    return _json(text)[1:-1]


def single_body(head: Letterhead, cut: Cut, addressee: Addressee, headers: Headers) -> bytes:
    """Make the body of a SendEmail call to one recipient."""
    before, after = cut.simple
    return b"".join(
        (
            _single_start(head.sender),
            _json(addressee.email),
            b']},"Content":',
            before,
            inner_json(head.pixel_head),
            head.token(addressee.recipient).encode(),
            inner_json(PIXEL_TAIL),
            after,
            headers_json(headers),
            b'}},"EmailTags":',
            tags_json(head.install, addressee),
            set_json(head.configuration_set),
            b"}",
        )
    )


@functools.lru_cache(maxsize=4)
def _single_start(sender: str) -> bytes:
    return b'{"FromEmailAddress":' + _json(sender) + b',"Destination":{"ToAddresses":['


def tags_json(install: str, addressee: Addressee) -> bytes:
    """Encode the tags by which events find their recipient; their alphabet needs no escapes."""
    mid = format_mid(install, addressee.recipient)
    return (
        f'[{{"Name":"mid","Value":"{mid}"}},{{"Name":"att","Value":"{addressee.attempt}"}}]'
    ).encode()


@functools.lru_cache(maxsize=256)
def headers_json(headers: Headers) -> bytes:
    """Encode a mail's headers as a member that follows others, or nothing."""
    if not headers:
        return b""
    return b',"Headers":' + _json([{"Name": name, "Value": value} for name, value in headers])


def set_json(configuration_set: str) -> bytes:
    """Encode the configuration set as a member that follows others, or nothing."""
    return b',"ConfigurationSetName":' + _json(configuration_set) if configuration_set else b""
