"""The comparison in short: what it finds, writes and refuses."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from journal import data
from phase01.compare_optimizers import (
    OPTIMIZERS,
    RECIPES,
    SCHEDULES,
    Config,
    Part,
    Parts,
    band,
    best,
    in_blocks,
    main,
    train,
    tune,
)

SHORT = Config(n_train=500, n_validation=300, n_steps=40, early_steps=20, n_tuning=1, n_seed=2)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    if data.find("mnist/train-images-idx3-ubyte.gz") is None:
        pytest.skip("mnist is not there: set JOURNAL_DATA")
    folder = tmp_path_factory.mktemp("optimizers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase01"


def small_part(n: int = 40) -> Part:
    rng = np.random.default_rng(5)
    return Part(rng.random((n, 784), dtype=np.float32), rng.integers(0, 10, n))


def test_adam_falls_faster_early_on(ran):
    early = {name: found["train_loss"] for name, found in ran[0]["early"].items()}
    assert list(early) == list(OPTIMIZERS)
    assert max(early["Adam"], early["AdamW"]) < min(early["SGD"], early["momentum"])


def test_every_recipe_is_judged_at_the_rate_of_its_lowest_validation_loss(ran):
    metrics, _ = ran
    assert list(metrics["end"]) == list(RECIPES)
    for recipe, found in metrics["end"].items():
        tuned = metrics["tuning"][recipe]
        assert tuned["validation_loss"][tuned["rates"].index(found["rate"])] == min(
            tuned["validation_loss"]
        )
        assert found["train_loss"] < 1.0
        assert found["held_out_accuracy"] > 0.5  # of ten classes, after 40 steps


def test_clipping_saves_runs_at_too_large_a_rate(ran):
    clipping = ran[0]["clipping"]
    assert min(clipping["not clipped"]["largest_losses"]) > 3
    assert min(clipping["not clipped"]["last_losses"]) > 1.5
    assert max(clipping["clipped"]["largest_losses"]) < 2.5
    assert max(clipping["clipped"]["last_losses"]) < 1


def test_numbers_and_four_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == [
        "compare_optimizers-clipping.svg",
        "compare_optimizers-curves.svg",
        "compare_optimizers-rates.svg",
        "compare_optimizers-schedules.svg",
        "compare_optimizers.json",
    ]
    written = json.loads((folder / "compare_optimizers.json").read_text(encoding="utf-8"))
    curve = written["metrics"]["curves"]["end"]["Adam"]
    assert [len(curve[name]) for name in ("mean", "low", "high")] == [2, 2, 2]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize("recipe", RECIPES)
def test_one_seed_gives_one_run_and_all_recipes_the_same_first_loss(recipe):
    part = small_part()
    runs = [train(part, recipe, 0.01, 5, 8, np.random.default_rng(3)) for _ in range(2)]
    (model, losses), (again, losses_again) = runs
    assert losses == losses_again
    np.testing.assert_array_equal(model.params["layers.0.weight"], again.params["layers.0.weight"])
    _, other = train(part, "SGD", 0.5, 1, 8, np.random.default_rng(3))
    assert losses[0] == other[0]
    assert losses[0] == pytest.approx(np.log(10), abs=0.1)


def test_every_schedule_has_its_peak_and_ends_as_it_should():
    rates = {
        name: [schedule(step, 2.0, 100) for step in range(100)]
        for name, schedule in SCHEDULES.items()
    }
    assert {name: max(found) for name, found in rates.items()} == dict.fromkeys(SCHEDULES, 2.0)
    assert rates["constant"][-1] == 2.0
    assert rates["cosine"][-1] == pytest.approx(0, abs=1e-12)
    assert rates["step decay"][49:51] == [2.0, pytest.approx(0.2)]


def test_blocks_are_means_over_steps_and_bands_over_seeds():
    losses = np.array([[1.0, 3.0, 5.0, 7.0, 99.0], [2.0, 4.0, 6.0, 8.0, 99.0]])
    np.testing.assert_array_equal(in_blocks(losses, 2), [[2, 6], [3, 7]])
    assert band(losses, 2) == {"mean": [2.5, 6.5], "low": [2.0, 6.0], "high": [3.0, 7.0]}


def test_best_rate_is_that_of_the_lowest_loss():
    assert best({"rates": [0.1, 0.2, 0.3], "early_loss": [3.0, 1.0, 2.0]}, "early_loss") == 0.2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rate_that_diverges_has_no_loss_and_is_never_the_best(monkeypatch):
    part = small_part()
    make, _ = OPTIMIZERS["SGD"]
    monkeypatch.setitem(OPTIMIZERS, "SGD", (make, (0.01, 1e30)))
    config = Config(n_steps=20, early_steps=20, batch_size=8, n_tuning=1)
    tuned = tune(Parts(part, part, part), "SGD", config)
    for goal in ("early_loss", "validation_loss"):
        assert tuned[goal][0] == pytest.approx(np.log(10), abs=0.3)
        assert tuned[goal][1] is None
        assert best(tuned, goal) == 0.01


def test_every_optimizer_has_as_many_rates():
    assert {len(rates) for _, rates in OPTIMIZERS.values()} == {5}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"n_seed": 0}, "n_seed must be 1 or more, not 0"),
        ({"n_train": 59_500}, "MNIST has 60,000 training images, too few for 59500"),
        ({"early_steps": 2000}, "early_steps must be 20 to n_steps, not 2000 of 40"),
        ({"early_steps": 10}, "early_steps must be 20 to n_steps, not 10 of 40"),
    ],
)
def test_config_that_compares_nothing_is_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(SHORT, **options)
