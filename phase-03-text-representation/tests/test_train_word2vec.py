"""The script on a small text: what it learns, returns, writes and refuses."""

import json
import os
import sys
from dataclasses import replace
from xml.etree import ElementTree

import jaxtyping
import numpy as np
import pytest

from phase03.train_word2vec import Config, main
from phase03.word2vec import LEARNING_RATES
from phase03.word_evaluation import load_vectors

TIMES = (
    "training_seconds",
    "training_cpu_seconds",
    "words_per_second",
    "words_per_cpu_second",
    "cpu_seconds",
)
needs_data = pytest.mark.skipif(
    not os.environ.get("JOURNAL_DATA"), reason="JOURNAL_DATA names no folder"
)
PLACES = ("athens greece", "baghdad iraq", "bangkok thailand", "beijing china", "berlin germany")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A file in which each capital stands beside its own country only, and a family apart."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(1500):
        place = PLACES[rng.integers(len(PLACES))].split()
        lines.append(" ".join([*rng.permutation([*place, *place])]))
        lines.append(" ".join(rng.permutation(["man", "king", "woman", "queen"])))
    path = tmp_path_factory.mktemp("text") / "small.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def small(text, **changes):
    settings = Config(
        text=text,
        d_embedding=10,
        window=2,
        threshold=0.0,
        n_epochs=3,
        n_block=32,
        learning_rate=0.05,
        words=("berlin", "unknown"),
        n_tsne=12,
    )
    return replace(settings, **changes)


def run(config, folder):
    """(metrics, what was written) of one run in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in use, and quicker
        metrics = main(config)
    (file,) = (folder / "runs" / "phase03").glob("train_word2vec*.json")
    return metrics, json.loads(file.read_text(encoding="utf-8"))["metrics"]


@pytest.fixture(scope="module")
def ran(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    return *run(small(text), folder), folder / "runs" / "phase03"


@needs_data
def test_capital_and_country_become_neighbours(ran):
    _, written, _ = ran
    assert written["neighbours"]["berlin"][0] == "germany"
    assert list(written["neighbours"]) == ["berlin"]
    assert written["curve"][-1]["loss"] < written["curve"][0]["loss"]


@needs_data
def test_scores_are_of_the_questions_whose_words_are_known(ran):
    metrics, written, _ = ran
    assert metrics["words"] == 12_000
    assert metrics["vocabulary"] == 14
    asked = {name: one["asked"] for name, one in written["categories"].items()}
    assert asked["capital-common-countries"] == 20
    assert metrics["analogies_asked"] == sum(asked.values())
    assert metrics["analogies_in_set"] == 19_544
    assert "king - man + woman" in written["analogies_shown"]


@needs_data
def test_vectors_pictures_and_numbers_are_written(ran):
    metrics, written, folder = ran
    assert {path.name for path in folder.iterdir()} == {
        "train_word2vec.json",
        "train_word2vec-loss.svg",
        "train_word2vec-capitals.svg",
        "train_word2vec-tsne.svg",
        "word2vec-skip-gram.npz",
        "word2vec-skip-gram.json",
    }
    for picture in folder.glob("*.svg"):
        ElementTree.parse(picture)
    vectors = load_vectors(folder / "word2vec-skip-gram.npz")
    assert len(vectors.words) == 14
    assert [near for near, _ in vectors.neighbours("berlin", 8)] == written["neighbours"]["berlin"]
    assert json.loads(json.dumps(metrics)) == metrics
    assert all(written[name] == value for name, value in metrics.items())


@needs_data
def test_same_seed_gives_the_same_result(ran, text, tmp_path):
    again, _ = run(small(text, n_tsne=0), tmp_path)
    first = ran[0]
    assert {key: again[key] for key in again if key not in TIMES} == {
        key: first[key] for key in first if key not in TIMES
    }


@needs_data
def test_cbow_learns_too_and_has_a_result_of_its_own(text, tmp_path):
    _, written = run(
        small(text, architecture="cbow", learning_rate=0.1, n_tsne=0, n_epochs=6), tmp_path
    )
    assert written["neighbours"]["berlin"][0] == "germany"
    names = {path.name for path in (tmp_path / "runs/phase03").iterdir()}
    assert {"train_word2vec-cbow.json", "word2vec-cbow.npz"} <= names
    assert "train_word2vec-cbow-tsne.svg" not in names


def test_text_that_is_neither_a_name_nor_a_file_is_refused():
    with pytest.raises(ValueError, match=r"no-such-text"):
        main(small("no-such-text", n_tsne=0))


def test_missing_scikit_learn_is_said_before_the_training(text, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ValueError, match=r"--n-tsne 0"):
        main(small(text))


@pytest.mark.parametrize("wrong", [{"n_epochs": 0}, {"min_count": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be 1 or more, not 0"):
        Config(**wrong)


def test_settings_of_the_model_are_refused_at_once():
    with pytest.raises(ValueError, match=r"window"):
        Config(window=0)


def test_default_learning_rate_is_the_architectures():
    rates = LEARNING_RATES
    assert Config().model().learning_rate == rates["skip-gram"]
    assert Config(architecture="cbow").model().learning_rate == rates["cbow"]
    assert Config(learning_rate=0.5).model().learning_rate == 0.5
