"""The script in a short run: two heads part the work, one cannot, and what is written."""

import json
from xml.etree import ElementTree

import pytest

from phase04.plot_heads import Config, main

SHORT = Config(n_letters=4, n_digits=6, n_steps=160, batch_size=32, learning_rate=0.02, n_seeds=1)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("heads")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase04"


def test_two_heads_answer_both_questions_and_one_head_does_not(ran):
    two, one = ran[0]["n_head_2"], ran[0]["n_head_1"]
    assert two["both_right"][0] > 0.98
    assert one["both_right"][0] < two["both_right"][0] - 0.1
    assert one["loss"][0] > 5 * two["loss"][0]


def test_each_of_two_heads_takes_one_look_up(ran):
    on_previous, on_matching = (
        ran[0]["n_head_2"][f"weight_on_{place}"][0] for place in ("previous", "matching")
    )
    first = on_previous[0] > on_previous[1]
    previous, matching = (0, 1) if first else (1, 0)
    assert on_previous[previous] > 0.7
    assert on_matching[matching] > 0.7


def test_one_head_divides_its_weight(ran):
    one = ran[0]["n_head_1"]
    for place in ("previous", "matching"):
        assert 0.3 < one[f"weight_on_{place}"][0][0] < 0.7


def test_same_seed_gives_the_same_numbers(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(SHORT) == ran[0]


def test_numbers_and_the_picture_are_written(ran):
    metrics, folder = ran
    written = json.loads((folder / "plot_heads.json").read_text(encoding="utf-8"))["metrics"]
    assert written == json.loads(json.dumps(metrics)) == metrics
    picture = folder / "plot_heads-weights.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize("wrong", [{"n_letters": 0}, {"n_steps": 0}, {"n_letters": 5}])
def test_config_that_cannot_be_trained_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|odd"):
        Config(**wrong)
