"""The GloVe script and the comparison on a small text: what they learn, write and refuse."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import jaxtyping
import numpy as np
import pytest

from journal import data
from phase03 import compare_word_vectors, train_glove
from phase03.word_evaluation import PAIRS, QUESTIONS

GROUPS = ("red blue green grey white", "cat dog horse cow goat", "one two three four five")
ASKED = {
    QUESTIONS: ": colours\nred blue green grey\nred blue cat unknown\n",
    PAIRS["wordsim353"]: "red\tblue\t9\nred\tcat\t1\ncat\tdog\t8\none\tdog\t0.5\none\ttwo\t9.5\n",
    PAIRS["simlex999"]: "red\tgreen\t9\nred\tfive\t1\ncow\tnothing\t8\n",
}


@pytest.fixture(autouse=True)
def small_text(tmp_path, monkeypatch):
    """A text of three groups of words that stand among their own kind, and questions on them."""
    rng = np.random.default_rng(0)
    groups = [group.split() for group in GROUPS]
    sentences = [" ".join(rng.choice(groups[n % 3], 12)) for n in range(150)]
    (tmp_path / "text").write_text("\n".join(sentences), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "read_text", ASKED.__getitem__)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in use, and quicker


GLOVE = train_glove.Config(
    text="text", d_embedding=6, window=3, learning_rate=0.2, n_epochs=25, n_block=16, words=("cat",)
)
COMPARE = compare_word_vectors.Config(
    text="text", d_embedding=6, window=3, n_epochs=8, n_block=32, n_passes=25, glove_n_block=16
)


def written(folder, name):
    return json.loads((folder / "runs" / "phase03" / f"{name}.json").read_text(encoding="utf-8"))


def test_glove_learns_who_belongs_together(tmp_path):
    metrics = train_glove.main(GLOVE)
    assert metrics["words"] == 1800
    assert metrics["vocabulary"] == 15
    assert metrics["wordsim353"] > 0.7
    assert (metrics["wordsim353_pairs"], metrics["simlex999_pairs"]) == (5, 2)
    assert (metrics["analogies_asked"], metrics["analogies_in_set"]) == (1, 2)
    kept = written(tmp_path, "train_glove")["metrics"]
    assert len(kept["curve"]) == 25
    assert kept["curve"][-1]["loss"] < 0.5 * kept["curve"][0]["loss"]
    assert set(kept["neighbours"]["cat"][:4]) == {"dog", "horse", "cow", "goat"}
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    picture = tmp_path / "runs" / "phase03" / "train_glove-curve.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_glove_is_the_same_from_the_same_seed():
    short = replace(GLOVE, n_epochs=2)
    runs = [train_glove.main(replace(short, seed=seed)) for seed in (0, 0, 1)]
    assert runs[0]["loss"] == runs[1]["loss"] != runs[2]["loss"]
    assert runs[0]["wordsim353"] == runs[1]["wordsim353"]


def test_all_three_are_compared_on_the_same_questions(tmp_path):
    metrics = compare_word_vectors.main(replace(COMPARE, n_seeds=2))
    assert list(metrics["models"]) == ["skip-gram", "CBOW", "GloVe"]
    assert metrics["wordsim353_pairs"] == 5
    runs = written(tmp_path, "compare_word_vectors")["metrics"]["runs"]
    for name, scores in metrics["models"].items():
        assert len(runs[name]) == 2
        assert -1 <= scores["wordsim353"] <= 1
        mean = np.mean([run["wordsim353"] for run in runs[name]])
        assert scores["wordsim353"] == pytest.approx(mean, abs=1e-4)
    assert metrics["models"]["GloVe"]["wordsim353"] > 0.3
    picture = tmp_path / "runs" / "phase03" / "compare_word_vectors-scores.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_comparison_is_the_same_from_the_same_seed():
    short = replace(COMPARE, n_epochs=1, n_passes=1)
    first, again = (compare_word_vectors.main(short)["models"] for _ in range(2))
    for name in first:
        for measure in compare_word_vectors.MEASURES:
            assert first[name][measure] == again[name][measure]


@pytest.mark.parametrize("name", ["min_count", "n_epochs", "window"])
def test_settings_that_make_no_sense_are_refused(name):
    for config in (GLOVE, COMPARE):
        with pytest.raises(ValueError, match=f"{name} must be 1 or more, not 0"):
            replace(config, **{name: 0})


def test_other_settings_that_make_no_sense_are_refused():
    for name in ("d_embedding", "x_max", "learning_rate", "n_block"):
        with pytest.raises(ValueError, match=name):
            replace(GLOVE, **{name: 0})
    for name in ("n_passes", "n_seeds"):
        with pytest.raises(ValueError, match=name):
            replace(COMPARE, **{name: 0})
    with pytest.raises(ValueError, match="nowhere"):
        train_glove.main(replace(GLOVE, text="nowhere"))
