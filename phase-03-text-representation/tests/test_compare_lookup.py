"""The comparison on small tables: the same numbers both ways, and what is written."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from phase03 import compare_lookup
from phase03.compare_lookup import Config, main

SMALL = Config(vocab_sizes=(8, 40), n_tokens=30, d_model=6, rounds=2)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one run."""
    folder = tmp_path_factory.mktemp("lookup")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SMALL), folder / "runs" / "phase03"


def test_both_ways_give_the_same_numbers_at_each_size(ran):
    sizes = ran[0]["sizes"]
    assert [found["vocab_size"] for found in sizes] == [8, 40]
    for found in sizes:
        assert found["largest_difference"] < 1e-5


def test_a_wrong_gradient_would_be_seen(monkeypatch):
    def without_repeats(dy, cache):
        ids, shape = cache
        dweight = np.zeros(shape, dy.dtype)
        dweight[ids] += dy
        return dweight

    monkeypatch.setattr(compare_lookup, "embedding_backward", without_repeats)
    monkeypatch.setattr(
        compare_lookup, "embedding_forward", lambda ids, w: (w[ids], (ids, w.shape))
    )
    assert compare_lookup.compare(8, SMALL)["largest_difference"] > 0.1


def test_times_and_ratios_belong_together(ran):
    for found in ran[0]["sizes"]:
        for direction in ("forward", "backward"):
            times = found[direction]
            assert min(times.values()) > 0
            ratio = times["product"] / times["lookup"]
            assert found[f"{direction}_ratio"] == pytest.approx(ratio, abs=0.006)


def test_numbers_and_picture_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["compare_lookup-seconds.svg", "compare_lookup.json"]
    written = json.loads((folder / "compare_lookup.json").read_text(encoding="utf-8"))
    assert written["metrics"] == metrics
    assert ElementTree.parse(folder / names[0]).getroot().tag.endswith("svg")


def test_differences_are_the_same_twice(ran):
    again = [compare_lookup.compare(size, SMALL) for size in SMALL.vocab_sizes]
    for mine, first in zip(again, ran[0]["sizes"], strict=True):
        assert mine["largest_difference"] == first["largest_difference"]


@pytest.mark.parametrize(
    "options", [{"vocab_sizes": ()}, {"vocab_sizes": (4, 0)}, {"n_tokens": 0}, {"rounds": 0}]
)
def test_wrong_config_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Config(**options)
