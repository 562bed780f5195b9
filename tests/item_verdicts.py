"""The checker's verdict on an item, for the tests of every item that has code.

Judging all items takes many minutes, so `make test` judges those of two phases, one in NumPy and
one in PyTorch; `make items` judges all.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from journal import check, logbook, roadmap
from journal.plan import Item

ROOT = Path(__file__).resolve().parent.parent
WITH_CODE = [item for item in roadmap.load(ROOT).items if logbook.modules(item)]
EVERY_TIME = ("0.", "7.")
MARKED = [
    pytest.param(item, marks=() if item.id.startswith(EVERY_TIME) else pytest.mark.slow)
    for item in WITH_CODE
]
MODULES = roadmap.modules(ROOT)
SECONDS = 900.0  # not a limit on speed: the tests of phase 8 train models


def verdict_on(item: Item, folder: Path, change: Callable[[str], str]) -> check.Verdict:
    """The checker's verdict on the journal's own modules of an item, each changed in this way."""
    mine = {}
    for module in logbook.modules(item):
        mine[module] = folder / f"{module}.py"
        mine[module].write_text(change(MODULES[module].read_text(encoding="utf-8")), "utf-8")
    return check.run(ROOT, item, mine, seconds=SECONDS)
