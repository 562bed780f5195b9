"""The two look-ups: answers by a plain search, and what a layer sees."""

import numpy as np
import pytest

from phase00.gradcheck import check_backward
from phase04.lookup_task import (
    MATCHING,
    PREVIOUS,
    answer_backward,
    answer_forward,
    answer_parameters,
    earlier_only,
    lookup_batch,
)

BATCH, K, V = 3, 4, 5


def test_answers_are_those_of_a_plain_search():
    batch = lookup_batch(np.random.default_rng(0), BATCH, K, V)
    assert batch.answers.shape == batch.places.shape == (BATCH, K, 2)
    for letters, digits, places, answers in zip(
        batch.letters.tolist(), batch.digits.tolist(), batch.places, batch.answers, strict=True
    ):
        assert sorted(letters[:K]) == sorted(letters[K:]) == list(range(K))
        for t in range(K, 2 * K):
            same = letters.index(letters[t])  # of two, the first
            assert places[t - K, PREVIOUS] == t - 1
            assert places[t - K, MATCHING] == same
            assert answers[t - K].tolist() == [digits[t - 1], digits[same]]


def test_layer_sees_letter_digit_and_position_each_as_a_one():
    batch = lookup_batch(np.random.default_rng(1), BATCH, K, V)
    assert batch.x.shape == (BATCH, 2 * K, 3 * K + V)
    assert batch.x.dtype == np.float32
    np.testing.assert_array_equal(batch.x[:, :, :K].argmax(-1), batch.letters)
    np.testing.assert_array_equal(batch.x[:, :, K : K + V].argmax(-1), batch.digits)
    np.testing.assert_array_equal(batch.x[:, :, K + V :], [np.eye(2 * K)] * BATCH)
    np.testing.assert_array_equal(batch.x.sum(axis=-1), np.full((BATCH, 2 * K), 3))


def test_same_seed_gives_the_same_batch_and_another_another():
    one, same, other = (
        lookup_batch(np.random.default_rng(seed), BATCH, K, V) for seed in (2, 2, 3)
    )
    np.testing.assert_array_equal(one.x, same.x)
    assert not np.array_equal(one.x, other.x)


def test_mask_hides_the_own_position_and_what_follows():
    assert earlier_only(2).astype(int).tolist() == [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
    ]


@pytest.mark.parametrize("counts", [(0, 4, 5), (3, 0, 5), (3, 4, 0)])
def test_batch_of_nothing_is_refused(counts):
    with pytest.raises(ValueError, match="at least one"):
        lookup_batch(np.random.default_rng(0), *counts)


def test_guesses_are_the_highest_scores_of_the_second_half():
    batch = lookup_batch(np.random.default_rng(0), BATCH, K, V)
    y = np.zeros((BATCH, 2 * K, 2 * V))
    for answer in (0, 1):
        scores = np.eye(V)[batch.answers[:, :, answer]]
        y[:, K:, answer * V : (answer + 1) * V] = 20 * scores
    params = {"output.weight": np.eye(2 * V), "output.bias": np.zeros(2 * V)}
    (loss, guesses), _ = answer_forward(params, y, batch.answers)
    np.testing.assert_array_equal(guesses, batch.answers)
    assert loss < 1e-6
    (loss, _), _ = answer_forward(params, 0 * y, batch.answers)
    assert loss == pytest.approx(np.log(V))


@pytest.mark.parametrize("n_answers", [1, 2])
def test_gradients_of_the_answers_are_those_measured(n_answers):
    rng = np.random.default_rng(0)
    answers = rng.integers(0, V, (BATCH, K, n_answers))

    def forward(y, weight, bias):
        params = {"output.weight": weight, "output.bias": bias}
        (loss, _), cache = answer_forward(params, y, answers)
        return loss, cache

    def backward(dloss, cache):
        dy, grads = answer_backward(cache)
        return tuple(dloss * g for g in (dy, grads["output.weight"], grads["output.bias"]))

    shapes = {"y": (BATCH, 2 * K, 6), "weight": (n_answers * V, 6), "bias": (n_answers * V,)}
    inputs = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    check_backward(forward, backward, inputs, rng)


def test_layer_begins_small_in_float32():
    params = answer_parameters(16, 10, np.random.default_rng(0))
    assert {name: param.shape for name, param in params.items()} == {
        "output.weight": (10, 16),
        "output.bias": (10,),
    }
    for param in params.values():
        assert param.dtype == np.float32
        assert 0.1 < np.abs(param).max() <= 0.25
