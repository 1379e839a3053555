"""One real sender process on real sockets; the test is its writer, broker, scheduler and SES."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.domain import ContentId, JobId, RecipientId, Verdict
from shared.protocol import (
    AccountRead,
    Addressee,
    AskContent,
    AskGate,
    Assign,
    Content,
    Demand,
    Gate,
    GateOpened,
    Hello,
    Holding,
    Job,
    OutcomesRecorded,
    Permit,
    Permits,
    RecordOutcomes,
    Room,
    Welcome,
)
from shared.wire import Budget, Letter, Wire, run_folder

NAME = "sender-0"
DEADLINE_S = 20.0


class FakeSes(ThreadingHTTPServer):
    """Keeps every request that was fully read, and answers as it was told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), FakeSesRequest)
        self.calls = []
        self.mode = "accept"
        self.go = threading.Event()
        self.go.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass


class FakeSesRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(
            200,
            {"SendQuota": {"Max24HourSend": 200.0, "MaxSendRate": 14.0, "SentLast24Hours": 3.0}},
        )

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((self.path, body, dict(self.headers), time.monotonic()))
        self.server.go.wait(10)
        number = len(self.server.calls)
        if self.server.mode == "cut":
            self.close_connection = True
        elif self.server.mode == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
            self.close_connection = True
        elif self.server.mode == "error":
            self._answer(500, {"message": "internal"}, "InternalFailure")
        elif self.path.endswith("bulk-emails"):
            entries = [
                {"Status": "SUCCESS", "MessageId": f"m{number}-{index}"}
                for index in range(len(body["BulkEmailEntries"]))
            ]
            self._answer(200, {"BulkEmailEntryResults": entries})
        else:
            self._answer(200, {"MessageId": f"m{number}"})

    def _answer(self, status, fields, error_type=None):
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if error_type:
            self.send_header("x-amzn-ErrorType", error_type)
        self.end_headers()
        self.wfile.write(body)


class Around:
    """Everyone a sender talks to, with mailboxes of their own."""

    def __init__(self, folder, ses, **more):
        self.ses = ses
        self.data = folder
        self.wire = Wire(run_folder(folder))
        names = ("writer", "scheduler", "broker", "results", "monitor")
        self.boxes = [self.wire.mailbox(name) for name in names]
        self.said = []
        self.epoch = None
        self.rate = 24.0
        self.jobs = {}
        self.answers_outcomes = True
        self.opens_gates = True
        self.grants = True
        self.environment = {
            "PATH": os.environ["PATH"],
            "SERVER_URL": "https://m.example",
            "API_KEY": "k" * 32,
            "AWS_SES_FROM_EMAIL": "News <n@shop.example>",
            "AWS_SES_CONFIGURATION_SET": "set-1",
            "AWS_ACCESS_KEY_ID": "AKID",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_SESV2": ses.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SENDER_WORKERS": "1",
            "DATA_DIR": str(folder),
            "SES_SENDER_ENV_FILE": str(folder / "no.env"),
            **more,
        }
        self.process = None
        (folder / "no.env").touch()

    def start(self):
        with (self.data / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.sender", "0"],
                env=self.environment,
                stderr=stderr,
            )

    def turn(self):
        """Read what was said, and answer as the others would."""
        for box in self.boxes:
            for message in box.drain(Budget()):
                self.said.append(message)
                for answer in self.answers(message):
                    self.wire.send(Letter(NAME, answer))
        time.sleep(0.001)

    def answers(self, message):
        match message:
            case Hello():
                self.epoch = message.epoch
                yield Welcome(message.epoch, "abc", b"s" * 32)
            case AskContent():
                for content in message.contents:
                    yield Content(content, "Hi {{you}}", "<body>{{x}}</body>")
            case AskGate():
                gates = tuple(Gate(job, self.may_go(job)) for job in message.jobs)
                yield GateOpened(self.epoch, gates)
            case Demand() if self.grants:
                asks = [*message.urgent, *message.bulk]
                at = time.monotonic()
                permits = tuple(Permit(ask.ask, at) for ask in asks)
                yield Permits(message.epoch, permits, self.rate, 50)
            case RecordOutcomes() if self.answers_outcomes:
                yield OutcomesRecorded(message.epoch, (message.seq,))

    def may_go(self, job):
        return tuple(one.recipient for one in self.jobs[job].addressees if self.opens_gates)

    def until(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, (self.data / "stderr").read_text()
            self.turn()

    def heard(self, kind):
        return [message for message in self.said if isinstance(message, kind)]

    def ready(self):
        self.until(lambda: self.heard(Room))

    def assign(self, *jobs):
        self.jobs = {job.job: job for job in jobs}
        self.wire.send(Letter(NAME, Assign(self.epoch, jobs)))

    def outcomes(self):
        return {
            outcome.job: outcome
            for report in self.heard(RecordOutcomes)
            for outcome in report.outcomes
        }

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.until(lambda: self.process.poll() is not None)
        return self.process.returncode

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.wire.close()


def job(number, recipients=1):
    addressees = tuple(
        Addressee(RecipientId(number * 100 + index), f"{number}-{index}@dest.example")
        for index in range(recipients)
    )
    return Job(JobId(number), 1, False, ContentId(5), addressees)


@pytest.fixture
def ses():
    server = FakeSes()
    yield server
    server.go.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def around(tmp_path, ses):
    made = []

    def make(**more):
        made.append(Around(tmp_path, ses, **more))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("client", ["async", "boto3"])
def test_mail_goes_out_once_signed_and_tagged(around, client):
    world = around(SES_CLIENT=client)
    world.ready()
    world.assign(*(job(number) for number in range(1, 21)))
    world.until(lambda: len(world.outcomes()) == 20)
    assert all(
        outcome.answers[0].verdict is Verdict.ACCEPTED for outcome in world.outcomes().values()
    )
    mids = sorted(int(body["EmailTags"][0]["Value"][4:]) for _, body, _, _ in world.ses.calls)
    assert mids == [number * 100 for number in range(1, 21)]
    path, body, headers, _ = world.ses.calls[0]
    assert path == "/v2/email/outbound-emails"
    assert "AKID/" in headers["Authorization"]
    assert "/eu-west-1/ses/aws4_request" in headers["Authorization"]
    assert body["Content"]["Simple"]["Subject"]["Data"] == "Hi {{you}}"
    world.until(lambda: (world.data / "journals" / "sender-0.log").stat().st_size == 0)
    assert world.end() == 0


@pytest.mark.parametrize("client", ["async", "boto3"])
def test_the_bulk_lane_sends_a_job_in_one_call(around, client):
    world = around(SES_CLIENT=client, SES_SEND_API="bulk")
    world.rate = 2000.0
    world.ready()
    world.assign(job(1))
    world.until(world.outcomes)
    world.assign(job(2, 40))
    world.until(lambda: len(world.outcomes()) == 2)
    assert [path for path, *_ in world.ses.calls] == ["/v2/email/outbound-bulk-emails"] * 2
    assert [one.message_id for one in world.outcomes()[2].answers] == [
        f"m2-{index}" for index in range(40)
    ]
    assert world.heard(Room)[-1].size == 50


@pytest.mark.parametrize("client", ["async", "boto3"])
@pytest.mark.parametrize("mode", ["cut", "half", "error"])
def test_a_lost_answer_is_unknown_and_the_call_is_never_repeated(around, client, mode):
    world = around(SES_CLIENT=client)
    world.ready()
    world.assign(job(1))
    world.until(lambda: len(world.outcomes()) == 1)
    world.ses.mode = mode
    world.assign(*(job(number) for number in range(2, 8)))
    world.until(lambda: len(world.outcomes()) == 7)
    lost = [world.outcomes()[number].answers[0].verdict for number in range(2, 8)]
    assert lost == [Verdict.UNKNOWN] * 6
    assert len(world.ses.calls) == 7


@pytest.mark.parametrize("client", ["async", "boto3"])
def test_where_nobody_listens_nothing_was_sent(around, client):
    world = around(SES_CLIENT=client, AWS_ENDPOINT_URL_SESV2="http://127.0.0.1:1")
    world.ready()
    world.assign(job(1))
    world.until(world.outcomes)
    assert world.outcomes()[1].answers[0].verdict is Verdict.NOT_SENT


def test_the_account_is_read_at_the_start(around):
    world = around()
    world.until(lambda: world.heard(AccountRead))
    found = world.heard(AccountRead)[0]
    assert (found.max_rate, found.quota, found.sent_24h) == (14.0, 200.0, 3.0)


def test_a_killed_sender_reports_the_answer_it_had_before_it_says_hello(around):
    world = around()
    world.ready()
    world.answers_outcomes = False
    world.assign(job(1))
    world.until(world.outcomes)
    world.process.kill()
    world.process.wait()
    dead = world.epoch
    world.start()
    world.until(lambda: any(one.epoch > dead for one in world.heard(RecordOutcomes)))
    replayed = [one for one in world.heard(RecordOutcomes) if one.epoch > dead]
    assert replayed[0].outcomes[0].answers[0].message_id == "m1"
    assert [one for one in world.heard(Hello) if one.epoch > dead] == []
    world.answers_outcomes = True
    world.until(lambda: any(one.epoch > dead for one in world.heard(Holding)))
    assert world.heard(Holding)[-1].jobs == ()
    assert (world.data / "journals" / "sender-0.log").stat().st_size == 0
    assert len(world.ses.calls) == 1


def test_sigterm_lets_calls_in_the_air_finish_and_gives_the_rest_back(around):
    world = around()
    world.ready()
    world.ses.go.clear()
    world.rate = 1.0
    world.assign(job(1), job(2), job(3))
    world.until(lambda: len(world.ses.calls) == 2)
    world.process.send_signal(signal.SIGTERM)
    world.until(lambda: 3 in world.outcomes())
    assert world.outcomes()[3].answers == ()
    assert world.process.poll() is None
    world.ses.go.set()
    world.until(lambda: world.process.poll() is not None)
    assert world.process.returncode == 0
    assert world.outcomes()[1].answers[0].verdict is Verdict.ACCEPTED
    assert world.outcomes()[2].answers[0].verdict is Verdict.ACCEPTED
    assert len(world.ses.calls) == 2


def test_a_process_that_stood_still_asks_the_gate_again_before_it_calls(around):
    world = around()
    world.ready()
    world.grants = False
    world.assign(job(1))
    world.until(lambda: world.heard(Demand))
    os.kill(world.process.pid, signal.SIGSTOP)
    (ask,) = world.heard(Demand)[-1].bulk
    world.opens_gates = False
    end = time.monotonic() + 1.1
    world.until(lambda: time.monotonic() > end)
    os.kill(world.process.pid, signal.SIGCONT)
    permit = Permit(ask.ask, time.monotonic())
    world.wire.send(Letter(NAME, Permits(world.epoch, (permit,), 24.0, 1)))
    world.until(world.outcomes)
    assert world.outcomes()[1].answers == ()
    assert world.ses.calls == []
