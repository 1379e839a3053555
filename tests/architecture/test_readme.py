"""The README says what the code says."""

import re
from pathlib import Path

import msgspec
import pytest

from shared import config
from shared.config import Settings
from shared.domain import State

ROOT = Path(__file__).parents[2]
FIELDS = {field.name.upper(): field for field in msgspec.structs.fields(Settings)}
NOTHING = {"", "-", "none", "empty", "credential chain"}


@pytest.fixture(scope="module", params=["README.md", "README.ko.md"])
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


def test_every_path_in_the_text_exists(readme):
    named = re.findall(r"`((?:services|shared|scripts|tests)/[\w./-]*\w)`", readme)
    assert not {path for path in named if not (ROOT / path).exists()}


def test_every_link_into_the_tree_leads_somewhere(readme):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", readme)
    assert not {target for target in targets if not (ROOT / target).exists()}
