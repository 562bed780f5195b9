"""Reversal with and without attention in a few hundred steps: what it learns and writes."""

import dataclasses
import json
from xml.etree import ElementTree

import pytest

from phase04.train_reverse_with_attention import Config, main

SHORT = Config(
    attention="dot",
    d_hidden=16,
    d_embedding=8,
    max_length=5,
    beyond=2,
    n_steps=300,
    n_test=40,
    batch_size=32,
    learning_rate=0.02,
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("reverse")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase04"


def test_attention_reverses_what_the_state_alone_does_not(ran):
    models = ran[0]["models"]
    assert set(models) == {"none", "dot"}
    assert models["dot"]["exact_mean"] > models["none"]["exact_mean"] + 0.1
    assert models["dot"]["parameters"] == models["none"]["parameters"] + 16 * 32


def test_numbers_and_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    pictures = [f"train_reverse_with_attention-{name}.svg" for name in ("accuracy", "alignments")]
    names = sorted(file.name for file in folder.iterdir())
    assert names == [*pictures, "train_reverse_with_attention.json"]
    for name in pictures:
        assert ElementTree.parse(folder / name).getroot().tag.endswith("svg")
    written = json.loads((folder / names[-1]).read_text(encoding="utf-8"))["metrics"]
    assert written["models"] == metrics["models"]
    assert {name: len(curve) for name, curve in written["curves"]["exact"].items()} == {
        "none": 7,
        "dot": 7,
    }


def test_same_seed_gives_the_same_result(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    brief = Config(
        d_hidden=6, max_length=2, beyond=0, n_steps=20, n_test=30, batch_size=16, learning_rate=0.02
    )
    once, again, other = (main(dataclasses.replace(brief, seed=seed)) for seed in (0, 0, 1))
    assert once == again
    assert once != other
    assert " -> " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"attention": "none"}, "attention is one of"),
        ({"max_length": 0}, "max_length must be 1 or more, not 0"),
        ({"beyond": -1}, "beyond must be 0 or more"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
