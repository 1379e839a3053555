"""Settings out of texts that need more than a type."""

from email.header import Header

LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "off": "error",
}


def rate(text: str) -> float | None:
    """Read recipients per second, None for `auto`."""
    if text.lower() == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"is {text!r}, but must be a number or auto") from None
    if not 0.01 <= value <= 100_000:
        raise ValueError(f"is {text}, but must lie between 0.01 and 100000")
    return value


def level(text: str) -> str:
    """Read a log level, by its own word or one that RUST_LOG knows."""
    if text.lower() not in LEVELS:
        raise ValueError(f"is {text!r}, but must be debug, info, warning or error")
    return LEVELS[text.lower()]


def from_address(text: str) -> str:
    """Encode a display name that is not ASCII (RFC 2047): SES takes it in no other form."""
    name, bracket, address = text.rpartition("<")
    if not bracket or name.isascii():
        return text
    words = Header(name.strip().strip('"'), "utf-8").encode(linesep="", maxlinelen=75)
    return f"{words} <{address}"
