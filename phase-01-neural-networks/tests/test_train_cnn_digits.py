"""The script on the real 8 x 8 digits: what the two networks read, and what is written."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from journal import data
from phase01.train_cnn_digits import Config, main, moved

pytestmark = pytest.mark.skipif(
    data.find("tinydigits/train.npz") is None, reason="tinydigits is not there: set JOURNAL_DATA"
)

SHORT = Config(n_epoch=6, validate=True)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase01"


def test_both_networks_learn_and_the_convolution_minds_moves_less(ran):
    convolution, perceptron = ran[0]["convolution"], ran[0]["perceptron"]
    assert convolution["accuracy"] > 0.95
    assert perceptron["accuracy"] > 0.9
    assert convolution["moved_accuracy"] > perceptron["moved_accuracy"] + 0.15
    for found in (convolution, perceptron):
        assert found["by_move"][1][1] == found["accuracy"]
        others = [share for row in found["by_move"] for share in row]
        others.remove(found["accuracy"])
        assert found["moved_accuracy"] == pytest.approx(np.mean(others), abs=1e-3)


def test_both_networks_are_of_about_the_same_size(ran):
    sizes = [ran[0][name]["n_parameter"] for name in ("convolution", "perceptron")]
    assert sizes[0] == 16 * 10 + 32 * (16 * 9 + 1) + 2 * (16 + 32) + 10 * (32 * 4 + 1)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_numbers_and_two_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert sorted(file.name for file in folder.iterdir()) == [
        "train_cnn_digits-curve.svg",
        "train_cnn_digits-moves.svg",
        "train_cnn_digits.json",
    ]
    written = json.loads((folder / "train_cnn_digits.json").read_text(encoding="utf-8"))["metrics"]
    assert written["convolution"] == metrics["convolution"]
    for losses in written["losses"].values():
        assert len(losses) == 6
        assert losses[-1] < losses[0] / 4
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_one_seed_gives_one_result_and_another_gives_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for seed in (0, 0, 1):
        metrics = main(Config(filters=(4,), hidden=9, n_epoch=1, validate=True, seed=seed))
        found.append([metrics[name]["by_move"] for name in ("convolution", "perceptron")])
    assert found[0] == found[1] != found[2]


def test_test_digits_judge_unless_validation_is_asked_for(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = main(Config(filters=(4,), hidden=9, n_epoch=1))
    assert ran[0]["judged_on"] == "validation"
    assert small["judged_on"] == "test"
    assert small["n_train"] == 800


def test_moved_image_loses_an_edge_and_gets_paper_at_the_other():
    images = np.arange(1, 7, dtype=np.uint8).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(moved(images, 0, 0), images)
    np.testing.assert_array_equal(moved(images, 1, 0), [[[[0, 0, 0], [1, 2, 3]]]])
    np.testing.assert_array_equal(moved(images, 0, -1), [[[[2, 3, 0], [5, 6, 0]]]])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"n_epoch": 0}, "n_epoch must be 1 or more, not 0"),
        ({"batch_size": 1}, "batch_size must be from 2 to 800, not 1"),
        ({"batch_size": 801}, "batch_size must be from 2 to 800, not 801"),
        ({"filters": (4, 4, 4, 4)}, "cannot be halved 4 times"),
        ({"hidden": 0}, "widths"),
    ],
    ids=str,
)
def test_config_that_cannot_be_is_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        main(Config(**options))
