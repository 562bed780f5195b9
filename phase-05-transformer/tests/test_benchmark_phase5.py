"""The benchmark of the transformer in tiny sizes: the same work is compared, and what is written.

No test asserts a time: that is what the recorded result says.
"""

import json

import numpy as np
import pytest

from phase01.benchmark import Race, Way, compare, without_times
from phase05 import benchmark
from phase05.benchmark import Config

TINY = Config(
    batch_size=3,
    source_steps=7,
    target_steps=5,
    vocab_size=11,
    d_model=12,
    n_head=3,
    d_ff=10,
    n_layer=2,
    rounds=2,
    seconds=0.0,
    settle=0.0,
)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_ways_have_one_result(dtype):
    compare(benchmark.step_race(TINY, dtype))


def test_way_that_does_something_else_is_refused():
    race = benchmark.step_race(TINY, np.float64)
    mine, theirs = race.ways

    def read(returned):
        *others, (name, last) = theirs.read(returned).items()
        return {**dict(others), name: np.asarray(last) * 1.01}

    wrong = Way(theirs.name, theirs.step, read)
    with pytest.raises(ValueError, match=r"differ by .* on a norm of"):
        compare(Race(race.key, race.title, [mine, wrong]))


def test_gradients_and_moved_matrices_are_compared_in_float64():
    for way in benchmark.step_race(TINY, np.float64).ways:
        found = dict(way.read(way.step()))
        assert "moved encoder.layers.1.linear2.weight" in found
        assert "decoder.layers.0.multihead_attn.in_proj_bias" in found
        found.pop("loss"), found.pop("norm")
        assert {one.dtype for one in found.values()} == {np.dtype(np.float64)}, way.name


def test_batch_has_filling_and_its_longest_rows():
    source, source_mask, target, target_mask = benchmark.random_batch(TINY)
    assert (source.shape, target.shape) == ((3, 7), (3, 5))
    for mask in (source_mask, target_mask):
        assert mask[0].all()
        assert mask[:, : mask.shape[1] // 2].all()


def test_ratio_and_account_are_written_and_returned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    metrics = benchmark.main(TINY)
    path = tmp_path / "runs/phase05/benchmark.json"
    written = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics == without_times(written)
    assert list(metrics) == ["threads", "step", "account"]
    assert written["step"]["goal"] == 2.0
    assert metrics["step"]["ratio_least"] <= metrics["step"]["ratio_largest"]
    shares = metrics["account"]["share"]
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert set(written["account"]["parts_ms"]) - set(shares) == {
        "whole step",
        "matrix products alone",
    }
    out = capsys.readouterr().out
    for name in (*shares, "ours / PyTorch"):
        assert name in out or name == "between the parts"


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"n_layer": 0}, "n_layer must be 1 or more, not 0"),
        ({"source_steps": 0}, "source_steps must be 1 or more, not 0"),
        ({"rounds": 0}, "rounds must be 1 or more, not 0"),
        ({"n_head": 7}, "multiple of n_head"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
