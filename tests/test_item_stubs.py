"""Every item that has code: its stub passes nothing. (The other half is in test_items.py.)"""

from pathlib import Path

import pytest
from item_verdicts import MARKED, verdict_on

from journal import stubs


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("item", MARKED, ids=lambda item: item.id)
def test_no_test_of_an_item_passes_on_its_stub(item, tmp_path: Path) -> None:
    verdict = verdict_on(item, tmp_path, stubs.stub)
    assert not verdict.passed
    assert verdict.n_passed == 0, verdict.text
    assert verdict.n_expected > 0
    assert "not written yet" in verdict.text
