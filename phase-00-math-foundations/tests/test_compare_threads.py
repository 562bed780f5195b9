"""The comparison of one thread and several on tiny sizes: what it states, and what it leaves.

No test asserts a time: that is what the recorded result says.
"""

import json
from typing import Any

import psutil
import pytest

from phase00 import compare_threads

SMALL = compare_threads.Config(sizes=(2, 5), calls=3, rounds=2)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = compare_threads.main(SMALL)
    written = json.loads((folder / "runs/phase00/compare_threads.json").read_text(encoding="utf-8"))
    assert written["metrics"] == found
    assert (folder / "runs/phase00/compare_threads-seconds.svg").is_file()
    return found


def test_every_case_has_its_times_for_every_size(metrics):
    assert list(metrics["cases"]) == list(compare_threads.CASES)
    assert metrics["sizes"] == [2, 5]
    for one in metrics["cases"].values():
        for column in range(2):
            assert 0 < one["fastest"][column] <= one["mean"][column] <= one["slowest"][column]


@pytest.mark.parametrize("threads", [1, 3])
def test_process_is_told_the_number_of_its_threads(threads, monkeypatch):
    asked = 'import os, sys; print(os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"])'
    monkeypatch.setattr(compare_threads, "PRODUCT", asked)
    assert compare_threads.products(2, threads, SMALL) == [threads, threads]


def test_every_call_of_a_product_is_measured():
    assert len(compare_threads.products(4, 1, SMALL)) == 3


def test_neighbours_are_there_and_gone_afterwards_even_after_an_error():
    before = set(psutil.Process().children())
    there = []

    def fail_beside_them():
        with compare_threads.neighbours(2):
            there.extend(set(psutil.Process().children()) - before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_beside_them()
    assert len(there) == 2
    assert not any(process.is_running() for process in there)


@pytest.mark.parametrize(
    ("fault", "say"),
    [({"sizes": (5, 2)}, "rising order"), ({"sizes": ()}, "sizes"), ({"calls": 0}, "calls")],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        compare_threads.Config(**fault)
