"""Every item that has code: its stub passes nothing, the journal's own version passes everything.

These hold for each item as it arrives, so a phase that is written is covered by being linked. The
tests of phase 8 train models; that they pass on the journal's own version is seen by running them
anyway, and that they do so in the overlay too is left to `make items`.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from journal import check, logbook, roadmap, stubs
from journal.plan import Item

ROOT = Path(__file__).resolve().parent.parent
WITH_CODE = [item for item in roadmap.load(ROOT).items if logbook.modules(item)]
EVERY_TIME = ("0.", "7.")  # the other phases' own versions are judged by `make items`
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


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("item", WITH_CODE, ids=lambda item: item.id)
def test_no_test_of_an_item_passes_on_its_stub(item, tmp_path: Path) -> None:
    verdict = verdict_on(item, tmp_path, stubs.stub)
    assert not verdict.passed
    assert verdict.n_passed == 0, verdict.text
    assert verdict.n_expected > 0
    assert "not written yet" in verdict.text


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("item", MARKED, ids=lambda item: item.id)
def test_every_test_of_an_item_passes_on_the_journals_own_version(item, tmp_path: Path) -> None:
    verdict = verdict_on(item, tmp_path, str)
    assert verdict.passed, verdict.text
