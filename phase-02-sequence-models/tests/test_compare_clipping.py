"""Clipping and chunk lengths on the embedded text: a run that explodes, and ways that agree."""

import json
import math
from dataclasses import replace
from itertools import islice
from xml.etree import ElementTree

import numpy as np
import pytest

from phase01.optimizers import SGD
from phase02.compare_clipping import (
    EACH,
    WINDOW,
    WITH,
    WITHOUT,
    Config,
    draw_explosion,
    group_size,
    learn,
    main,
    new_model,
    read,
    thinned,
    train_by_sgd,
)

SMALL = Config(
    text="python-docs",
    d_hidden=16,
    n_batch=8,
    row_length=600,
    n_held_out=500,
    learning_rates=(0.5, 8.0),
    shown_rate=8.0,
    max_norm=0.25,
    chunk_length=20,
    chunk_lengths=(3, 5, 20, 40),
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one small run."""
    folder = tmp_path_factory.mktemp("clipping")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SMALL), folder / "runs" / "phase02"


@pytest.fixture(scope="module")
def text():
    return read(SMALL)


def test_run_without_clipping_explodes_where_the_clipped_one_learns(ran):
    metrics = ran[0]
    clipped, free = (metrics["clipping"][name][1] for name in (WITH, WITHOUT))
    assert clipped["bits"] < metrics["guess_bits"]
    assert free["bits"] is None or free["bits"] > 1.5 * metrics["guess_bits"]
    assert free["worst"] > 5 * clipped["worst"]
    assert clipped["exploded_at"] is None
    assert 0 < free["exploded_at"] < free["steps"]


def test_at_a_small_rate_both_learn(ran):
    metrics = ran[0]
    for name in (WITH, WITHOUT):
        run = metrics["clipping"][name][0]
        assert run["bits"] < metrics["guess_bits"]
        assert run["steps"] == 30
        assert run["usual"] <= run["longest"]
        assert run["best"] < run["worst"]
        assert run["exploded_at"] is None


def test_run_that_overflows_ends_without_a_number(text):
    run, losses, norms = train_by_sgd(text, 1e38, None, SMALL)
    assert run["bits"] is None
    assert len(losses) == len(norms) == run["steps"] < 30
    assert all(map(math.isfinite, losses + norms))


def test_chunk_lengths_are_compared_at_the_same_characters(ran):
    chunks = ran[0]["chunks"]
    assert chunks[EACH]["lengths"] == [3, 5, 20, 40]
    assert chunks[EACH]["steps"] == [200, 120, 30, 15]
    assert chunks[WINDOW]["lengths"] == [5, 20]  # those that fill a window of 20
    assert chunks[WINDOW]["steps"] == [30, 30]
    for one in chunks.values():
        assert all(0 < bits < 8 for bits in one["bits"])


def test_window_of_one_chunk_is_a_step_after_each_chunk(text):
    models = [new_model(text, SMALL) for _ in range(2)]
    for model, way in zip(models, (EACH, WINDOW), strict=True):
        list(islice(learn(model, SGD(model.params, 1.0), text, 20, way, SMALL), 3))
    for name, value in models[0].params.items():
        np.testing.assert_allclose(value, models[1].params[name], rtol=1e-5, atol=1e-7)


def test_windows_gradient_is_the_mean_of_its_chunks(text):
    """One SGD step without clipping moves the weights by the mean of both halves' gradients."""
    config = replace(SMALL, max_norm=1e9)
    model, before = new_model(text, SMALL), new_model(text, SMALL)
    next(learn(model, SGD(model.params, 1.0), text, 10, WINDOW, config))
    state, truth = None, 0.0
    for part in (slice(0, 10), slice(10, 20)):
        _, cache = before.forward(text.inputs[:, part], text.targets[:, part], state)
        state = cache.state
        truth = truth + before.backward(cache)["output.weight"] / 2
    moved = before.params["output.weight"] - model.params["output.weight"]
    np.testing.assert_allclose(moved, truth, rtol=1e-3, atol=1e-6)


def test_thinned_curve_keeps_its_peaks():
    values = [1.0] * 1000
    values[777] = 5.0
    few = thinned(values, 4)
    assert len(few) == 250
    assert max(few) == 5.0
    assert few.index(5.0) == 777 // 4
    assert few.count(5.0) == 1
    assert thinned([1.0, 2.0], 1) == [1.0, 2.0]


def test_curve_of_a_run_that_ended_early_is_drawn_at_its_own_steps():
    config = replace(SMALL, row_length=800, chunk_length=1)  # 3 steps are one value
    free, whole = ({"bits": thinned(run, 3)} for run in ([2.0] * 90, [1.0] * 800))
    curves = {name: {**one, "norms": one["bits"]} for name, one in ((WITHOUT, free), (WITH, whole))}
    ended, full = draw_explosion(curves, config).axes[0].lines
    assert np.asarray(ended.get_xdata())[-1] == 87
    assert np.asarray(full.get_xdata())[-1] == 798
    assert group_size(config) == 3
    assert group_size(replace(config, chunk_length=40)) == 1


def test_numbers_and_three_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert sorted(file.name for file in folder.iterdir()) == [
        "compare_clipping-chunks.svg",
        "compare_clipping-explosion.svg",
        "compare_clipping-rates.svg",
        "compare_clipping.json",
    ]
    written = json.loads((folder / "compare_clipping.json").read_text(encoding="utf-8"))["metrics"]
    assert len(written["curves"][WITH]["bits"]) == 30
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_same_seed_gives_the_same_run_and_another_seed_another(ran, text):
    run, _, _ = train_by_sgd(text, 0.5, SMALL.max_norm, SMALL)
    assert run == ran[0]["clipping"][WITH][0]
    other, _, _ = train_by_sgd(text, 0.5, SMALL.max_norm, replace(SMALL, seed=1))
    assert other["bits"] != run["bits"]


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"shown_rate": 3.0}, "shown_rate must be one of the learning rates"),
        ({"chunk_lengths": (0, 5)}, "chunk_lengths must be 1 or more each"),
        ({"n_batch": 0}, "n_batch must be 1 or more, not 0"),
        ({"n_held_out": 9}, "n_held_out must be 10 or more, not 9"),
    ],
)
def test_config_that_compares_nothing_is_refused(fault, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(SMALL, **fault)


def test_text_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="too few to hold 10000000 out: take a longer text"):
        read(replace(SMALL, n_held_out=10_000_000))
    with pytest.raises(ValueError, match="take a longer text, fewer rows or a smaller row_length"):
        read(replace(SMALL, row_length=10_000_000))
