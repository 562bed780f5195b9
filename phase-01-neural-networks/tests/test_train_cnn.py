"""The script on images made here: it learns them, keeps the test set apart, writes and refuses."""

import json
import lzma
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from phase01 import train_cnn
from phase01.train_cnn import Config, Images, main

SMALL = Config(filters=(8, 12), n_epoch=4, batch_size=10, n_valid=40)


def some_images(n, seed):
    """Noise in which a light square tells the class: by its colour and by how large it is."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, size=(n, 3, 32, 32)).astype(np.uint8)
    labels = rng.permutation(np.arange(n) % 10).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        size = 8 if label < 5 else 20
        row, column = rng.integers(32 - size, size=2)
        for channel in np.flatnonzero([(label % 5 + 1) & bit for bit in (1, 2, 4)]):
            image[channel, row : row + size, column : column + size] += 150
    return pixels, labels


def write_records(folder, n_file=48):
    """Record files as CIFAR-10's, two of them packed."""
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for number, name in enumerate(names):
        content = b"".join(
            bytes([label]) + image.tobytes()
            for image, label in zip(*some_images(n_file, number), strict=True)
        )
        if number in (1, 4):
            (folder / f"{name}.xz").write_bytes(lzma.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_records(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def ran(records, tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("cnn")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(replace(SMALL, data=str(records))), folder / "runs" / "phase01"


def test_images_are_learned_and_the_test_set_judges(ran):
    metrics, _ = ran
    assert metrics["judged_on"] == "test"
    assert metrics["accuracy"] > 0.8
    assert metrics["valid_accuracy"] > 0.8
    assert len(metrics["accuracy_by_class"]) == 10


def test_what_it_took_is_counted(ran):
    metrics, _ = ran
    blocks = 8 * (3 * 9 + 1) + 12 * (8 * 9 + 1) + 2 * (8 + 12)
    assert metrics["n_parameter"] == blocks + 10 * (12 * 8 * 8 + 1)
    assert metrics["n_image"] == 4 * 200
    assert metrics["step_megabytes"] >= 2
    assert metrics["cpu_seconds"] > 0


def test_numbers_and_four_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert sorted(file.name for file in folder.iterdir()) == [
        "train_cnn-curve.svg",
        "train_cnn-filters.svg",
        "train_cnn-mistakes.svg",
        "train_cnn-parameters.svg",
        "train_cnn.json",
    ]
    written = json.loads((folder / "train_cnn.json").read_text(encoding="utf-8"))["metrics"]
    assert written["accuracy"] == metrics["accuracy"]
    assert [point["epoch"] for point in written["curve"]] == [1, 2, 3, 4]
    assert written["curve"][-1]["valid_accuracy"] == metrics["valid_accuracy"]
    confusion = np.array(written["confusion"])
    assert confusion.sum() == 48
    np.testing.assert_allclose(np.trace(confusion) / 48, metrics["accuracy"], atol=1e-4)
    assert written["layer_parameters"]["convolution"] == [8 * 28, 12 * 73]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_one_seed_gives_one_result_and_another_gives_another(ran, records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    timed = {"training_seconds", "images_per_second", "cpu_seconds"}
    first, again, other = (
        {key: value for key, value in metrics.items() if key not in timed}
        for metrics in (
            ran[0],
            main(replace(SMALL, data=str(records))),
            main(replace(SMALL, data=str(records), seed=1)),
        )
    )
    assert again == first
    assert other != first


def test_validation_leaves_the_test_set_unread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (write_records(tmp_path) / "test_batch.bin").unlink()
    short = replace(SMALL, data=str(tmp_path), n_epoch=1)
    metrics = main(replace(short, validate=True))
    assert metrics["judged_on"] == "validation"
    assert metrics["accuracy"] == metrics["valid_accuracy"]
    monkeypatch.setattr(train_cnn, "train_epoch", lambda *_: pytest.fail("trained before it said"))
    with pytest.raises(FileNotFoundError, match=r"has no test_batch\.bin"):
        main(short)


def test_last_training_images_validate_and_are_not_trained_on(records):
    source, training, validation = train_cnn.load(replace(SMALL, data=str(records)))
    assert source == str(records)
    last, labels = some_images(48, 4)
    np.testing.assert_array_equal(validation.pixels, last[-40:])
    np.testing.assert_array_equal(validation.labels, labels[-40:])
    np.testing.assert_array_equal(training.pixels[-8:], last[:8])
    assert len(training.labels) == 5 * 48 - 40


def test_interrupted_run_prints_its_curve(records, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    epochs = iter([1.5, KeyboardInterrupt()])

    def epoch_or_ctrl_c(*_):
        if isinstance(loss := next(epochs), KeyboardInterrupt):
            raise loss
        return loss

    monkeypatch.setattr(train_cnn, "train_epoch", epoch_or_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        main(replace(SMALL, data=str(records)))
    (point,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (point["epoch"], point["loss"]) == (1, 1.5)


def test_surest_mistakes_are_drawn_with_both_classes():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(10, 0.1), size=60)
    images = Images(*some_images(60, 0))
    figure = train_cnn.draw_mistakes(images, probabilities)
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != images.labels)
    worst = wrong[np.argmax(probabilities[wrong, predicted[wrong]])]
    ax = figure.axes[0]
    assert ax.get_title(loc="left") == train_cnn.CIFAR10_NAMES[images.labels[worst]]
    assert train_cnn.CIFAR10_NAMES[predicted[worst]] in ax.get_xlabel()


def test_no_right_answer_is_drawn_as_a_mistake():
    images = Images(*some_images(7, 0))
    probabilities = np.full((7, 10), 0.05)
    probabilities[np.arange(7), images.labels] = 0.55
    probabilities[3, [images.labels[3], (images.labels[3] + 1) % 10]] = 0.1, 0.5
    figure = train_cnn.draw_mistakes(images, probabilities)
    labels = [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
    wrong = train_cnn.CIFAR10_NAMES[(images.labels[3] + 1) % 10]
    assert labels == [f"“{wrong}: 50.0 %”"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_run_that_diverges_stops_and_says_so(records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the run has diverged; lower learning_rate"):
        main(replace(SMALL, data=str(records), learning_rate=1e30))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"n_epoch": 0}, "n_epoch must be 1 or more, not 0"),
        ({"n_valid": 0}, "n_valid must be 1 or more, not 0"),
        ({"batch_size": -1}, "batch_size must be 1 or more, not -1"),
        ({"n_valid": 235}, "240 training images are too few for 235"),
        ({"filters": ()}, "filters"),
        ({"shift": 40}, "shifted by 40"),
    ],
    ids=str,
)
def test_config_that_cannot_be_is_refused(records, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        main(replace(SMALL, data=str(records), **options))
