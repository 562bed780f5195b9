"""Exhibit 02: the network learns symmetry, and its weights can be read."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from phase01.train_backpropagation import (
    PATTERNS,
    SYMMETRIC,
    Config,
    describe,
    have_ratio,
    main,
    sizes,
    start,
    train,
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of the whole exhibit; it is fast."""
    folder = tmp_path_factory.mktemp("backpropagation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(Config()), folder / "runs" / "phase01"


def test_eight_of_the_64_patterns_are_symmetric():
    assert PATTERNS.shape == (64, 6)
    assert SYMMETRIC.sum() == 8


def test_many_starts_learn_at_the_papers_rate_and_all_at_a_lower_one(ran):
    paper, lower = ran[0]["rates"]["0.1"], ran[0]["rates"]["0.03"]
    assert 5 <= paper["learned"] <= 15
    assert lower["learned"] == 20
    assert max(lower["sweeps_to_learn"]) < 1425
    assert lower["ratios"]["1:2:4"] > 10
    assert paper["median_slope_after_25"] < 0.001 < lower["median_slope_after_25"]


def test_weights_are_those_of_the_paper(ran):
    network = ran[0]["networks"]["1:2:4"]
    assert network["patterns_right"] == 64
    np.testing.assert_allclose(network["sizes"], [1, 2, 4], rtol=0.05)
    first, second = np.array(network["hidden_weights"])
    np.testing.assert_allclose(first, -first[::-1], atol=0.01)
    np.testing.assert_allclose(first, -second, rtol=0.02)
    assert network["mirror_mismatch"] < 0.01
    assert max(network["output_weights"]) < 0 < network["output_bias"]


def test_network_from_the_written_weights_knows_all_patterns(ran):
    """By the formulas alone, without the phase's functions."""
    for network in ran[0]["networks"].values():
        hidden = PATTERNS @ np.array(network["hidden_weights"]).T + network["hidden_biases"]
        units = 1 / (1 + np.exp(-hidden))  # (64, 2)
        score = units @ network["output_weights"] + network["output_bias"]
        np.testing.assert_array_equal(score > 0, SYMMETRIC)


def test_starts_do_not_disturb_one_another():
    """Training all side by side is training each alone: the same errors for the third of five."""
    config = Config(n_start=5, n_sweeps=40)
    params, _ = start(config)
    together = train(config, 0.1)
    hidden, bias = params["hidden.weight"][4:6], params["hidden.bias"][4:6]
    weight, output_bias = params["output.weight"][2, 4:6], params["output.bias"][2]
    velocity = [0.0, 0.0, 0.0, 0.0]
    for errors in together.errors:
        units = 1 / (1 + np.exp(-(PATTERNS @ hidden.T + bias)))  # (64, 2)
        y = 1 / (1 + np.exp(-(units @ weight + output_bias)))  # (64,)
        assert errors[2] == pytest.approx(((y - SYMMETRIC) ** 2).sum() / 2, rel=1e-9)
        dx = (y - SYMMETRIC) * y * (1 - y)  # (64,)
        dhidden = np.outer(dx, weight) * units * (1 - units)  # (64, 2)
        grads = [dhidden.T @ PATTERNS, dhidden.sum(axis=0), dx @ units, dx.sum()]
        velocity = [0.9 * v - 0.1 * g for v, g in zip(velocity, grads, strict=True)]
        hidden, bias = hidden + velocity[0], bias + velocity[1]
        weight, output_bias = weight + velocity[2], output_bias + velocity[3]


def test_same_seed_gives_the_same_run_and_another_seed_another():
    config = Config(n_start=3, n_sweeps=30)
    first, again = train(config, 0.1), train(config, 0.1)
    other = train(replace(config, seed=1), 0.1)
    np.testing.assert_array_equal(first.errors, again.errors)
    assert not np.array_equal(first.errors, other.errors)


def test_sizes_are_those_of_mirrored_pairs_in_rising_order():
    weights = np.array([[[-6, 3, 12, -12, -3, 6], [6, -3, -12, 12, 3, -6]]], float)
    np.testing.assert_allclose(sizes(weights), [[1, 2, 4]])
    assert have_ratio(weights, "1:2:4")[0]
    assert not have_ratio(weights, "2:3:4")[0]


def test_nothing_is_described_where_nothing_was_learned():
    config = Config(n_start=2, n_sweeps=3)
    assert describe({"0.1": train(config, 0.1)}, "1:2:4") == {}


def test_numbers_and_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == [
        "train_backpropagation-errors.svg",
        "train_backpropagation-weights-1-2-4.svg",
        "train_backpropagation-weights-2-3-4.svg",
        "train_backpropagation.json",
    ]
    text = (folder / "train_backpropagation.json").read_text(encoding="utf-8")
    errors = json.loads(text)["metrics"]["errors"]
    assert len(errors["0.1"]) == 20
    assert errors["0.03"][0][0] > errors["0.03"][0][-1]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"n_sweeps": 0}, "n_sweeps and n_start must be 1 or more, not 0 and 20"),
        ({"n_start": 0}, "n_sweeps and n_start must be 1 or more"),
        ({"learning_rates": ()}, "there must be a learning rate"),
        ({"weight_range": 0.0}, "a positive weight_range"),
    ],
)
def test_config_that_trains_nothing_is_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        Config(**options)
