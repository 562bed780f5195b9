"""The script on small networks: what it measures against what theory says, and what it leaves."""

import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from phase02.plot_vanishing_gradients import (
    STARTS,
    Config,
    main,
    measure_cells,
    measure_radii,
    measure_training,
)

SMALL = Config(
    radii=(0.6, 1.3),
    reach_radii=(0.3, 0.5, 0.7),
    lengths=(5, 30),
    d_hidden=24,
    n_batch=8,
    train_hidden=12,
    train_steps=20,
)
MEASURES = {"networks": measure_radii, "cells": measure_cells, "training": measure_training}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one small run."""
    folder = tmp_path_factory.mktemp("vanishing")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SMALL), folder / "runs" / "phase02"


@pytest.mark.parametrize("radius", ["0.6", "1.3"])
def test_gradient_of_a_linear_network_follows_the_spectral_radius(ran, radius):
    one = ran[0]["networks"]["linear"][radius]
    assert one["slope"] == 1
    assert one["foretold"] == float(radius)
    assert one["ratio"] == pytest.approx(1, abs=0.05)
    assert one["factor"] == pytest.approx(one["ratio"] * one["foretold"])


def test_slopes_of_tanh_take_more_away(ran):
    linear, bent = ran[0]["networks"]["linear"]["0.6"], ran[0]["networks"]["tanh"]["0.6"]
    assert 0.5 < bent["slope"] < 1
    assert bent["factor"] < linear["factor"]
    assert bent["ratio"] == pytest.approx(1, abs=0.1)


def test_no_factor_is_above_the_bound(ran):
    for kind in ran[0]["networks"].values():
        for one in kind.values():
            assert one["factor"] < one["bound"]


def test_distance_and_not_length_decides(ran):
    one = ran[0]["networks"]["linear"]["0.6"]
    short, long = one["at_first_step"]["5"], one["at_first_step"]["30"]
    assert math.log(long) / math.log(short) == pytest.approx(6, rel=0.2)


def test_thousandth_is_left_sooner_where_the_radius_is_smaller(ran):
    reach = ran[0]["reach"]
    for kind in ("linear", "tanh"):
        steps = [n for n in reach[kind] if n is not None]
        assert steps == sorted(steps)
        assert len(steps) == 3
    for found, foretold in zip(reach["linear"], reach["foretold"], strict=True):
        assert found == pytest.approx(foretold, rel=0.3)


def test_open_forget_gates_let_the_gradient_through(ran):
    cells = ran[0]["cells"]
    assert list(cells) == list(STARTS)
    assert cells["lstm"]["gate"] == 0.5
    factors = [cells[name]["factor"] for name in STARTS if name.startswith("lstm")]
    assert factors == sorted(factors)
    assert factors[-1] > 0.9 > cells["rnn"]["factor"]
    assert cells["lstm, forget bias 3"]["steps_to_vanish"] is None


def test_gradient_at_the_first_step_falls_with_the_length_of_the_task(ran):
    training = ran[0]["training"]
    assert list(training) == ["5", "30"]
    assert training["30"]["first_to_last"] < 1e-3 * training["5"]["first_to_last"]
    assert 0 < training["5"]["error"] < 1


def test_numbers_and_four_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert sorted(file.name for file in folder.iterdir()) == [
        "plot_vanishing_gradients-cells.svg",
        "plot_vanishing_gradients-radius.svg",
        "plot_vanishing_gradients-reach.svg",
        "plot_vanishing_gradients-training.svg",
        "plot_vanishing_gradients.json",
    ]
    written = json.loads((folder / "plot_vanishing_gradients.json").read_text(encoding="utf-8"))
    curve = written["metrics"]["curves"]["networks"]["linear"]["0.6"]
    assert len(curve) == 31
    assert curve[0] == 1
    assert curve[-1] == pytest.approx(
        metrics["networks"]["linear"]["0.6"]["at_first_step"]["30"], rel=1e-3
    )
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_same_seed_gives_the_same_numbers_and_another_seed_others(ran):
    for name, measure in MEASURES.items():
        again, _ = measure(SMALL)
        assert again == ran[0][name]
        other, _ = measure(replace(SMALL, seed=1))
        assert other != again


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"radii": ()}, "radii must be one to five positive numbers"),
        ({"radii": (0.5, -1.0)}, "radii must be one to five positive numbers"),
        ({"reach_radii": (0.5, 1.0)}, "reach_radii must be between 0 and 1"),
        ({"lengths": (20, 10)}, "lengths must be one to five, in rising order"),
        ({"lengths": (3, 10)}, "the adding problem needs 4 steps or more, not 3"),
        ({"train_steps": 0}, "train_steps must be 1 or more, not 0"),
    ],
)
def test_config_that_measures_nothing_is_refused(fault, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(SMALL, **fault)
