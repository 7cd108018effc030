"""Says at the end of a run how many orders of store calls were tried."""

from __future__ import annotations

import pytest

ORDERS = "orders of store calls"
"""The property under which a test notes in how many orders its requests ran."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    tried = sum(value for report in reports for name, value in report.user_properties if name == ORDERS)
    if tried:
        terminalreporter.write_line(f"{tried} orders of store calls compared with the model")
