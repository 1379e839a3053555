"""Structured log lines, with addresses masked, and Sentry where a DSN is set."""

import hashlib
import logging
import re
import sys
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import msgspec
from typing_extensions import override

from shared.config import Settings
from shared.pen import Pen

_WORD = r"[^\s<>\"'(),:;@\[\]]"
_ADDRESS = re.compile(rf"(?:\"[^\"\n]{{1,128}}\"|(?<!{_WORD}){_WORD}++)@(\[?{_WORD}++)")
"""Anything like an address; possessive, so that a long word costs its length, not its square."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""With the halves of characters, which no encoding takes."""

_CONTROL_IN_LINES = re.compile(rf"(?![\n\t]){_CONTROL.pattern}")
_LONGEST = 2000
_MOST_MASKED = 32 * _LONGEST
_LONGEST_TRACEBACK = 20_000
_MOST_ITEMS = 100
"""Of a list or mapping; with the lengths of texts it bounds a line, whatever is logged."""

_GREEN, _YELLOW, _RED = "\x1b[32m", "\x1b[33m", "\x1b[31m"
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_COLOURS = {"info": _GREEN, "warning": _YELLOW, "error": _RED, "critical": _RED}
_NEEDS_NO_QUOTES = re.compile(r"[^\s='\"]+")

_encode = msgspec.json.Encoder().encode

_bound: ContextVar[Mapping[str, str]] = ContextVar("_bound", default=MappingProxyType({}))

recent_errors: deque[str] = deque(maxlen=5)
"""The newest error lines of this process, as the stats socket shows them."""


def mask(text: str) -> str:
    """Hide the local part of every address: a short hash and the domain remain."""
    if "@" not in text:
        return text
    return _ADDRESS.sub(
        lambda found: (
            f"{hashlib.sha256(found[0].lower().encode(errors='replace')).hexdigest()[:8]}@{found[1]}"
        ),
        text,
    )


def scrub(value: Any) -> Any:
    """Mask addresses and control characters in every text of a nested value."""
    if isinstance(value, str) and len(value) <= _LONGEST and value.isprintable():
        return mask(value)[:_LONGEST]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        items = islice(value.items(), _MOST_ITEMS)
        return {scrub(str(key)): scrub(item) for key, item in items}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [scrub(item) for item in islice(value, _MOST_ITEMS)]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    # Masked before it is cut: an address cut in two is none any more, and would stay.
    text = str(value)[:_MOST_MASKED]
    if not text.isprintable():
        text = _CONTROL.sub("�", text)
    return mask(text)[:_LONGEST]


def _scrub_lines(text: str) -> str:
    """Do the same to a traceback: its line breaks stay, and of a long one beginning and end."""
    masked = mask(_CONTROL_IN_LINES.sub("�", text))
    if len(masked) <= _LONGEST_TRACEBACK:
        return masked
    half = _LONGEST_TRACEBACK // 2
    return f"{masked[:half]}\n…\n{masked[-half:]}"


Cause: TypeAlias = BaseException | Literal[True] | None
"""An exception that explains a line; True is the one that is being handled."""


class Logger:
    """Writes an actor's lines: what happened, and the words that go with it."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **words: Any) -> None:
        """Say what is worth knowing only when something is looked for."""
        self._write(logging.DEBUG, {**words, "event": event})

    def info(self, event: str, **words: Any) -> None:
        """Say what happened."""
        self._write(logging.INFO, {**words, "event": event})

    def warning(self, event: str, *, exc_info: Cause = None, **words: Any) -> None:
        """Say what an operator should look at."""
        self._write(logging.WARNING, {**words, "event": event}, exc_info)

    def error(self, event: str, *, exc_info: Cause = None, **words: Any) -> None:
        """Say what went wrong; Sentry is told too."""
        self._write(logging.ERROR, {**words, "event": event}, exc_info)

    def exception(self, event: str, **words: Any) -> None:
        """Say what went wrong, with the exception that is being handled."""
        self._write(logging.ERROR, {**words, "event": event}, True)  # noqa: FBT003 - the exception at hand

    def _write(self, level: int, words: Mapping[str, Any], cause: Cause = None) -> None:
        if not self._logger.isEnabledFor(level):
            return
        error = sys.exc_info()[1] if cause is True else cause
        exc_info = None if error is None else (type(error), error, error.__traceback__)
        # Made here: Logger.log would look for the caller's file and line, which no line tells.
        record = logging.LogRecord(self._logger.name, level, "", 0, words, None, exc_info)
        self._logger.handle(record)


class _Lines(logging.Formatter):
    """Makes a line of whatever is logged, by us or by a library; errors are remembered, too."""

    def __init__(self, process: str, *, tells_sentry: bool) -> None:
        super().__init__()
        self._process = process
        self._tells_sentry = tells_sentry

    @override
    def format(self, record: logging.LogRecord) -> str:
        said = record.msg
        words = said if isinstance(said, dict) else {"event": record.getMessage()}
        line: dict[str, Any] = {
            **{name: scrub(value) for name, value in words.items()},
            "process": self._process,
            **_bound.get(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[
                :-6
            ]
            + "Z",
        }
        is_grave = record.levelno >= logging.ERROR
        if is_grave and self._tells_sentry:
            _tell_sentry(line, record.exc_info)
        if record.exc_info:
            line["exception"] = _scrub_lines(self.formatException(record.exc_info))
        if is_grave:
            cause = line.get("exception", "").strip().rpartition("\n")[2]
            recent_errors.append(f"{line['event']}{cause and ': '}{cause}"[:300])
        return self._render(line)

    def _render(self, line: dict[str, Any]) -> str:
        return _encode(line).decode()


class _Text(_Lines):
    """Makes lines for people, coloured on a terminal."""

    @override
    def _render(self, line: dict[str, Any]) -> str:
        level, event, logger = (line.pop(name) for name in ("level", "event", "logger"))
        traceback = line.pop("exception", "")
        words = " ".join(f"{name}={_quoted(value)}" for name, value in sorted(line.items()))
        level, event = f"{level:9}", f"{event:30}"
        if sys.stderr.isatty():
            level, event = (
                f"{_COLOURS.get(level.strip(), '')}{level}{_PLAIN}",
                f"{_BOLD}{event}{_PLAIN}",
            )
        return "\n".join(filter(None, (f"[{level}] {event} [{logger}] {words}", traceback)))


def _quoted(value: object) -> str:
    bare = isinstance(value, str) and _NEEDS_NO_QUOTES.fullmatch(value)
    return str(value) if bare else repr(value)


def _tell_sentry(line: Mapping[str, Any], cause: Any) -> None:
    """Report an error where it is logged, with its stack; `scrub_report` cleans it."""
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        # Scrubbed here already: the SDK turns bytes to text before `scrub_report` sees them.
        scope.set_context("event", scrub(line))
        if cause:
            scope.capture_exception(cause)
        else:
            scope.capture_message(str(line["event"]), level="error")


def configure(settings: Settings, process: str) -> None:
    """Set up logging for this process: one JSON line each, or plain text on a terminal."""
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    lines = _Text if text else _Lines
    handler = Pen(sys.stderr)
    handler.setFormatter(lines(process, tells_sentry=bool(settings.sentry_dsn)))
    # No line tells these, and every record asks the kernel for them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in ("botocore", "urllib3", "asyncio", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    _watch_with_sentry(settings, process)


def get(name: str) -> Logger:
    """Answer the logger of an actor; its name is the actor's."""
    return Logger(name)


def bind(**words: str) -> None:
    """Put these words on every line of the task at hand, whoever writes it."""
    _bound.set({**_bound.get(), **{name: scrub(word) for name, word in words.items()}})


def _watch_with_sentry(settings: Settings, process: str) -> None:
    if not settings.sentry_dsn:
        return
    import sentry_sdk
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        traces_sample_rate=settings.sentry_traces_sample_rate,
        # Libraries are patched only to be traced: the way of a mail is left alone otherwise.
        auto_enabling_integrations=settings.sentry_traces_sample_rate > 0,
        integrations=[LoggingIntegration(level=None, event_level=None)],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=lambda event, _hint: scrub_report(event),
        before_send_transaction=lambda event, _hint: scrub_report(event),
        before_breadcrumb=lambda crumb, _hint: scrub(crumb),
    )
    sentry_sdk.set_tag("process", process)


def scrub_report(event: Any) -> Any:
    """Take addresses and bodies out of a Sentry event before it leaves."""
    event.pop("request", None)
    return scrub(event)


def flush() -> None:
    """Give Sentry, where it is in use, two seconds to send what it has."""
    if "sentry_sdk" in sys.modules:
        sys.modules["sentry_sdk"].flush(timeout=2)
