"""A whole installation on the simulator, in a folder of its own: started, wired up, stopped."""

import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

import boto3
from botocore.config import Config
from supervisor.xmlrpc import SupervisorTransport

from scripts import launch
from shared import wire

REGION = "ap-northeast-2"
TOPIC = "ses-sender-demo"
TOPIC_ARN = f"arn:aws:sns:{REGION}:123456789012:{TOPIC}"
EVENT_TYPES: Final = (
    "SEND", "REJECT", "BOUNCE", "COMPLAINT", "DELIVERY", "OPEN", "CLICK", "RENDERING_FAILURE",
    "DELIVERY_DELAY", "SUBSCRIPTION",
)  # fmt: skip
STOP_S = 90.0


class StageError(Exception):
    """The installation could not be brought up; the text says what to look at."""


class Ports(NamedTuple):
    """Where this installation listens, all on 127.0.0.1."""

    api: int
    simulator: int
    stats: int


class Stage:
    """Every process of ses-sender under supervisord, with the simulator for SES and SNS."""

    def __init__(self, rate: float, workers: int = 2) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ses-sender-demo-"))
        self._claim = (Path(tempfile.gettempdir()) / f"ses-sender-{os.getuid()}.lock").open("w")
        self.ports = choose_ports(self._claim)
        self.key = secrets.token_hex(24)
        self.url = f"http://127.0.0.1:{self.ports.api}"
        self.simulator_url = f"http://127.0.0.1:{self.ports.simulator}"
        self.log = self.folder / "log"
        self._rate = rate
        self._workers = workers
        self._supervisord: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the simulator, then everything else, and let SES's events come back."""
        run_folder = wire.run_folder(self.folder)
        conf = launch.write(run_folder, self._workers, by_hand=True)
        (self.folder / "env").touch()
        command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(conf)]
        with self.log.open("ab") as log:
            self._supervisord = subprocess.Popen(
                command,
                cwd=launch.ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we stop it in order
                preexec_fn=_die_with_us,  # noqa: PLW1509 - we have no threads
            )
        self._until("supervisord", lambda: launch.is_running(run_folder))
        remote = control(run_folder)
        remote.startProcess("simulator", False)  # noqa: FBT003 - do not wait
        self._until("the simulator", lambda: self.ask_simulator("health")["simulator"] is True)
        remote.startAllProcesses(False)  # noqa: FBT003 - do not wait
        self._until("the API", self._is_ready)
        self._wire_up()

    def environment(self) -> dict[str, str]:
        """Answer the settings; nothing of the caller's AWS or .env comes in."""
        inherited = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG", "TMPDIR"}}
        nowhere = str(self.folder / "none")
        return inherited | {
            "SES_SENDER_PYTHON": sys.executable,
            "SES_SENDER_ENV_FILE": str(self.folder / "env"),
            "PYTHONUNBUFFERED": "1",
            "DATA_DIR": str(self.folder),
            "SERVER_PORT": str(self.ports.api),
            "SERVER_URL": self.url,
            "API_KEY": self.key,
            "STATS_SOCKET": f"tcp://127.0.0.1:{self.ports.stats}",
            "SENDER_WORKERS": str(self._workers),
            "MAX_SEND_PER_SECOND": "auto",
            "UNKNOWN_AFTER": "30",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "simulator",
            "AWS_SECRET_ACCESS_KEY": "simulator-secret",
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_SESV2": self.simulator_url,
            "AWS_ENDPOINT_URL_SNS": self.simulator_url,
            "AWS_SES_FROM_EMAIL": "느린 책방 <letter@shop.example.com>",
            "AWS_SES_CONFIGURATION_SET": "demo",
            "SNS_TOPIC_ARN": TOPIC_ARN,
            "SNS_CERT_HOSTS": f"127.0.0.1:{self.ports.simulator}",
            "SIMULATOR_PORT": str(self.ports.simulator),
            "SIMULATOR_RATE": str(self._rate),
            "SIMULATOR_KEY_BITS": "1024",  # signing is what costs the simulator most
            "SIMULATOR_DIR": str(self.folder / "simulator"),
        }

    def client(self, service: str) -> Any:
        """Make a client of the simulator's."""
        session: Any = boto3.session.Session("simulator", "simulator-secret", region_name=REGION)
        direct = Config(proxies={})
        return session.client(service, endpoint_url=self.simulator_url, config=direct)

    def _wire_up(self) -> None:
        """Do what an operator does once by hand in AWS: topic, subscription, event destination."""
        sns = self.client("sns")
        sns.create_topic(Name=TOPIC, Attributes={"SignatureVersion": "2"})
        endpoint = f"{self.url}/v1/events/results"
        sns.subscribe(TopicArn=TOPIC_ARN, Protocol="http", Endpoint=endpoint)
        sesv2 = self.client("sesv2")
        sesv2.create_configuration_set(ConfigurationSetName="demo")
        sesv2.create_configuration_set_event_destination(
            ConfigurationSetName="demo",
            EventDestinationName="sns",
            EventDestination={
                "Enabled": True,
                "MatchingEventTypes": EVENT_TYPES,
                "SnsDestination": {"TopicArn": TOPIC_ARN},
            },
        )
        self._until(
            "the confirmation of the subscription",
            lambda: all(
                one["SubscriptionArn"].startswith("arn:")
                for one in sns.list_subscriptions_by_topic(TopicArn=TOPIC_ARN)["Subscriptions"]
            ),
        )

    def _is_ready(self) -> bool:
        status, ready = self.ask("GET", "/ready")
        processes = ready["checks"]["processes"]
        return status == 200 and len(processes) >= 6 and set(processes.values()) == {"ok"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the API; answer the status and what the JSON says."""
        return _ask(self.ports.api, method, path, body, {"X-API-KEY": self.key})

    def ask_simulator(self, name: str) -> Any:
        """Ask the simulator's control interface."""
        return _ask(self.ports.simulator, "GET", f"/_simulator/{name}", None, {})[1]

    def _until(self, what: str, condition: Callable[[], bool], seconds: float = 45.0) -> None:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            if self._supervisord is None or self._supervisord.poll() is not None:
                raise StageError(f"supervisord ended; its log is {self.log}")
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
                if condition():
                    return
            time.sleep(0.1)
        raise StageError(f"{what} did not come up in {seconds:.0f} s; see {self.log}")

    def stop(self, *, idle: bool = False) -> None:
        """Stop everything, in order unless nothing is under way; supervisord kills what lingers."""
        if self._supervisord is None:
            return
        if idle:
            with contextlib.suppress(OSError, http.client.HTTPException):
                control(wire.run_folder(self.folder)).stopAllProcesses(False)  # noqa: FBT003 - do not wait
        self._supervisord.send_signal(signal.SIGTERM)
        try:
            self._supervisord.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._supervisord.kill()
            self._supervisord.wait()

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        run_folder = wire.run_folder(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(run_folder, ignore_errors=True)


def choose_ports(claim: TextIO) -> Ports:
    """Take the usual ports where they are free; a second stage at the same time takes others.

    `claim` is locked while a stage stands: its ports look free until its processes listen.
    """
    wanted = (8080, 4579, 5557)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        wanted = (0, 0, 0)
    return Ports(*free_ports(*wanted))


def free_ports(*wanted: int) -> Iterator[int]:
    """Answer the wanted ports, or others where somebody is listening; 0 wants any."""
    with contextlib.ExitStack() as probes:
        for port in wanted:
            probe = probes.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            yield probe.getsockname()[1]


def control(run_folder: Path) -> Any:
    """Answer the remote control of the supervisord in that folder."""
    transport = SupervisorTransport(None, None, f"unix://{run_folder / 'ctl.sock'}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def _die_with_us() -> None:
    """Let the kernel stop supervisord, and it everything else, if we are killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _ask(port: int, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        content = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, content, headers | kind)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
