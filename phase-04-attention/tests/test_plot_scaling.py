"""The script at few widths: what is foretold is what comes out, and what it writes and refuses."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from phase04 import plot_scaling
from phase04.plot_scaling import Config, main

SHORT = Config(widths=(1, 4, 1024), n_keys=16, n_queries=10, n_batch=60)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("scaling")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase04"


def test_variance_of_a_score_is_the_width_and_with_the_scale_one(ran):
    metrics, _ = ran
    assert metrics["without_scale"]["variance"] == pytest.approx([1, 4, 1024], rel=0.1)
    assert metrics["with_scale"]["variance"] == pytest.approx([1, 1, 1], rel=0.1)


def test_scaled_entropy_and_gradient_do_not_depend_on_a_large_width(ran):
    scaled = ran[0]["with_scale"]
    assert scaled["entropy"][2] == pytest.approx(ran[0]["foretold"]["entropy_with_scale"], rel=0.03)
    assert scaled["entropy"][2] == pytest.approx(scaled["entropy"][1], rel=0.1)
    assert scaled["gradient"][2] == pytest.approx(scaled["gradient"][1], rel=0.2)


def test_without_the_scale_wide_heads_reach_the_limits_foretold(ran):
    plain, limits = ran[0]["without_scale"], ran[0]["foretold"]
    assert plain["entropy"][2] == pytest.approx(limits["entropy_large"][2], rel=0.25)
    assert 1 - plain["largest_weight"][2] == pytest.approx(
        1 - limits["largest_weight_large"][2], rel=0.25
    )
    assert plain["gradient"][2] == pytest.approx(limits["gradient_large"][2], rel=0.25)
    assert plain["median_gradient"][2] < 1e-3 * ran[0]["with_scale"]["median_gradient"][2]


def test_small_variance_has_the_limits_of_equal_weights():
    rng = np.random.default_rng(0)
    n = 16
    found = plot_scaling.of_scores(*(s * rng.normal(size=(50, 40, n)) for s in (0.1, 1.0)))
    assert math.log(n) - found["entropy"] == pytest.approx(0.005 * (1 - 1 / n), rel=0.05)
    assert found["gradient"] == pytest.approx(math.sqrt(n - 1) / n, rel=0.03)


@pytest.mark.parametrize("n", [2, 3, 16])
def test_density_of_the_gap_is_what_samples_show(n):
    drawn = np.sort(np.random.default_rng(0).normal(size=(200_000, n)), axis=-1)
    gaps = drawn[:, -1] - drawn[:, -2]
    assert plot_scaling.gap_density(n) == pytest.approx(np.mean(gaps < 0.05) / 0.05, rel=0.05)


def test_two_numbers_have_the_gap_density_of_their_difference():
    # |x - y| with x - y of variance 2: twice the normal density at 0
    assert plot_scaling.gap_density(2) == pytest.approx(2 / math.sqrt(4 * math.pi), rel=1e-6)


def test_numbers_and_two_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == [
        "plot_scaling-entropy.svg",
        "plot_scaling-gradient.svg",
        "plot_scaling.json",
    ]
    written = json.loads((folder / "plot_scaling.json").read_text(encoding="utf-8"))["metrics"]
    assert written == metrics
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_same_seed_gives_the_same_numbers(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(SHORT) == ran[0]


@pytest.mark.parametrize(
    "wrong", [{"widths": ()}, {"widths": (0, 4)}, {"n_keys": 1}, {"n_queries": 0}, {"n_batch": 0}]
)
def test_config_that_measures_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Config(**wrong)
