"""The adding problem in seconds: a GRU solves what an RNN does not, twice the same."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from phase02.adding import BASELINE
from phase02.train_adding import CELLS, HALVES, KEEPING, Config, main, train, train_half

SMALL = Config(
    lengths=(4, 6), length_of_halves=6, d_hidden=12, max_steps=60, look_every=20, n_held_out=200
)
LEARNING = Config(d_hidden=16, learning_rate=0.02, max_steps=400, solved=0.02, look_every=25)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one small run."""
    folder = tmp_path_factory.mktemp("adding")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SMALL), folder / "runs" / "phase02"


def test_gru_solves_at_a_length_at_which_the_rnn_learns_nothing():
    solved, _ = train("gru", 20, LEARNING)
    assert solved["solved"]
    assert solved["error"] < 0.02
    assert solved["right"] > 0.3
    stuck, curve = train("rnn", 20, replace(LEARNING, max_steps=solved["steps"]))
    assert not stuck["solved"]
    assert stuck["error"] > 0.8 * BASELINE
    assert curve["steps"][-1] == stuck["steps"] == solved["steps"]


def test_lstm_that_keeps_begins_differently_and_learns():
    short = replace(LEARNING, d_hidden=8)
    (kept, kept_curve), (plain, plain_curve) = (
        train(name, 4, short) for name in (KEEPING, "lstm, as torch begins")
    )
    assert kept_curve["errors"][0] != plain_curve["errors"][0]
    assert kept["error"] < BASELINE / 2
    assert plain["error"] < BASELINE / 2


def test_each_half_of_keeping_begins_differently():
    halves = [train_half(half, SMALL) for half in HALVES]
    both, neither = (train(name, 6, SMALL)[0] for name in (KEEPING, "lstm, as torch begins"))
    errors = [run["error"] for run in (*halves, both, neither)]
    assert len(set(errors)) == 4
    closed = train_half("input gates closed", replace(SMALL, keep_bias=0.0))
    assert closed["error"] == neither["error"]


def test_training_stops_where_the_task_is_solved():
    run, curve = train("rnn", 4, replace(SMALL, solved=10.0))
    assert run["solved"]
    assert run["steps"] == 20
    assert curve["steps"] == [0, 20]


def test_numbers_and_two_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert list(metrics["runs"]) == list(CELLS)
    assert list(metrics["halves"]) == list(HALVES)
    for by_length in metrics["runs"].values():
        assert list(by_length) == ["4", "6"]
        for run in by_length.values():
            assert 0 < run["error"] < 1
            assert 0 <= run["right"] <= 1
            assert run["steps"] == 60
    assert sorted(file.name for file in folder.iterdir()) == [
        "train_adding-curves.svg",
        "train_adding-lengths.svg",
        "train_adding.json",
    ]
    written = json.loads((folder / "train_adding.json").read_text(encoding="utf-8"))["metrics"]
    assert written["curves"]["gru"]["6"]["steps"] == [0, 20, 40, 60]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_same_seed_gives_the_same_run_and_another_seed_another(ran):
    for name in CELLS:
        run, curve = train(name, 6, SMALL)
        assert run["error"] == ran[0]["runs"][name]["6"]["error"]
        _, other = train(name, 6, replace(SMALL, seed=1))
        assert other["errors"] != curve["errors"]


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"lengths": ()}, "lengths must be one or more, from 4 steps on"),
        ({"lengths": (3,)}, "lengths must be one or more, from 4 steps on"),
        ({"max_steps": 0}, "max_steps must be 1 or more, not 0"),
        ({"look_every": 0}, "look_every must be 1 or more, not 0"),
    ],
)
def test_config_that_trains_nothing_is_refused(fault, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(SMALL, **fault)
