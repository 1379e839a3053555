"""What the stand-in is told by its environment, checked once and named all at once."""

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from services.simulator.errors import SettingsError

ACCOUNT_ID = "123456789012"  # AWS's own documentation account: never a real one


class Settings(msgspec.Struct, frozen=True):
    """All settings of the stand-in, each with its default."""

    port: int = 4579  # on 127.0.0.1 only; 0 takes a free one and names it in the banner
    rate: float = 1000.0  # recipients per second, as a production account may have
    burst: float = 0.0  # recipients accepted at once after a rest; 0 means a tenth of the rate
    quota: float = 1_000_000.0  # recipients in 24 hours; -1 means without limit
    latency_ms: float = 40.0  # from the full request to its answer
    spread_ms: float = 15.0  # the latency lies evenly within +- this
    bounce_share: float = 0.02  # of ordinary addresses, chosen by a hash of the address
    complaint_share: float = 0.001  # of ordinary addresses, chosen by the same hash
    seed: str = "simulator"  # another seed chooses other addresses to bounce
    directory: Path = Path("data/simulator")  # ledger.jsonl and state.json live here
    retry_seconds: float | None = None  # overrides every delay of SNS's retry policy (20 s)
    post_timeout_s: float = 15.0  # how long SNS waits for the webhook's answer
    connections: int = 128  # posts under way at once
    key_bits: int = 1024  # of the signing key; SNS's 2048 costs four times the CPU per post
    keep_bodies: bool = False  # keep the last 1,000 rendered mails for the mailbox
    ledger_file: bool = True  # append the ledger to ledger.jsonl as well
    check_signatures: bool = False  # verify SigV4 with AWS_SECRET_ACCESS_KEY
    secret_key: str = ""  # the dummy secret the calls are signed with; never printed
    region: str = "ap-northeast-2"  # in every ARN
    supervised: bool = False  # set by supervisord: then die with it


def _truth(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    return words[text.strip().lower()]


def _within(low: float, high: float) -> Callable[[float], bool]:
    return lambda value: low <= value <= high


_ANY: Callable[[Any], bool] = lambda _value: True  # noqa: E731 - a table entry, not a function
_MOST = 1e9

_Row = tuple[str, str, Callable[[str], Any], Callable[[Any], bool], str]
_TABLE: tuple[_Row, ...] = (
    ("SIMULATOR_PORT", "port", int, _within(0, 65535), "a port from 0 to 65535"),
    ("SIMULATOR_RATE", "rate", float, _within(0.001, _MOST), "recipients per second above 0"),
    ("SIMULATOR_BURST", "burst", float, _within(0, _MOST), "a number of recipients, 0 or more"),
    ("SIMULATOR_QUOTA", "quota", float, _within(-1, _MOST), "recipients per day, or -1"),
    ("SIMULATOR_LATENCY_MS", "latency_ms", float, _within(0, 600_000), "milliseconds, 0 or more"),
    ("SIMULATOR_SPREAD_MS", "spread_ms", float, _within(0, 600_000), "milliseconds, 0 or more"),
    ("SIMULATOR_BOUNCE_SHARE", "bounce_share", float, _within(0, 1), "a share from 0 to 1"),
    ("SIMULATOR_COMPLAINT_SHARE", "complaint_share", float, _within(0, 1), "a share from 0 to 1"),
    ("SIMULATOR_SEED", "seed", str, _ANY, "a text"),
    ("SIMULATOR_DIR", "directory", Path, _ANY, "a folder"),
    ("SIMULATOR_RETRY_SECONDS", "retry_seconds", float, _within(0, 3600), "seconds up to 3600"),
    ("SIMULATOR_POST_TIMEOUT_S", "post_timeout_s", float, _within(0.01, 3600), "seconds above 0"),
    ("SIMULATOR_CONNECTIONS", "connections", int, _within(1, 10_000), "a count from 1 to 10000"),
    ("SIMULATOR_KEY_BITS", "key_bits", int, _within(1024, 4096), "bits from 1024 to 4096"),
    ("SIMULATOR_KEEP_BODIES", "keep_bodies", _truth, _ANY, "1 or 0"),
    ("SIMULATOR_LEDGER_FILE", "ledger_file", _truth, _ANY, "1 or 0"),
    ("SIMULATOR_CHECK_SIGNATURES", "check_signatures", _truth, _ANY, "1 or 0"),
    ("AWS_SECRET_ACCESS_KEY", "secret_key", str, _ANY, "a text"),
    ("AWS_REGION", "region", str, _ANY, "a region"),
    ("SUPERVISOR_ENABLED", "supervised", _truth, _ANY, "1 or 0"),
)


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name means this machine."""
    if host is None:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _production(environment: Mapping[str, str]) -> list[str]:
    """Name what looks like production: the stand-in must be impossible to fall into."""
    problems = []
    if environment.get("AWS_ACCESS_KEY_ID", "").strip().upper().startswith(("AKIA", "ASIA")):
        problems.append(
            "AWS_ACCESS_KEY_ID looks like a real AWS key: the simulator does not serve production"
        )
    server_url = environment.get("SERVER_URL", "").strip()
    if server_url and not is_loopback(_host_of(server_url)):
        problems.append(
            "SERVER_URL is not on this machine: the simulator does not serve production"
        )
    return problems


def _read(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, field, parse, allowed, wanted in _TABLE:
        text = environment.get(name, "").strip()
        if not text:
            continue
        try:
            value = parse(text)
        except (ValueError, KeyError):
            problems.append(f"{name} must be {wanted}")
            continue
        if allowed(value):
            values[field] = value
        else:
            problems.append(f"{name} must be {wanted}")
    return values, problems


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings, or raise SettingsError with every problem there is."""
    values, problems = _read(environment)
    problems += _production(environment)
    settings = Settings(**values)
    if settings.bounce_share + settings.complaint_share > 1:
        problems.append("SIMULATOR_BOUNCE_SHARE and SIMULATOR_COMPLAINT_SHARE exceed 1 together")
    if settings.check_signatures and not settings.secret_key:
        problems.append("SIMULATOR_CHECK_SIGNATURES needs AWS_SECRET_ACCESS_KEY")
    if problems:
        raise SettingsError(problems)
    return settings
