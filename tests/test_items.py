"""Every item that has code: the journal's own version passes everything.

This holds for each item as it arrives, so a phase that is written is covered by being linked. That
an item's tests pass on the journal's own version is seen by running them anyway; that they do so in
the overlay too is left to `make items` for most phases.
"""

from pathlib import Path

import pytest
from item_verdicts import MARKED, verdict_on


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("item", MARKED, ids=lambda item: item.id)
def test_every_test_of_an_item_passes_on_the_journals_own_version(item, tmp_path: Path) -> None:
    verdict = verdict_on(item, tmp_path, str)
    assert verdict.passed, verdict.text
