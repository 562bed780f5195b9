"""CBOW on words and on blocks of text, against torch and finite differences."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from phase00.gradcheck import check_backward
from phase03.cbow import cbow_backward, cbow_block, cbow_forward
from phase03.corpus import window_mask
from phase03.skip_gram import Block, skip_gram_backward, skip_gram_forward

P, K, W, C = 5, 3, 4, 6  # words, negatives, places for neighbours, width
WINDOW, SHARED, VOCABULARY = 2, 4, 9
MASK = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 0]], dtype=bool)


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def grad(tensor):
    """The gradient that torch found, as an array."""
    assert tensor.grad is not None
    return tensor.grad.numpy()


def test_cbow_matches_torch_in_value_and_gradients():
    arrays = [draw(P, W, C), draw(P, C), draw(P, K, C)]
    x, u, n = (torch.from_numpy(a.copy()).requires_grad_() for a in arrays)
    mask = torch.from_numpy(MASK)[..., None]
    mean = (x * mask).sum(1) / mask.sum(1)
    theirs = -F.logsigmoid((mean * u).sum(-1))
    theirs = theirs - F.logsigmoid(-(n @ mean[..., None])[..., 0]).sum(-1)
    (0.7 * theirs.mean()).backward()
    loss, cache = cbow_forward(arrays[0], MASK, *arrays[1:])
    assert loss == pytest.approx(theirs.mean().item(), abs=1e-10)
    for mine, tensor in zip(cbow_backward(0.7, cache), (x, u, n), strict=True):
        np.testing.assert_allclose(mine, grad(tensor), atol=1e-10)


def test_cbow_gradients_are_right():
    check_backward(
        lambda contexts, centers, negatives: cbow_forward(contexts, MASK, centers, negatives),
        cbow_backward,
        {"contexts": draw(P, W, C), "centers": draw(P, C), "negatives": draw(P, K, C)},
        np.random.default_rng(0),
    )


def test_cbow_of_one_neighbour_is_skip_gram():
    contexts, centers, negatives = draw(P, 1, C), draw(P, C), draw(P, K, C)
    one, cache = cbow_forward(contexts, np.ones((P, 1), dtype=bool), centers, negatives)
    other, same = skip_gram_forward(contexts[:, 0], centers, negatives)
    assert one == pytest.approx(other)
    gradients = cbow_backward(1.0, cache)
    np.testing.assert_allclose(gradients[0][:, 0], skip_gram_backward(1.0, same)[0])


def test_type_of_numbers_is_kept():
    contexts, centers, negatives = (
        draw(*shape, dtype=np.float32) for shape in ((P, W, C), (P, C), (P, K, C))
    )
    _, cache = cbow_forward(contexts, MASK, centers, negatives)
    assert {one.dtype for one in cbow_backward(1.0, cache)} == {np.dtype(np.float32)}


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


def test_block_of_cbow_is_the_sum_over_its_words():
    text, radii, chunk = block()
    loss, n_words, rows = cbow_block(params(), chunk, K)
    assert n_words == len(text)
    v, u = (torch.from_numpy(one).requires_grad_() for one in params().values())
    total = torch.zeros((), dtype=torch.float64)
    for i, (word, radius) in enumerate(zip(text, radii, strict=True)):
        around = [j for j in range(6) if j != i and abs(i - j) <= radius]
        mean = v[text[around]].mean(0)
        total = total - F.logsigmoid(u[word] @ mean)
        scores = u[chunk.negatives[i // 3]] @ mean
        total = total - K / SHARED * F.logsigmoid(-scores).sum()
    total.backward()
    assert loss == pytest.approx(total.item(), abs=1e-10)
    gradients = dense(rows)
    np.testing.assert_allclose(gradients["input.weight"], grad(v), atol=1e-10)
    np.testing.assert_allclose(gradients["output.weight"], grad(u), atol=1e-10)


def test_position_without_neighbours_costs_nothing():
    _, _, chunk = block()
    alone = Block(chunk.words, np.zeros_like(chunk.mask), chunk.negatives)
    loss, n, rows = cbow_block(params(), alone, K)
    assert (loss, n) == (0, 0)
    assert all(not gradient.any() for gradient in dense(rows).values())


def test_block_keeps_the_type_of_numbers():
    _, _, rows = cbow_block(params(np.float32), block()[2], K)
    assert {rows[name][1].dtype for name in rows} == {np.dtype(np.float32)}
