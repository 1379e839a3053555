"""The whole product under the real supervisord.conf, on the simulator, in a folder of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import boto3
import httpx2
from botocore.config import Config

from scripts import launch
from shared import wire
from shared.store.open import open_reader

ROOT = Path(__file__).resolve().parents[2]
KEY = "system-test-key-0123456789abcdef"
SECRET = "simulator-secret"
PROCESSES = ("monitor", "writer", "broker", "scheduler", "results", "api")
"""In the order of their start; the senders come before api."""

T = TypeVar("T")


def until(what: str, check: Callable[[], T], seconds: float = 60.0) -> T:
    """Wait until `check` answers something true, and answer that; fail by name after a time."""
    give_up = time.monotonic() + seconds
    bell = threading.Event()
    last: object = None
    while time.monotonic() < give_up:
        try:
            last = check()
        except (httpx2.HTTPError, OSError, ValueError) as error:
            last = error
        if last and not isinstance(last, Exception):
            return last  # type: ignore[return-value]
        bell.wait(0.05)
    raise AssertionError(f"gave up waiting until {what}: last saw {last!r}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """Starts, asks, breaks and stops one installation."""

    def __init__(self, folder: Path, *, simulator: bool = True, **environment: str) -> None:
        self.folder = folder
        self.port, self.simulator_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.simulator_url = f"http://127.0.0.1:{self.simulator_port}"
        self.workers = int(environment.get("SENDER_WORKERS", "2"))
        self.has_simulator = simulator
        self.supervisord: subprocess.Popen[bytes] | None = None
        self.amazon: subprocess.Popen[bytes] | None = None
        self.log = folder / "supervisord.log"
        self.ctl = folder / "nobody-listens"
        self.environment = self._environment() | environment
        self.http = httpx2.Client(base_url=self.url, headers={"X-API-KEY": KEY}, timeout=30)
        self.ses = httpx2.Client(base_url=self.simulator_url, timeout=30)

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SES_", "SNS_"))}
        for name in ("SUPERVISOR_ENABLED", "SUPERVISOR_PROCESS_NAME", "LOG_LEVEL", "RUST_LOG"):
            kept.pop(name, None)
        return kept | {
            "SES_SENDER_ENV_FILE": str(self.folder / "env"),
            "SES_SENDER_PYTHON": sys.executable,
            "API_KEY": KEY,
            "SERVER_PORT": str(self.port),
            "SERVER_URL": self.url,
            "DATA_DIR": str(self.folder / "data"),
            "STATS_SOCKET": f"ipc://{self.folder}/stats.sock",
            "AWS_SES_FROM_EMAIL": "News <news@example.com>",
            "AWS_SES_CONFIGURATION_SET": "bulk",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "simulator",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL_SESV2": self.simulator_url,
            "AWS_ENDPOINT_URL_SNS": self.simulator_url,
            "SNS_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:ses",
            "SNS_CERT_HOSTS": f"127.0.0.1:{self.simulator_port}",
            "MAX_SEND_PER_SECOND": "auto",
            "SIMULATOR_PORT": str(self.simulator_port),
            "SIMULATOR_DIR": str(self.folder / "simulator"),
            "SIMULATOR_RETRY_SECONDS": "0.5",
            "SIMULATOR_LATENCY_MS": "20",
            "SIMULATOR_SPREAD_MS": "10",
            "SIMULATOR_LEDGER_FILE": "0",
        }

    # ── start and stop ──

    def start(self) -> "Stack":
        """Start supervisord on the project's own supervisord.conf and wait for /ready."""
        self.start_without_waiting()
        self.wait_ready()
        return self

    @contextlib.contextmanager
    def living(self) -> Iterator["Stack"]:
        """Start, let SES's events come in, and close at the end whatever happens."""
        try:
            self.start()
            self.connect_events()
            yield self
        finally:
            self.close()

    def start_without_waiting(self) -> None:
        """Start it for a test that expects trouble."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (self.folder / "env").touch()
        conf = launch.write(wire.run_folder(data), self.workers)
        self.ctl = conf.with_name("ctl.sock")
        self.ctl.unlink(missing_ok=True)  # a killed one leaves it
        self.spawn([sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)])
        until("supervisord listens", self._knock, 20)

    def spawn(self, command: list[str], cwd: Path = ROOT) -> None:
        """Start the simulator, where it is wanted, and a command that is or becomes supervisord."""
        if self.has_simulator and self.amazon is None:
            self.start_simulator()
        with self.log.open("ab") as log:
            self.supervisord = subprocess.Popen(
                command,
                cwd=cwd,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _knock(self) -> bool:
        """Wake supervisord, which looks around once a second or when there is something to hear."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as visitor:
            return visitor.connect_ex(str(self.ctl)) == 0

    def stop_simulator(self) -> None:
        """SIGTERM to the stand-in: from now on nobody answers there."""
        assert self.amazon is not None
        self.amazon.terminate()
        self.amazon.wait(timeout=20)
        self.amazon = None

    def start_simulator(self) -> None:
        """Start the stand-in for Amazon by itself: it outlives our stops and kills."""
        with (self.folder / "simulator.log").open("ab") as log:
            self.amazon = subprocess.Popen(
                [sys.executable, "-m", "services.simulator"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until("the simulator answers", lambda: self.ses.get("/_simulator/health").is_success)

    def wait_ready(self) -> None:
        """Wait until every process is heard of, and a post could be stored."""
        until("the product is ready", lambda: self.missing() == [] and self.ready())

    def ready(self) -> dict[str, Any] | None:
        answer = self.http.get("/ready")
        return answer.json() if answer.status_code == 200 else None

    def missing(self) -> list[str]:
        """Name the processes that /ready does not hear."""
        ready = self.ready()
        heard = {} if ready is None else ready["checks"]["processes"]
        senders = [f"sender-{number}" for number in range(self.workers)]
        return [name for name in [*PROCESSES, *senders] if heard.get(name) != "ok"]

    def stop(self) -> int:
        """SIGTERM to supervisord; wait until everything has drained."""
        assert self.supervisord is not None
        self.supervisord.terminate()
        until("supervisord has ended", self.has_ended)
        code = self.supervisord.wait()
        self.supervisord = None
        return code

    def has_ended(self) -> bool:
        """Tell whether supervisord has ended, and let it look around at once if it has not."""
        assert self.supervisord is not None
        self._knock()
        return self.supervisord.poll() is not None

    def halt(self) -> None:
        """Stop as `stop` does, but in three waves: supervisord takes a second for each group."""
        assert self.supervisord is not None
        self.supervisord.terminate()
        # What the API has begun, it ends with the others' help; they drain with the writer's.
        self._terminate(lambda name: name == "api")
        self._terminate(lambda name: name != "writer")
        self._terminate(lambda _: True)
        try:
            until("supervisord has ended", self.has_ended, 45)
        except AssertionError:
            os.killpg(self.supervisord.pid, signal.SIGKILL)
        self.supervisord.wait()
        self.supervisord = None

    def close(self) -> None:
        """End whatever is left, by pid."""
        if self.supervisord is not None:
            self.halt()
        if self.amazon is not None:
            self.stop_simulator()
        for pid in self.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.http.close()
        self.ses.close()

    def _terminate(self, is_meant: Callable[[str], bool]) -> None:
        """SIGTERM to some processes; wait until they have drained."""
        pids = self.pids().items()
        meant = {n: pid for n, pid in pids if is_meant(n) and not n.startswith("simulator")}
        for pid in meant.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(AssertionError):  # supervisord kills who is slower than that
            until("they have drained", lambda: not meant.keys() & self.pids().keys(), 15)

    def pids(self) -> dict[str, int]:
        """Find our processes by the folder in their environment."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes().split(b"\0")
                mine = f"DATA_DIR={self.environment['DATA_DIR']}".encode()
                module = next((w for w in words if w.startswith(b"services.")), b"")
                if module and mine in (path / "environ").read_bytes().split(b"\0"):
                    name = module.decode().removeprefix("services.")
                    number = words[words.index(module) + 1].decode() if name == "sender" else ""
                    parent = (path / "stat").read_text().rsplit(")", 1)[1].split()[1]
                    key = f"{name}-{number}" if number else name
                    if key not in found or int(parent) == self._supervisord_pid():
                        found[key] = int(path.name)
        return found

    def _supervisord_pid(self) -> int:
        return self.supervisord.pid if self.supervisord else -1

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to one process; answer its pid."""
        pid = self.pids()[name]
        os.kill(pid, number)
        return pid

    def settings(self, **changes: str) -> None:
        """Change the environment of the next start."""
        self.environment |= changes

    # ── the user's side ──

    def connect_events(self, version: str = "2") -> None:
        """Make topic, subscription, configuration set and event destination, as the README says."""
        sns, ses = self.client("sns"), self.client("sesv2")
        arn = sns.create_topic(Name="ses", Attributes={"SignatureVersion": version})["TopicArn"]
        assert arn == self.environment["SNS_TOPIC_ARN"]
        sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=f"{self.url}/v1/events/results")
        ses.create_configuration_set(ConfigurationSetName="bulk")
        ses.create_configuration_set_event_destination(
            ConfigurationSetName="bulk",
            EventDestinationName="sns",
            EventDestination={
                "Enabled": True,
                "MatchingEventTypes": [
                    "SEND",
                    "REJECT",
                    "BOUNCE",
                    "COMPLAINT",
                    "DELIVERY",
                    "RENDERING_FAILURE",
                    "DELIVERY_DELAY",
                ],
                "SnsDestination": {"TopicArn": arn},
            },
        )
        until("the subscription is confirmed", lambda: self._is_confirmed(sns, arn))

    @staticmethod
    def _is_confirmed(sns: Any, arn: str) -> bool:
        found = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
        return bool(found) and all(x["SubscriptionArn"].startswith("arn:") for x in found)

    def client(self, service: str) -> Any:
        """Answer an ordinary boto3 client for the simulator."""
        return boto3.client(
            service,
            endpoint_url=self.simulator_url,
            region_name="eu-west-1",
            aws_access_key_id="simulator",
            aws_secret_access_key=SECRET,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def post(self, emails: list[str], topic: str = "news", **more: Any) -> httpx2.Response:
        """Post one message."""
        headers = more.pop("headers", {})
        mail = {
            "topic_id": topic,
            "emails": emails,
            "subject": more.pop("subject", "Subject"),
            "content": more.pop("content", "<html><body><h1>Hi</h1></body></html>"),
        }
        return self.http.post("/v1/messages", json={"messages": [mail], **more}, headers=headers)

    def topic(self, name: str = "news") -> dict[str, dict[str, int]]:
        answer = self.http.get(f"/v1/topics/{name}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def counts(self, name: str = "news") -> dict[str, int]:
        """Answer the non-zero counters of a topic."""
        return {k: v for k, v in self.topic(name)["request_counts"].items() if v}

    def wait_counts(self, wanted: dict[str, int], topic: str = "news", seconds: float = 60) -> None:
        seen: list[dict[str, int]] = []
        try:
            until("", lambda: not seen.append(self.counts(topic)) and seen[-1] == wanted, seconds)
        except AssertionError:
            raise AssertionError(f"{topic} is {seen[-1:]} and never {wanted}") from None

    # ── the far side ──

    def faults(self, **script: Any) -> None:
        answer = self.ses.post("/_simulator/faults", json=script)
        assert answer.is_success, answer.text

    def summary(self) -> dict[str, Any]:
        return self.ses.get("/_simulator/summary").json()

    def ledger(self) -> list[dict[str, Any]]:
        """Answer every recipient of every call SES saw."""
        return [json.loads(x) for x in self.ses.get("/_simulator/ledger?after=0").text.splitlines()]

    def accepted(self) -> Counter[str]:
        """Count accepted copies by address."""
        return Counter(row["address"] for row in self.ledger() if row["verdict"] == "accepted")

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database, read-only."""
        connection = open_reader(self.folder / "data" / "ses-sender.db")
        try:
            return list(connection.execute(statement, values))
        finally:
            connection.close()

    def log_lines(self) -> Iterator[str]:
        yield from self.log.read_text(errors="replace").splitlines()
