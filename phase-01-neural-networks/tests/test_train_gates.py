"""The script on gates and convergence theorem: what it finds, prints, writes and refuses."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from phase01.perceptron import gate, predict
from phase01.train_gates import Config, find_cycle, main

SMALL = Config(n_epoch=30, distances=(0.1, 0.4), n_set=5, n_example=20)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("gates")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SMALL), folder / "runs" / "phase01"


@pytest.mark.parametrize(("name", "epochs", "updates"), [("AND", 6, 11), ("OR", 4, 5)])
def test_gate_that_a_line_separates_is_learned(ran, name, epochs, updates):
    found = ran[0]["gates"][name]
    assert found["learned"]
    assert (found["epochs"], found["updates"]) == (epochs, updates)
    x, targets = gate(name)
    np.testing.assert_array_equal(predict(x, np.array(found["weight"]), found["bias"]), targets)


def test_xor_is_given_up_and_its_weights_cycle(ran):
    found = ran[0]["gates"]["XOR"]
    assert not found["learned"]
    assert (found["epochs"], found["fewest_mistakes_in_an_epoch"]) == (30, 3)
    assert found["cycle"]["after_epoch"] == 2
    assert found["cycle"]["epochs"] == 1
    states = found["cycle"]["weights_bias"]  # by hand, as printed
    assert states == [[-1, 0, 0], [-1, 0, -1], [-1, 1, 0], [0, 1, 1]]


def test_mistakes_stay_below_their_bound(ran):
    theorem = ran[0]["theorem"]
    assert theorem["sets"] == 10
    assert theorem["above_the_bound"] == 0
    assert 0 < theorem["largest_ratio"] <= 1
    assert [row["distance"] for row in theorem["by_distance"]] == [0.1, 0.4]
    wide, narrow = (theorem["by_distance"][k]["median_bound"] for k in (1, 0))
    assert wide < narrow
    written = json.loads((ran[1] / "train_gates.json").read_text(encoding="utf-8"))["metrics"]
    for pairs in written["bounds_and_mistakes"].values():
        assert len(pairs) == 5
        assert all(1 <= mistakes <= bound for bound, mistakes in pairs)


def test_numbers_and_two_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert sorted(file.name for file in folder.iterdir()) == [
        "train_gates-boundaries.svg",
        "train_gates-theorem.svg",
        "train_gates.json",
    ]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_every_update_is_printed_and_one_seed_gives_one_result(ran, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(SMALL) == ran[0]
    lines = capsys.readouterr().out.splitlines()
    start, end = (
        lines.index("AND: weights 0 0, bias 0"),
        lines.index("AND is learned: no mistake in epoch 6"),
    )
    rows = [line.split() for line in lines[start + 2 : end]]
    # epoch, update, two inputs, answer, target, two weights, bias
    assert len(rows) == 11
    assert rows[0] == ["1", "1", "0", "0", "1", "0", "0", "0", "-1"]
    assert rows[1] == ["1", "2", "1", "1", "0", "1", "1", "1", "0"]
    assert rows[-1] == ["5", "11", "0", "1", "1", "0", "2", "1", "-3"]
    assert "(-1, 0; 0) -> (-1, 0; -1) -> (-1, 1; 0) -> (0, 1; 1) -> (-1, 0; 0)" in lines


def test_other_seed_gives_other_sets(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = main(Config(n_epoch=2, distances=(0.1, 0.4), n_set=5, n_example=20, seed=1))
    assert other["theorem"] != ran[0]["theorem"]
    # two passes are too few: no gate is learned, and no cycle seen yet
    assert not any(found["learned"] for found in other["gates"].values())
    assert other["gates"]["XOR"]["cycle"] is None


def test_cycle_is_found_where_the_first_state_comes_back():
    assert find_cycle("abcdbcd") == (1, 3)
    assert find_cycle("aa") == (0, 1)
    assert find_cycle("abc") is None
    assert find_cycle("") is None


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"n_epoch": 0}, "n_epoch must be 1 or more, not 0"),
        ({"n_set": 0}, "n_set must be 1 or more, not 0"),
        ({"n_example": -1}, "n_example must be 1 or more, not -1"),
        ({"distances": ()}, "distances must be one or more numbers above 0"),
        ({"distances": (0.1, 0.0)}, "above 0, not"),
        ({"distances": (float("nan"),)}, "above 0, not"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
