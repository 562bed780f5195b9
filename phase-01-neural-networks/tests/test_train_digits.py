"""The script on the training digits; the test digits are left to the recorded run."""

import json

import pytest

from journal import data
from phase01.train_digits import Config, main


@pytest.fixture(autouse=True)
def _digits(tmp_path, monkeypatch):
    """Where the digits are; results go into a folder of the test's."""
    if data.find("tinydigits/train.npz") is None:
        pytest.skip("tinydigits is not there: set JOURNAL_DATA")
    monkeypatch.chdir(tmp_path)


def test_digits_are_read_and_the_last_sixth_judges(tmp_path):
    metrics = main(Config(validate=True))
    assert metrics["n_train"] == 834
    assert metrics["judged_on"] == "validation"
    assert metrics["accuracy"] > 0.94
    assert metrics["n_parameter"] == 64 * 128 + 128 + 128 * 10 + 10
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in (tmp_path / "runs" / "phase01").iterdir()) == [
        "train_digits-validation-learning.svg",
        "train_digits-validation-weights.svg",
        "train_digits-validation.json",
    ]


def test_one_seed_gives_one_result():
    def run(seed):
        found = main(Config(validate=True, n_epoch=2, seed=seed))
        return found["loss"], found["train_loss"], found["accuracy_by_class"]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_two_hidden_units_are_too_few():
    assert main(Config(validate=True, hidden=(2,)))["accuracy"] < 0.8


def test_run_without_epochs_is_refused():
    with pytest.raises(ValueError, match="n_epoch must be 1 or more, not 0"):
        main(Config(n_epoch=0))
