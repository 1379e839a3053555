"""A CSV of addresses, as people and their programs write it."""

import csv
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from services.api import address
from services.api.refusal import Fault, RefusalError, wrong

MOST_ROWS = 100_000
_GUARD = re.compile(r"(^|\|)'(?=[=+@-])")
"""Our own export puts an apostrophe before what a spreadsheet would take for a formula."""


class Row(NamedTuple):
    """One address, the line its row ends on, and the reason beside it; empty for none."""

    line: int
    email: str
    reason: str


class _Columns(NamedTuple):
    """Which columns hold the address and, if there is one, the reason."""

    email: int
    reason: int | None
    named: bool


def read(raw: bytes) -> list[Row]:
    """Read the rows, or raise RefusalError.

    The first line names the columns, one of them `email` and perhaps one `reason`; or it begins
    with an address already, then the first column is it.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _no_csv("it is not UTF-8") from None
    rows: list[Row] = []
    for row in _rows(text):
        if len(rows) == MOST_ROWS:
            raise wrong([Fault("", f"a request takes at most {MOST_ROWS} rows")])
        rows.append(row)
    if not rows:
        raise wrong([Fault("", "the CSV holds no address")])
    return rows


def _rows(text: str) -> Iterator[Row]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: _Columns | None = None
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _columns(cells)
                if columns.named:
                    continue
            reason = "" if columns.reason is None else _cell(cells, columns.reason)
            yield Row(lines.line_num, _cell(cells, columns.email), reason)
    except csv.Error as error:
        raise _no_csv(f"line {lines.line_num}: {error}") from None


def _columns(cells: list[str]) -> _Columns:
    names = [cell.strip().lower() for cell in cells]
    if names.count("email") == 1 and names.count("reason") <= 1:
        reason = names.index("reason") if "reason" in names else None
        return _Columns(names.index("email"), reason, named=True)
    if _is_address(_cell(cells, 0)):
        return _Columns(0, None, named=False)
    told = (
        "the first line must name the columns, separated by commas, one of them email (and perhaps"
        " one reason), or begin with an address"
    )
    raise wrong([Fault("", told)])


def _is_address(cell: str) -> bool:
    try:
        address.normalize(cell)
    except ValueError:
        return False
    return True


def _cell(cells: list[str], column: int) -> str:
    return _GUARD.sub(r"\1", cells[column].strip()) if column < len(cells) else ""


def _no_csv(reason: str) -> RefusalError:
    return RefusalError(400, "not_csv", f"The body is not CSV: {reason}.")
