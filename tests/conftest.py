"""`pytest --table`: what the product must survive, which tests prove it, and how they ended."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from tests.faults import ALL, NOT_BUILT

Ended = dict[str, dict[str, str]]
"""By number: how each of its tests ended."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", action="store_true", help="print fault, tests and result")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "against(*numbers): what of tests/faults.py this proves")
    config.pluginmanager.register(Table(config), "table")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for number in {number for mark in item.iter_markers("against") for number in mark.args}:
            if number not in ALL:
                raise pytest.UsageError(f"{item.nodeid}: tests/faults.py has no {number}")
            # Travels with the report, also from one process to another.
            item.user_properties.append(("against", number))


class Table:
    """Gathers how the tests ended, by what they are against, and prints it."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_wanted = config.getoption("--table")
        self._ended: Ended = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        for name, number in report.user_properties:
            if name == "against":
                self._ended[str(number)][report.nodeid] = report.outcome

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._is_wanted:
            for line in self._lines():
                terminalreporter.write_line(line)

    def _lines(self) -> Iterator[str]:
        for number, what in ALL.items():
            ended = self._ended.get(number, {})
            counts = Counter(ended.values())
            result = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
            yield f"{number:4} {what}: {result or NOT_BUILT.get(number, 'no test was run')}"
            for name, count in Counter(node.partition("[")[0] for node in ended).items():
                yield f"       {name}" + (f" ({count})" if count > 1 else "")
