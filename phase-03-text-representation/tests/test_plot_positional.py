"""The script on a small table: what it returns, writes and refuses."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from phase03 import plot_positional
from phase03.plot_positional import Config, main

SMALL = Config(length=20, d_model=16, shift=3, starts=(0, 7))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one run."""
    folder = tmp_path_factory.mktemp("positional")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SMALL), folder / "runs" / "phase03"


def test_both_properties_hold_up_to_rounding(ran):
    assert 0 < ran[0]["largest_error_of_the_shift"] < 1e-13
    assert 0 < ran[0]["largest_spread_at_equal_distance"] < 1e-12


def test_periods_and_dot_products_are_those_of_the_formula(ran):
    metrics = ran[0]
    assert metrics["shortest_period"] == pytest.approx(2 * math.pi, abs=1e-3)
    assert metrics["longest_period"] == pytest.approx(2 * math.pi * 10000 ** (14 / 16), abs=0.1)
    assert metrics["dot_product_of_itself"] == 8.0
    neighbours = sum(math.cos(10000 ** (-2 * j / 16)) for j in range(8))
    assert metrics["dot_product_at_distance_1"] == pytest.approx(neighbours, abs=1e-4)
    assert metrics["smallest_dot_product"] < neighbours


def test_spread_is_seen_where_distance_does_not_decide():
    assert plot_positional.spread_by_distance(np.array([[1.0, 5.0], [5.0, 4.0]])) == 3.0
    assert plot_positional.spread_by_distance(np.array([[1.0, 5.0], [5.0, 1.0]])) == 0.0


def test_numbers_and_three_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    names = sorted(file.name for file in folder.iterdir())
    assert names == [
        "plot_positional-dot-products.svg",
        "plot_positional-rotation.svg",
        "plot_positional-table.svg",
        "plot_positional.json",
    ]
    written = json.loads((folder / "plot_positional.json").read_text(encoding="utf-8"))
    assert written["metrics"] == metrics
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_same_numbers_and_pictures_twice(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(SMALL) == ran[0]
    for picture in ran[1].glob("*.svg"):
        again = tmp_path / "runs" / "phase03" / picture.name
        assert again.read_bytes() == picture.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 15}, r"\b15\b"),
        ({"d_model": 0}, r"\b0\b"),
        ({"shift": 0}, "shift"),
        ({"length": 5, "shift": 5, "starts": (0,)}, "shift"),
        ({"starts": ()}, "starts"),
        ({"starts": (0, 128)}, "starts"),
        ({"starts": (-1,)}, "starts"),
    ],
)
def test_wrong_config_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)
