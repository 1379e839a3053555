"""Every setting: read once, from the environment first and then from .env, checked whole."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from dotenv import dotenv_values
from msgspec import Meta, Struct

from shared.domain import OnUnknown
from shared.errors import SettingsError

EXIT_SETTINGS = 78
"""sysexits.h EX_CONFIG; supervisord.conf lists it, so that it is not taken for a crash."""

EXIT_ALREADY_RUNNING = 75
"""sysexits.h EX_TEMPFAIL: another process holds the lock."""

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[int, Meta(ge=1)]
Megabytes = Annotated[int, Meta(ge=0, le=65536)]


class Settings(Struct, frozen=True, kw_only=True):
    """The settings; a field's name in capitals is its environment variable."""

    server_port: Port = 8080
    """Port of the HTTP API."""
    server_host: str = "127.0.0.1"
    """Address the HTTP API listens on."""
    server_url: str
    """The API's URL as seen from outside; open pixels point there."""
    api_key: tuple[str, ...]
    """Keys of the API, comma-separated; several at once for rotation."""
    aws_region: str = "ap-northeast-2"
    """Region of SES and SNS."""
    aws_access_key_id: str = ""
    """AWS key; empty: boto3's credential chain (role, profile, …)."""
    aws_secret_access_key: str = ""
    """AWS secret; empty: boto3's credential chain."""
    aws_ses_from_email: str
    """From address, `a@example.com` or `Name <a@example.com>`."""
    aws_ses_configuration_set: str = ""
    """SES configuration set; without it events carry no tags."""
    max_send_per_second: float | None = 24
    """Recipients per second, or `auto` for the account's own rate."""
    ses_send_api: str = "auto"
    """`single` (SendEmail), `bulk` (SendBulkEmail), or `auto`: bulk from 160/s up."""
    ses_client: str = "async"
    """`async` (aiohttp, signed by botocore) or `boto3` (the plain client)."""
    on_unknown: OnUnknown = OnUnknown.CONFIRM_THEN_RESEND
    """What to do about a mail whose answer from SES was lost."""
    unknown_after: Seconds = 300
    """Seconds without an event before absence means anything."""
    sns_topic_arn: tuple[str, ...] = ()
    """Topics whose posts are believed, exact, comma-separated."""
    sns_cert_hosts: tuple[str, ...] = ()
    """Extra certificate hosts, `127.0.0.1:port`; loopback only."""
    sender_workers: Annotated[int, Meta(ge=1, le=64)] = 2
    """Number of sender processes."""
    data_dir: Path = Path("data")
    """Folder of database, journals and sockets."""
    db_cache_mb: Megabytes = 16
    """SQLite's page cache in the writer."""
    db_mmap_mb: Megabytes = 0
    """SQLite's memory map in the writer."""
    schedule_timezone: str = "Asia/Seoul"
    """Zone of a `scheduled_at` without an offset."""
    trusted_proxies: tuple[str, ...] = ()
    """Proxies whose X-Forwarded-For is believed, comma-separated addresses."""
    stats_socket: str = "tcp://127.0.0.1:5557"
    """ZeroMQ PUB socket of the monitor."""
    sentry_dsn: str = ""
    """Sentry project; empty: Sentry is not even imported."""
    sentry_traces_sample_rate: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Share of traces sent to Sentry."""
    log_level: str = "info"
    """debug, info, warning or error; RUST_LOG is understood too."""
    log_format: str = "auto"
    """`json`, `text`, or `auto`: text on a terminal."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone of times without an offset."""
        return ZoneInfo(self.schedule_timezone)

    @property
    def database(self) -> Path:
        """The one database file."""
        return self.data_dir / "ses-sender.db"


SECRETS = frozenset({"api_key", "aws_secret_access_key", "aws_access_key_id", "sentry_dsn"})
_LISTS = frozenset({"api_key", "sns_topic_arn", "sns_cert_hosts", "trusted_proxies"})
_LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "off": "error",
}
_CHOICES = {
    "ses_send_api": ("auto", "single", "bulk"),
    "ses_client": ("async", "boto3"),
    "log_format": ("auto", "json", "text"),
}


def load(environ: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Settings:
    """Read and check every setting, or raise SettingsError with a sentence for each fault.

    The environment wins over the file; a variable that is set but empty counts as not set.
    """
    given = os.environ if environ is None else environ
    path = Path(given.get("SES_SENDER_ENV_FILE", ".env")) if dotenv is None else dotenv
    return check({**_read_dotenv(path), **{k: v for k, v in given.items() if v.strip()}})


def _read_dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        values = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError([f"{path} is not UTF-8 text"]) from None
    broken = [key for key, value in values.items() if value is None]
    if broken:
        raise SettingsError([f"{path}: {key} has no value; write {key}=…" for key in broken])
    return {key: value for key, value in values.items() if value}


def check(raw: Mapping[str, str]) -> Settings:
    """Turn raw strings into Settings, collecting every fault before raising."""
    faults: list[str] = []
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        variable = field.name.upper()
        text = _pick(raw, variable)
        if text is None:
            if field.required:
                faults.append(f"{variable} is missing: set it in the environment or in .env")
            continue
        try:
            values[field.name] = _convert(field.name, field.type, text)
        except ValueError as error:
            faults.append(f"{variable} {error}")
    faults += _cross_check(values)
    if faults:
        raise SettingsError(faults)
    return Settings(**values)


def _pick(raw: Mapping[str, str], variable: str) -> str | None:
    if variable == "LOG_LEVEL" and not raw.get("LOG_LEVEL", "").strip():
        # `info,sqlx=warn` is how the ancestor's users write it: the first word is the level.
        rust = raw.get("RUST_LOG", "").split(",")[0].strip().lower()
        return rust if rust in _LEVELS else None
    text = raw.get(variable, "").strip()
    return text or None


def _convert(name: str, kind: Any, text: str) -> Any:
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("has a line break or control character in it")
    if name in _LISTS:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if name in _CHOICES and text not in _CHOICES[name]:
        raise ValueError(f"is {text!r}, but must be one of {', '.join(_CHOICES[name])}")
    if name == "max_send_per_second":
        return _rate(text)
    if name == "log_level":
        if text.lower() not in _LEVELS:
            raise ValueError(f"is {text!r}, but must be debug, info, warning or error")
        return _LEVELS[text.lower()]
    if kind is Path:
        return Path(text)
    return _plain(name, kind, text)


def _plain(name: str, kind: Any, text: str) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        shown = "the value" if name in SECRETS else repr(text)
        reason = str(error).replace("`", "").lower()
        raise ValueError(f"is {shown}, which does not fit: {reason}") from None


def _rate(text: str) -> float | None:
    if text.lower() == "auto":
        return None
    try:
        rate = float(text)
    except ValueError:
        raise ValueError(f"is {text!r}, but must be a number or auto") from None
    if not 0.01 <= rate <= 100_000:
        raise ValueError(f"is {text}, but must lie between 0.01 and 100000")
    return rate


def _cross_check(values: dict[str, Any]) -> list[str]:
    """Check what one value alone cannot tell."""
    checks: dict[str, Callable[[Any], str]] = {
        "server_url": _url_fault,
        "api_key": _key_fault,
        "aws_region": _region_fault,
        "aws_ses_from_email": _from_fault,
        "aws_ses_configuration_set": _set_fault,
        "sns_topic_arn": _arn_fault,
        "sns_cert_hosts": _cert_host_fault,
        "schedule_timezone": _zone_fault,
        "stats_socket": _socket_fault,
    }
    faults = [
        f"{name.upper()} {fault}"
        for name, rule in checks.items()
        if name in values and (fault := rule(values[name]))
    ]
    pair = ("aws_access_key_id", "aws_secret_access_key")
    if len([name for name in pair if values.get(name)]) == 1:
        faults.append("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together: set both or none")
    return faults


def _url_fault(url: str) -> str:
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return f"is {url!r}, which is no URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
        return f"is {url!r}, but must look like https://mail.example.com"
    if parts.path.rstrip("/") or parts.query or parts.fragment or parts.username:
        return f"is {url!r}, but must have no path, query or user in it"
    return ""


def _key_fault(keys: tuple[str, ...]) -> str:
    if not keys or any(len(key) < 16 for key in keys):
        return "has a key shorter than 16 characters; make one with: openssl rand -hex 24"
    if any(not key.isascii() for key in keys):
        return "has characters that are not ASCII"
    if any("change" in key.lower() and "me" in key.lower() for key in keys):
        return "is still the sample; make one with: openssl rand -hex 24"
    return ""


def _region_fault(region: str) -> str:
    if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        return ""
    return f"is {region!r}, which is no AWS region"


def _from_fault(sender: str) -> str:
    address = re.fullmatch(r"(?:[^<>]*<)?([^<>@\s]+@[^<>@\s]+\.[^<>@\s]+)>?", sender.strip())
    if address and (">" in sender) == ("<" in sender) and address[1].split("@")[0].isascii():
        return ""
    return f"is {sender!r}, but must be an address or Name <address>"


def _set_fault(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return ""
    return f"is {name!r}, but may hold only letters, digits, - and _, at most 64"


def _arn_fault(arns: tuple[str, ...]) -> str:
    for arn in arns:
        if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}", arn):
            return f"has {arn!r}, which is no ARN of an SNS topic"
    return ""


def _cert_host_fault(hosts: tuple[str, ...]) -> str:
    for host in hosts:
        name = host.rpartition(":")[0] or host
        if not re.fullmatch(r"127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\[::1\]", name):
            return f"has {host!r}, but only loopback hosts may be added"
    return ""


def _zone_fault(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"is {zone!r}, which is no time zone; use a name such as Europe/Berlin"
    return ""


def _socket_fault(address: str) -> str:
    if re.fullmatch(r"tcp://(127\.\d+\.\d+\.\d+|localhost):\d{1,5}|ipc://.+", address):
        return ""
    return f"is {address!r}, but must be tcp://127.0.0.1:PORT or ipc://PATH"


def shown(settings: Settings) -> dict[str, str]:
    """Answer the settings for the start-up log, secrets masked."""
    out = {}
    for name in Settings.__struct_fields__:
        value = getattr(settings, name)
        text = ", ".join(value) if isinstance(value, tuple) else str(value)
        out[name.upper()] = ("set" if value else "not set") if name in SECRETS else text
    return out


def under_supervisord() -> bool:
    """Tell whether supervisord started this process."""
    return "SUPERVISOR_ENABLED" in os.environ
