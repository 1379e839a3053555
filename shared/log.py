"""Structured log lines, with addresses masked, and Sentry where a DSN is set."""

import hashlib
import logging
import re
import sys
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from shared.config import Settings

_ADDRESS = re.compile(r"[^\s<>\"'(),:;@\[\]]+@([A-Za-z0-9.-]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LONGEST = 2000

recent_errors: deque[str] = deque(maxlen=5)
"""The newest error lines of this process, as the stats socket shows them."""


def mask(text: str) -> str:
    """Hide the local part of every address: a short hash and the domain remain."""
    return _ADDRESS.sub(
        lambda found: f"{hashlib.sha256(found[0].lower().encode()).hexdigest()[:8]}@{found[1]}",
        text,
    )


def scrub(value: Any) -> Any:
    """Mask addresses and control characters in every text of a nested value."""
    if isinstance(value, str):
        return mask(_CONTROL.sub("�", value[:_LONGEST]))
    if isinstance(value, Mapping):
        return {scrub(key): scrub(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [scrub(item) for item in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return value


def _scrub_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key in list(event):
        # The traceback has its own line breaks; its text is masked all the same.
        event[key] = mask(event[key]) if key == "exception" else scrub(event[key])
    return event


def _remember_errors(
    _logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if method in {"error", "critical", "exception"}:
        recent_errors.append(str(event.get("event", ""))[:300])
    return event


def configure(settings: Settings, process: str) -> None:
    """Set up logging for this process: one JSON line each, or plain text on a terminal."""
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        _scrub_event,
        _remember_errors,
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
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


def _watch_with_sentry(settings: Settings, process: str) -> None:
    if not settings.sentry_dsn:
        return
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        traces_sample_rate=settings.sentry_traces_sample_rate,
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
