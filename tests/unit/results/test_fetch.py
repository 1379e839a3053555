"""The HTTP edge, against a server on loopback: what it takes, and what it does not."""

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives import serialization

from services.results.certificate import Source
from services.results.fetch import BackgroundFetch

PATIENCE = 0.4


class Page(BaseHTTPRequestHandler):
    """Serves by path; `/slow` drips a byte at a time until the client is gone."""

    def do_GET(self):
        if self.path == "/slow":
            return self.drip()
        body = {"/pem": b"-----BEGIN", "/big": b"x" * 16385, "/limit": b"x" * 16384}
        status = {"/moved": 302, "/gone": 404, "/broken": 500}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/pem")
        self.end_headers()
        self.wfile.write(body.get(self.path, b""))
        return None

    def drip(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.02):
                self.wfile.write(b"x")

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as running:
        running.over = threading.Event()
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


def get(url, *, loopback=True):
    """Fetch in this thread, through the very code the background thread runs."""
    fetch = BackgroundFetch(PATIENCE)
    fetch._run(Source(url, "127.0.0.1", loopback))
    (fetched,) = fetch.take()
    assert fetched.url == url
    return fetched


def address(server, path, scheme="http"):
    return f"{scheme}://127.0.0.1:{server.server_port}{path}"


def test_what_is_served_comes_back(server):
    fetched = get(address(server, "/pem"))
    assert (fetched.pem, fetched.error) == (b"-----BEGIN", "")
    assert len(get(address(server, "/limit")).pem) == 16384


@pytest.mark.against("A9", "A10", "N6")
@pytest.mark.parametrize(
    ("path", "error"),
    [("/moved", "302"), ("/gone", "404"), ("/broken", "500"), ("/big", "16384"), ("/slow", "long")],
)
def test_redirects_errors_and_too_much_or_too_slow_an_answer_are_failures(server, path, error):
    fetched = get(address(server, path))
    assert fetched.pem == b""
    assert error in fetched.error


def test_a_closed_port_is_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "refused" in get(f"http://127.0.0.1:{port}/pem").error


@pytest.mark.against("N6")
def test_a_silent_server_is_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "timed out" in get(f"http://127.0.0.1:{listener.getsockname()[1]}/pem").error


@pytest.mark.against("A33")
@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", ""])
def test_no_other_scheme_is_known(url):
    assert get(url).pem == b""
    assert get(url).error


@pytest.mark.against("A9")
def test_plain_http_is_for_loopback_only(server):
    assert get(address(server, "/pem"), loopback=False).pem == b""


@pytest.mark.against("A10")
def test_a_self_signed_server_is_for_loopback_only(server, sns, tmp_path):
    chain = tmp_path / "chain.pem"
    key = sns.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    chain.write_bytes(key + sns.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    assert get(address(server, "/pem", "https")).pem == b"-----BEGIN"
    refused = get(address(server, "/pem", "https"), loopback=False)
    assert (refused.pem, "certificate verify failed" in refused.error) == (b"", True)


def test_the_background_thread_hands_its_catch_over(server):
    fetch = BackgroundFetch(PATIENCE)
    fetch.ask(Source(address(server, "/pem"), "127.0.0.1", loopback=True))
    assert fetch._fetched.get(timeout=5).pem == b"-----BEGIN"
    assert fetch.take() == []
