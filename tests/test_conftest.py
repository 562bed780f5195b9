"""The line that says how many tests had no data set to run on."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TESTS = """
import pytest
@pytest.mark.skip(reason="JOURNAL_DATA is not set")
def test_one(): pass
@pytest.mark.skip(reason="mnist is not in JOURNAL_DATA")
def test_two(): pass
@pytest.mark.skip(reason="no accelerator here")
def test_three(): pass
def test_four(): pass
"""


def test_only_skips_for_want_of_a_data_set_are_counted(tmp_path):
    (tmp_path / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 tests skipped for want of a data set" in answer.stdout
    assert "1 passed, 3 skipped" in answer.stdout
