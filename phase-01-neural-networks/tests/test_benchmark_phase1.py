"""The benchmarks in tiny sizes: the same work is compared, a wrong way is refused, what is written.

No test asserts a time: that is what the recorded results say.
"""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from phase01 import benchmark, benchmark_convolution
from phase01.benchmark import Race, Way

TINY = benchmark.Config(widths=(7, 5, 4, 3), batch_size=6, rounds=2, seconds=0.0, settle=0.0)
SMALL = benchmark_convolution.Config(
    images=2, image_size=5, filters=4, small_size=4, rounds=2, seconds=0.0, settle=0.0
)


def network(optimizer):
    return benchmark.network_race(TINY, optimizer)


def layer(with_dx):
    return benchmark_convolution.layer_race(SMALL, with_dx)


RACES = {
    "network, SGD": lambda: network("SGD"),
    "network, Adam": lambda: network("Adam"),
    "convolution with dx": lambda: layer(True),
    "convolution without dx": lambda: layer(False),
    "convolution of one image": lambda: benchmark_convolution.loops_race(SMALL),
}


def ways_of(race):
    return {way.name: way for way in race.ways}


# ---- the same work -----------------------------------------------------------------------


@pytest.mark.parametrize("make", RACES.values(), ids=RACES)
def test_all_ways_of_a_race_have_one_result(make):
    race = make()
    assert len(race.ways) >= 2
    benchmark.compare(race)


@pytest.mark.parametrize("make", RACES.values(), ids=RACES)
def test_every_way_that_does_something_else_is_refused(make):
    for place in range(1, len(make().ways)):
        for factor in (1.01, -1.0, math.nan):
            race = make()
            ways = list(race.ways)
            ways[place] = wrong(ways[place], factor)
            with pytest.raises(ValueError, match=r"differ by .* on a norm of"):
                benchmark.compare(Race(race.key, race.title, ways))


def wrong(way, factor):
    """The same way, with the last of its results multiplied."""

    def read(returned):
        *others, (name, last) = way.read(returned).items()
        return {**dict(others), name: np.asarray(last) * factor}

    return Way(way.name, way.step, read)


def test_step_of_another_size_is_seen_in_the_weights_that_it_moved():
    race = network("SGD")
    wide = benchmark.network_race(TINY, "SGD")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "LEARNING_RATE", 5e-3)
        other = benchmark.network_race(TINY, "SGD")
    benchmark.compare(Race("two", "", [race.ways[0], wide.ways[1]]))
    with pytest.raises(ValueError, match=r"two: moved layers\..* of PyTorch"):
        benchmark.compare(Race("two", "", [network("SGD").ways[0], other.ways[1]]))


def test_result_of_another_shape_or_name_is_refused():
    truth = Way("ours", lambda: {"y": np.ones((2, 3))})
    turned = Way("turned", lambda: {"y": np.ones((3, 2))})
    less = Way("less", lambda: {})
    with pytest.raises(ValueError, match="race: y of turned and of ours differ by inf"):
        benchmark.compare(Race("race", "", [truth, turned]))
    with pytest.raises(ValueError, match="only the same work"):
        benchmark.compare(Race("race", "", [truth, less]))


def test_result_is_float32_in_every_way_but_the_one_in_float64():
    for name, way in ways_of(network("SGD")).items():
        found = way.read(way.step())
        wanted = np.float64 if name == "in float64" else np.float32
        assert found["layers.0.weight"].dtype == wanted, name
    for race in (layer(True), layer(False), benchmark_convolution.loops_race(SMALL)):
        for way in race.ways:
            assert {one.dtype for one in way.read(way.step()).values()} == {np.dtype(np.float32)}


def test_steps_move_the_weights():
    for way in network("Adam").ways:
        once = {name: np.copy(one) for name, one in way.read(way.step()).items()}
        again = way.read(way.step())
        assert np.any(once["moved layers.1.weight"] != again["moved layers.1.weight"]), way.name


def test_only_the_race_with_dx_has_the_images_gradient():
    for with_dx in (True, False):
        for way in layer(with_dx).ways:
            assert ("dx" in way.read(way.step())) is with_dx


# ---- how a race is timed -----------------------------------------------------------------


def test_step_is_repeated_until_the_time_is_full(monkeypatch):
    ticks = iter([0.0, 0.5, 2.0, 2.25, 3.0, 3.5])  # what a clock says before and after each call
    monkeypatch.setattr(benchmark, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert benchmark.repeat(lambda: None, 0.75) == [0.5, 0.25]
    assert benchmark.repeat(lambda: None, 0.0) == [0.5]  # once at least


def test_ways_take_turns_and_the_calls_that_settle_do_not_count(monkeypatch):
    called, settled = [], []
    race = Race(
        "race", "", [Way(name, lambda name=name: called.append(name) or {}) for name in "ab"]
    )
    monkeypatch.setattr(benchmark, "OURS", "a")
    found = {}
    monkeypatch.setattr(benchmark, "summary", lambda race, timed: found.update(timed) or {})
    monkeypatch.setattr(benchmark, "print_race", lambda race, found: settled.append(len(called)))
    benchmark.run(race, rounds=2, seconds=0.0, settle=0.0)
    assert called == ["a", "b", *"bbaa", *"aabb"]  # to compare; then two calls a turn
    assert {name: [len(part) for part in parts] for name, parts in found.items()} == {
        "a": [1, 1],
        "b": [1, 1],
    }


def test_ratio_is_of_medians_with_the_least_and_largest_of_a_round():
    ways = [Way(name, dict) for name in ("ours", "PyTorch", "naive")]
    timed = {
        "ours": [[0.002, 0.002, 0.009], [0.004, 0.004, 0.004]],
        "PyTorch": [[0.001, 0.001, 0.001], [0.005, 0.001, 0.001]],
        "naive": [[0.008], [0.016]],
    }
    found = benchmark.summary(Race("race", "", ways, goal=1.5), timed)
    assert found == {
        "median_ms": {"ours": 4.0, "PyTorch": 1.0, "naive": 12.0},
        "least_ms": {"ours": 2.0, "PyTorch": 1.0, "naive": 8.0},
        "factor": {"naive": 3.0},
        "ratio": 4.0,
        "ratio_least": 2.0,
        "ratio_largest": 4.0,
        "goal": 1.5,
    }


def test_both_sides_get_as_many_threads(monkeypatch):
    before = torch.get_num_threads()
    wanted = before + 1
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", str(wanted))
    try:
        assert benchmark.use_same_threads() == wanted
        assert torch.get_num_threads() == wanted
    finally:
        torch.set_num_threads(before)


# ---- the scripts -------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "config"), [(benchmark, TINY), (benchmark_convolution, SMALL)])
def test_numbers_are_written_and_ratios_returned(module, config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    metrics = module.main(config)
    name = module.__name__.rpartition(".")[2]
    written = json.loads((tmp_path / f"runs/phase01/{name}.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics == benchmark.without_times(written["metrics"])
    assert metrics["threads"] >= 1
    out = capsys.readouterr().out
    races = {key: found for key, found in written["metrics"].items() if key != "threads"}
    assert len(races) == (2 if module is benchmark else 3)
    for found in races.values():
        for way, median in found["median_ms"].items():
            assert 0 < found["least_ms"][way] <= median
            assert way in out
        if "ratio" in found:
            assert 0 <= found["ratio_least"] <= found["ratio_largest"]
            assert f"goal {found['goal']}" in out


@pytest.mark.parametrize(
    ("module", "fault", "say"),
    [
        (benchmark, {"batch_size": 0}, "batch_size must be 1 or more, not 0"),
        (benchmark, {"rounds": 0}, "rounds must be 1 or more, not 0"),
        (benchmark, {"seconds": -1.0}, "seconds and settle"),
        (benchmark_convolution, {"filters": 0}, "filters must be 1 or more, not 0"),
        (benchmark_convolution, {"settle": math.nan}, "seconds and settle"),
    ],
)
def test_settings_that_make_no_sense_are_refused(module, fault, say):
    with pytest.raises(ValueError, match=say):
        module.Config(**fault)


def test_network_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="widths"):
        benchmark.network_race(benchmark.Config(widths=(4,)), "SGD")
