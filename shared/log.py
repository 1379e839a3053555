"""Structured log lines, with addresses masked, and Sentry where a DSN is set."""

import hashlib
import logging
import re
import sys
from collections import deque
from collections.abc import Mapping, MutableMapping
from itertools import islice
from typing import Any

import structlog

from shared.config import Settings

_WORD = r"[^\s<>\"'(),:;@\[\]]"
_ADDRESS = re.compile(rf"(?:\"[^\"\n]{{1,128}}\"|(?<!{_WORD}){_WORD}++)@(\[?{_WORD}++)")
"""Anything like an address; possessive, so that a long word costs its length, not its square."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CONTROL_IN_LINES = re.compile(rf"(?![\n\t]){_CONTROL.pattern}")
_LONGEST = 2000
_MOST_MASKED = 32 * _LONGEST
_LONGEST_TRACEBACK = 20_000
_MOST_ITEMS = 100
"""Of a list or mapping; with the lengths of texts it bounds a line, whatever is logged."""

_GRAVE = frozenset({"error", "critical", "exception"})

recent_errors: deque[str] = deque(maxlen=5)
"""The newest error lines of this process, as the stats socket shows them."""


def mask(text: str) -> str:
    """Hide the local part of every address: a short hash and the domain remain."""
    return _ADDRESS.sub(
        lambda found: (
            f"{hashlib.sha256(found[0].lower().encode(errors='replace')).hexdigest()[:8]}@{found[1]}"
        ),
        text,
    )


def scrub(value: Any) -> Any:
    """Mask addresses and control characters in every text of a nested value."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {scrub(key): scrub(item) for key, item in islice(value.items(), _MOST_ITEMS)}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [scrub(item) for item in islice(value, _MOST_ITEMS)]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    # Masked before it is cut: an address cut in two is none any more, and would stay.
    return mask(_CONTROL.sub("�", str(value)[:_MOST_MASKED]))[:_LONGEST]


def _scrub_lines(text: str) -> str:
    """Do the same to a traceback: its line breaks stay, and of a long one beginning and end."""
    masked = mask(_CONTROL_IN_LINES.sub("�", text))
    if len(masked) <= _LONGEST_TRACEBACK:
        return masked
    half = _LONGEST_TRACEBACK // 2
    return f"{masked[:half]}\n…\n{masked[-half:]}"


def _scrub_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if not key.startswith("_"):  # structlog's own, dropped before the line is written
            event[key] = _scrub_lines(value) if key == "exception" else scrub(value)
    return event


def _tell_sentry(
    _logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Report an error where it is logged, with its stack; `scrub_report` cleans it."""
    if method in _GRAVE:
        import sentry_sdk

        with sentry_sdk.new_scope() as scope:
            cause = event.get("exc_info")
            words = {k: v for k, v in event.items() if k != "exc_info" and not k.startswith("_")}
            # Scrubbed here already: the SDK turns bytes to text before `scrub_report` sees them.
            scope.set_context("event", scrub(words))
            if cause:
                scope.capture_exception(None if cause is True else cause)
            else:
                scope.capture_message(str(event.get("event", "")), level="error")
    return event


def _remember_errors(
    _logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if method in _GRAVE:
        cause = str(event.get("exception", "")).strip().rpartition("\n")[2]
        recent_errors.append(f"{event.get('event', '')}{cause and ': '}{cause}"[:300])
    return event


def configure(settings: Settings, process: str) -> None:
    """Set up logging for this process: one JSON line each, or plain text on a terminal."""
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        *([_tell_sentry] if settings.sentry_dsn else []),
        structlog.processors.format_exc_info,
        _scrub_event,
        _remember_errors,
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # what is not wanted costs next to nothing
            *chain,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in ("botocore", "urllib3", "asyncio", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)
    _watch_with_sentry(settings, process)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Answer the logger of an actor; its name is the actor's."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def bind(**words: str) -> None:
    """Put these words on every line of the task at hand, whoever writes it."""
    structlog.contextvars.bind_contextvars(**words)


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
