"""The script on small data sets in idx form: what it reaches, writes and refuses."""

import dataclasses
import json
import struct
from xml.etree import ElementTree

import numpy as np
import pytest

from journal import data
from phase01.mlp import MLP, MLPConfig
from phase01.train_mnist import Config, Images, judged, main, tiles, work

TIMES = ("training_seconds", "images_per_second")


def corners(n_image, seed):
    """Images of 5 x 6 pixels whose class, 0 to 2, no linear classifier can tell.

    Class 1 has exactly one of two corners dark, class 2 is dark in its middle.
    """
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 40, (n_image, 5, 6)).astype(np.uint8)
    first, second, middle = rng.integers(0, 2, (3, n_image))
    images[first == 1, 0, 0] = 255
    images[second == 1, 4, 5] = 255
    images[middle == 1, 2, 3] = 255
    return images, np.where(middle, 2, first ^ second).astype(np.uint8)


def write(folder, prefix, images, labels):
    for name, code, array in (("images-idx3", 3, images), ("labels-idx1", 1, labels)):
        header = struct.pack(f">BBBB{code}I", 0, 0, 8, code, *array.shape)
        (folder / f"{prefix}-{name}-ubyte").write_bytes(header + array.tobytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data set of 600 and 90 images, where nothing else lies; results go beside it."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "corners"
    place.mkdir()
    write(place, "train", *corners(600, 0))
    write(place, "t10k", *corners(90, 1))
    return place


def small(folder, **changes):
    recipe = Config((24, 12), n_epoch=12, batch_size=20, learning_rate=0.1, data_dir=folder)
    return dataclasses.replace(recipe, **changes)


def results(folder):
    return folder.parent / "runs" / "phase01"


def test_other_data_in_idx_form_is_learned_and_hidden_layers_are_what_does_it(folder):
    network, linear = main(small(folder)), main(small(folder, hidden=()))
    assert network["data"] == "corners"
    assert network["accuracy"] > 0.97
    assert network["n_parameter"] == 30 * 24 + 24 + 24 * 12 + 12 + 12 * 3 + 3
    assert linear["accuracy"] < 0.85
    assert linear["n_parameter"] == 30 * 3 + 3


def test_one_seed_gives_one_result_and_another_seed_another(folder):
    def run(seed):
        metrics = main(small(folder, seed=seed, n_epoch=2, dropout=0.1, validate=True))
        return {key: value for key, value in metrics.items() if key not in TIMES}

    first = run(0)
    assert run(0) == first
    assert run(1)["loss"] != first["loss"]


def test_numbers_and_four_pictures_are_written(folder):
    metrics = main(small(folder, n_epoch=3))
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert sorted(file.name for file in results(folder).iterdir()) == [
        "train_mnist-confusion.svg",
        "train_mnist-learning.svg",
        "train_mnist-mistakes.svg",
        "train_mnist-weights.svg",
        "train_mnist.json",
    ]
    written = json.loads((results(folder) / "train_mnist.json").read_text())["metrics"]
    confusion = np.array(written["confusion"])
    assert confusion.sum() == 90
    assert confusion.trace() == 90 - metrics["n_wrong"] == round(90 * metrics["accuracy"])
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(corners(90, 1)[1]))
    assert len(written["curve"]["losses"]) == 3 * 10
    assert len(written["curve"]["wrong"]["training"]) == 3
    assert len(written["mistakes"]) == min(24, metrics["n_wrong"])
    for picture in results(folder).glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_rehearsal_judges_by_the_last_sixth_and_needs_no_test_set(folder):
    for file in folder.glob("t10k*"):
        file.unlink()
    images, labels = corners(600, 0)
    labels[-100:] = 1 - np.minimum(labels[-100:], 1)  # a wrong class for each
    write(folder, "train", images, labels)
    metrics = main(small(folder, validate=True))
    assert metrics["judged_on"] == "validation"
    assert metrics["n_train"] == 500
    assert metrics["train_accuracy"] > 0.97  # so it has not seen them
    assert metrics["accuracy"] < 0.5
    assert sorted(file.name for file in results(folder).iterdir()) == [
        "train_mnist-validation-learning.svg",
        "train_mnist-validation-weights.svg",
        "train_mnist-validation.json",
    ]
    main(small(folder, validate=True, hidden=(), n_epoch=1))
    assert (results(folder) / "train_mnist-linear-validation.json").exists()


def test_mnist_is_read_by_a_small_network_after_one_epoch(tmp_path, monkeypatch):
    if not all(data.find(name) for name in data.names("mnist/train*")):
        pytest.skip("mnist is not there: set JOURNAL_DATA")
    monkeypatch.chdir(tmp_path)
    metrics = main(Config(hidden=(32,), n_epoch=1, validate=True))
    assert metrics["n_train"] == 50_000
    assert metrics["accuracy"] > 0.93


def test_worst_mistake_comes_first_and_a_class_without_images_has_no_accuracy():
    model = MLP(MLPConfig((2, 3)), np.random.default_rng(0))
    model.params["layers.0.weight"][:] = [[1, 0], [0, 1], [0, 0]]
    pixels = np.array([[2, 0], [0, 3], [5, 0], [1, 0]], np.float32).reshape(4, 1, 2)
    found = judged(model, Images(pixels, np.array([0, 0, 1, 1], np.uint8)))
    assert found["n_wrong"] == 3
    assert found["accuracy"] == 0.25
    assert found["accuracy_by_class"] == [0.5, 0.0, None]
    assert [mistake["image"] for mistake in found["mistakes"]] == [2, 1, 3]
    assert found["mistakes"][0]["class"] == 1
    assert found["mistakes"][0]["answer"] == 0
    total = np.exp(5) + 2
    assert found["mistakes"][0]["probability"] == pytest.approx(1 / total, abs=1e-6)
    assert found["mistakes"][0]["answer_probability"] == pytest.approx(np.exp(5) / total, abs=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_work_is_counted_from_the_widths(batch_norm):
    shape = MLPConfig((5, 4, 3), batch_norm=batch_norm)
    found = work(shape, batch_size=7)
    assert found["n_parameter"] == MLP(shape, np.random.default_rng(0)).n_parameter
    assert found["activation_bytes"] == 4 * 7 * (5 + 4 + 3)
    assert found["multiply_adds_a_step"] == 7 * (2 * 5 * 4 + 3 * 4 * 3)


def test_tiles_stand_side_by_side_with_gaps():
    images = np.arange(1.0, 10).reshape(9, 1, 1) * np.ones((9, 2, 3))
    picture = tiles(images, 1)
    assert picture.shape == (2 * 3, 8 * 4)
    assert picture[0, 28:31].tolist() == [8, 8, 8]
    assert picture[3:5, 0].tolist() == [9, 9]
    assert np.isnan(picture[2]).all()
    assert np.isnan(picture[:, 3]).all()


@pytest.mark.parametrize("changes", [{"n_epoch": 0}, {"batch_size": 0}])
def test_config_that_trains_nothing_is_refused(changes):
    with pytest.raises(ValueError, match="must be 1 or more, not 0"):
        dataclasses.replace(Config(), **changes)


def test_batch_larger_than_the_data_is_refused(folder):
    with pytest.raises(ValueError, match="too few for batches of 601"):
        main(small(folder, batch_size=601))


def test_test_images_of_another_data_set_are_refused(folder):
    images, labels = corners(30, 2)
    write(folder, "t10k", images[:, :4], labels)
    with pytest.raises(ValueError, match="training images are 5 x 6 and the test images 4 x 6"):
        main(small(folder))
    write(folder, "t10k", images, labels + 1)
    with pytest.raises(ValueError, match="test image of class 3, but no training image"):
        main(small(folder))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_run_that_diverges_stops_and_says_so(folder):
    with pytest.raises(ValueError, match="the run has diverged; lower learning_rate"):
        main(small(folder, learning_rate=1e6))


def test_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        main(small(tmp_path))
