"""The embedding and its use as an output layer: by hand, by measured gradients, against torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phase00.gradcheck import check_backward
from phase03.embedding import (
    embedding_backward,
    embedding_forward,
    embedding_weight,
    one_hot,
    unembedding_backward,
    unembedding_forward,
)

WEIGHT = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
REPEATED = np.array([[4, 1, 4, 0, 4], [1, 6, 4, 0, 2]])  # (B, T) of V = 7: 3 and 5 never, 4 often


def arrays(*batch, d_model=3, vocab_size=7, dtype=np.float64):
    """(ids, weight, dy), with ids that occur again."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, vocab_size - 2, batch)
    return (
        ids,
        rng.normal(size=(vocab_size, d_model)).astype(dtype),
        rng.normal(size=(*batch, d_model)).astype(dtype),
    )


# ---- lookup ------------------------------------------------------------------------------


def test_each_id_gets_its_row():
    y, _ = embedding_forward(np.array([2, 0, 2]), WEIGHT)
    np.testing.assert_array_equal(y, [[5.0, 6.0], [1.0, 2.0], [5.0, 6.0]])


def test_gradients_of_repeated_ids_are_added_by_hand():
    _, cache = embedding_forward(np.array([2, 0, 2]), WEIGHT)
    dweight = embedding_backward(np.array([[1.0, 10.0], [-3.0, 7.0], [0.5, 20.0]]), cache)
    np.testing.assert_allclose(dweight, [[-3.0, 7.0], [0.0, 0.0], [1.5, 30.0]], rtol=1e-15)


def test_one_hot_has_a_single_one():
    np.testing.assert_array_equal(
        one_hot(np.array([[2, 0], [1, 1]]), 4),
        [[[0, 0, 1, 0], [1, 0, 0, 0]], [[0, 1, 0, 0], [0, 1, 0, 0]]],
    )
    assert one_hot(np.array([1]), 3).dtype == np.float32
    assert one_hot(np.array([1]), 3, np.float64).dtype == np.float64
    assert one_hot(np.zeros((2, 0), int), 3).shape == (2, 0, 3)
    np.testing.assert_array_equal(one_hot(np.array(1), 3), [0, 1, 0])


@pytest.mark.parametrize("batch", [(), (5,), (2, 5), (2, 5, 4)])
def test_lookup_is_one_hot_times_the_weight(batch):
    ids, weight, dy = arrays(*batch)
    y, cache = embedding_forward(ids, weight)
    vectors = one_hot(ids, len(weight), np.float64)
    np.testing.assert_array_equal(y, vectors @ weight)
    truth = vectors.reshape(-1, len(weight)).T @ dy.reshape(-1, weight.shape[1])
    np.testing.assert_allclose(embedding_backward(dy, cache), truth, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("ids", [REPEATED, REPEATED[0], np.array(3), np.full((2, 5), 6)])
def test_lookup_gradients_are_those_measured(ids):
    _, weight, _ = arrays()
    inputs = {"ids": ids, "weight": weight}
    check_backward(embedding_forward, embedding_backward, inputs, np.random.default_rng(1))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_lookup_and_gradient_match_torch(dtype, tolerance):
    _, weight, _ = arrays(dtype=dtype)
    dy = np.random.default_rng(2).normal(size=(2, 5, 3)).astype(dtype)
    tensor = torch.tensor(weight, requires_grad=True)
    torch_y = torch.nn.functional.embedding(torch.tensor(REPEATED), tensor)
    (gradient,) = torch.autograd.grad(torch_y, tensor, torch.tensor(dy))
    y, cache = embedding_forward(REPEATED, weight)
    np.testing.assert_array_equal(y, torch_y.detach().numpy())
    truth = gradient.numpy()
    np.testing.assert_allclose(embedding_backward(dy, cache), truth, rtol=tolerance, atol=tolerance)


@given(st.lists(st.integers(0, 5)), st.integers(0, 2**32))
def test_gradient_adds_up_any_ids(ids, seed):
    ids = np.array(ids, np.int64)
    _, cache = embedding_forward(ids, np.zeros((6, 4)))
    dy = np.random.default_rng(seed).integers(-9, 10, (len(ids), 4)).astype(float)
    truth = [dy[ids == row].sum(axis=0) for row in range(6)]
    np.testing.assert_array_equal(embedding_backward(dy, cache), truth)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_ids_of_any_integer_dtype_are_taken(dtype):
    # 200 rows of 3 numbers: places in the flat weight go beyond what a byte can count.
    ids = np.array([199, 3, 199]).astype(dtype)
    weight = np.random.default_rng(3).normal(size=(200, 3))
    y, cache = embedding_forward(ids, weight)
    np.testing.assert_array_equal(y, weight[[199, 3, 199]])
    dweight = embedding_backward(np.ones((3, 3)), cache)
    np.testing.assert_array_equal(np.flatnonzero(dweight.any(axis=1)), [3, 199])
    np.testing.assert_array_equal(dweight[[3, 199]], [[1.0] * 3, [2.0] * 3])


def test_no_ids_give_no_rows_and_a_gradient_of_zero():
    y, cache = embedding_forward(np.zeros((2, 0), np.int64), WEIGHT)
    assert y.shape == (2, 0, 2)
    np.testing.assert_array_equal(embedding_backward(y, cache), np.zeros((3, 2)))


def test_dy_need_not_lie_in_order_in_memory():
    ids, weight, dy = arrays(2, 5)
    _, cache = embedding_forward(ids, weight)
    turned = np.asfortranarray(dy)
    np.testing.assert_array_equal(embedding_backward(turned, cache), embedding_backward(dy, cache))


def test_output_is_no_view_of_the_weight():
    weight = WEIGHT.copy()
    y, _ = embedding_forward(np.array([0, 1]), weight)
    y += 1
    np.testing.assert_array_equal(weight, WEIGHT)


@pytest.mark.parametrize("wrong", [-1, 3, 100])
def test_id_without_a_row_is_named(wrong):
    for call in (
        lambda ids: embedding_forward(ids, WEIGHT),
        lambda ids: one_hot(ids, 3),
    ):
        with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
            call(np.array([[0, 2], [wrong, 1]]))


# ---- the weight --------------------------------------------------------------------------


def test_one_word_and_one_number_are_enough():
    assert embedding_weight(1, 1, np.random.default_rng(0)).shape == (1, 1)


def test_weight_is_random_normal_numbers():
    weight = embedding_weight(300, 200, np.random.default_rng(0), dtype=np.float64)
    assert weight.shape == (300, 200)
    assert weight.mean() == pytest.approx(0, abs=0.02)
    assert weight.std() == pytest.approx(1, abs=0.02)
    assert (np.abs(weight) < 1).mean() == pytest.approx(0.683, abs=0.01)  # of a normal one
    small = embedding_weight(300, 200, np.random.default_rng(0), 200**-0.5, np.float64)
    np.testing.assert_allclose(small, weight * 200**-0.5, rtol=1e-12)


def test_weight_is_the_same_from_the_same_seed_and_float32_unless_told():
    first, second, other = (
        embedding_weight(5, 4, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32


@pytest.mark.parametrize(("vocab_size", "d_model"), [(0, 4), (5, 0), (-1, 4)])
def test_weight_without_numbers_is_refused(vocab_size, d_model):
    with pytest.raises(ValueError, match=r"."):
        embedding_weight(vocab_size, d_model, np.random.default_rng(0))


# ---- unembedding -------------------------------------------------------------------------


def test_logits_are_dot_products_with_each_row():
    logits, _ = unembedding_forward(np.array([[1.0, -1.0], [0.0, 2.0]]), WEIGHT)
    np.testing.assert_allclose(logits, [[-1.0, -1.0, -1.0], [4.0, 8.0, 12.0]], rtol=1e-15)


def test_unembedding_gradients_by_hand():
    _, cache = unembedding_forward(np.array([[1.0, -1.0]]), WEIGHT)
    dx, dweight = unembedding_backward(np.array([[1.0, 0.0, 10.0]]), cache)
    np.testing.assert_allclose(dx, [[51.0, 62.0]], rtol=1e-15)
    np.testing.assert_allclose(dweight, [[1.0, -1.0], [0.0, 0.0], [10.0, -10.0]], rtol=1e-15)


@pytest.mark.parametrize("batch", [(), (2,), (2, 5), (2, 5, 4)])
def test_unembedding_gradients_are_those_measured(batch):
    _, weight, x = arrays(*batch)
    inputs = {"x": x, "weight": weight}
    check_backward(unembedding_forward, unembedding_backward, inputs, np.random.default_rng(1))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_logits_and_gradients_match_torch(dtype, tolerance):
    _, weight, x = arrays(2, 5, dtype=dtype)
    dlogits = np.random.default_rng(4).normal(size=(2, 5, 7)).astype(dtype)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, weight)]
    torch_logits = torch.nn.functional.linear(*tensors)
    truth = torch.autograd.grad(torch_logits, tensors, torch.tensor(dlogits))
    logits, cache = unembedding_forward(x, weight)
    np.testing.assert_allclose(
        logits, torch_logits.detach().numpy(), rtol=tolerance, atol=tolerance
    )
    for mine, gradient in zip(unembedding_backward(dlogits, cache), truth, strict=True):
        np.testing.assert_allclose(mine, gradient.numpy(), rtol=tolerance, atol=tolerance)


# ---- both ----------------------------------------------------------------------------------


def test_gradient_of_a_tied_weight_is_the_sum_of_both_as_in_torch():
    _, weight, _ = arrays()
    dlogits = np.random.default_rng(5).normal(size=(2, 5, 7))
    tensor = torch.tensor(weight, requires_grad=True)
    hidden = torch.tanh(torch.nn.functional.embedding(torch.tensor(REPEATED), tensor))
    (truth,) = torch.autograd.grad(hidden @ tensor.T, tensor, torch.tensor(dlogits))

    y, embedding_cache = embedding_forward(REPEATED, weight)
    hidden = np.tanh(y)
    _, unembedding_cache = unembedding_forward(hidden, weight)
    dhidden, dweight = unembedding_backward(dlogits, unembedding_cache)
    dweight = dweight + embedding_backward(dhidden * (1 - hidden**2), embedding_cache)
    np.testing.assert_allclose(dweight, truth.numpy(), rtol=1e-10, atol=1e-10)


def test_first_logits_of_a_tied_weight_are_as_large_as_the_vectors():
    rng = np.random.default_rng(6)
    weight = embedding_weight(500, 64, rng, 64**-0.5, np.float64)
    logits, _ = unembedding_forward(rng.normal(size=(300, 64)), weight)
    assert logits.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_arguments_left_as_they_are(dtype):
    ids, weight, dy = arrays(2, 5, dtype=dtype)
    copies = [array.copy() for array in (ids, weight, dy)]
    y, cache = embedding_forward(ids, weight)
    dweight = embedding_backward(dy, cache)
    logits, unembedding_cache = unembedding_forward(dy, weight)
    dx, dweight_too = unembedding_backward(logits, unembedding_cache)
    for array in (y, dweight, logits, dx, dweight_too):
        assert array.dtype == dtype
    for array, copy in zip((ids, weight, dy), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
