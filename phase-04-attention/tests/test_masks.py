"""Masks by hand and by their properties; the masked softmax against torch and measurement."""

import math
import re

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from phase00.gradcheck import check_backward
from phase04.masks import (
    causal_mask,
    combined,
    masked_softmax_backward,
    masked_softmax_forward,
    padding_mask,
)

B, H, T, S = 2, 3, 5, 7
SHAPE = (B, H, T, S)
MASKS = {"none": None, "each row": (B, 1, 1, S), "(T, S)": (T, S), "all": SHAPE, "one": (1,)}


def draw(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 2, SHAPE).astype(dtype) for _ in range(2)]


def draw_mask(shape, seed=1):
    """A random mask that leaves something to every row; the last key is always allowed."""
    if shape is None:
        return None
    mask = np.random.default_rng(seed).random(shape) < 0.6
    mask[..., -1] = True
    return mask


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# ---- masks -------------------------------------------------------------------------------


def test_padding_mask_is_true_for_what_is_there():
    mask = padding_mask(np.array([3, 0, 4]), 4)
    assert mask.dtype == np.bool_
    assert mask.astype(int).tolist() == [[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]


def test_causal_mask_allows_the_own_position_and_those_before():
    mask = causal_mask(3)
    assert mask.dtype == np.bool_
    assert mask.astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_queries_of_a_causal_mask_are_the_last_of_more_keys():
    assert causal_mask(2, 4).astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert causal_mask(1, 4).all()
    np.testing.assert_array_equal(causal_mask(3, 7), causal_mask(7)[-3:])


def test_one_query_sees_its_one_key():
    assert causal_mask(1).tolist() == [[True]]


def test_no_queries_are_the_last_of_any_number_of_keys():
    assert causal_mask(0, 3).shape == (0, 3)
    assert causal_mask(0).shape == (0, 0)


def test_combined_mask_has_an_axis_for_heads_and_allows_what_both_allow():
    padding = padding_mask(np.array([3, 1]), 3)
    alone = combined(padding)
    assert alone.shape == (2, 1, 1, 3)
    assert alone[:, 0, 0].tolist() == padding.tolist()
    both = combined(padding, causal_mask(3))
    assert both.shape == (2, 1, 3, 3)
    assert both[0, 0].astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert both[1, 0].astype(int).tolist() == [[1, 0, 0]] * 3


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(6, 9), st.integers(1, 6))
def test_combined_mask_is_the_sentence_said_of_it(lengths, size, n_queries):
    mask = combined(padding_mask(np.array(lengths), size), causal_mask(n_queries, size))
    for b, length in enumerate(lengths):
        for t in range(n_queries):
            allowed = [s for s in range(size) if s < length and s <= size - n_queries + t]
            assert np.flatnonzero(mask[b, 0, t]).tolist() == allowed


@pytest.mark.parametrize("lengths", [[2, 5], [-1, 3]])
def test_lengths_that_no_row_can_have_are_refused(lengths):
    with pytest.raises(ValueError, match="4"):
        padding_mask(np.array(lengths), 4)


def test_fewer_keys_than_queries_are_refused():
    with pytest.raises(ValueError, match="3"):
        causal_mask(4, 3)


@pytest.mark.usefixtures("without_shape_checks")
def test_two_masks_of_different_keys_are_refused():
    with pytest.raises(ValueError, match="6"):
        combined(np.ones((2, 5), dtype=bool), np.ones((6, 6), dtype=bool))


# ---- the softmax -------------------------------------------------------------------------


def test_weights_by_hand():
    scores = np.log(np.array([[1.0, 2.0, 5.0], [3.0, 1.0, 4.0]]))
    weights, _ = masked_softmax_forward(scores)
    np.testing.assert_allclose(weights, [[1 / 8, 2 / 8, 5 / 8], [3 / 8, 1 / 8, 4 / 8]], rtol=1e-14)
    mask = np.array([[True, True, False], [True, False, True]])
    weights, _ = masked_softmax_forward(scores, mask)
    np.testing.assert_allclose(weights, [[1 / 3, 2 / 3, 0], [3 / 7, 0, 4 / 7]], rtol=1e-14)


def test_gradient_by_hand():
    weights, cache = masked_softmax_forward(np.log(np.array([[1.0, 3.0]])))
    np.testing.assert_allclose(weights, [[0.25, 0.75]], rtol=1e-14)
    # The mean of dw under the weights is 0.25 * 8 + 0.75 * 4 = 5.
    dscores = masked_softmax_backward(np.array([[8.0, 4.0]]), cache)
    np.testing.assert_allclose(dscores, [[0.25 * 3, 0.75 * -1]], rtol=1e-14)


@pytest.mark.parametrize("shape", MASKS.values(), ids=MASKS)
def test_weights_and_gradient_match_torch(shape):
    scores, dweights = draw()
    mask = draw_mask(shape)
    theirs = torch.tensor(scores, requires_grad=True)
    hidden = theirs if mask is None else theirs.masked_fill(~torch.tensor(mask), -math.inf)
    truth = torch.softmax(hidden, dim=-1)
    truth.backward(torch.tensor(dweights))
    weights, cache = masked_softmax_forward(scores, mask)
    np.testing.assert_allclose(weights, truth.detach().numpy(), rtol=1e-10, atol=1e-14)
    dscores = masked_softmax_backward(dweights, cache)
    assert theirs.grad is not None
    np.testing.assert_allclose(dscores, theirs.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", MASKS.values(), ids=MASKS)
def test_gradient_is_the_measured_one(shape):
    mask = draw_mask(shape)

    def forward(scores):
        return masked_softmax_forward(scores, mask)

    check_backward(
        forward, masked_softmax_backward, {"scores": draw()[0]}, np.random.default_rng(2)
    )


def test_row_in_which_all_is_hidden_has_weights_and_gradients_of_zero():
    scores, dweights = draw()
    mask = np.ones((B, 1, T, S), dtype=bool)
    mask[1, 0, 2] = False
    weights, cache = masked_softmax_forward(scores, mask)
    np.testing.assert_array_equal(weights[1, :, 2], np.zeros((H, S)))
    np.testing.assert_array_equal(masked_softmax_backward(dweights, cache)[1, :, 2], 0)
    others, _ = masked_softmax_forward(scores)
    np.testing.assert_allclose(weights[0], others[0], rtol=1e-14)
    np.testing.assert_allclose(weights[1, :, 3], others[1, :, 3], rtol=1e-14)


def test_all_rows_hidden_are_all_zeros():
    weights, _ = masked_softmax_forward(draw()[0], np.zeros((T, S), dtype=bool))
    np.testing.assert_array_equal(weights, np.zeros(SHAPE))


def test_hidden_scores_have_no_influence_however_large():
    scores, _ = draw()
    mask = draw_mask((T, S))
    truth, _ = masked_softmax_forward(scores, mask)
    for wild in (1e30, -1e30, math.inf, math.nan):
        weights, _ = masked_softmax_forward(np.where(mask, scores, wild), mask)
        np.testing.assert_array_equal(weights, truth)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_scores_neither_overflow_nor_lose_the_allowed(dtype):
    scores = np.array([[1e4, 1e4, -1e4], [-3e4, -3e4, 3e4]], dtype=dtype)
    mask = np.array([[True, True, True], [True, True, False]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        weights, _ = masked_softmax_forward(scores, mask)
    np.testing.assert_array_equal(weights, [[0.5, 0.5, 0], [0.5, 0.5, 0]])
    assert weights.dtype == dtype


def test_no_keys_at_all_get_no_weights():
    weights, cache = masked_softmax_forward(np.zeros((B, T, 0)))
    assert weights.shape == (B, T, 0)
    assert masked_softmax_backward(weights, cache).shape == (B, T, 0)


def test_one_key_gets_the_whole_weight_and_no_gradient():
    weights, cache = masked_softmax_forward(np.array([[3.0], [-700.0]]))
    np.testing.assert_array_equal(weights, [[1.0], [1.0]])
    np.testing.assert_array_equal(masked_softmax_backward(np.array([[2.0], [5.0]]), cache), 0)


@given(
    arrays(
        np.float64, array_shapes(min_dims=2, max_dims=4, max_side=5), elements=st.floats(-50, 50)
    ),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_no_weight_is_on_what_is_hidden_and_rows_sum_to_one_or_nothing(scores, data):
    mask = data.draw(arrays(np.bool_, scores.shape[-2:]))
    weights, cache = masked_softmax_forward(scores, mask)
    allowed = np.broadcast_to(mask, scores.shape)
    assert np.all(weights >= 0)
    np.testing.assert_array_equal(weights[~allowed], 0)
    sums = allowed.any(axis=-1).astype(float)
    np.testing.assert_allclose(weights.sum(axis=-1), sums, rtol=1e-12)
    dscores = masked_softmax_backward(np.cos(scores), cache)
    np.testing.assert_array_equal(dscores[~allowed], 0)
    np.testing.assert_allclose(dscores.sum(axis=-1), 0 * sums, atol=1e-12)


@pytest.mark.parametrize("shape", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_written_where_it_is_asked_for_and_nowhere_else(shape, dtype):
    scores, dweights = draw(dtype)
    mask = draw_mask(shape)
    before = [scores.copy(), dweights.copy(), None if mask is None else mask.copy()]
    weights, cache = masked_softmax_forward(scores, mask)
    dscores = masked_softmax_backward(dweights, cache)
    assert weights.dtype == dscores.dtype == dtype
    for array, copy in zip((scores, dweights, mask), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    for out in (np.empty_like(scores), scores):  # elsewhere, and in place
        again, cache = masked_softmax_forward(scores, mask, out=out)
        assert again is out
        np.testing.assert_array_equal(again, weights)
    for out in (np.empty_like(dweights), dweights):
        again = masked_softmax_backward(dweights, cache, out=out)
        assert again is out
        np.testing.assert_array_equal(again, dscores)


def test_second_backward_gives_the_same_as_the_first():
    scores, dweights = draw()
    _, cache = masked_softmax_forward(scores, draw_mask((T, S)))
    first = masked_softmax_backward(dweights, cache)
    np.testing.assert_array_equal(masked_softmax_backward(dweights, cache), first)


@pytest.mark.usefixtures("without_shape_checks")
def test_mask_that_is_not_boolean_is_refused():
    with pytest.raises(ValueError, match="int64"):
        masked_softmax_forward(draw()[0], np.ones((T, S), dtype=np.int64))


@pytest.mark.parametrize("shape", [(T, S + 1), (B, T, S), (4, *SHAPE), (1, *SHAPE)])
def test_mask_that_does_not_fit_is_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))) as caught:
        masked_softmax_forward(draw()[0], np.ones(shape, dtype=bool))
    assert str(SHAPE) in str(caught.value)
