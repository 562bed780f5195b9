"""The comparison with gensim in a tiny size: what is compared, returned and written.

No test asserts a time: that is what the recorded result says.
"""

import json
import os
import sys

import jaxtyping
import numpy as np
import pytest

from phase03 import benchmark_word2vec
from phase03.benchmark_word2vec import ONE, OURS, TWO, Config, main, read

needs_data = pytest.mark.skipif(
    not os.environ.get("JOURNAL_DATA"), reason="JOURNAL_DATA names no folder"
)
TINY = Config(text="python-docs", max_characters=60_000, d_embedding=8, n_epochs=1, rounds=2)


def test_all_ways_read_the_same_words():
    text = read(TINY)
    words = [word for piece in text.pieces for word in piece]
    assert words == [text.vocabulary.words[n] for n in text.ids]
    assert max(len(piece) for piece in text.pieces) <= 10_000


@needs_data
def test_rates_ratios_and_scores_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    metrics = main(TINY)
    file = tmp_path / "runs/phase03/benchmark_word2vec.json"
    written = json.loads(file.read_text(encoding="utf-8"))["metrics"]
    assert {name: written[name] for name in metrics} == metrics
    assert {len(took) for took in written["round_seconds"].values()} == {2}
    rates = metrics["words_per_second"]
    assert list(rates) == list(metrics["scores"]) == [OURS, ONE, TWO]
    assert metrics["ratio_to_one_worker"] == pytest.approx(rates[OURS] / rates[ONE], rel=0.01)
    assert metrics["ratio_to_two_workers"] == pytest.approx(rates[OURS] / rates[TWO], rel=0.01)
    assert "gensim, 2 workers" in capsys.readouterr().out


def test_vectors_of_both_stand_in_the_same_order():
    text = read(TINY)
    made = benchmark_word2vec.gensim_model()
    for _, vectors in (
        benchmark_word2vec.ours(text, TINY),
        benchmark_word2vec.gensim(made, text, TINY, 1),
    ):
        assert vectors.shape == (len(text.vocabulary), 8)
        assert np.isfinite(vectors).all()


def test_missing_gensim_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(ValueError, match=r"gensim"):
        main(TINY)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"n_epochs": 0}, {"min_count": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be 1 or more, not 0"):
        Config(**wrong)
