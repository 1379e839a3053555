"""Every setting: read once, from the environment first and then from .env, checked whole."""

import enum
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from dotenv.parser import parse_stream
from msgspec import Meta, Struct

from shared import setting_rules, setting_texts
from shared.domain import OnUnknown
from shared.errors import SettingsError

EXIT_SETTINGS = 78
"""sysexits.h EX_CONFIG; supervisord.conf lists it, so that it is not taken for a crash."""

EXIT_ALREADY_RUNNING = 75
"""sysexits.h EX_TEMPFAIL: another process holds the lock."""

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[int, Meta(ge=1)]
Megabytes = Annotated[int, Meta(ge=0, le=65536)]
Share = Annotated[float, Meta(gt=0, le=1)]
Days = Annotated[int, Meta(ge=0, le=36500)]


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
    """`async` (signed by botocore) or `boto3` (the plain client)."""
    urgent_share: Annotated[float, Meta(ge=0.1, le=0.99)] = 0.9
    """Part of the rate that urgent mail may take while bulk mail waits."""
    pause_at_bounce_rate: Share = 0.08
    """Bounces per mail of 24 hours at which bulk mail is paused; 1: never."""
    pause_at_complaint_rate: Share = 0.004
    """Complaints per mail of 24 hours at which bulk mail is paused; 1: never."""
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
    retention_days: Days = 0
    """Days after which recipients are deleted; 0: they are kept."""
    raw_event_days: Days = 90
    """Days after which single events are deleted (what they came to is kept); 0: they are kept."""
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
    """`json`, `text`, or `auto`: text where it is started in a terminal."""

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
_CHOICES = {
    "ses_send_api": ("auto", "single", "bulk"),
    "ses_client": ("async", "boto3"),
    "log_format": ("auto", "json", "text"),
    "on_unknown": tuple(choice.value for choice in OnUnknown),
}


def load(environ: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Settings:
    """Read and check every setting, or raise SettingsError with a sentence for each fault.

    The environment wins over the file; a variable that is set but empty counts as not set.
    """
    raw, found = _gather(environ, dotenv)
    if environ is None:
        # boto3 reads the environment alone: AWS_PROFILE, AWS_SESSION_TOKEN or an endpoint in .env
        # must reach it too.
        os.environ.update({k: v for k, v in raw.items() if k.startswith("AWS_")})
    return check(raw, found)


def load_one(
    variable: str, environ: Mapping[str, str] | None = None, dotenv: Path | None = None
) -> Any:
    """Read one setting without asking for the others: for tools beside a running installation."""
    field = next(f for f in msgspec.structs.fields(Settings) if f.name == variable.lower())
    text = _pick(_gather(environ, dotenv)[0], variable)
    if text is None:
        return field.default
    try:
        value = _convert(field.name, field.type, text)
    except ValueError as error:
        raise SettingsError([f"{variable} {error}"]) from None
    if faults := list(setting_rules.faults({field.name: value})):
        raise SettingsError(faults)
    return value


def _gather(
    environ: Mapping[str, str] | None, dotenv: Path | None
) -> tuple[dict[str, str], list[str]]:
    """Answer every variable as text, and a sentence for each thing that could not be read."""
    given = os.environ if environ is None else environ
    named = given.get("SES_SENDER_ENV_FILE", "").strip()
    path = dotenv or Path(named or ".env")
    values, faults = _read_dotenv(path)
    if named and not path.is_file():
        faults.append(f"SES_SENDER_ENV_FILE names {named}, which is no file")
    return {**values, **{k: v for k, v in given.items() if v.strip()}}, faults


def _read_dotenv(path: Path) -> tuple[dict[str, str], list[str]]:
    if not path.is_file():
        return {}, []
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = list(parse_stream(file))
    except UnicodeDecodeError:
        return {}, [f"{path} is not UTF-8 text"]
    except OSError as error:
        return {}, [f"{path} cannot be read: {error.strerror}"]
    # A bad line is named by its number only: it may hold a secret.
    faults = [
        f"{path}, line {line.original.line} cannot be read: write KEY=value; close every quote"
        for line in lines
        if line.error or (line.key and line.value is None)
    ]
    return {line.key: line.value for line in lines if line.key and line.value}, faults


def check(raw: Mapping[str, str], found: Iterable[str] = ()) -> Settings:
    """Turn raw strings into Settings; raise every fault at once, those `found` before too."""
    faults = list(found)
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
    faults += setting_rules.faults(values)
    known = {field.name: field.default for field in msgspec.structs.fields(Settings)} | values
    faults += setting_rules.clash(known["server_port"], known["stats_socket"])
    if faults:
        raise SettingsError(faults)
    return Settings(**values)


def _pick(raw: Mapping[str, str], variable: str) -> str | None:
    if variable == "LOG_LEVEL" and not raw.get("LOG_LEVEL", "").strip():
        # The ancestor's users write `info,sqlx=warn`: the word without a module is the level.
        words = [word.strip().lower() for word in raw.get("RUST_LOG", "").split(",")]
        return next((word for word in words if word in setting_texts.LEVELS), None)
    text = raw.get(variable, "").strip()
    return text or None


def _convert(name: str, kind: Any, text: str) -> Any:
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("has a line break or control character in it")
    if name in _CHOICES and text not in _CHOICES[name]:
        raise ValueError(f"is {text!r}, but must be one of {', '.join(_CHOICES[name])}")
    if name in _LISTS:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    reader = _READERS.get(name)
    return reader(text) if reader else _plain(kind, text)


def _plain(kind: Any, text: str) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "").lower()
        wanted = "must be a number" if "got str" in reason else f"does not fit: {reason}"
        raise ValueError(f"is {text!r}, but {wanted}") from None


_READERS: dict[str, Callable[[str], Any]] = {
    "aws_ses_from_email": setting_texts.from_address,
    "data_dir": lambda text: Path(text).expanduser(),
    "log_level": setting_texts.level,
    "max_send_per_second": setting_texts.rate,
    "server_url": lambda text: text.rstrip("/"),
}


def exposed(settings: Settings) -> list[str]:
    """Say which of the files that hold secrets or addresses every user of the machine may read."""
    named = os.environ.get("SES_SENDER_ENV_FILE", "").strip()
    return list(setting_rules.exposed((Path(named or ".env"), settings.data_dir)))


def merged() -> dict[str, str]:
    """Answer the environment over .env, unchecked: for what is no part of the product."""
    return _gather(None, None)[0]


def shown(settings: Settings) -> dict[str, str]:
    """Answer the settings for the start-up log, secrets masked."""
    out = {}
    for name in Settings.__struct_fields__:
        value = getattr(settings, name)
        out[name.upper()] = ("set" if value else "not set") if name in SECRETS else _spell(value)
    return out


def _spell(value: Any) -> str:
    """Write a value as .env would have it."""
    if value is None:
        return "auto"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value.value if isinstance(value, enum.Enum) else value)


def is_simulated(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether the environment sends the calls to SES to this machine."""
    given = os.environ if environ is None else environ
    endpoint = given.get("AWS_ENDPOINT_URL_SESV2", "") or given.get("AWS_ENDPOINT_URL", "")
    return setting_rules.is_on_this_machine(endpoint)


def under_supervisord() -> bool:
    """Tell whether supervisord started this process."""
    return "SUPERVISOR_ENABLED" in os.environ
