"""The script at small sizes: a right backward and six wrong ones, the steps, and the cost."""

import json
from xml.etree import ElementTree

import pytest

from phase01.plot_gradient_check import FAULTS, Config, main

SMALL = Config(width=6, n_example=8, per_decade=1, n_repeat=1, sizes=(4, 8, 40))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, what was written as metrics, the folder) of one small run."""
    folder = tmp_path_factory.mktemp("gradient_check")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        metrics = main(SMALL)
    folder = folder / "runs" / "phase01"
    text = (folder / "plot_gradient_check.json").read_text(encoding="utf-8")
    return metrics, json.loads(text)["metrics"], folder


def test_right_backward_passes_and_every_mistake_is_far_above_the_tolerance(ran):
    errors = ran[0]["at_default_step"]
    assert max(errors["right, tanh"], errors["right, relu"]) < 1e-7
    for fault in FAULTS:
        assert errors[fault] > 1e-3


def test_right_backward_errs_least_in_the_middle_and_a_wrong_one_stays_wrong(ran):
    curves = ran[1]["curves"]
    epsilons, errors = curves["epsilons"], curves["errors"]
    assert epsilons[0] == 1
    assert epsilons[-1] == pytest.approx(1e-12)
    right = errors["right, tanh"]
    assert 1e-7 < epsilons[right.index(min(right))] < 1e-2
    assert min(right[0], right[-1]) > 1e4 * min(right)
    for fault in FAULTS:
        assert max(errors[fault][1:]) < 1.5 * min(errors[fault][1:])


def test_verdicts_name_the_parameter_and_the_cause(ran):
    said = ran[1]["said"]
    assert said["none"].startswith("right")
    for fault, words in {
        "factor": "layers.1.weight is wrong, relative error 0.5: backward gives 2 times",
        "transposed": "transposed",
        "averaged": "layers.1.bias is wrong, relative error 0.87: backward gives 0.125 times",
        "derivative": "look first at layers.0.bias",
        "zero": "zeros",
        "number": "layers.0.weight is wrong",
    }.items():
        assert words in said[fault]


def test_cost_is_counted_and_does_not_grow_with_the_network(ran):
    costs = ran[0]["costs"]
    assert [row["parameters"] for row in costs] == [2 * n * n + 12 * n + 10 for n in (4, 8, 40)]
    assert len({row["forwards"] for row in costs}) == 1
    assert costs[0]["forwards"] <= 12
    assert [row["counted"] for row in costs] == [True, True, False]
    for row in costs:
        assert row["forwards_by_element"] == 2 * row["parameters"]
        assert row["error_right"] < 1e-7
        assert row["error_one_wrong_number"] == pytest.approx(row["parameters"] ** -0.5, rel=0.8)


def test_numbers_and_two_pictures_are_written(ran):
    metrics, written, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics["costs"] == written["costs"]
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "plot_gradient_check-cost.svg",
        "plot_gradient_check-epsilon.svg",
        "plot_gradient_check.json",
    ]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_one_seed_gives_the_same_numbers_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = Config(width=3, n_example=3, per_decade=1, n_repeat=1, sizes=(3,))
    first, again = main(tiny), main(tiny)
    for metrics in (first, again):
        del metrics["costs"][0]["minutes_by_element"]
    assert first == again


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (Config(width=1), "width and n_example must be 2 or more"),
        (Config(n_example=1), "width and n_example must be 2 or more"),
        (Config(per_decade=0), "per_decade and n_repeat 1 or more"),
        (Config(n_repeat=0), "per_decade and n_repeat 1 or more"),
        (Config(sizes=()), "sizes must be one or more widths"),
        (Config(sizes=(8, 1)), "sizes must be one or more widths"),
    ],
)
def test_config_that_measures_nothing_is_refused(config, complaint):
    with pytest.raises(ValueError, match=complaint):
        main(config)
