"""The races in tiny sizes: the same work is compared, and what is written; no time is asserted."""

import json

import numpy as np
import pytest

from phase01.benchmark import OURS, TORCH, Race, Way, compare, without_times
from phase04 import benchmark_attention
from phase04.benchmark_attention import FUSED, Config, Size

TINY = Config(
    small=Size(2, 5, 5, 12, 3),
    large=Size(3, 6, 6, 8, 2),
    cross=Size(2, 4, 7, 12, 3),
    rounds=2,
    seconds=0.0,
    settle=0.0,
)
RACES = {
    "small": benchmark_attention.small_race,
    "large": benchmark_attention.large_race,
    "cross": benchmark_attention.cross_race,
}


@pytest.mark.parametrize("make", RACES.values(), ids=RACES)
def test_all_ways_of_a_race_have_one_result_in_float32(make):
    race = make(TINY)
    compare(race)
    assert [way.name for way in race.ways[:3]] == [OURS, TORCH, FUSED]
    for way in race.ways:
        found = way.read(way.step())
        assert {np.asarray(one).dtype for one in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("make", RACES.values(), ids=RACES)
def test_every_way_that_does_something_else_is_refused(make):
    for place in range(1, len(make(TINY).ways)):
        race = make(TINY)
        ways = list(race.ways)
        ways[place] = wrong(ways[place])
        with pytest.raises(ValueError, match="differ by"):
            compare(Race(race.key, race.title, ways))


def wrong(way):
    """The same way, with the last of its results 1 % too large."""

    def read(returned):
        *others, (name, last) = way.read(returned).items()
        return {**dict(others), name: np.asarray(last) * 1.01}

    return Way(way.name, way.step, read)


def test_what_is_written_is_what_is_returned_and_the_times(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    returned = benchmark_attention.main(TINY)
    written = json.loads(
        (tmp_path / "runs" / "phase04" / "benchmark_attention.json").read_text(encoding="utf-8")
    )["metrics"]
    assert without_times(written) == returned
    assert set(returned) == {"threads", "self_small", "self_large", "cross"}
    for key in ("self_small", "self_large", "cross"):
        assert returned[key]["goal"] == 2.0
        assert returned[key]["ratio"] > 0
        assert written[key]["median_ms"].keys() >= {OURS, TORCH, FUSED}


@pytest.mark.parametrize(
    "wrong", [{"small": Size(2, 5, 5, 12, 5)}, {"cross": Size(0, 5, 5, 12, 3)}, {"rounds": 0}]
)
def test_config_that_cannot_be_run_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Config(**wrong)
