"""The loss of yes-or-no questions against hand-worked values and torch, and what is drawn."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from phase00.gradcheck import check_backward
from phase03.negative_sampling import (
    NegativeSampler,
    negative_sampling_backward,
    negative_sampling_forward,
)

B, L, M, C = 2, 3, 7, 6  # chunks, inputs, outputs, width


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def weights(seed=1, dtype=np.float64):
    """Weights of which some are 0 and some pairs have both."""
    rng = np.random.default_rng(seed)
    return [
        (rng.uniform(0.5, 2, (B, L, M)) * (rng.random((B, L, M)) < 0.6)).astype(dtype)
        for _ in range(2)
    ]


def grad(tensor):
    """The gradient that torch found, as an array."""
    assert tensor.grad is not None
    return tensor.grad.numpy()


def test_loss_of_two_scores_by_hand():
    inputs = np.array([[1.0, 2.0]])
    outputs = np.array([[0.5, 0.0], [0.0, -1.0]])  # scores 0.5 and -2
    true, drawn = np.array([[1.0, 0.0]]), np.array([[0.0, 3.0]])
    loss, cache = negative_sampling_forward(inputs, outputs, true, drawn)
    assert loss == pytest.approx(math.log(1 + math.exp(-0.5)) + 3 * math.log(1 + math.exp(-2)))
    dinputs, doutputs = negative_sampling_backward(1.0, cache)
    first = 1 / (1 + math.exp(-0.5)) - 1
    second = 3 / (1 + math.exp(2))
    np.testing.assert_allclose(dinputs, [[0.5 * first, -second]])
    np.testing.assert_allclose(doutputs, [[first, 2 * first], [second, 2 * second]])


def test_weighted_loss_matches_torch_in_value_and_gradients():
    inputs, outputs, (true, drawn) = draw(B, L, C), draw(B, M, C), weights()
    x, y = (torch.from_numpy(a.copy()).requires_grad_() for a in (inputs, outputs))
    scores = x @ y.transpose(1, 2)
    theirs = -(torch.from_numpy(true) * F.logsigmoid(scores)).sum()
    theirs = theirs - (torch.from_numpy(drawn) * F.logsigmoid(-scores)).sum()
    (1.7 * theirs).backward()
    loss, cache = negative_sampling_forward(inputs, outputs, true, drawn)
    assert loss == pytest.approx(theirs.item(), abs=1e-10)
    for mine, tensor in zip(negative_sampling_backward(1.7, cache), (x, y), strict=True):
        np.testing.assert_allclose(mine, grad(tensor), atol=1e-10)


def test_weighted_gradients_are_right():
    true, drawn = weights()
    check_backward(
        lambda inputs, outputs: negative_sampling_forward(inputs, outputs, true, drawn),
        negative_sampling_backward,
        {"inputs": draw(B, L, C), "outputs": draw(B, M, C)},
        np.random.default_rng(0),
    )


def test_large_scores_neither_overflow_nor_lose_their_loss():
    inputs, one = np.array([[1000.0]]), np.ones((1, 1))
    with np.errstate(all="raise", under="ignore"):
        for score in (1.0, -1.0):
            outputs = np.array([[score]])
            wrong, cache = negative_sampling_forward(
                inputs, outputs, one * (score < 0), one * (score > 0)
            )
            assert wrong == pytest.approx(1000)
            assert np.all(np.isfinite(negative_sampling_backward(1.0, cache)[0]))
            right, _ = negative_sampling_forward(
                inputs, outputs, one * (score > 0), one * (score < 0)
            )
            assert right == pytest.approx(0, abs=1e-12)


def test_negatives_are_drawn_by_the_count_to_the_three_quarters():
    sampler = NegativeSampler(np.array([10_000, 625, 16, 1]))
    expected = np.array([1000, 125, 8, 1]) / 1134
    np.testing.assert_allclose(sampler.probabilities, expected)
    drawn = sampler.draw((300, 400), np.random.default_rng(0))
    assert drawn.shape == (300, 400)
    np.testing.assert_allclose(
        np.bincount(drawn.ravel(), minlength=4) / 120_000, expected, atol=4e-3
    )
    with pytest.raises(ValueError, match=r"."):
        NegativeSampler(np.array([0, 0]))
    flat = NegativeSampler(np.array([10_000, 1]), power=0.0)
    np.testing.assert_allclose(flat.probabilities, [0.5, 0.5])


def test_every_word_is_drawn_and_a_count_of_zero_never():
    drawn = NegativeSampler(np.array([2, 0, 2, 2])).draw((30_000,), np.random.default_rng(1))
    np.testing.assert_allclose(
        np.bincount(drawn, minlength=4) / 30_000, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.02
    )


@pytest.mark.parametrize("counts", [[], [0], [-1, 5]])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match=r"."):
        NegativeSampler(np.array(counts, dtype=np.int64))
