"""Co-occurrence counts by hand, the loss and its gradients, AdaGrad, and what it learns."""

from collections import defaultdict

import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase03 import glove
from phase03.glove import (
    CoOccurrences,
    Glove,
    GloveConfig,
    co_occurrences,
    glove_backward,
    glove_forward,
    pair_weights,
)

B, C, V = 7, 3, 11


def by_hand(texts, window):
    """X in a dictionary, pair by pair."""
    found = defaultdict(float)
    for text in texts:
        for i, word in enumerate(text):
            for j, other in enumerate(text):
                if 0 < abs(i - j) <= window:
                    found[word, other] += 1 / abs(i - j)
    return dict(found)


def table(counts: CoOccurrences):
    return {
        (int(i), int(j)): float(x)
        for i, j, x in zip(counts.rows, counts.columns, counts.weights, strict=True)
    }


# ---- counts ------------------------------------------------------------------------------


def test_co_occurrences_by_hand():
    # a b a: a and b are twice at distance 1, each way; a and a once at distance 2, each way.
    counts = co_occurrences(np.array([0, 1, 0]), 2, 2)
    assert table(counts) == {(0, 0): 1.0, (0, 1): 2.0, (1, 0): 2.0}
    assert table(co_occurrences(np.array([0, 1, 0]), 1, 2)) == {(0, 1): 2.0, (1, 0): 2.0}


@pytest.mark.parametrize("window", [1, 3, 8])
def test_co_occurrences_are_those_of_a_loop(window):
    texts = [np.random.default_rng(n).integers(0, V, n) for n in (23, 1, 0, 9, 40)]
    starts = np.cumsum([0, *map(len, texts[:-1])])
    counts = co_occurrences(np.concatenate(texts), window, V, starts)
    truth = by_hand(texts, window)
    mine = table(counts)
    assert mine.keys() == truth.keys()
    for pair, x in truth.items():
        assert mine[pair] == pytest.approx(x, rel=1e-12)


def test_table_is_sorted_and_symmetric():
    ids = np.random.default_rng(0).integers(0, V, 60)
    counts = co_occurrences(ids, 4, V)
    assert np.all(np.diff(counts.rows * V + counts.columns) > 0)
    mine = table(counts)
    for (i, j), x in mine.items():
        assert mine[j, i] == pytest.approx(x, rel=1e-12)


def test_long_text_is_counted_in_parts(monkeypatch):
    ids = np.random.default_rng(0).integers(0, V, 101)
    starts = np.array([40, 0])
    whole = co_occurrences(ids, 3, V, starts)
    monkeypatch.setattr(glove, "BLOCK", 30)
    parts = co_occurrences(ids, 3, V, starts)
    np.testing.assert_array_equal(parts.rows, whole.rows)
    np.testing.assert_array_equal(parts.columns, whole.columns)
    np.testing.assert_allclose(parts.weights, whole.weights)


def test_texts_without_a_pair_have_none():
    for ids in (np.zeros(0, dtype=np.int32), np.array([3])):
        assert [part.shape for part in co_occurrences(ids, 2, V)] == [(0,)] * 3


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match=r"."):
        co_occurrences(np.array([0, 1]), 0, 2)
    with pytest.raises(ValueError, match=r"."):
        co_occurrences(np.array([0, 2]), 1, 2)
    with pytest.raises(ValueError, match=r"."):
        co_occurrences(np.array([0, -1]), 1, 2)


# ---- the loss ----------------------------------------------------------------------------


def test_pair_weights_by_hand():
    x = np.array([0.0, 1.0, 16.0, 81.0, 100.0])
    np.testing.assert_allclose(pair_weights(x, 16.0), [0, 1 / 8, 1, 1, 1])
    np.testing.assert_allclose(pair_weights(x, 100.0, 0.5), [0, 0.1, 0.4, 0.9, 1])
    np.testing.assert_allclose(pair_weights(np.array([50.0])), [0.5**0.75])


def test_loss_by_hand():
    loss, cache = glove_forward(
        np.array([[1.0, 2.0]]),
        np.array([[3.0, -1.0]]),
        np.array([0.5]),
        np.array([0.25]),
        np.array([1.25]),
        np.array([0.5]),
    )
    # 3 - 2 + 0.5 + 0.25 - 1.25 = 0.5; 0.5 * 0.5^2
    assert loss == pytest.approx(0.125)
    dwords, dcontexts, dword_biases, dcontext_biases = glove_backward(1.0, cache)
    np.testing.assert_allclose(dwords, [[1.5, -0.5]])  # 2 * 0.5 * 0.5 = 0.5 times w~
    np.testing.assert_allclose(dcontexts, [[0.5, 1.0]])
    np.testing.assert_allclose(dword_biases, [0.5])
    np.testing.assert_allclose(dcontext_biases, [0.5])


def inputs(dtype=np.float64):
    rng = np.random.default_rng(1)
    shapes = [(B, C), (B, C), (B,), (B,), (B,)]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    return [*arrays, rng.uniform(0.1, 1, B).astype(dtype)]


def test_loss_and_gradients_match_torch():
    words, contexts, word_biases, context_biases, logs, weights = arrays = inputs()
    loss, cache = glove_forward(words, contexts, word_biases, context_biases, logs, weights)
    mine = glove_backward(0.7, cache)
    w, c, b, d, log, f = (torch.tensor(array, requires_grad=True) for array in arrays)
    truth = (f * ((w * c).sum(1) + b + d - log) ** 2).sum()
    (0.7 * truth).backward()
    assert loss == pytest.approx(truth.item(), rel=1e-12)
    for gradient, tensor in zip(mine, (w, c, b, d), strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_gradients_are_those_of_differences():
    *arrays, logs, weights = inputs()
    names = ("words", "contexts", "word_biases", "context_biases")

    def forward(words, contexts, word_biases, context_biases):
        return glove_forward(words, contexts, word_biases, context_biases, logs, weights)

    def backward(dloss, cache):
        return glove_backward(float(dloss), cache)

    inputs_of = dict(zip(names, arrays, strict=True))
    check_backward(forward, backward, inputs_of, np.random.default_rng(0))


def test_float32_stays_float32():
    loss, cache = glove_forward(*inputs(np.float32))
    assert all(gradient.dtype == np.float32 for gradient in glove_backward(1.0, cache))
    assert isinstance(loss, float)


# ---- AdaGrad and the model ---------------------------------------------------------------


def small_counts():
    """Two groups of words that are only near words of their own group."""
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 5, 40) + 5 * (n % 2) for n in range(60)]
    starts = np.cumsum([0, *map(len, texts[:-1])])
    return co_occurrences(np.concatenate(texts), 4, 10, starts)


def test_model_begins_small_and_with_sums_of_one():
    model = Glove(GloveConfig(C), V, np.random.default_rng(0))
    shapes = {name: p.shape for name, p in model.params.items()}
    assert shapes == {
        "word.weight": (V, C),
        "context.weight": (V, C),
        "word.bias": (V,),
        "context.bias": (V,),
    }
    for name, p in model.params.items():
        assert p.dtype == np.float32
        assert np.abs(p).max() <= 0.5 / C
        np.testing.assert_array_equal(model.squares[name], np.ones_like(p))
    np.testing.assert_array_equal(
        model.vectors, model.params["word.weight"] + model.params["context.weight"]
    )


def test_step_is_adagrad_with_repeated_rows_added():
    model = Glove(GloveConfig(C, learning_rate=0.1), V, np.random.default_rng(0), np.float64)
    model.squares["word.weight"][4] = 2.0
    rows, columns = np.array([4, 2, 4, 4]), np.array([1, 1, 4, 1])
    logs, weights = np.array([0.3, -1.0, 2.0, 0.7]), np.array([0.5, 1.0, 0.25, 0.75])
    before = {name: p.copy() for name, p in model.params.items()}
    squares = {name: s.copy() for name, s in model.squares.items()}
    gradients = {name: np.zeros_like(p) for name, p in before.items()}
    loss = 0.0
    for i, j, log, f in zip(rows, columns, logs, weights, strict=True):
        w, c = before["word.weight"][i], before["context.weight"][j]
        error = w @ c + before["word.bias"][i] + before["context.bias"][j] - log
        loss += f * error**2
        gradients["word.weight"][i] += f * error * c
        gradients["context.weight"][j] += f * error * w
        gradients["word.bias"][i] += f * error
        gradients["context.bias"][j] += f * error
    assert model.step(rows, columns, logs, weights) == pytest.approx(loss)
    for name, gradient in gradients.items():
        step = 0.1 * gradient
        np.testing.assert_allclose(model.params[name], before[name] - step / squares[name] ** 0.5)
        np.testing.assert_allclose(model.squares[name], squares[name] + step**2)


def test_training_lowers_the_loss_and_fits_the_counts():
    counts = small_counts()
    model = Glove(GloveConfig(4, learning_rate=0.2, n_block=16), 10, np.random.default_rng(0))
    losses = list(model.train(counts, 60))
    assert len(losses) == 60
    assert losses[-1] < 0.01 * losses[0]
    p = model.params
    fitted = p["word.weight"] @ p["context.weight"].T + p["word.bias"][:, None] + p["context.bias"]
    np.testing.assert_allclose(
        fitted[counts.rows, counts.columns], np.log(counts.weights), atol=0.25
    )


def test_loss_is_the_mean_over_all_pairs():
    counts = small_counts()
    model = Glove(GloveConfig(4, n_block=7), 10, np.random.default_rng(0), np.float64)
    model.config = GloveConfig(4, n_block=7, learning_rate=1e-12)
    p = model.params
    scores = p["word.weight"] @ p["context.weight"].T  # biases are 0
    errors = scores[counts.rows, counts.columns] - np.log(counts.weights)
    truth = np.mean(pair_weights(counts.weights) * errors**2)
    assert next(model.train(counts, 1)) == pytest.approx(truth, rel=1e-6)


def test_words_of_one_group_are_alike():
    texts = [np.random.default_rng(n).integers(0, 6, 30) + 6 * (n % 2) for n in range(80)]
    for text in texts:
        text[::5] = 12  # a word that is everywhere
    counts = co_occurrences(np.concatenate(texts), 3, 13)
    model = Glove(
        GloveConfig(6, x_max=10.0, learning_rate=0.1, n_block=32), 13, np.random.default_rng(0)
    )
    losses = list(model.train(counts, 60))
    assert losses[-1] < losses[0]
    vectors = model.vectors[:12] - model.vectors[:12].mean(axis=0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    group = np.arange(12) // 6
    same = group[:, None] == group
    assert alike[same].mean() > alike[~same].mean() + 0.8


def test_same_seed_gives_the_same_vectors():
    vectors = []
    for seed in (3, 3, 4):
        model = Glove(GloveConfig(4, n_block=16), 10, np.random.default_rng(seed))
        list(model.train(small_counts(), 3))
        vectors.append(model.vectors)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.any(vectors[0] != vectors[2])


def test_pairs_are_read_in_an_order_that_is_drawn():
    models = [Glove(GloveConfig(4, n_block=16), 10, np.random.default_rng(n)) for n in (3, 4)]
    models[1].params = {name: one.copy() for name, one in models[0].params.items()}
    for model in models:
        list(model.train(small_counts(), 1))
    assert np.any(models[0].vectors != models[1].vectors)


@pytest.mark.kept
def test_settings_are_the_papers_where_nothing_else_is_asked_for():
    config = GloveConfig()
    assert (config.x_max, config.alpha, config.learning_rate) == (100, 0.75, 0.05)


def test_smallest_model_has_one_of_everything():
    config = GloveConfig(d_embedding=1, n_block=1, alpha=0.0)
    model = Glove(config, 1, np.random.default_rng(0))
    losses = list(model.train(co_occurrences(np.zeros(9, np.int64), 2, 1), 20))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "fault",
    [
        {"d_embedding": 0},
        {"n_block": 0},
        {"x_max": 0.0},
        {"learning_rate": 0.0},
        {"alpha": -0.5},
    ],
)
@pytest.mark.kept
def test_settings_that_make_no_sense_are_refused(fault):
    with pytest.raises(ValueError, match=next(iter(fault))):
        GloveConfig(**fault)


def test_steps_that_are_too_long_are_said_to_be():
    counts = small_counts()
    model = Glove(GloveConfig(4, learning_rate=1e30), 10, np.random.default_rng(0))
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"."):
        list(model.train(counts, 5))


def test_what_cannot_be_learned_from_is_refused():
    nothing = CoOccurrences(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    with pytest.raises(ValueError, match=r"."):
        list(Glove(GloveConfig(C), V, np.random.default_rng(0)).train(nothing, 1))
    with pytest.raises(ValueError, match=r"."):
        list(Glove(GloveConfig(C), 10, np.random.default_rng(0)).train(small_counts(), 0))
    with pytest.raises(ValueError, match=r"."):
        list(Glove(GloveConfig(C), 9, np.random.default_rng(0)).train(small_counts(), 1))
    below = CoOccurrences(np.array([0, 1]), np.array([1, -1]), np.ones(2))
    with pytest.raises(ValueError, match=r"."):
        list(Glove(GloveConfig(C), V, np.random.default_rng(0)).train(below, 1))
    with pytest.raises(ValueError, match=r"."):
        Glove(GloveConfig(C), 0, np.random.default_rng(0))
