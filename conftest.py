"""Settings of all tests: one thread each, and a count of what was skipped for want of data.

Notes and posts are tests too: their blocks of Python run, and must print what the page says.
"""

import os
from pathlib import Path

import pytest

# Small tensors gain nothing from a second thread, and lose much where other work shares the cores.
# Before torch is imported; the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"  # a figure in a note or post opens no window

MISSING_DATA = "JOURNAL_DATA"  # what the reason of such a skip names


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The pages whose blocks run; sybil is imported only where there is one."""
    if file_path.suffix == ".md":
        from journal import blocks

        if blocks.is_page(file_path):
            return blocks.collect(file_path, parent)
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests had no data set to run on, so that a green run is not taken for more."""
    skipped = terminalreporter.stats.get("skipped", [])
    missing = [report for report in skipped if MISSING_DATA in str(report.longrepr)]
    terminalreporter.write_line(f"{len(missing)} tests skipped for want of a data set")
