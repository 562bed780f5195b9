"""The milestone of 1957: about half right untrained, 95 % or more trained, on the same points."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from phase01 import tour_untrained_perceptron as tour
from phase01 import train_perceptron as trained

TOUR = tour.Config(n_draw=300, n_example=300)
TRAINED = trained.Config(n_train=150, n_example=400, n_repeat=6)


def run_in(folder, main, config):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(config), folder / "runs" / "phase01"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("untrained"), tour.main, TOUR)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("trained"), trained.main, TRAINED)


# ---- untrained -------------------------------------------------------------------------------


def test_random_weights_are_right_half_of_the_time_on_the_average(untrained):
    plane, many = untrained[0]["inputs"]
    assert (plane["n_input"], many["n_input"]) == (2, 100)
    assert plane["mean"] == pytest.approx(0.5, abs=0.05)
    assert many["mean"] == pytest.approx(0.5, abs=0.02)


def test_draws_lie_far_apart_with_two_inputs_and_close_with_many(untrained):
    plane, many = untrained[0]["inputs"]
    assert plane["least"] < 0.1
    assert plane["most"] > 0.9
    assert many["least"] > 0.3
    assert many["most"] < 0.7
    assert many["share_with_95_percent"] == 0
    assert plane["standard_deviation"] > 3 * many["standard_deviation"]


def test_negative_weights_are_right_where_the_others_are_wrong():
    rng = np.random.default_rng(3)
    x, targets = rng.normal(size=(50, 4)), rng.integers(0, 2, 50)
    weights, biases = rng.normal(size=(7, 4)), rng.normal(size=7)
    right = tour.shares_right(x, targets, weights, biases)
    np.testing.assert_allclose(right + tour.shares_right(x, targets, -weights, -biases), 1)


# ---- trained ---------------------------------------------------------------------------------


def test_same_points_are_learned_to_95_percent_or_more(learned):
    found = learned[0]
    assert found["learned_without_mistake"]
    assert found["trained"] >= 0.95
    assert found["untrained"] < 0.75


def test_other_sets_and_starts_are_learned_as_well(learned):
    repeats = learned[0]["repeats"]
    assert repeats["untrained_mean"] == pytest.approx(0.5, abs=0.25)
    assert repeats["trained_mean"] > 0.98
    assert repeats["share_with_95_percent"] == 1
    assert repeats["trained_least"] >= 0.95


def test_curve_begins_at_the_start_and_has_a_point_for_each_update(learned):
    metrics, folder = learned
    written = json.loads((folder / "train_perceptron.json").read_text(encoding="utf-8"))["metrics"]
    for curve in written["curves"].values():
        assert len(curve) == metrics["updates"] + 1
    assert written["curves"]["held out"][0] == metrics["untrained"]
    assert written["curves"]["held out"][-1] == metrics["trained"]
    assert written["curves"]["learned"][-1] == 1


def test_points_and_start_are_the_first_of_the_tour():
    assert trained.Config().n_example == tour.Config().n_example
    assert trained.Config().distance == tour.Config().distance
    config = trained.Config(n_train=20, n_example=30, n_epoch=1)
    x, targets, history, (weight, bias) = trained.learn(config, seed=5)
    rng = np.random.default_rng(5)
    truth = tour.separable_points(30, 2, config.distance, rng)
    np.testing.assert_array_equal(x, truth[0])
    np.testing.assert_array_equal(targets, truth[1])
    np.testing.assert_array_equal(weight, truth[2])
    assert bias == truth[3]
    start = rng.normal(size=(4, 3))[0]
    np.testing.assert_array_equal(history.weights[0], start[:2])
    assert history.biases[0] == start[2]


# ---- both ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "config", "which"),
    [(tour.main, TOUR, "untrained"), (trained.main, TRAINED, "learned")],
)
def test_one_seed_gives_one_result_and_costs_and_questions_close_it(
    main, config, which, request, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(config) == request.getfixturevalue(which)[0]
    output = capsys.readouterr().out
    for word in ("parameters", "memory", "operations", "time", "To think about:", "3. "):
        assert word in output


@pytest.mark.parametrize(
    ("which", "files"),
    [
        ("untrained", ["tour_untrained_perceptron-shares.svg", "tour_untrained_perceptron.json"]),
        ("learned", ["train_perceptron-learning.svg", "train_perceptron.json"]),
    ],
)
def test_numbers_and_picture_are_written(which, files, request):
    metrics, folder = request.getfixturevalue(which)
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == files
    assert ElementTree.parse(folder / files[0]).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("config", "fault", "say"),
    [
        (tour.Config, {"n_draw": 0}, "n_draw must be 1 or more, not 0"),
        (tour.Config, {"n_example": 0}, "n_example must be 1 or more, not 0"),
        (tour.Config, {"distance": -0.1}, "distance must be 0 or more, not -0.1"),
        (trained.Config, {"distance": float("nan")}, "distance must be 0 or more, not nan"),
        (trained.Config, {"n_train": 0}, "n_train must be 1 or more"),
        (trained.Config, {"n_train": 50, "n_example": 50}, "held out, not 50 of 50"),
        (trained.Config, {"n_repeat": 0}, "n_repeat must be 1 or more, not 0"),
        (trained.Config, {"n_epoch": 0}, "n_epoch must be 1 or more, not 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config, fault, say):
    with pytest.raises(ValueError, match=say):
        config(**fault)
