"""A journal of one item, small enough that the checker can be tried on it in every way."""

from pathlib import Path

from journal import roadmap
from journal.plan import Item

FOLDER = "phase-00-math-foundations"
MODULE = f"{FOLDER}/code/phase00/thing.py"
RUN = f"{FOLDER}/code/phase00/plot_thing.py"
TESTS = f"{FOLDER}/tests/test_thing.py"
ROADMAP = f"""# Roadmap

## Phase 0: Foundations
Folder: [{FOLDER}]({FOLDER}/)

**Goal.** One thing.

**Prerequisites.** None.

### Items

- [ ] **0.1 Two functions.** What is built.
  - a requirement
  - Code: [thing.py]({MODULE}) · Tests: [test_thing.py]({TESTS}) · Run: [plot_thing.py]({RUN})
- [ ] **0.2 A thing to look at.** Nothing can verify it.
  - Read: [the notes]({FOLDER}/README.md)
- [ ] **0.3 To come.** Nothing yet.
"""
REFERENCE = '''"""Two functions."""

import numpy as np

CASES = (1, 2)


def double(x: float) -> float:
    """Twice x."""
    return 2 * x


def turned(matrix: np.ndarray) -> np.ndarray:
    """The rows as columns."""
    return matrix.T.copy()
'''
SUITE = """import numpy as np
import pytest

from phase00 import thing


@pytest.mark.parametrize("x", thing.CASES)
def test_double_of_a_number_is_twice_it(x):
    assert thing.double(x) == 2 * x


def test_turned_swaps_rows_and_columns():
    matrix = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(thing.turned(matrix), [[0, 3], [1, 4], [2, 5]])


if hasattr(thing, "double"):

    def test_double_of_nothing_is_nothing():
        assert thing.double(0) == 0
"""
SCRIPT = '''"""Prints what double makes of three."""

from dataclasses import dataclass

from journal import record, script
from phase00.thing import double


@dataclass(frozen=True)
class Config:
    record: bool = False


def main(config: Config) -> dict:
    metrics = {"double of three": double(3)}
    record.write(__file__, config=config, metrics=metrics, seconds=0.0, record=config.record)
    return metrics


if __name__ == "__main__":
    script.run(main, Config)
'''
HINTS = """# Hints for phase 0

## 0.1 Two functions

### double

1. Think of adding.
2. Add x to itself.

### turned

1. Which index comes first?
2. An array knows its own transpose.
"""
FILES = {
    "ROADMAP.md": ROADMAP,
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\n',
    f"{FOLDER}/README.md": "# Phase 0\n\nStatus: in progress\n",
    f"{FOLDER}/hints.md": HINTS,
    f"{FOLDER}/code/phase00/__init__.py": "",
    MODULE: REFERENCE,
    f"{FOLDER}/code/phase00/plot_thing.py": SCRIPT,
    TESTS: SUITE,
}


def make(root: Path) -> Path:
    """Write it all under `root`, and return that."""
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def item(root: Path, item_id: str = "0.1") -> Item:
    return roadmap.load(root).item(item_id)
