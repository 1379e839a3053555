"""The tree says what the system is: folders, programs, loggers, sizes, names."""

import ast
import configparser
import itertools
import re
import tomllib
from pathlib import Path

import grimp
import msgspec
import pytest

from shared import actor, config, protocol
from shared.config import Settings

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path for folder in ("services", "shared", "scripts") for path in (ROOT / folder).rglob("*.py")
)
ACTORS = {path.parent.name for path in ROOT.glob("services/*/__main__.py")}

LONG = {
    "shared/protocol.py": "the table of contents of the system: one file, whatever its length",
}
SHARED_BY_ONE = {
    "shared.backoff": "all waits of the system in one place; the writer alone keeps them so far",
}
"""Modules of shared/ that fewer than two actors import, and why they stay."""

BANNED = {"Manager", "Helper", "Utils", "Util", "Handler", "Service", "Base", "Data", "Info"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.fixture(scope="module")
def conf() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read(ROOT / "supervisord.conf")
    return parser


def programs(conf) -> dict[str, dict[str, str]]:
    prefix = "program:"
    return {s.removeprefix(prefix): dict(conf[s]) for s in conf.sections() if s.startswith(prefix)}


# ── one name everywhere ──


def test_every_actor_is_a_supervised_program_of_the_same_name(conf):
    assert set(programs(conf)) == ACTORS


def test_every_program_runs_the_actor_of_its_name(conf):
    for name, program in programs(conf).items():
        assert re.search(rf" -m services\.{name}( %\(process_num\)d)?'$", program["command"]), name


def test_every_actor_logs_under_its_own_name():
    for path in ROOT.glob("services/**/*.py"):
        names = re.findall(r"\blog\.get\(\"([^\"]*)\"\)", path.read_text())
        assert set(names) <= {path.relative_to(ROOT / "services").parts[0]}, path


def test_every_actor_takes_its_place_under_its_own_name():
    for name in ACTORS - {"simulator"}:
        sources = "".join(path.read_text() for path in (ROOT / "services" / name).glob("*.py"))
        assert re.search(rf"\bPlace\(\s*(actor=)?\"{name}\"", sources), name


# ── supervisord.conf ──


def test_mail_is_stopped_where_it_comes_in_first_and_the_writer_outlives_all_who_drain(conf):
    started = sorted(programs(conf), key=lambda name: int(programs(conf)[name]["priority"]))
    assert started == [
        "simulator", "monitor", "writer", "broker", "scheduler", "results", "sender", "api",
    ]  # fmt: skip


def test_a_process_that_ends_is_started_again_unless_its_settings_are_wrong(conf):
    for name, program in programs(conf).items():
        assert program["autorestart"] == "unexpected", name
        assert program["exitcodes"] == str(config.EXIT_SETTINGS), name
        assert int(program["startretries"]) >= 1_000_000, name


def test_the_times_of_supervisord_fit_those_of_the_run_loop(conf):
    for name, program in programs(conf).items():
        assert float(program["startsecs"]) == actor._STARTSECS, name
        assert program["stopsignal"] == "TERM", name
        if name != "simulator":
            assert float(program["stopwaitsecs"]) > actor.DRAIN_LIMIT_S + 5, name


def test_only_the_simulator_waits_to_be_asked(conf):
    resting = {n for n, p in programs(conf).items() if p.get("autostart") == "false"}
    assert resting == {"simulator"}


def test_a_bare_supervisord_starts_as_many_senders_as_the_settings_expect(conf):
    workers = next(f for f in msgspec.structs.fields(Settings) if f.name == "sender_workers")
    assert programs(conf)["sender"]["numprocs"] == str(workers.default)


def test_supervisord_needs_no_variable_and_no_folder_but_its_own():
    text = (ROOT / "supervisord.conf").read_text()
    assert "%(ENV_" not in text
    for line in text.splitlines():
        if line.startswith(("file=", "pidfile=", "directory=", "serverurl=")):
            assert "%(here)s" in line, line


# ── modules ──


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_stay_small_but_those_with_a_reason(path):
    assert (len(path.read_text().splitlines()) <= 300) is (name_of(path) not in LONG)


def test_shared_modules_are_shared():
    graph = grimp.build_graph("services", "shared")
    lonely = {}
    for module in sorted(graph.find_children("shared")):
        importers = graph.find_downstream_modules(module, as_package=True)
        actors = {m.split(".")[1] for m in importers if m.startswith("services.")}
        if len(actors) < 2:
            lonely[module] = actors
    assert set(lonely) == set(SHARED_BY_ONE), lonely


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names_are_words_of_the_domain(path):
    words = re.split(r"[_\W]+", path.stem.title())
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef):
            words += re.findall(r"[A-Z][a-z]*", node.name)
    assert not BANNED & set(words)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sql_is_in_sql_files(path):
    """A statement in a string of Python is read by no EXPLAIN test; one made of parts is worse."""
    tree = tree_of(path)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    verbs = re.compile(
        r"\s*(SELECT\s.*\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM"
        r"|CREATE\s+(TABLE|INDEX|VIEW)|ALTER\s+TABLE|DROP\s+(TABLE|INDEX))\b",
        re.DOTALL,
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert id(node) in docstrings or not verbs.match(node.value), node.lineno


# ── the protocol ──


def messages() -> list[type[protocol.Message]]:
    return [
        kind
        for kind in vars(protocol).values()
        if isinstance(kind, type)
        and issubclass(kind, protocol.Message)
        and kind is not protocol.Message
    ]


ROUTE = re.compile(r"(?P<start>\w+|\*) -> (?P<to>\w+)(?:, (?P<more>\w+) -> (?P<then>\w+))?: ")


@pytest.mark.parametrize("kind", messages(), ids=lambda kind: kind.__name__)
def test_every_message_names_its_route_and_is_in_the_inbox_it_goes_to(kind):
    route = ROUTE.match(kind.__doc__)
    assert route, kind.__doc__
    inboxes = {
        name
        for name, union in protocol.INBOXES.items()
        if kind in getattr(union, "__args__", (union,))
    }
    assert inboxes == {to for to in (route["to"], route["then"]) if to}
    assert {route["start"], route["more"]} - {None, "*"} <= ACTORS


# ── settings and tools ──


def test_the_sample_of_the_settings_names_each_with_its_default():
    text = (ROOT / ".env.example").read_text()
    found = re.findall(r"^(#?)([A-Z_]+)=(.*)$", text, re.MULTILINE)
    sample = {variable: value for _, variable, value in found}
    fields = {field.name.upper(): field for field in msgspec.structs.fields(Settings)}
    assert set(sample) == set(fields)
    # A default that is not commented out would outweigh what a container's image sets.
    assert {name for mark, name, _ in found if not mark} == set(REQUIRED)
    for variable, text in sample.items():
        if not fields[variable].required:
            default = config.check({**REQUIRED, variable: text} if text else REQUIRED)
            assert default == config.check(REQUIRED), variable


REQUIRED = {
    "SERVER_URL": "https://mail.example.com",
    "API_KEY": "0123456789abcdef",
    "AWS_SES_FROM_EMAIL": "news@example.com",
}


def test_the_sample_alone_is_refused_for_its_key_only():
    with pytest.raises(config.SettingsError) as caught:
        config.load({}, ROOT / ".env.example")
    assert [fault.split()[0] for fault in caught.value.faults] == ["API_KEY"]


def test_every_block_of_the_sample_begins_with_a_comment():
    for block in (ROOT / ".env.example").read_text().split("\n\n"):
        assert block.startswith("# "), block


def test_every_setting_says_what_it_is():
    tree = tree_of(ROOT / "shared/config.py")
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings").body
    for field, after in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(after, ast.Expr), ast.unparse(field)


def test_every_dependency_is_pinned_exactly_and_no_index_is_named():
    pins = {}
    for line in (ROOT / "scripts/constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, version = re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()
            pins[name.lower().replace("_", "-")] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.match(r"[\w.-]+", each)[0].lower().replace("_", "-") for each in wanted}
    assert names <= set(pins)


@pytest.mark.parametrize("name", ["setup", "run", "ctl", "demo", "test", "check", "stats", "bench"])
def test_every_script_can_be_run_from_anywhere(name):
    path = ROOT / "scripts" / name
    assert path.stat().st_mode & 0o111
    assert 'cd "$(dirname "${BASH_SOURCE[0]}")/.."' in path.read_text()


def test_the_pipeline_runs_the_tests_script():
    assert "scripts/test" in (ROOT / ".ci/run").read_text()
