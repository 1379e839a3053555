"""The rig of the simulator's process tests: a real simulator, a real webhook, unpatched boto3."""

import contextlib
import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
from botocore.config import Config
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
REGION = "ap-northeast-2"
SECRET = "a-dummy-secret"


def clean_environment(**settings):
    """Give an environment without the caller's AWS and simulator settings."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AWS_", "SIMULATOR_", "SERVER_", "SUPERVISOR_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), **{key: str(value) for key, value in settings.items()}}


def launch(directory, **settings):
    """Start a simulator without waiting for it."""
    chosen = {
        "SIMULATOR_PORT": 0,
        "SIMULATOR_DIR": directory,
        "SIMULATOR_LATENCY_MS": 1,
        "SIMULATOR_SPREAD_MS": 0,
        "SIMULATOR_BOUNCE_SHARE": 0,
        "SIMULATOR_COMPLAINT_SHARE": 0,
        "SIMULATOR_RETRY_SECONDS": 0.05,
        "SIMULATOR_KEY_BITS": 1024,
        "SIMULATOR_KEEP_BODIES": 1,
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "services.simulator"],
        env=clean_environment(**chosen),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


class Rig:
    """One running simulator and the ways to talk with it."""

    def __init__(self, process, url):
        self.process = process
        self.url = url
        self.ses = self.client("sesv2")
        self.sns = self.client("sns")

    def client(self, name, **options):
        config = Config(
            **{"retries": {"total_max_attempts": 1}, "read_timeout": PATIENCE, **options}
        )
        return boto3.client(
            name,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="simulator",
            aws_secret_access_key=SECRET,
            config=config,
        )

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return answer.read()

    def summary(self):
        return json.loads(self.get("/_simulator/summary"))

    def ledger(self, after=0):
        return [
            json.loads(row)
            for row in self.get(f"/_simulator/ledger?after={after}").split(b"\n")
            if row
        ]

    def mailbox(self):
        return json.loads(self.get("/_simulator/mailbox?limit=1000"))["mails"]

    def post(self, path, document):
        request = urllib.request.Request(
            self.url + path, json.dumps(document).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def faults(self, **script):
        return self.post("/_simulator/faults", script)

    def rule(self, do, **more):
        return self.faults(rules=[{"do": do, **more}])

    def until(self, met):
        """Ask for the summary until it is as wanted; each asking waits for the courier."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            summary = self.summary()
            if met(summary):
                return summary
        raise AssertionError(f"never came about: {summary}")

    def send(self, to="user@example.com", **more):
        """Send one plain mail."""
        return self.ses.send_email(**mail(to, **more))

    def wire(self, webhook, version="2", name="bulk", attributes=None):
        """Set up a configuration set, a topic, an event destination and a subscription."""
        arn = self.sns.create_topic(Name=name, Attributes={"SignatureVersion": version})["TopicArn"]
        self.wire_set(arn, name)
        self.sns.subscribe(
            TopicArn=arn, Protocol="http", Endpoint=webhook.url, Attributes=attributes or {}
        )
        token = webhook.next().document["Token"]
        self.sns.confirm_subscription(TopicArn=arn, Token=token)
        return arn

    def wire_set(self, arn, name="bulk"):
        """Make a configuration set whose events go to a topic."""
        self.ses.create_configuration_set(ConfigurationSetName=name)
        types = ["SEND", "DELIVERY", "BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE"]
        self.ses.create_configuration_set_event_destination(
            ConfigurationSetName=name,
            EventDestinationName="sns",
            EventDestination={
                "Enabled": True,
                "MatchingEventTypes": types,
                "SnsDestination": {"TopicArn": arn},
            },
        )

    def is_genuine(self, post):
        """Verify a post with the certificate its SigningCertURL names."""
        document = post.document
        keys = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
        if document["Type"] != "Notification":
            keys = [
                "Message",
                "MessageId",
                "SubscribeURL",
                "Timestamp",
                "Token",
                "TopicArn",
                "Type",
            ]
        assert re.fullmatch(
            re.escape(self.url) + r"/SimpleNotificationService-[0-9a-f]{32}\.pem",
            document["SigningCertURL"],
        )
        pem = self.get(document["SigningCertURL"].removeprefix(self.url))
        text = "".join(f"{key}\n{document[key]}\n" for key in keys if key in document)
        digest = {"1": hashes.SHA1(), "2": hashes.SHA256()}[document["SignatureVersion"]]
        certificate = x509.load_pem_x509_certificate(pem)
        assert certificate.subject.rfc4514_string() == "CN=sns.amazonaws.com"
        try:
            certificate.public_key().verify(
                b64decode(document["Signature"]), text.encode(), padding.PKCS1v15(), digest
            )
        except InvalidSignature:
            return False
        return True


def mail(to="user@example.com", **more):
    """Write the parameters of one plain mail."""
    return {
        "FromEmailAddress": "News <news@example.com>",
        "Destination": {"ToAddresses": [to]},
        "Content": {
            "Simple": {
                "Subject": {"Data": "Hello 안녕"},
                "Body": {"Html": {"Data": "<p>{{not}} a template</p>"}, "Text": {"Data": "text"}},
            }
        },
        **more,
    }


@contextlib.contextmanager
def simulator(directory, **settings):
    """Run a simulator until the end of the block, and see it end well."""
    process = launch(directory, **settings)
    try:
        rig = Rig(process, banner(process))
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield rig
    finally:
        process.terminate()
        code = process.wait(PATIENCE)
        with contextlib.suppress(UnboundLocalError):
            drain.join(PATIENCE)
        process.stderr.close()
    assert code in (0, -9)


def banner(process):
    """Read the banner, which names the address."""
    for line in process.stderr:
        found = re.search(r"SIMULATOR .* on (http://127\.0\.0\.1:\d+)", line)
        if found:
            return found.group(1)
    raise AssertionError("the simulator never said where it listens")


class Post:
    """One post the webhook got."""

    def __init__(self, headers, body):
        self.headers = headers
        self.body = body

    @property
    def document(self):
        return json.loads(self.body)

    @property
    def event(self):
        return json.loads(self.document["Message"])


class Webhook:
    """A webhook on a free port; answers with the statuses put in, else 200."""

    def __init__(self):
        self.posts = queue.Queue()
        self.statuses = queue.Queue()
        self.lines = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                hook.lines.append(self.request)
                super().setup()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posts.put(Post(dict(self.headers), body))
                try:
                    status = hook.statuses.get_nowait()
                except queue.Empty:
                    status = 200
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/events/results?a=b"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._server.shutdown()
        self._server.server_close()
        for line in self.lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)

    def next(self):
        """Wait for the next post."""
        return self.posts.get(timeout=PATIENCE)

    def take(self, count):
        """Wait for so many posts."""
        return [self.next() for _ in range(count)]
