"""Word2vec's training: what is learned, in which steps, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from phase03.corpus import WordCounts, window_mask
from phase03.skip_gram import Block, skip_gram_block
from phase03.word2vec import LEARNING_RATES, Word2Vec, Word2VecConfig, add_rows

# ---- rows of a matrix ------------------------------------------------------------


def test_repeated_rows_are_added_up():
    weight = np.zeros((4, 2), np.float32)
    rows = np.array([[[1, 2], [10, 20]], [[100, 200], [5, 5]]], np.float32)
    add_rows(weight, np.array([[3, 0], [3, 1]]), rows)
    np.testing.assert_array_equal(weight, [[10, 20], [5, 5], [0, 0], [101, 202]])
    assert weight.dtype == np.float32


def test_matrix_that_is_a_turned_view_is_refused():
    with pytest.raises(ValueError, match=r"."):
        add_rows(np.zeros((2, 4)).T, np.array([1]), np.ones((1, 2)))


# ---- the model ----------------------------------------------------------------------


SMALL = Word2VecConfig(
    d_embedding=12, window=2, threshold=0.0, n_shared=8, chunk_length=8, n_block=32
)


def small(**changes):
    return replace(SMALL, **changes)


def pairs_corpus(n=3000, seed=0):
    """A text of 24 words in which 0 to 11 only stand beside one another, and so do 12 to 23."""
    rng = np.random.default_rng(seed)
    topics = np.repeat(rng.integers(0, 2, n // 15), 15)
    text = (12 * topics + rng.integers(0, 12, len(topics))).astype(np.int32)
    counts = np.bincount(text, minlength=24)
    return WordCounts([f"w{i}" for i in range(24)], counts.tolist()), text


def trained(architecture, seed=0, **changes):
    vocabulary, text = pairs_corpus()
    config = small(**{"architecture": architecture, "learning_rate": 0.05, **changes})
    model = Word2Vec(config, vocabulary, np.random.default_rng(seed))
    return model, list(model.train(text, 4))


@pytest.mark.parametrize(("architecture", "rate"), [("skip-gram", 0.05), ("cbow", 0.3)])
def test_words_of_one_topic_come_close_to_one_another(architecture, rate):
    model, progress = trained(architecture, learning_rate=rate)
    unit = model.vectors / np.linalg.norm(model.vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    within = (cosines[:12, :12].sum() + cosines[12:, 12:].sum() - 24) / (2 * 12 * 11)
    assert within > cosines[:12, 12:].mean() + 0.5
    assert progress[-1].loss < progress[0].loss
    assert progress[-1].loss < 6 * math.log(2)


def test_first_loss_is_that_of_knowing_nothing():
    vocabulary, text = pairs_corpus()
    config = small(n_block=3000 // 8 * 8, learning_rate=1e-9)
    model = Word2Vec(config, vocabulary, np.random.default_rng(0))
    first = next(iter(model.train(text, 1)))
    assert first.loss == pytest.approx(6 * math.log(2), rel=1e-5)


def test_outputs_begin_at_zero_and_inputs_near_it():
    vocabulary, _ = pairs_corpus()
    model = Word2Vec(small(), vocabulary, np.random.default_rng(0))
    assert not model.params["output.weight"].any()
    assert 0 < np.abs(model.vectors).max() <= 0.5 / 12
    assert {one.dtype for one in model.params.values()} == {np.dtype(np.float32)}
    assert model.vectors.shape == (24, 12)


def test_same_seed_gives_the_same_vectors():
    first, second, other = (trained("skip-gram", seed)[0].vectors for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.01


def test_rate_falls_along_a_line_and_all_words_are_counted():
    _, progress = trained("skip-gram")
    words = np.array([one.words for one in progress])
    rates = np.array([one.learning_rate for one in progress])
    assert words[-1] == 4 * 3000
    assert np.all(np.diff(words) > 0)
    assert len(progress) == 20
    before = words - 32  # a step's rate is that of the words read before it; 24 in a last block
    np.testing.assert_allclose(rates, 0.05 * (1 - before / 12_000), atol=0.05 * 9 / 12_000)


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
def test_first_step_takes_the_whole_rate(architecture):
    vocabulary, text = pairs_corpus()
    model = Word2Vec(small(architecture=architecture), vocabulary, np.random.default_rng(0))
    assert next(iter(model.train(text, 2, n_reports=1000))).learning_rate == 0.025


def test_loss_is_that_since_the_report_before():
    vocabulary, text = pairs_corpus()
    last = {}
    for n_reports in (1, 20):
        model = Word2Vec(small(learning_rate=0.05), vocabulary, np.random.default_rng(0))
        last[n_reports] = list(model.train(text, 4, n_reports))[-1].loss
    assert last[20] < 0.98 * last[1]  # one report is the mean of all, from the first steps on


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
def test_beyond_the_ends_of_a_text_there_are_no_words(architecture):
    # The first two words and the last are in no text, and so rare that they are never drawn.
    vocabulary = WordCounts(list("abcde"), [1, 1, 10**12, 10**12, 1])
    model = Word2Vec(small(architecture=architecture), vocabulary, np.random.default_rng(0))
    before = {name: one.copy() for name, one in model.params.items()}
    list(model.train(np.array([2, 3] * 21, dtype=np.int32), 3))  # a block and part of another
    for name, one in model.params.items():
        changed = np.any(one != before[name], axis=1)
        np.testing.assert_array_equal(changed, [False, False, True, True, False], err_msg=name)


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
def test_first_word_of_the_vocabulary_is_a_neighbour_like_any_other(architecture):
    vocabulary = WordCounts(list("abc"), [1, 1, 10**12])  # negatives are c, always
    config = small(architecture=architecture, window=1)
    model = Word2Vec(config, vocabulary, np.random.default_rng(0))
    list(model.train(np.array([0, 1], dtype=np.int32), 1))
    assert np.all(model.params["output.weight"] != 0)


def test_text_of_one_word_has_no_pairs():
    vocabulary = WordCounts(["a"], [1])
    model = Word2Vec(small(), vocabulary, np.random.default_rng(0))
    progress = list(model.train(np.array([0], dtype=np.int32), 1))
    assert (progress[-1].words, progress[-1].loss) == (1, 0)
    assert not model.params["output.weight"].any()


def test_step_goes_against_the_gradient_by_the_rate():
    words = np.array([[-1, -1, 3, 1, 3, 8, 0]], dtype=np.int32)  # 2 beyond the text, 3, 2 after
    mask = window_mask(np.array([[2, 1, 2]], dtype=np.int32), 2) & (words >= 0)[:, np.newaxis]
    chunk = Block(words, mask, np.array([[2, 3, 3, 7]]))
    vocabulary = WordCounts([f"w{i}" for i in range(9)], [1] * 9)
    config = Word2VecConfig(d_embedding=6, window=2, n_negatives=3)
    model = Word2Vec(config, vocabulary, np.random.default_rng(0), dtype=np.float64)
    rng = np.random.default_rng(1)
    expected = {name: rng.normal(size=(9, 6)) for name in model.params}
    model.params = {name: one.copy() for name, one in expected.items()}
    loss, n_pairs, rows = skip_gram_block(expected, chunk, 3)
    assert model.step(chunk, 0.1) == (pytest.approx(loss), n_pairs)
    for name, (ids, gradient) in rows.items():
        np.add.at(expected[name], ids.reshape(-1), -0.1 * gradient.reshape(-1, 6))
        np.testing.assert_allclose(model.params[name], expected[name], atol=1e-12)


def test_text_shorter_than_a_block_is_read():
    vocabulary = WordCounts(["a", "b", "c"], [2, 1, 1])
    config = small(n_block=64)
    model = Word2Vec(config, vocabulary, np.random.default_rng(0))
    progress = list(model.train(np.array([0, 1, 0, 2], dtype=np.int32), 2))
    assert progress[-1].words == 8
    assert np.isfinite(model.vectors).all()


@pytest.mark.parametrize(("text", "n_epochs"), [([], 1), ([0, 3], 1), ([-1, 0], 1), ([0, 1], 0)])
def test_text_that_makes_no_sense_is_refused(text, n_epochs):
    vocabulary = WordCounts(["a", "b", "c"], [2, 1, 1])
    model = Word2Vec(small(n_block=8), vocabulary, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"."):
        next(model.train(np.array(text, dtype=np.int32), n_epochs))


def test_steps_that_are_too_long_are_said_to_be():
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(ValueError, match=r"."),
    ):
        trained("skip-gram", learning_rate=1e6)


@pytest.mark.parametrize(
    "wrong",
    [{"window": 0}, {"n_negatives": 0}, {"n_block": 100}, {"n_block": 0}, {"learning_rate": 0.0}],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"."):
        Word2VecConfig(**wrong)


@pytest.mark.kept
def test_least_settings_are_ones():
    Word2VecConfig(d_embedding=1, window=1, n_negatives=1, chunk_length=1, n_shared=1, n_block=1)


@pytest.mark.kept
def test_settings_are_those_of_the_text_where_nothing_else_is_asked_for():
    config = Word2VecConfig()
    assert (config.d_embedding, config.window, config.n_negatives) == (100, 5, 5)
    assert (config.threshold, config.learning_rate) == (1e-4, 0.025)
    assert (config.n_block, config.chunk_length, config.n_shared) == (256, 32, 32)
    assert LEARNING_RATES == {"skip-gram": 0.025, "cbow": 0.2}
