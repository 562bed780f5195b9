"""Settings of all tests: one thread each, and a count of what was skipped for want of data."""

import os

import pytest

# Small tensors gain nothing from a second thread, and lose much where other work shares the cores.
# Before torch is imported; the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

MISSING_DATA = "JOURNAL_DATA"  # what the reason of such a skip names


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests had no data set to run on, so that a green run is not taken for more."""
    skipped = terminalreporter.stats.get("skipped", [])
    missing = [report for report in skipped if MISSING_DATA in str(report.longrepr)]
    terminalreporter.write_line(f"{len(missing)} tests skipped for want of a data set")
