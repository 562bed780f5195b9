"""Skip-gram on pairs and on blocks of text, against torch and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from phase00.gradcheck import check_backward
from phase03.corpus import skip_gram_pairs, window_mask
from phase03.skip_gram import Block, skip_gram_backward, skip_gram_block, skip_gram_forward

P, K, C = 5, 3, 6  # pairs, negatives, width
WINDOW, SHARED, VOCABULARY = 2, 4, 9


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def grad(tensor):
    """The gradient that torch found, as an array."""
    assert tensor.grad is not None
    return tensor.grad.numpy()


def test_untrained_pair_costs_one_bit_a_question():
    loss, _ = skip_gram_forward(draw(P, C), np.zeros((P, C)), np.zeros((P, K, C)))
    assert loss == pytest.approx((K + 1) * math.log(2))


def test_skip_gram_matches_torch_in_value_and_gradients():
    arrays = [draw(P, C), draw(P, C, seed=1), draw(P, K, C)]
    v, u, n = (torch.from_numpy(a.copy()).requires_grad_() for a in arrays)
    theirs = -F.logsigmoid((v * u).sum(-1)) - F.logsigmoid(-(n @ v[..., None])[..., 0]).sum(-1)
    (0.7 * theirs.mean()).backward()
    loss, cache = skip_gram_forward(*arrays)
    assert loss == pytest.approx(theirs.mean().item(), abs=1e-10)
    for mine, tensor in zip(skip_gram_backward(0.7, cache), (v, u, n), strict=True):
        np.testing.assert_allclose(mine, grad(tensor), atol=1e-10)


def test_skip_gram_gradients_are_right():
    inputs = {"centers": draw(P, C), "contexts": draw(P, C, seed=1), "negatives": draw(P, K, C)}
    check_backward(skip_gram_forward, skip_gram_backward, inputs, np.random.default_rng(0))


def test_type_of_numbers_is_kept():
    args = [draw(*shape, dtype=np.float32) for shape in ((P, C), (P, C), (P, K, C))]
    gradients = skip_gram_backward(1.0, skip_gram_forward(*args)[1])
    assert {one.dtype for one in gradients} == {np.dtype(np.float32)}


# ---- blocks ------------------------------------------------------------------------------


def block():
    """Two chunks of three positions of a text of six words, with words that repeat."""
    text = np.array([3, 1, 3, 8, 0, 3], dtype=np.int32)
    radii = np.array([2, 1, 2, 2, 1, 1], dtype=np.int32)
    padded = np.pad(text, WINDOW, constant_values=-1)
    words = np.stack([padded[:7], padded[3:]])
    mask = window_mask(radii.reshape(2, 3), WINDOW) & (words >= 0)[:, np.newaxis]
    return text, radii, Block(words, mask, np.array([[2, 3, 3, 7], [1, 0, 6, 8]]))


def params(dtype=np.float64):
    return {
        "input.weight": draw(VOCABULARY, C, seed=4, dtype=dtype),
        "output.weight": draw(VOCABULARY, C, seed=5, dtype=dtype),
    }


def dense(rows):
    """The gradients of whole matrices, repeated rows added up."""
    found = {}
    for name, (ids, gradient) in rows.items():
        found[name] = np.zeros((VOCABULARY, C))
        np.add.at(found[name], ids.reshape(-1), gradient.reshape(-1, C))
    return found


def test_block_of_skip_gram_is_the_sum_over_its_pairs():
    text, radii, chunk = block()
    loss, n_pairs, rows = skip_gram_block(params(), chunk, K)
    pairs = skip_gram_pairs(text, radii)
    assert n_pairs == len(pairs[0]) == int(chunk.mask.sum())
    v, u = (torch.from_numpy(one).requires_grad_() for one in params().values())
    total = -F.logsigmoid((v[pairs[0]] * u[pairs[1]]).sum(-1)).sum()
    for n in range(2):
        for position in range(3):
            count = int(chunk.mask[n, position].sum())
            scores = u[chunk.negatives[n]] @ v[text[3 * n + position]]
            total = total - count * K / SHARED * F.logsigmoid(-scores).sum()
    total.backward()
    assert loss == pytest.approx(total.item(), abs=1e-10)
    gradients = dense(rows)
    np.testing.assert_allclose(gradients["input.weight"], grad(v), atol=1e-10)
    np.testing.assert_allclose(gradients["output.weight"], grad(u), atol=1e-10)


def test_position_without_neighbours_costs_nothing():
    _, _, chunk = block()
    alone = Block(chunk.words, np.zeros_like(chunk.mask), chunk.negatives)
    loss, n, rows = skip_gram_block(params(), alone, K)
    assert (loss, n) == (0, 0)
    assert all(not gradient.any() for gradient in dense(rows).values())


def test_block_keeps_the_type_of_numbers():
    _, _, rows = skip_gram_block(params(np.float32), block()[2], K)
    assert {rows[name][1].dtype for name in rows} == {np.dtype(np.float32)}
