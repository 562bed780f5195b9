"""The comparison of attentions in a few dozen steps: what it measures and writes."""

import dataclasses
import json
from xml.etree import ElementTree

import pytest

from phase04.compare_attention import Config, main, numbers_for_the_scores, points, steps_to

SHORT = Config(
    d_hidden=12,
    d_embedding=8,
    max_length=2,
    n_steps=120,
    n_test=40,
    n_points=3,
    batch_size=32,
    learning_rate=0.02,
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase04"


def test_all_learn_the_shortest_sequences(ran):
    models = ran[0]["models"]
    assert list(models) == ["none", "bahdanau", "dot", "general", "concat"]
    assert max(found["exact_mean"] for found in models.values()) > 0.4


def test_sizes_and_ratios_are_those_of_the_models(ran):
    metrics = ran[0]
    count = {kind: found["parameters"] for kind, found in metrics["models"].items()}
    width = 12
    assert count["dot"] == count["none"] + 2 * width**2
    assert count["general"] == count["dot"] + width**2
    assert count["concat"] == count["dot"] + 2 * width**2 + width
    assert count["bahdanau"] == count["dot"] + 2 * width**2 + width + 4 * width**2
    assert metrics["times_as_long_as_none"]["none"] == 1
    assert all(value > 0 for value in metrics["ms_per_step"].values())


def test_numbers_and_picture_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["compare_attention-curves.svg", "compare_attention.json"]
    assert ElementTree.parse(folder / names[0]).getroot().tag.endswith("svg")
    written = json.loads((folder / names[1]).read_text(encoding="utf-8"))["metrics"]
    assert written["steps"] == [40, 80, 120]
    assert {len(curve) for curve in written["curves"].values()} == {3}


def test_same_seed_gives_the_same_quality(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brief = Config(
        kinds=("none", "dot"), d_hidden=5, max_length=2, n_steps=20, n_test=30, n_points=2
    )
    once, again, other = (
        main(dataclasses.replace(brief, seed=seed))["models"] for seed in (0, 0, 1)
    )
    assert once == again
    assert once != other


def test_scores_of_a_network_keep_a_vector_for_each_pair():
    config = Config(max_length=4, d_hidden=7)
    found = [numbers_for_the_scores(kind, config) for kind in config.kinds]
    assert found == [0, 20 * 7, 20, 20, 20 * 7]  # 5 symbols, the end included, times 4 digits


def test_share_is_reached_where_it_stays():
    config = Config(n_steps=40, n_points=4)
    assert points(config) == [10, 20, 30, 40]
    assert steps_to(0.9, [0.1, 0.95, 0.8, 0.9], config) == 40
    assert steps_to(0.9, [0.1, 0.9, 0.95, 0.9], config) == 20
    assert steps_to(0.9, [0.1, 0.2, 0.3, 0.4], config) is None


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"kinds": ("dot",)}, "kinds are none and others"),
        ({"kinds": ("none", "cosine")}, "cosine"),
        ({"n_steps": 5}, "n_steps must be 12 or more, not 5"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
