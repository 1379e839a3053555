"""Becomes supervisord on a copy of supervisord.conf made for this installation, or supervisorctl.

The copy, in DATA_DIR/run, has SENDER_WORKERS senders, and its socket where the path is short
enough for the kernel, however long the path of the checkout.
"""

import configparser
import contextlib
import io
import os
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from shared import config, wire
from shared.config import Settings
from shared.errors import SesSenderError, SettingsError

ROOT = Path(__file__).resolve().parents[1]


def render(text: str, folder: Path, workers: int, *, by_hand: bool = False) -> str:
    """Fit supervisord.conf to this installation; `by_hand`: no program starts by itself."""
    root, run_folder = (str(path).replace("%", "%%") for path in (ROOT, folder))
    conf = configparser.RawConfigParser()
    conf.read_string(text)
    conf["supervisord"]["pidfile"] = f"{run_folder}/supervisord.pid"
    conf["unix_http_server"]["file"] = f"{run_folder}/ctl.sock"
    conf["supervisorctl"]["serverurl"] = f"unix://{run_folder}/ctl.sock"
    conf["program:sender"]["numprocs"] = str(workers)
    for name in (name for name in conf.sections() if name.startswith("program:")):
        conf[name]["directory"] = root
        if by_hand:
            conf[name]["autostart"] = "false"
    rendered = io.StringIO()
    conf.write(rendered, space_around_delimiters=False)
    return rendered.getvalue()


def write(folder: Path, workers: int, *, by_hand: bool = False) -> Path:
    """Write the copy into the run folder, and answer where it is."""
    path = folder / "supervisord.conf"
    original = (ROOT / "supervisord.conf").read_text()
    path.write_text(render(original, folder, workers, by_hand=by_hand))
    return path


def is_running(folder: Path) -> bool:
    """Tell whether a supervisord answers on the socket of this run folder."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as knock:
        return knock.connect_ex(str(folder / "ctl.sock")) == 0


def become_supervisord(conf: Path, environment: dict[str, str]) -> NoReturn:
    """Replace this process; the children run on the same interpreter."""
    os.chdir(ROOT)
    arguments = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(conf)]
    environment = environment | {"SES_SENDER_PYTHON": sys.executable}
    os.execve(sys.executable, arguments, environment)  # noqa: S606 - no shell is wanted


def wait_for_predecessors(folder: Path) -> None:
    """Let processes whose supervisord was killed finish draining: they still hold ports."""
    give_up = time.monotonic() + wire.LOCK_WAIT_S
    names = [lock.stem for lock in folder.glob("*.lock")]
    while (held := [n for n in names if wire.is_held(folder, n)]) and time.monotonic() < give_up:
        print(f"ses-sender: waiting for {', '.join(held)} of before to end", file=sys.stderr)
        time.sleep(1.0)


def busy_ports(settings: Settings) -> list[str]:
    """Name each port that another program holds, so that no process of ours runs into it."""
    wanted = {"SERVER_PORT": (settings.server_host, settings.server_port)}
    if settings.stats_socket.startswith("tcp://"):
        stats = urlsplit(settings.stats_socket)
        wanted["STATS_SOCKET"] = (stats.hostname or "", stats.port or 0)
    return [
        f"{name}: {host} port {port} is not to be had: {reason}"
        for name, (host, port) in wanted.items()
        if (reason := _why_not_bound(host, port))
    ]


def _why_not_bound(host: str, port: int) -> str:
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def run() -> NoReturn:
    """Check every setting, then run all processes in the foreground."""
    # As it was before .env was read into it: a restarted process reads what .env says then.
    environment = dict(os.environ)
    settings = config.load()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = wire.run_folder(settings.data_dir)
    if is_running(folder):
        print(f"ses-sender is already running in {folder}: see scripts/ctl status", file=sys.stderr)
        sys.exit(config.EXIT_ALREADY_RUNNING)
    wait_for_predecessors(folder)
    if faults := busy_ports(settings):
        raise SettingsError(faults)
    if settings.log_format == "auto" and sys.stdout.isatty():
        environment["LOG_FORMAT"] = "text"  # the processes themselves see a pipe
    become_supervisord(write(folder, settings.sender_workers), environment)


def ctl(arguments: list[str]) -> NoReturn:
    """Become supervisorctl of the running instance."""
    folder = wire.run_folder(config.load_one("DATA_DIR"))
    if not is_running(folder):
        print("ses-sender is not running here: start it with scripts/run", file=sys.stderr)
        sys.exit(1)
    conf = folder / "supervisord.conf"
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(conf), *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted


def main(arguments: list[str]) -> NoReturn:
    """Do what the first argument says; settings that are wrong end with exit code 78."""
    try:
        if arguments[:1] == ["ctl"]:
            ctl(arguments[1:])
        run()
    except SettingsError as error:
        print("ses-sender: the settings are wrong:", *error.faults, sep="\n  ", file=sys.stderr)
    except (SesSenderError, OSError) as error:
        print(f"ses-sender: DATA_DIR cannot be used: {error}", file=sys.stderr)
    sys.exit(config.EXIT_SETTINGS)


if __name__ == "__main__":
    main(sys.argv[1:])
