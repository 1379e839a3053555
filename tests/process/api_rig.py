"""One real API process, and its neighbours played by the test on real ipc sockets."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2

from shared import wire
from shared.protocol import (
    AccountState,
    CancelTopic,
    CheckPost,
    EarOpen,
    LookUp,
    Message,
    NotStored,
    OpensRecorded,
    Order,
    OrderDone,
    PostChecked,
    RecordOpens,
    ReleaseAtSes,
    ReleasedAtSes,
    SetRate,
    Stored,
    Submit,
    TopicCancelled,
    WriterState,
)
from shared.wire import Budget, Letter, Lock, Wire

KEY = "k" * 32
_MAIN = "from services.api.__main__ import main; main()"


def stored(submit: Submit) -> Stored:
    """Answer what a writer says of a submission it has committed."""
    success = sum(len(mail.emails) for mail in submit.mails)
    total = success + submit.tally.errors + submit.tally.duplicates
    return Stored(
        submit.submission,
        submit.submission,
        total,
        success,
        0,
        1,
        submit.scheduled_at,
        submit.tally,
        firsts=tuple(range(1, 1 + len(submit.mails))),
    )


class Neighbours:
    """A writer, a sender and `results` that keep nothing but what they heard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[Message] = []
        self.answers: Callable[[Message], Message | None] = self.answer
        self.submissions: dict[str, Stored] = {}
        self.rate: float | None = None
        self._epoch = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen and answer, as a process that has just started."""
        self._epoch += 1
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, as a process that was killed: sockets and lock are gone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def kinds(self, kind: type[Message]) -> list[Message]:
        """Answer what was heard of one kind."""
        return [message for message in self.heard if isinstance(message, kind)]

    def answer(self, message: Message) -> Message | None:
        """Answer as neighbours do that are well."""
        match message:
            case Submit():
                return self.submissions.setdefault(message.submission, stored(message))
            case LookUp():
                known = self.submissions.get(message.submission)
                return known or NotStored(message.submission, "absent")
            case CancelTopic():
                return TopicCancelled(message.order, 2, 1)
            case RecordOpens():
                return OpensRecorded(message.epoch, message.seq)
            case CheckPost():
                return PostChecked(message.post, 200)
            case ReleaseAtSes():
                return ReleasedAtSes(message.order, len(message.emails))
            case _ if isinstance(message, Order):
                return self._obey(message)
            case _:
                return None

    def _obey(self, order: Order) -> OrderDone:
        if isinstance(order, SetRate):
            self.rate = order.rate
        return OrderDone(order.order, 1)

    def _state(self, seq: int) -> WriterState:
        source = "setting" if self.rate is None else "api"
        account = AccountState(rate=self.rate or 24, rate_source=source)
        return WriterState(
            self._epoch, seq, storing=True, trouble="", account=account, rate_wanted=self.rate
        )

    def _run(self) -> None:
        lock = Lock(self.folder, "writer")
        assert lock.take()
        wire_ = Wire(self.folder)
        boxes = [wire_.mailbox(name) for name in ("writer", "intake", "results", "sender-0")]
        end, far_end = socket.socketpair()
        rounds = 0
        while not self._stop.is_set():
            if rounds % 10 == 0:
                wire_.send(Letter("api", self._state(rounds)))
            rounds += 1
            wire_.poll(boxes, end.fileno(), 0.01)
            for box in boxes:
                for message in box.drain(Budget()):
                    if not isinstance(message, EarOpen) or not self.kinds(EarOpen):
                        self.heard.append(message)
                    said = self.answers(message)
                    if said is not None:
                        wire_.send(Letter("api", said))
        wire_.close()
        end.close()
        far_end.close()
        os.close(lock._fd)


class Api:
    """The process, its address and its neighbours."""

    def __init__(self, folder: Path, port: int = 0, before: str = "") -> None:
        """Start it; `before` is what its interpreter is told first."""
        self.port = port or free_port()
        self.neighbours = Neighbours(wire.run_folder(folder))
        environment = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(folder),
            "SERVER_PORT": str(self.port),
            "SERVER_URL": "https://mail.example.com",
            "API_KEY": KEY,
            "AWS_SES_FROM_EMAIL": "news@example.com",
            "SES_SENDER_ENV_FILE": str(folder / ".env"),
            "LOG_FORMAT": "json",
        }
        (folder / ".env").touch(0o600)
        self.log = folder / "api.log"
        with self.log.open("wb") as log:
            start = ["-c", f"{before}\n{_MAIN}"] if before else ["-m", "services.api"]
            self.process = subprocess.Popen([sys.executable, *start], env=environment, stderr=log)
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"X-API-KEY": KEY}, timeout=30
        )

    def connect(self) -> socket.socket:
        """Open a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def terminate(self) -> int:
        """Send SIGTERM and answer the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def running(folder: Path, before: str = "") -> Iterator[Api]:
    """Run the process until the test is over."""
    api = Api(folder, before=before)
    api.neighbours.start()
    try:
        until(lambda: _is_ready(api))
        yield api
    finally:
        api.client.close()
        if api.process.poll() is None:
            api.process.kill()
            api.process.wait()
        api.neighbours.stop()


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for something another process does."""
    waiting = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it did not happen in time")


def _is_ready(api: Api) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return api.client.get("/ready").status_code == 200
    return False


def free_port() -> int:
    """Answer a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
