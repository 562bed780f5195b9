"""The script in a short run: one head learns either look-up, and what is written."""

import json
from xml.etree import ElementTree

import pytest

from phase04.plot_self_attention import Config, main

SHORT = Config(n_letters=3, n_digits=5, d_head=8, n_steps=150, batch_size=32, learning_rate=0.03)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("self_attention")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase04"


@pytest.mark.parametrize("lookup", ["previous", "matching"])
def test_head_attends_to_the_place_that_it_is_asked_for(ran, lookup):
    found = ran[0][lookup]
    assert found["right"] > 0.98
    assert found["weight"] > 0.7
    assert found["weight_before_training"] < 0.4


def test_same_seed_gives_the_same_numbers(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(SHORT) == ran[0]


def test_numbers_and_the_picture_are_written(ran):
    metrics, folder = ran
    written = json.loads((folder / "plot_self_attention.json").read_text(encoding="utf-8"))
    assert written["metrics"] == json.loads(json.dumps(metrics)) == metrics
    picture = folder / "plot_self_attention-weights.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize("wrong", [{"n_letters": 0}, {"d_head": 0}, {"n_steps": 0}])
def test_config_that_cannot_be_trained_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Config(**wrong)
