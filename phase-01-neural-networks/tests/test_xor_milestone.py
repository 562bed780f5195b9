"""The milestone of 1969: one layer stuck at ln 2, a hidden layer right about all four inputs."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from phase01 import train_one_layer as one
from phase01 import train_xor_by_hand as two
from phase01.xor import INPUTS, TARGETS, forward, gradients

ONE = one.Config(n_epoch=300, n_start=12)
TWO = two.Config(n_epoch=500, n_start=2, widths=(2, 5), gradients_at=(0, 150), every=200)


def run_in(folder, main, config):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(config), folder / "runs" / "phase01"


@pytest.fixture(scope="module")
def stuck(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("one"), one.main, ONE)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("two"), two.main, TWO)


# ---- one layer -------------------------------------------------------------------------------


def test_one_layer_ends_at_ln_2_and_one_half_from_every_start(stuck):
    found = stuck[0]
    assert found["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert found["largest_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert found["probabilities"] == [0.5] * 4


def test_one_layer_is_right_about_half_and_never_about_all(stuck):
    found = stuck[0]
    assert found["right"] == 0.5
    assert found["right_at_the_end"] == [0.5, 0.5]
    assert found["right_on_the_way"] == [0.25, 0.75]


def test_probability_of_one_half_but_for_rounding_counts_as_1():
    said = np.array([[0.5 - 1e-9, 0.5, 0.5 - 1e-3, 0.5 + 1e-3]])
    np.testing.assert_array_equal(one.share_right(said), [0.25])  # answers 1 1 0 1: 01 alone right


def test_one_layer_prints_the_weights_on_their_way_to_zero(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one.main(one.Config(n_epoch=300, n_start=1))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:11]]
    assert [row[0] for row in rows] == ["0", "1", "2", "5", "10", "20", "50", "100", "200", "300"]
    assert rows[-1][1:] == ["0.6931", *["+0.0000"] * 3, *["0.500000"] * 4, "50%"]


# ---- two layers ------------------------------------------------------------------------------


def test_hidden_layer_is_right_about_all_four(solved):
    found = solved[0]
    assert found["right"] == 1
    assert found["loss"] < 0.05
    assert 0 < found["all_right_from_epoch"] < 500
    np.testing.assert_array_equal(np.round(found["probabilities"]), TARGETS[:, 0])


def test_more_hidden_units_are_solved_from_more_starts(solved):
    few, more = solved[0]["widths"]
    assert (few["n_hidden"], more["n_hidden"]) == (2, 5)
    assert 0 < few["solved"] < more["solved"] == 1
    ((stuck_at, count),) = few["losses_of_the_others"]
    assert count == 1
    assert stuck_at == pytest.approx(math.log(2) / 2, abs=0.02)  # two inputs at one half
    assert more["losses_of_the_others"] == []


def test_solved_means_that_every_answer_is_right():
    assert math.log(2) / 4 > two.SOLVED
    found = two.summary(3, np.array([0.09, 0.1, 0.347, 0.353]))
    assert found == {
        "n_hidden": 3,
        "solved": 0.25,
        "losses_of_the_others": [[0.1, 1], [0.35, 2]],
    }


def test_all_are_right_from_the_epoch_after_the_last_mistake():
    assert two.all_right_from(np.array([0.5, 1, 0.75, 1, 1])) == 3
    assert two.all_right_from(np.array([1.0, 1.0])) == 0
    assert two.all_right_from(np.array([0.5, 1, 0.75])) is None


def test_printed_gradients_are_those_of_the_module(capsys):
    rng = np.random.default_rng(2)
    params = rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=(1, 2)), np.ones(1)
    two.print_gradients(*params)
    rows: dict[str, list[float]] = {}
    name = ""
    for line in capsys.readouterr().out.splitlines():
        formula, values = line[:47], line[47:]
        name = formula.split()[0] if formula.strip() else name
        rows.setdefault(name, []).extend(float(value) for value in values.split())
    hidden, z2 = forward(INPUTS, *params)
    truth = gradients(INPUTS, TARGETS, hidden, z2, params[2])
    for key, gradient in zip(("dweight1", "dbias1", "dweight2", "dbias2"), truth, strict=True):
        np.testing.assert_allclose(rows[key], gradient.ravel(), atol=5.1e-5)
    dz2 = (1 / (1 + np.exp(-z2)) - TARGETS) / 4  # the formulas once more, by their words
    dhidden = dz2 @ params[2]
    np.testing.assert_allclose(rows["dz2"], dz2[:, 0], atol=5.1e-5)
    np.testing.assert_allclose(rows["dhidden"], dhidden.T.ravel(), atol=5.1e-5)
    dz1 = dhidden * hidden * (1 - hidden)
    np.testing.assert_allclose(rows["dz1"], dz1.T.ravel(), atol=5.1e-5)


def test_weights_are_printed_at_the_epochs_asked_for(capsys):
    config = two.Config(n_epoch=7, gradients_at=(4,), every=3)
    two.watch(two.fit(config, two.N_HIDDEN, seed=0), config)
    lines = capsys.readouterr().out.splitlines()
    weights = [line.split() for line in lines if line[:5].strip().isdigit()]
    assert [row[0] for row in weights] == ["0", "3", "4", "6", "7"]
    assert all(len(row) == 2 + 9 for row in weights)  # epoch, loss, nine parameters
    assert sum("dz2^T hidden" in line for line in lines) == 1


def test_inputs_that_share_a_place_share_a_name():
    places = np.array([[0.02, 0.0], [0.98, 0.11], [1.01, 0.08], [0.4, 0.6]])
    assert two.name_places(places) == {(0.0, 0.0): "0 0", (1.0, 0.1): "0 1, 1 0", (0.4, 0.6): "1 1"}


# ---- both ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "config", "which"), [(one.main, ONE, "stuck"), (two.main, TWO, "solved")]
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
        ("stuck", ["train_one_layer-stuck.svg", "train_one_layer.json"]),
        (
            "solved",
            [
                "train_xor_by_hand-hidden.svg",
                "train_xor_by_hand-loss.svg",
                "train_xor_by_hand-surface.svg",
                "train_xor_by_hand.json",
            ],
        ),
    ],
)
def test_numbers_and_pictures_are_written(which, files, request):
    metrics, folder = request.getfixturevalue(which)
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == files
    for picture in files[:-1]:
        assert ElementTree.parse(folder / picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("config", "fault", "say"),
    [
        (one.Config, {"n_start": 0}, "n_start must be 1 or more, not 0"),
        (two.Config, {"n_start": 0}, "n_start must be 1 or more, not 0"),
        (two.Config, {"every": 0}, "every must be 1 or more, not 0"),
        (one.Config, {"n_epoch": 0}, "^n_epoch must be 1 or more, not 0"),
        (two.Config, {"n_epoch": 0}, "^n_epoch must be 1 or more, not 0"),
        (two.Config, {"widths": (3, 4)}, "widths must be 1 or more and have 2 among them"),
        (two.Config, {"widths": (2, 0)}, "widths must be 1 or more and have 2 among them"),
        (two.Config, {"gradients_at": (0, -1)}, "gradients_at must be epochs from 0 up"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config, fault, say):
    with pytest.raises(ValueError, match=say):
        config(**fault)


@pytest.mark.parametrize("script", [one, two])
def test_training_that_makes_no_sense_is_refused(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="learning_rate must be above 0"):
        script.main(script.Config(learning_rate=0.0))
