"""The script in a few steps: what it returns, writes and refuses."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from phase00 import plot_descent
from phase00.plot_descent import Config, main

SHORT = Config(n_steps=160, rosenbrock_steps=900, ratios=(1.0, 8.0, 64.0))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("descent")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase00"


def test_bowl_and_ravine_reach_their_minimum(ran):
    surfaces = ran[0]["surfaces"]
    assert surfaces["bowl"]["value"] < 1e-4
    assert surfaces["ravine"]["value"] < 0.1


def test_one_nudge_decides_between_saddle_and_minimum(ran):
    stuck, escaped = (ran[0]["surfaces"][f"saddle, {how}"] for how in ("on the axis", "nudged"))
    assert stuck["value"] == pytest.approx(0, abs=1e-9)
    assert stuck["steps_to_minimum"] is None
    assert escaped["value"] == pytest.approx(-0.25)
    assert escaped["steps_to_minimum"] > 100


def test_rates_below_the_limit_approach_and_rates_above_it_leave(ran):
    rates = ran[0]["rates"]
    start = math.hypot(2.4, 1.0)
    assert 1e-2 < rates["crawls"]["end_distance"] < start
    assert rates["fastest"]["steps_to_minimum"] < rates["converges"]["steps_to_minimum"]
    assert rates["just below"]["end_distance"] < 0.1
    assert rates["exactly"]["end_distance"] == pytest.approx(1, abs=1e-6)
    assert rates["just above"]["end_distance"] > 10
    assert rates["diverges"]["end_distance"] > 1e15
    assert rates["diverges"]["steps_to_minimum"] is None


def test_counted_steps_are_those_of_the_closed_form(ran):
    condition = ran[0]["condition"]
    assert condition["ratios"] == [1.0, 8.0, 64.0]
    for kind in ("half_the_largest_rate", "fastest_rate"):
        for steps, foretold in zip(
            condition[kind]["steps"], condition[kind]["foretold"], strict=True
        ):
            assert steps == math.ceil(foretold)


def test_fastest_rate_needs_about_half_the_steps(ran):
    slow, fast = (
        ran[0]["condition"][kind]["steps"][-1] for kind in ("half_the_largest_rate", "fastest_rate")
    )
    assert 0.45 < fast / slow < 0.6


def test_numbers_and_three_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert sorted(file.name for file in folder.iterdir()) == [
        "plot_descent-condition.svg",
        "plot_descent-paths.svg",
        "plot_descent-rates.svg",
        "plot_descent.json",
    ]
    written = json.loads((folder / "plot_descent.json").read_text(encoding="utf-8"))["metrics"]
    assert written["condition"] == metrics["condition"]
    assert written["paths"]["rosenbrock"][0] == [-1.2, 1.0]
    assert len(written["distances"]["crawls"]) == 161
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_thinned_path_keeps_both_ends_and_their_order():
    path = np.stack([np.arange(1000.0), -np.arange(1000.0)], axis=1)
    few = plot_descent.thinned(path, 30)
    assert len(few) <= 30
    np.testing.assert_array_equal(few[[0, -1]], path[[0, -1]])
    assert np.all(np.diff(few[:, 0]) > 0)
    np.testing.assert_array_equal(plot_descent.thinned(path[:30], 30), path[:30])


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (Config(n_steps=0), "must be 1 or more, not 0 and 20000"),
        (Config(rosenbrock_steps=0), "must be 1 or more, not 200 and 0"),
        (Config(ratios=()), "ratios must be one or more numbers"),
        (Config(ratios=(3.0, 0.5)), "ratios must be one or more numbers"),
    ],
)
def test_config_that_draws_nothing_is_refused(config, complaint):
    with pytest.raises(ValueError, match=complaint):
        main(config)
