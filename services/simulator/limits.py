"""What SES refuses in a request before it looks at the account (ses-sns.md section 1.3)."""

import functools
import re
from typing import Final

from services.simulator.errors import RefusalError, bad_request
from services.simulator.shapes import Attachment, Header, Tag

MOST_RECIPIENTS: Final = 50
MOST_HEADERS: Final = 15
MOST_TAGS: Final = 50
MOST_TEMPLATE_DATA: Final = 262_144
MOST_INLINE: Final = 1_048_576
MOST_MESSAGE: Final = 41_943_040
_MOST_HEADER: Final = 996
_MOST_LOCAL: Final = 64
_MOST_ADDRESS: Final = 320
_MOST_FILE_NAME: Final = 255

_PLAIN = re.compile(
    r"(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
)
_CONTROL = re.compile(r"[^!-~]")
_DOMAIN = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
_HEADER_NAME = re.compile(r"[!-9;-@A-~]{1,126}")
_HEADER_VALUE = re.compile(r"[ -~]{1,995}")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SET_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OURS = frozenset(
    [
        "bcc",
        "cc",
        "content-disposition",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "reply-to",
        "return-path",
        "subject",
        "to",
    ]
)
_ONCE = frozenset(
    ["list-unsubscribe", "list-unsubscribe-post", "list-id", "precedence", "auto-submitted"]
)


def bare(address: str) -> str:
    """Take the address out of `Name <address>`."""
    if address.endswith(">") and "<" in address:
        return address[address.rfind("<") + 1 : -1].strip()
    return address.strip()


def address_problem(address: str) -> str | None:
    """Say in SES's words what is wrong with an address, or nothing."""
    if _PLAIN.fullmatch(address):
        return None
    inner = bare(address)
    if not address.isascii() and inner != address.strip() and inner.isascii():
        return "Display name contains non-ASCII characters"
    return _bare_problem(inner)


def _bare_problem(inner: str) -> str | None:
    local, at, domain = inner.rpartition("@")
    found = None
    if not at or not domain:
        found = "Missing final '@domain'"
    elif not local or len(local) > _MOST_LOCAL or len(inner) > _MOST_ADDRESS:
        found = "Missing local name" if not local else "Local address is too long"
    elif _CONTROL.search(local) and not _quoted(local):
        found = "Local address contains control or whitespace"
    elif _CONTROL.search(domain):
        found = "Domain contains control or whitespace"
    elif not _DOMAIN.fullmatch(domain) or "@" in local.strip('"'):
        found = "Domain contains illegal character"
    elif _dots(local) or _dots(domain):
        found = "Illegal address: misplaced dot"
    return found


def _quoted(local: str) -> bool:
    return local.isascii() and local.isprintable() and local[0] == local[-1] == '"'


def _dots(text: str) -> bool:
    return text.startswith(".") or text.endswith(".") or ".." in text


@functools.lru_cache(maxsize=256)
def check_sender(address: str | None) -> str:
    """Return the From address, or refuse it."""
    if not address:
        msg = "FromEmailAddress is missing"
        raise bad_request(msg)
    problem = address_problem(address)
    if problem is not None:
        raise bad_request(problem)
    return address


def check_everyone(addresses: list[str]) -> None:
    """Refuse too many, too few or unreadable recipients."""
    if not addresses:
        msg = "Destination is missing: at least one recipient is needed"
        raise bad_request(msg)
    check_count(len(addresses))
    for address in addresses:
        problem = address_problem(address)
        if problem is not None:
            raise bad_request(problem)


def check_count(recipients: int) -> None:
    """Refuse more recipients than one call may have."""
    if recipients > MOST_RECIPIENTS:
        msg = f"Recipient count exceeds {MOST_RECIPIENTS}."
        raise bad_request(msg)


def check_headers(headers: list[Header]) -> None:
    """Refuse headers SES does not let a caller set."""
    if len(headers) > MOST_HEADERS:
        raise _member("headers", f"Member must have length less than or equal to {MOST_HEADERS}")
    seen: set[str] = set()
    for header in headers:
        name = header.name.lower()
        if not _HEADER_NAME.fullmatch(header.name):
            raise _member("headers.name", "Member must satisfy regular expression pattern")
        if not _HEADER_VALUE.fullmatch(header.value):
            raise _member("headers.value", "Member must satisfy regular expression pattern: [ -~]*")
        if len(header.name) + len(header.value) > _MOST_HEADER:
            raise _member("headers", f"Name and value must not exceed {_MOST_HEADER} characters")
        if name in _OURS or (name in _ONCE and name in seen):
            msg = f"Header name '{header.name}' is not allowed or appears more than once"
            raise bad_request(msg)
        seen.add(name)


def check_tags(tags: list[Tag]) -> None:
    """Refuse tags outside SES's alphabet."""
    if len(tags) > MOST_TAGS:
        msg = f"Too many message tags: at most {MOST_TAGS} are allowed."
        raise bad_request(msg)
    for tag in tags:
        if _TAG.fullmatch(tag.name) and _TAG.fullmatch(tag.value):
            continue
        what, text = ("value", tag.value) if _TAG.fullmatch(tag.name) else ("name", tag.name)
        msg = (
            f"Invalid tag {what}: <{text[:80]}>, only alphanumeric ASCII characters,"
            " '_', and '-' are allowed."
        )
        raise bad_request(msg)


def check_attachments(attachments: list[Attachment]) -> None:
    """Refuse attachments without a usable name."""
    for attachment in attachments:
        if not 0 < len(attachment.file_name) <= _MOST_FILE_NAME:
            raise _member("attachments.fileName", "Member must have length between 1 and 255")


def check_length(size: int) -> None:
    """Refuse a mail above 40 MB."""
    if size > MOST_MESSAGE:
        msg = f"Message length is more than {MOST_MESSAGE} bytes long: '{size}'."
        raise bad_request(msg)


def check_template_data(data: str | None, where: str) -> None:
    """Refuse template data above 262,144 characters."""
    if data is not None and len(data) > MOST_TEMPLATE_DATA:
        wanted = f"Member must have length less than or equal to {MOST_TEMPLATE_DATA}"
        raise _member(where, wanted)


def check_set_name(name: str) -> None:
    """Refuse a configuration set's name outside SES's alphabet."""
    if not _SET_NAME.fullmatch(name):
        msg = f"Invalid configuration set name <{name[:80]}>."
        raise bad_request(msg)


def _member(where: str, wanted: str) -> RefusalError:
    return bad_request(
        f"1 validation error detected: Value at '{where}' failed to satisfy constraint: {wanted}"
    )
