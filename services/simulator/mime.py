"""What SES reads out of a raw MIME mail."""

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import getaddresses
from typing import Final

from services.simulator.errors import bad_request
from services.simulator.shapes import Tag
from services.simulator.template import Rendered

_PARSER: Final = BytesParser(policy=policy.default)
_TAGS: Final = "X-SES-MESSAGE-TAGS"
_SET: Final = "X-SES-CONFIGURATION-SET"


def read(raw: bytes) -> EmailMessage:
    """Parse a raw mail, or refuse it."""
    if not raw.strip():
        msg = "Raw message is empty."
        raise bad_request(msg)
    return _PARSER.parsebytes(raw)


def addresses(mail: EmailMessage, header: str) -> list[str]:
    """List the bare addresses of one header."""
    values = [str(value) for value in mail.get_all(header, [])]
    return [address for _name, address in getaddresses(values) if address]


def subject(mail: EmailMessage) -> str:
    """Give the decoded subject."""
    return str(mail.get("Subject", ""))


def sender(mail: EmailMessage) -> str | None:
    """Give the From header."""
    return str(mail["From"]) if "From" in mail else None


def configuration_set(mail: EmailMessage) -> str | None:
    """Give the configuration set a header asks for."""
    return str(mail[_SET]).strip() if _SET in mail else None


def tags(mail: EmailMessage) -> list[Tag]:
    """Give the tags a header carries, as `name=value, name=value`."""
    pairs = str(mail.get(_TAGS, "")).replace(";", ",").split(",")
    cut = [pair.partition("=") for pair in pairs if "=" in pair]
    return [Tag(name.strip(), value.strip()) for name, _, value in cut]


def headers(mail: EmailMessage) -> list[tuple[str, str]]:
    """List the headers that leave SES: its own control headers do not."""
    hidden = {_TAGS, _SET, "BCC"}
    return [(name, str(value)) for name, value in mail.items() if name.upper() not in hidden]


def rendered(mail: EmailMessage) -> Rendered:
    """Give the subject and the bodies as a reader sees them."""
    html = mail.get_body(("html",))
    text = mail.get_body(("plain",))
    return Rendered(
        subject(mail),
        None if html is None else str(html.get_content()),
        None if text is None else str(text.get_content()),
    )
