"""The ablation in a few steps: variants, gradients, and what is told of a run that blows up."""

import dataclasses
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from phase05 import ablate
from phase05.ablate import LOOKS, N_POINTS, NORMS, OF_TRAINING, VARIANTS, Config, main

TINY = Config(
    variants=("pre-norm", "2 heads"),
    n_seeds=2,
    n_steps=N_POINTS,
    batch_size=4,
    max_length=3,
    d_model=8,
    d_ff=8,
    n_layer=1,
    warmup_steps=5,
    n_test=10,
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("ablate")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(TINY), folder / "runs" / "phase05"


def test_every_variant_has_a_result_for_each_seed(ran):
    assert list(ran[0]["variants"]) == list(TINY.variants)
    for row in ran[0]["variants"].values():
        assert len(row["exact"]) == len(row["last_loss"]) == 2
        assert 0 < row["first_gradients"][0] <= row["first_gradients"][1]
        assert row["last_loss"][0] != row["last_loss"][1]


def test_numbers_and_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == [
        "ablate-gradients.svg",
        "ablate-norms.svg",
        "ablate-sizes.svg",
        "ablate.json",
    ]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    written = json.loads((folder / "ablate.json").read_text(encoding="utf-8"))
    (run, _) = written["metrics"]["runs"]["pre-norm"]
    assert len(run["loss"]) == N_POINTS
    assert len(run["gradients_first"]) == len(run["gradients_last"]) == 2


def test_same_seed_gives_the_same_run():
    assert ablate.train({}, 0, TINY) == ablate.train({}, 0, TINY)
    assert ablate.train({}, 0, TINY) != ablate.train({}, 1, TINY)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_change_the_model_as_they_say(name):
    changes = VARIANTS[name]
    model = ablate.model_of(changes, 0, TINY)
    base = ablate.model_of({}, 0, TINY).config
    shape = {key: value for key, value in changes.items() if key not in OF_TRAINING}
    assert model.config == dataclasses.replace(base, **shape)


def test_warmup_is_left_out_where_the_variant_says_so():
    slow = dataclasses.replace(TINY, warmup_steps=10**6, learning_rate=0.02)
    held, free = (ablate.train({"warmup": warmup}, 0, slow) for warmup in (True, False))
    assert held["loss"][0] == free["loss"][0]  # nothing has moved in the first step
    assert held["loss"][-1] > free["loss"][-1] + 0.1


def test_lower_rate_moves_the_weights_less():
    def moved(rate):
        changes = {"warmup": False, "rate": rate}
        return ablate.train(changes, 0, TINY)["loss"][1] - ablate.train({}, 0, frozen)["loss"][1]

    frozen = dataclasses.replace(TINY, learning_rate=0.0)
    assert abs(moved(0.01)) < abs(moved(0.3)) / 5
    assert VARIANTS["post-norm, no warm-up, low rate"]["rate"] < 1


def test_gradients_of_each_variant_are_drawn_encoder_and_decoder_apart():
    run = {"gradients_first": [1.0, 2.0], "gradients_last": [3.0, 4.0]}
    figure = ablate.draw_gradients({name: [run, run] for name in NORMS}, TINY)
    assert LOOKS.keys() == NORMS.keys()
    names = [{line.get_label() for line in ax.lines} for ax in figure.axes]
    assert names[0] == {"post-norm", "pre-norm"}
    assert names[1] == {*names[0], "no layer norm", "no residuals"}
    assert names[2] == NORMS.keys()
    for ax, values in zip(figure.axes, ([1, 2], [1, 2], [3, 4]), strict=True):
        for first, second in zip(ax.lines[::2], ax.lines[1::2], strict=True):
            assert [*first.get_ydata(), *second.get_ydata()] == values


def test_run_that_blows_up_is_recorded_as_far_as_it_came(monkeypatch):
    fast = dataclasses.replace(TINY, variants=("no layer norm",), learning_rate=1e30, n_seeds=1)
    run = ablate.train(VARIANTS["no layer norm"], 0, fast)
    assert run["exact"] == 0.0
    assert run["loss"][0] is not None
    assert run["loss"][-1] is None
    assert run["gradients_last"] is None
    assert "inf" in ablate.line("none", [run], 5)
    figure = ablate.draw_losses({"no layer norm": [run]}, "a title")
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[-1])
    ablate.draw_gradients({"no layer norm": [run]}, fast)


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"variants": ("no attention",)}, "no attention"),
        ({"variants": ()}, "variants"),
        ({"n_steps": N_POINTS - 1}, "n_steps"),
        ({"n_seeds": 0}, "n_seeds"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
