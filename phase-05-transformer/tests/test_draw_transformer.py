"""The drawing of the architecture: shapes and counts of a real model, the files, the refusals."""

import dataclasses
import json
from xml.etree import ElementTree

import pytest

from phase05.draw_transformer import Config, main

SMALL = Config(
    batch_size=2,
    source_steps=7,
    target_steps=5,
    vocab_size=11,
    d_model=12,
    n_head=3,
    d_ff=10,
    n_layer=2,
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawing")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SMALL), folder / "runs" / "phase05"


def test_shapes_are_those_of_a_run(ran):
    shapes = ran[0]["shapes"]
    assert shapes["memory"] == [2, 7, 12]
    assert shapes["weights, encoder"] == [2, 3, 7, 7]
    assert shapes["weights, decoder"] == [2, 3, 5, 5]
    assert shapes["weights, cross"] == [2, 3, 5, 7]
    assert shapes["into the feed-forward"] == [10, 12]
    assert shapes["scores"] == [2, 5, 11]


def test_parameters_are_counted_by_layer(ran):
    # Attention 4 (12 * 12 + 12), feed-forward 2 * 12 * 10 + 10 + 12, a norm 2 * 12.
    attention, feed_forward, norm = 624, 262, 24
    counts = ran[0]["parameters"]
    assert counts["encoder layer"] == attention + feed_forward + 2 * norm
    assert counts["decoder layer"] == 2 * attention + feed_forward + 3 * norm
    assert counts["table"] == 11 * 12
    layers = counts["encoder layer"] + counts["decoder layer"]
    assert counts["all"] == 2 * layers + counts["table"]


def test_numbers_and_picture_are_written(ran):
    metrics, folder = ran
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["draw_transformer-architecture.svg", "draw_transformer.json"]
    drawing = folder / "draw_transformer-architecture.svg"
    assert ElementTree.parse(drawing).getroot().tag.endswith("svg")
    written = json.loads((folder / "draw_transformer.json").read_text(encoding="utf-8"))
    assert written["metrics"] == metrics


@pytest.mark.parametrize("fault", [{"batch_size": 0}, {"target_steps": 0}, {"n_head": 5}])
def test_settings_that_make_no_sense_are_refused(fault):
    with pytest.raises(ValueError, match=next(iter(fault))):
        dataclasses.replace(SMALL, **fault)
