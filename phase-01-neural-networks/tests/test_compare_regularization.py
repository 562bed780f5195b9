"""The script on few images: the plain run overfits, each method acts, and the decays differ."""

import json
import math
from xml.etree import ElementTree

import pytest

from journal import data
from phase01.compare_regularization import FILES, Config, decay_two_weights, main

SMALL = Config(
    n_train=100,
    n_validation=150,
    n_held_out=300,
    width=32,
    n_epoch=16,
    batch_size=100,
    patience=3,
    learning_rate=1e-2,
    decay=5.0,
    n_seed=2,
    n_decay_step=40,
)

NEEDS_MNIST = pytest.mark.skipif(
    any(data.find(file) is None for file in FILES), reason="MNIST is not there: set JOURNAL_DATA"
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, what was written as metrics, the folder) of one small run."""
    folder = tmp_path_factory.mktemp("regularization")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        metrics = main(SMALL)
    folder = folder / "runs" / "phase01"
    text = (folder / "compare_regularization.json").read_text(encoding="utf-8")
    return metrics, json.loads(text)["metrics"], folder


@NEEDS_MNIST
def test_plain_run_overfits(ran):
    plain = ran[0]["methods"]["plain"]
    assert plain["train_loss"] < 0.02
    assert plain["loss"] > 0.5
    assert plain["accuracy"] > 0.55
    curve = ran[1]["curves"]["plain"]
    assert curve["train_mean"][-1] == pytest.approx(plain["train_loss"], rel=1e-3)
    assert min(curve["validation_mean"]) < curve["validation_mean"][-1]


@NEEDS_MNIST
def test_each_regularization_holds_the_training_loss_up(ran):
    methods = ran[0]["methods"]
    for name in ("dropout", "L2 in the loss", "AdamW", "early stopping"):
        assert methods[name]["train_loss"] > 1.5 * methods["plain"]["train_loss"]
    assert methods["AdamW"]["loss"] < methods["plain"]["loss"]
    assert methods["batch norm"]["loss"] != methods["plain"]["loss"]


@NEEDS_MNIST
def test_early_stopping_ends_before_the_run_at_its_lowest_validation_loss(ran):
    metrics, written, _ = ran
    assert metrics["methods"]["early stopping"]["epochs"] < 16
    for epochs, loss in written["stops"]:
        assert 1 <= epochs < 16
        assert loss <= written["curves"]["plain"]["validation_high"][epochs - 1]


@NEEDS_MNIST
def test_table_follows_from_the_runs_of_the_seeds(ran):
    metrics, written, _ = ran
    plain = written["seeds"]["plain"]
    for name, row in metrics["methods"].items():
        runs = written["seeds"][name]
        assert len(runs["loss"]) == 2
        assert row["accuracy"] == pytest.approx(sum(runs["accuracy"]) / 2, rel=1e-4)
        changes = [mine - other for mine, other in zip(runs["loss"], plain["loss"], strict=True)]
        assert row["loss_change"] == pytest.approx(sum(changes) / 2, abs=1e-4)
        assert row["lower_loss_in"] == sum(change < 0 for change in changes)
        first, second = runs["loss"]
        assert row["loss_std"] == pytest.approx(abs(first - second) / math.sqrt(2), rel=0.01)


@NEEDS_MNIST
def test_numbers_and_three_pictures_are_written(ran):
    metrics, written, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert written["methods"] == metrics["methods"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "compare_regularization-curves.svg",
        "compare_regularization-decay.svg",
        "compare_regularization-differences.svg",
        "compare_regularization.json",
    ]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@NEEDS_MNIST
def test_one_seed_gives_the_same_table_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = Config(50, 20, 20, width=8, n_epoch=2, n_seed=1, n_decay_step=2)
    assert main(tiny) == main(tiny)


def test_decay_in_the_loss_depends_on_the_gradient_and_decoupled_decay_does_not():
    weights = {name: found["end"] for name, found in decay_two_weights(3000).items()}
    large, small = (weights[f"L2 in the loss, {size} gradient"] for size in ("large", "small"))
    decoupled = [weights[f"AdamW, {size} gradient"]["measured"] for size in ("large", "small")]
    assert decoupled[0] == decoupled[1]
    assert decoupled[0] == pytest.approx((1 - 2e-5) ** 3000, abs=1e-3)
    assert large["measured"] == pytest.approx(math.exp(-2e-5 * 3000 / 0.5), abs=0.005)
    assert small["measured"] == pytest.approx(math.exp(-2e-5 * 3000 / 0.05), abs=0.01)
    for end in weights.values():
        assert end["measured"] == pytest.approx(end["foretold"], abs=0.01)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (Config(n_train=0), "1 or more"),
        (Config(n_seed=0), "1 or more"),
        (Config(n_epoch=0), "1 or more"),
        (Config(patience=0), "1 or more"),
        (Config(batch_size=30), "divide n_train, not 30 and 1000"),
        (Config(batch_size=1), "batch_size must be 2 or more"),
    ],
)
def test_config_that_compares_nothing_is_refused(config, complaint):
    with pytest.raises(ValueError, match=complaint):
        main(config)


@NEEDS_MNIST
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_run_that_diverges_stops_and_says_so():
    with pytest.raises(ValueError, match=r"the loss is .* after 1 epochs: lower learning_rate"):
        main(Config(50, 20, 20, width=8, n_epoch=2, n_seed=1, learning_rate=1e30))


@NEEDS_MNIST
def test_more_images_than_there_are_are_refused():
    with pytest.raises(ValueError, match="60000 images"):
        main(Config(n_held_out=60_000))
