"""The script at small sizes: what becomes of the signal, and that both bad starts fail to train."""

import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from phase01.plot_initialization import STARTS, Config, main, measure

SMALL = Config(n_layer=6, width=60, n_example=50, train_width=24, n_epoch=4, rates=(0.1,))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, what was written as metrics, the folder) of one small run."""
    folder = tmp_path_factory.mktemp("initialization")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        metrics = main(SMALL)
    folder = folder / "runs" / "phase01"
    text = (folder / "plot_initialization.json").read_text(encoding="utf-8")
    return metrics, json.loads(text)["metrics"], folder


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_too_small_a_start_dies_out_both_ways(activation, ran):
    found = ran[0]["spread"][activation]["too small"]
    assert found["last_activations"] < 1e-5
    assert found["first_gradients"] < 1e-5


def test_too_large_a_start_explodes_under_relu_and_saturates_tanh(ran):
    relu, tanh = (ran[0]["spread"][name]["too large"] for name in ("relu", "tanh"))
    assert relu["last_activations"] > 1e3
    assert relu["first_gradients"] > 1e3
    assert 0.9 < tanh["last_activations"] < 1
    assert tanh["first_gradients"] > 10


def test_the_start_that_suits_the_activation_keeps_the_signal(ran):
    for activation, start in (("tanh", "Xavier"), ("relu", "He")):
        found = ran[0]["spread"][activation][start]
        assert 0.1 < found["last_activations"] < 2
        assert 0.1 < found["first_gradients"] < 2


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_bad_starts_fail_and_good_ones_learn(activation, ran):
    training = ran[0]["training"][activation]
    assert training["too small"]["loss"] == pytest.approx(math.log(10), abs=0.02)
    assert training["He"]["loss"] < 0.8
    large = training["too large"]
    assert large["loss"] is None or large["loss"] > 1.5
    if activation == "relu":
        assert large["losses_by_rate"] == [None]
        assert large["accuracy"] is None


def test_numbers_and_two_pictures_are_written(ran):
    metrics, written, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert written["spread"] == metrics["spread"]
    assert len(written["spreads"]["tanh"]["He"]["activations"]) == 6
    assert (
        written["spreads"]["relu"]["He"]["gradients"][0]
        == (metrics["spread"]["relu"]["He"]["first_gradients"])
    )
    assert list(written["losses"]["tanh"]) == sorted(STARTS)
    assert len(written["losses"]["tanh"]["He"]) == 5
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "plot_initialization-layers.svg",
        "plot_initialization-training.svg",
        "plot_initialization.json",
    ]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_one_seed_gives_the_same_run_twice_and_another_gives_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = Config(2, 8, 9, 8, n_epoch=1, batch_size=500, rates=(0.1,))
    assert main(tiny) == main(tiny)
    assert measure(tiny) != measure(replace(tiny, seed=1))


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (Config(n_layer=1), "must be 2 or more"),
        (Config(width=1), "must be 2 or more"),
        (Config(train_width=0), "must be 2 or more"),
        (Config(rates=()), "rates must be above 0"),
        (Config(rates=(0.1, 0.0)), "rates must be above 0"),
        (Config(n_epoch=0), "n_epoch and batch_size 1 or more"),
        (Config(batch_size=0), "n_epoch and batch_size 1 or more"),
    ],
)
def test_config_that_shows_nothing_is_refused(config, complaint):
    with pytest.raises(ValueError, match=complaint):
        main(config)
