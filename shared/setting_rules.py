"""What a setting's value must look like: one rule a setting, each answers its fault or nothing."""

import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LONGEST_SOCKET = 107
"""Longest path of a Unix socket on Linux (unix(7))."""

_OF_THE_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "ceph"})
"""File systems that several machines share: SQLite's WAL needs the memory of a single one."""


def faults(values: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each value that is wrong, alone or beside another."""
    for name, rule in _RULES.items():
        if name in values and (fault := rule(values[name])):
            yield f"{name.upper()} {fault}"
    pair = ("aws_access_key_id", "aws_secret_access_key")
    if len([name for name in pair if values.get(name)]) == 1:
        yield "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together: set both or none"


def clash(server_port: int, stats_socket: str) -> list[str]:
    """Say that two of our own sockets are to have the same port, if they are."""
    if stats_socket.startswith("tcp://") and stats_socket.endswith(f":{server_port}"):
        return [f"STATS_SOCKET has port {server_port}, which is SERVER_PORT's"]
    return []


def _host(host: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host) or _is_network(host):
        return ""
    return f"is {host!r}, but must be an address or a host name, without a port"


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return "is no URL; it must look like https://mail.example.com"
    if parts.username or parts.password or parts.path or parts.query or parts.fragment:
        return "must have no path, query or user in it; it must look like https://mail.example.com"
    if parts.scheme not in {"http", "https"} or not port_ok or _host(parts.hostname or ""):
        return f"is {url!r}, but must look like https://mail.example.com"
    return ""


def _keys(keys: tuple[str, ...]) -> str:
    if not keys or any(len(key) < 16 for key in keys):
        return "has a key shorter than 16 characters; make one with: openssl rand -hex 24"
    if any(not key.isascii() for key in keys):
        return "has characters that are not ASCII"
    if any(re.search("change.?me", key, re.IGNORECASE) for key in keys):
        return "is still the sample; make one with: openssl rand -hex 24"
    return ""


def _region(region: str) -> str:
    if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        return ""
    return f"is {region!r}, which is no AWS region"


def _sender(sender: str) -> str:
    address = re.fullmatch(r"(?:[^<>]*<)?([^<>@\s]+@[^<>@\s]+\.[^<>@\s]+)>?", sender.strip())
    if address and (">" in sender) == ("<" in sender) and address[1].isascii():
        return ""
    return f"is {sender!r}, but must be an ASCII address (xn-- for its domain) or Name <address>"


def _configuration_set(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return ""
    return f"is {name!r}, but may hold only letters, digits, - and _, at most 64"


def _topics(arns: tuple[str, ...]) -> str:
    for arn in arns:
        if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}", arn):
            return f"has {arn!r}, which is no ARN of an SNS topic"
    return ""


def _certificate_hosts(hosts: tuple[str, ...]) -> str:
    for host in hosts:
        loopback = r"(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\[::1\])(:\d{1,5})?"
        if not re.fullmatch(loopback, host):
            return f"has {host!r}, but only loopback hosts may be added, as 127.0.0.1:PORT"
    return ""


def _folder(folder: Path) -> str:
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:
        return ""
    kind = file_system(folder, mounts)
    if kind not in _OF_THE_NETWORK:
        return ""
    return f"lies on {kind}, but SQLite's write-ahead log needs a disk of this machine"


def file_system(folder: Path, mounts: str) -> str:
    """Answer the kind of file system a folder lies or would lie on; `mounts`: fstab(5) lines."""
    place, best, kind = os.path.realpath(folder), "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ").rstrip("/")
        # Of two on the same place the later one is in front.
        if f"{place}/".startswith(f"{point}/") and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def _proxies(proxies: tuple[str, ...]) -> str:
    for proxy in proxies:
        if not _is_network(proxy):
            return f"has {proxy!r}, which is no IP address or network"
    return ""


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def is_on_this_machine(url: str) -> bool:
    """Tell whether a URL's host is a loopback address."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"is {zone!r}, which is no time zone; use a name such as Europe/Berlin"
    return ""


def _socket(address: str) -> str:
    if tcp := re.fullmatch(r"tcp://(?:127\.\d+\.\d+\.\d+|localhost):(\d{1,5})", address):
        return "" if 0 < int(tcp[1]) <= 65535 else f"is {address!r}, whose port is out of range"
    if not address.startswith("ipc://") or not address.removeprefix("ipc://"):
        return f"is {address!r}, but must be tcp://127.0.0.1:PORT or ipc://PATH"
    if len(os.fsencode(address.removeprefix("ipc://"))) > LONGEST_SOCKET:
        return f"is a path longer than the {LONGEST_SOCKET} bytes a socket's path may have"
    return ""


def _dsn(dsn: str) -> str:
    if re.fullmatch(r"https?://[^@/\s]+@[^@/\s]+/(\S*/)?\d+", dsn):
        return ""
    return "is no DSN of Sentry; it looks like https://KEY@HOST/NUMBER"


_RULES: dict[str, Callable[[Any], str]] = {
    "server_host": _host,
    "server_url": _url,
    "api_key": _keys,
    "aws_region": _region,
    "aws_ses_from_email": _sender,
    "aws_ses_configuration_set": _configuration_set,
    "sns_topic_arn": _topics,
    "sns_cert_hosts": _certificate_hosts,
    "data_dir": _folder,
    "trusted_proxies": _proxies,
    "schedule_timezone": _zone,
    "stats_socket": _socket,
    "sentry_dsn": _dsn,
}


def exposed(paths: Iterable[Path]) -> Iterator[str]:
    """Yield a sentence for each of our paths that is open to every user of the machine."""
    for path in paths:
        try:
            is_open = path.stat().st_mode & 0o007
        except OSError:
            continue
        if is_open:
            yield f"{path} is open to every user of this machine: chmod o-rwx {path}"


def remarks(keys: tuple[str, ...], *, simulated: bool) -> list[str]:
    """Answer sentences on settings that are allowed but worth a look."""
    found = []
    if any(len(key) < 32 for key in keys):
        found.append("API_KEY has a key shorter than 32 characters: openssl rand -hex 24 is better")
    if simulated:
        found.append("SIMULATED: the SES endpoint is on this machine, and no mail leaves it")
    return found
