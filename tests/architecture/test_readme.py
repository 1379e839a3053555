"""The README says what the code says."""

import re
from pathlib import Path

import msgspec
import pytest

from shared import config, protocol
from shared.config import Settings
from shared.domain import MOVES, State

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.ko.md"]
FIELDS = {field.name.upper(): field for field in msgspec.structs.fields(Settings)}
NOTHING = {"", "-", "none", "empty", "credential chain"}


@pytest.fixture(scope="module", params=READMES)
def readme(request) -> str:
    return (ROOT / request.param).read_text()


def settings_rows(readme: str) -> list[tuple[list[str], str]]:
    """Answer the rows | `VARIABLE`, … | default | … |: their variables and the default's cell."""
    rows = []
    for line in readme.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        variables = re.findall(r"`([A-Z][A-Z0-9_]+)`", cells[0])
        if line.startswith("|") and len(cells) >= 3 and set(variables) & set(FIELDS):
            rows.append((variables, cells[1].replace("`", "")))
    return rows


def test_the_settings_table_names_every_setting_once_and_no_other(readme):
    named = [variable for variables, _ in settings_rows(readme) for variable in variables]
    assert sorted(named) == sorted(FIELDS)


def test_the_settings_table_has_the_defaults_of_the_code():
    for variables, cell in settings_rows((ROOT / "README.md").read_text()):
        shown = [part.strip() for part in cell.split(",")]
        if len(shown) == 1:
            shown *= len(variables)
        assert len(shown) == len(variables), (variables, cell)
        for variable, text in zip(variables, shown, strict=True):
            field = FIELDS[variable]
            if field.required:
                assert text == "required", variable
                continue
            default = config._spell(field.default)
            assert text.removeprefix("./").removesuffix(" s") == default or (
                default in {"", "0.0", "0"} and text in NOTHING | {"0"}
            ), (variable, text, default)


def test_every_actor_script_and_state_is_named(readme):
    names = {path.parent.name for path in ROOT.glob("services/*/__main__.py")}
    names |= {f"scripts/{name}" for name in ("demo", "run", "test", "stats")}
    names |= {state.word for state in State}
    assert not {name for name in names if name not in readme}


def diagram(readme: str, kind: str) -> str:
    return re.search(rf"```mermaid\n{kind}\n(.*?)```", readme, re.DOTALL)[1]


def test_the_states_have_their_numbers(readme):
    rows = re.findall(r"^\| `([A-Z][a-z]+)` \| (\d) \|", readme, re.MULTILINE)
    assert {word: int(number) for word, number in rows} == {s.word: s.value for s in State}


def test_the_state_diagram_draws_every_move_and_one_reason_for_each_cause(readme):
    drawn = re.findall(r"(\w+) --> (\w+): (.*)", diagram(readme, "stateDiagram-v2"))
    moves = [
        (old.word, new.word)
        for old, causes in MOVES.items()
        for new in causes.values()
        if new is not old
    ]
    reasons = [(old, new) for old, new, label in drawn for _ in label.split(",")]
    assert sorted(reasons) == sorted(moves)


def test_the_table_of_actors_names_them_all(readme):
    _, _, table = readme.partition("services/")
    rows = re.findall(r"^\| `([a-z]+)` \| [^|]+ \|$", table, re.MULTILINE)
    assert sorted(rows) == sorted(p.parent.name for p in ROOT.glob("services/*/__main__.py"))


def test_the_way_of_an_email_is_made_of_messages_that_go_this_way(readme):
    arrows = re.findall(r"(\w+)->>(\w+): (\w+)", diagram(readme, "sequenceDiagram"))
    inner = [arrow for arrow in arrows if not {"client", "ses"} & set(arrow)]
    assert inner
    for source, target, message in inner:
        route = getattr(protocol, message).__doc__.partition(":")[0].replace("intake", "writer")
        assert f"{source} -> {target}" in route.split(", "), message


def test_every_route_is_named(readme):
    routes = re.findall(r"Route\(\"([^\"{]+)", (ROOT / "services/api/app.py").read_text())
    assert routes
    assert not {route for route in routes if route not in readme}


def test_every_error_code_is_one_of_the_api(readme):
    # What an order is refused with comes from the writer as it is.
    paths = [p for actor in ("api", "writer") for p in (ROOT / "services" / actor).glob("*.py")]
    code = "".join(path.read_text() for path in paths)
    rows = re.findall(r"^\| \d{3}(?:, \d{3})* \| (.*) \|$", readme, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}
    assert named
    assert not {word for word in named if f'"{word}"' not in code}


def test_ready_says_what_the_table_of_its_sentences_quotes(readme):
    code = (ROOT / "services/api/readiness.py").read_text()
    table = re.search(r"^\| `degraded`[^\n]*\n\|[-|]*\n(.*?)\n\n", readme, re.DOTALL | re.MULTILINE)
    quoted = {
        part.strip()
        for row in table[1].splitlines()
        for quote in re.findall(r"`([^`]+)`", row.split(" | ")[0])
        for part in quote.split("…")
        if part.strip()
    }
    assert not {part for part in quoted if part not in code}


def test_both_readmes_have_the_same_structure():
    def shape(name: str) -> list[str]:
        lines = (ROOT / name).read_text().splitlines()
        return [re.match(r"#*", line)[0] or line[:6] for line in lines if line[:2] in {"##", "``"}]

    assert shape(READMES[0]) == shape(READMES[1])


def test_both_readmes_print_the_same_commands_and_answers():
    def blocks(name: str) -> list[str]:
        return re.findall(r"```(?:sh|json|nginx)\n.*?```", (ROOT / name).read_text(), re.DOTALL)

    assert blocks(READMES[0]) == blocks(READMES[1])


def test_every_path_in_the_text_exists(readme):
    named = re.findall(r"`((?:services|shared|scripts|tests)/[\w./-]*\w)`", readme)
    assert not {path for path in named if not (ROOT / path).exists()}


def test_every_link_into_the_tree_leads_somewhere(readme):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", readme)
    assert not {target for target in targets if not (ROOT / target).exists()}
