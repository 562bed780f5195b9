"""The benchmark of the cells in tiny sizes: the same work is compared, and what is written.

No test asserts a time: that is what the recorded result says.
"""

import itertools
import json

import numpy as np
import pytest

from phase01.benchmark import Race, Way, compare, without_times
from phase02 import benchmark
from phase02.benchmark import LADDER, Config

TINY = Config(
    batch_size=3,
    n_steps=5,
    d_hidden=4,
    d_embedding=6,
    vocab_size=7,
    rounds=2,
    seconds=0.0,
    settle=0.0,
)
RACES = {
    "rnn": lambda: benchmark.model_race(TINY, "rnn"),
    "lstm": lambda: benchmark.model_race(TINY, "lstm"),
    "gru": lambda: benchmark.model_race(TINY, "gru"),
    "lstm alone": lambda: benchmark.lstm_race(TINY),
}


@pytest.mark.parametrize("make", RACES.values(), ids=RACES)
def test_all_ways_of_a_race_have_one_result(make):
    compare(make())


@pytest.mark.parametrize("make", RACES.values(), ids=RACES)
def test_every_way_that_does_something_else_is_refused(make):
    for place in range(1, len(make().ways)):
        race = make()
        ways = list(race.ways)
        ways[place] = wrong(ways[place])
        with pytest.raises(ValueError, match=r"differ by .* on a norm of"):
            compare(Race(race.key, race.title, ways))


def wrong(way):
    """The same way, with the last of its results 1 % too large."""

    def read(returned):
        *others, (name, last) = way.read(returned).items()
        return {**dict(others), name: np.asarray(last) * 1.01}

    return Way(way.name, way.step, read)


def test_every_rung_of_the_ladder_adds_one_improvement():
    plans = list(LADDER.values())
    assert sum(plans[0]) == 0
    for before, after in itertools.pairwise(plans):
        assert sum(after) == sum(before) + 1
        assert all(new or not old for old, new in zip(before, after, strict=True))
    assert all(plans[-1])


def test_layouts_hold_the_same_numbers_in_another_order_of_memory():
    x = np.arange(24.0).reshape(2, 3, 4)
    view, block = benchmark.turned(x), benchmark.in_blocks(x)
    np.testing.assert_array_equal(view, block)
    assert np.shares_memory(view, x)
    assert block.flags.c_contiguous
    assert not np.shares_memory(block, x)
    for plan in LADDER.values():
        made = benchmark.empty_like(block, 5, plan)
        assert made.shape == (3, 2, 5)
        assert made.flags.c_contiguous is plan.time_first


def test_everything_is_float32():
    for make in RACES.values():
        for way in make().ways:
            found = dict(way.read(way.step()))
            found.pop("loss", None)
            assert {one.dtype for one in found.values()} == {np.dtype(np.float32)}, way.name


def test_numbers_are_written_and_ratios_returned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    metrics = benchmark.main(TINY)
    written = json.loads((tmp_path / "runs/phase02/benchmark.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics == without_times(written["metrics"])
    out = capsys.readouterr().out
    assert list(metrics) == ["threads", "rnn_step", "lstm_step", "gru_step", "lstm_alone"]
    assert list(metrics["lstm_alone"]["factor"]) == list(LADDER)
    for key in list(metrics)[1:]:
        assert metrics[key]["ratio_least"] <= metrics[key]["ratio_largest"]
        assert written["metrics"][key]["goal"] == 2.0
    for name in LADDER:
        assert name in out


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"d_hidden": 0}, "d_hidden must be 1 or more, not 0"),
        ({"n_steps": 0}, "n_steps must be 1 or more, not 0"),
        ({"rounds": 0}, "rounds must be 1 or more, not 0"),
        ({"settle": -0.1}, "seconds and settle"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
