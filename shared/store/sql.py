"""Named statements out of .sql files, and the numbered migrations."""

import re
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent
_NAME = re.compile(r"^-- (\w+): (.+)$", re.MULTILINE)


class Migration(NamedTuple):
    """One step of the schema, by its number."""

    number: int
    text: str


WRITES = ("writes.sql", "steering.sql", "suppressions.sql", "suspects.sql", "retention.sql")
"""The writer's statements, by capability."""

READS = ("reads.sql", "listing.sql")
"""The readers' statements."""


def load(*files: str) -> dict[str, str]:
    """Read `-- name: sentence` blocks into name → statement."""
    text = "\n".join((_FOLDER / file).read_text() for file in files)
    found = list(_NAME.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {
        match[1]: text[match.end() : end].strip().rstrip(";")
        for match, end in zip(found, ends, strict=False)
    }


def migrations() -> list[Migration]:
    """Answer the migrations in order; their file names are NNNN_word.sql."""
    files = sorted((_FOLDER / "migrations").glob("*.sql"))
    return [Migration(int(file.name[:4]), file.read_text()) for file in files]


def schema() -> str:
    """Answer the schema as it is after every migration."""
    return (_FOLDER / "schema.sql").read_text()
