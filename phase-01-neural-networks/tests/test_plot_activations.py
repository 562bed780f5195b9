"""The script on few points: what it measures, writes and refuses."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from phase01 import plot_activations
from phase01.plot_activations import Config, main


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one run."""
    folder = tmp_path_factory.mktemp("activations")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(Config(n_points=4001)), folder / "runs" / "phase01"


def test_gelus_differ_by_less_than_half_a_thousandth(ran):
    gelu = ran[0]["gelu"]
    assert 4e-4 < gelu["largest_difference"] < 5e-4
    assert gelu["at_distance_from_0"] == pytest.approx(2.7, abs=0.05)
    assert gelu["largest_slope_difference"] < 1e-3


def test_largest_slopes_and_their_tenth_powers_are_the_known_ones(ran):
    slopes = ran[0]["slopes"]
    largest = {name: slope["largest"] for name, slope in slopes.items()}
    assert largest["sigmoid"] == 0.25
    assert largest["tanh"] == largest["relu"] == 1.0
    assert largest["step"] == 0.0
    # GELU is steepest at the root of 2: Phi(sqrt 2) + sqrt 2 phi(sqrt 2)
    root = math.sqrt(2)
    cdf = (1 + math.erf(1)) / 2
    density = math.exp(-1) / math.sqrt(2 * math.pi)
    assert largest["gelu"] == pytest.approx(cdf + root * density, abs=1e-6)
    assert slopes["sigmoid"]["after_layers_at_largest"] == 0.25**10


def test_only_the_functions_with_an_s_saturate(ran):
    slopes = ran[0]["slopes"]
    assert slopes["sigmoid"]["at_5"] == pytest.approx(0.006648, rel=1e-3)
    assert slopes["tanh"]["at_10"] == pytest.approx(4 * math.exp(-20), rel=1e-6)
    assert slopes["sigmoid"]["after_layers_at_2"] < 1e-9
    for name in ("relu", "gelu", "gelu_tanh"):
        assert slopes[name]["at_10"] == pytest.approx(1)


def test_typed_formulas_overflow_and_ours_is_silent(ran):
    overflow = ran[0]["overflow"]
    typed = overflow["1 / (1 + exp(-x)) at -1000"]
    assert typed == {"value": 0.0, "warnings": ["overflow encountered in exp"]}
    assert overflow["exp(x) / (1 + exp(x)) at 1000"]["value"] is None
    assert overflow["ours at -1000"] == {"value": 0.0, "warnings": []}
    assert overflow["ours at 1000"] == {"value": 1.0, "warnings": []}


def test_numbers_and_two_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == [
        "plot_activations-functions.svg",
        "plot_activations-gelus.svg",
        "plot_activations.json",
    ]
    written = json.loads((folder / "plot_activations.json").read_text(encoding="utf-8"))
    assert written["metrics"] == metrics
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_jump_is_drawn_as_a_gap():
    curve = np.array([0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(plot_activations.broken(curve, False), curve)
    np.testing.assert_array_equal(plot_activations.broken(curve, True), [0, math.nan, 1, 1])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"x_max": 0.0}, "x_max must be positive and finite, not 0.0"),
        ({"n_points": 1}, "2 points and 1 layer or more, not 1 points and 10 layers"),
        ({"n_layers": 0}, "2 points and 1 layer or more"),
    ],
)
def test_config_that_draws_nothing_is_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        Config(**options)
