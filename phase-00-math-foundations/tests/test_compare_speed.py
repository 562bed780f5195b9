"""The comparison of lists and arrays on tiny sizes: what it states, and what it refuses.

No test asserts a time, or which side is the faster: that is what the recorded result says.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phase00 import compare_speed, linear_algebra_numpy

SMALL = compare_speed.Config(
    dot_sizes=(1, 3, 50),
    matvec_sizes=(1, 5),
    matmul_sizes=(2, 4, 6, 7),
    pairwise_sizes=(3,),
    d_point=2,
    repeats=2,
    least_seconds=1e-5,
)
NAMES = ["dot", "matvec", "matmul", "pairwise_distances"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def metrics(folder) -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield compare_speed.main(SMALL)


def test_lists_and_arrays_agree_to_rounding_in_all_four_operations(metrics):
    assert list(metrics) == NAMES
    for one in metrics.values():
        assert one["largest_difference"] < 1e-12


def test_every_size_has_its_times_and_the_ratio_is_python_over_numpy(metrics):
    assert [one["sizes"] for one in metrics.values()] == [[1, 3, 50], [1, 5], [2, 4, 6, 7], [3]]
    for one in metrics.values():
        python, numpy = np.array(one["python_seconds"]), np.array(one["numpy_seconds"])
        assert len(python) == len(numpy) == len(one["sizes"])
        assert (python > 0).all()
        assert (numpy > 0).all()
        np.testing.assert_allclose(one["ratio"], python / numpy, rtol=1e-12)


def test_crossing_is_the_first_size_at_which_the_ratio_is_above_one(metrics):
    for one in metrics.values():
        faster = [n for n, ratio in zip(one["sizes"], one["ratio"], strict=True) if ratio > 1]
        assert one["numpy_faster_from"] == (faster[0] if faster else None)
        assert one["largest_size"] == one["sizes"][-1]
        assert one["ratio_at_largest"] == one["ratio"][-1]


def test_result_holds_the_numbers_and_both_pictures_are_drawn(metrics, folder):
    results = folder / "runs" / "phase00"
    written = json.loads((results / "compare_speed.json").read_text(encoding="utf-8"))
    assert written["metrics"] == metrics
    assert written["config"]["dot_sizes"] == [1, 3, 50]
    for name, title in [("seconds", "Seconds of one call"), ("ratio", "Seconds in pure Python")]:
        assert title in (results / f"compare_speed-{name}.svg").read_text(encoding="utf-8")


def test_three_loops_and_broadcasting_give_the_same_distances():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    by_loops = compare_speed.pairwise_distances_by_loops(x.tolist(), y.tolist())
    np.testing.assert_allclose(linear_algebra_numpy.pairwise_distances(x, y), by_loops, rtol=1e-12)


def test_times_of_different_results_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    right = linear_algebra_numpy.matvec
    monkeypatch.setattr(linear_algebra_numpy, "matvec", lambda a, x: right(a.T, x))
    with pytest.raises(ValueError, match=r"matvec .* differ by .* \(5, 5\) and \(5,\)"):
        compare_speed.main(SMALL)


def test_results_of_different_shapes_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    right = linear_algebra_numpy.matvec
    monkeypatch.setattr(linear_algebra_numpy, "matvec", lambda a, x: right(a, x)[:, None])
    with pytest.raises(ValueError, match="differ by inf"):
        compare_speed.main(SMALL)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"dot_sizes": ()}, r"rising order, not \(\)"),
        ({"matvec_sizes": (0, 2)}, r"rising order, not \(0, 2\)"),
        ({"matmul_sizes": (4, 2)}, r"rising order, not \(4, 2\)"),
        ({"pairwise_sizes": (2, 2)}, r"rising order, not \(2, 2\)"),
        ({"repeats": 0}, "repeats must be 1 or more, not 0"),
        ({"d_point": 0}, "d_point must be 1 or more, not 0"),
    ],
)
def test_impossible_comparison_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(SMALL, **changes)
