"""What no line of the product may do, whoever writes it: read from the sources, not run."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from shared.errors import StoreError
from shared.store import open as store_open

ROOT = Path(__file__).parents[2]
PRODUCT = sorted(
    path
    for folder in ("services", "shared")
    for path in (ROOT / folder).rglob("*.py")
    if "simulator" not in path.parts
)
ALL = sorted(
    path for folder in ("services", "shared", "scripts") for path in ROOT.glob(f"{folder}/**/*.py")
)
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
HARMLESS = {
    "boot", "changed", "count", "detail", "epoch", "exc_info", "kind", "message", "method",
    "migrated", "ms", "on_unknown", "path", "pid", "rate", "reason", "recipient", "recipients",
    "replayed",
    "request", "simulated", "source", "status", "topic_arn", "trouble",
}  # fmt: skip
"""Words of a log line that hold no address, no text of a mail, no key: texts of SES are masked."""

CERTIFICATES = "services/results/fetch.py"
CLIENTS = {"aiohttp", "urllib.request", "http.client", "requests", "httpx2", "urllib3", "smtplib"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imports(path: Path) -> set[str]:
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def log_calls(path: Path) -> Iterator[ast.Call]:
    """Yield every call of a method named as a level."""
    for node in nodes(path):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
        ):
            yield node


@pytest.mark.against("A30")
def test_nothing_turns_bytes_into_code():
    readers = {"pickle", "marshal", "shelve", "dill", "yaml", "cloudpickle"}
    assert {name_of(path) for path in ALL if imports(path) & readers} == set()
    callers = {
        name_of(path)
        for path in ALL
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"eval", "exec", "__import__"}
    }
    assert callers == set()


@pytest.mark.against("A30", "Q1")
def test_letters_go_over_ipc_from_push_to_pull_alone():
    """A PUB socket drops for a slow reader: it shows numbers, and nobody's mail hangs on them."""
    door = ROOT / "shared/wire.py"
    kinds = {
        node.attr
        for node in nodes(door)
        if isinstance(node, ast.Attribute)
        and node.attr in {"PUSH", "PULL", "PUB", "SUB", "XPUB", "ROUTER", "DEALER", "REQ", "REP"}
    }
    assert kinds == {"PUSH", "PULL", "PUB", "SUB"}
    assert "tcp://" not in door.read_text()
    publishers = {name_of(path) for path in PRODUCT if ".publisher(" in path.read_text()}
    assert publishers == {"services/monitor/socket.py"}


@pytest.mark.against("A28")
def test_a_log_line_is_made_of_harmless_words():
    """Every actor's: a new word is thought about here before it is written anywhere."""
    for call in (call for path in PRODUCT for call in log_calls(path)):
        assert {one.arg for one in call.keywords if one.arg} <= HARMLESS, ast.unparse(call)
        for value in call.args:
            # A text put together on the spot could hold anything.
            assert not isinstance(value, ast.JoinedStr), ast.unparse(call)


@pytest.mark.against("A28")
def test_the_gate_of_the_log_sees_the_calls_there_are():
    actors = {path.parent.name for path in PRODUCT if any(log_calls(path))}
    assert {"api", "results", "sender", "writer", "shared"} <= actors


@pytest.mark.against("A33")
def test_only_the_doors_open_connections_outward():
    """`sender` talks with AWS; besides it one module gets certificates, of one host."""
    connecting = {
        name_of(path)
        for path in PRODUCT
        for node in nodes(path)
        if isinstance(node, ast.Attribute)
        and node.attr in {"open_connection", "create_connection", "urlopen", "connect_ex"}
    }
    found = connecting | {name_of(path) for path in PRODUCT if imports(path) & CLIENTS}
    assert {name for name in found if not name.startswith("services/sender/")} == {CERTIFICATES}


@pytest.mark.against("A37")
def test_an_outdated_sqlite_is_refused_and_ours_is_none(monkeypatch, tmp_path):
    store_open.check_library()
    for version, is_good in (
        ("3.51.3", True),
        ("3.54.1", True),
        ("4.0.0", True),
        ("3.51.2", False),
    ):
        monkeypatch.setattr(apsw, "sqlite_lib_version", lambda version=version: version)
        if is_good:
            store_open.check_library()
            continue
        for opened in (
            lambda: store_open.open_writer(tmp_path / "x.db", 1, 0),
            lambda: store_open.open_reader(tmp_path / "x.db"),
        ):
            with pytest.raises(StoreError, match="too old"):
                opened()


@pytest.mark.against("A37")
def test_no_mail_is_put_together_by_pythons_own_email_package():
    """Its faults up to 3.11.14 are in writing headers; SES writes ours, of fields we checked."""
    used = {name for path in PRODUCT for name in imports(path) if name.split(".")[0] == "email"}
    assert used == {"email.header", "email.header.Header"}
