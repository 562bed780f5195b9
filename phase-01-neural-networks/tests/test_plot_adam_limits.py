"""Both problems in short: what turning a ravine does to whom, and where the drift ends."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from phase00.optimization import descend, quadratic, quadratic_gradient
from phase01 import plot_adam_limits
from phase01.plot_adam_limits import OPTIMIZERS, SEQUENCES, Config, main

SHORT = Config(ratio=1000.0, angles=(0, 45, 90), n_rates=7, n_steps=200, drift_steps=8000)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("limits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase01"


def test_turning_the_ravine_changes_adam_alone(ran):
    ravine = ran[0]["ravine"]
    for name in ("SGD", "momentum"):
        assert len(set(ravine[name]["steps"])) == 1
    along, turned, across = ravine["Adam"]["steps"]
    assert along == across
    assert turned > 1.5 * along


def test_momentum_beats_adam_in_the_turned_ravine_and_not_along_an_axis(ran):
    ravine = ran[0]["ravine"]
    momentum, adam = ravine["momentum"]["steps"], ravine["Adam"]["steps"]
    assert adam[0] < momentum[0]
    assert adam[1] > momentum[1]


def test_adam_drifts_to_the_worst_point_where_it_forgets_and_others_do_not(ran):
    drift = ran[0]["drift"]
    assert list(drift) == list(SEQUENCES)
    short, long = drift.values()
    assert short["Adam, betas 0 and 0.1"] > 0.99
    assert short["Adam, betas 0.9 and 0.999"] < -0.99
    assert short["SGD"] < -0.99
    assert long["Adam, betas 0.9 and 0.99"] > 0.5
    assert long["SGD"] < -0.8


def test_mean_gradient_of_every_sequence_is_positive():
    for about in SEQUENCES.values():
        once, otherwise = about["gradients"]
        assert once + (about["period"] - 1) * otherwise > 0


def test_sgd_goes_the_way_of_plain_descent_at_every_angle():
    curvatures = np.array([1.0, 1000.0])
    path = descend(lambda x: quadratic_gradient(x, curvatures), np.ones(2), 0.0015, SHORT.n_steps)
    for angle in (0, 30, 45):
        values = plot_adam_limits.descend_ravine(OPTIMIZERS["SGD"], 0.0015, angle, SHORT)
        np.testing.assert_allclose(values, quadratic(path, curvatures), rtol=1e-6)


def test_search_says_where_no_rate_arrives():
    found = plot_adam_limits.search("SGD", 0, Config(ratio=1e6, n_rates=2, n_steps=20))
    assert found["steps"] is None


def test_numbers_and_two_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == [
        "plot_adam_limits-drift.svg",
        "plot_adam_limits-ravine.svg",
        "plot_adam_limits.json",
    ]
    written = json.loads((folder / "plot_adam_limits.json").read_text(encoding="utf-8"))
    path = written["metrics"]["curves"]["drift"]["period 3: gradients 3, -1, -1"]["SGD"]
    assert path[0][0] == 1
    assert path[-1][0] == 8000
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ratio": 0.5}, "ratio must be finite and 1 or more, not 0.5"),
        ({"angles": (0, 90)}, "angles must have 45 among them"),
        ({"n_rates": 1}, "must be 2 or more, not 1, 1000 and 20000"),
    ],
)
def test_config_that_shows_nothing_is_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        Config(**options)
