"""Scaled dot-product attention by hand, against torch's function and measured gradients."""

import math
import re

import jaxtyping
import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from phase00.gradcheck import check_backward
from phase04.masks import causal_mask, combined, padding_mask
from phase04.scaled_dot_product import (
    attention_weights,
    scaled_dot_product_backward,
    scaled_dot_product_forward,
)

B, H, T, S, D, E = 2, 3, 5, 7, 4, 6  # all different, so that a wrong transpose cannot pass
BATCHES = [(), (B,), (B, H), (2, 1, 3)]
HOLES = np.random.default_rng(9).random((B, H, T, S)) < 0.5
HOLES[0, 1, 2] = HOLES[1, 2, 4] = False  # two rows in which all is hidden
MASKS = {
    "none": None,
    "padding": np.arange(S) < np.array([7, 4])[:, None, None, None],
    "causal": np.tri(T, S, S - T, dtype=bool),
    "padding and causal": np.tri(T, S, S - T, dtype=bool)
    & (np.arange(S) < np.array([7, 4])[:, None, None, None]),
    "holes": HOLES,
    "everything": np.zeros((T, S), dtype=bool),
}


def draw(*batch, dtype=np.float64, seed=0):
    """A query, a key, a value and the gradient of what comes out."""
    rng = np.random.default_rng(seed)
    shapes = ((T, D), (S, D), (S, E), (T, E))
    return [rng.normal(0, 1.5, (*batch, *shape)).astype(dtype) for shape in shapes]


def torch_results(query, key, value, dy, mask):
    inputs = [torch.tensor(array, requires_grad=True) for array in (query, key, value)]
    allowed = None if mask is None else torch.tensor(mask)
    y = scaled_dot_product_attention(*inputs, attn_mask=allowed)
    return [
        y.detach().numpy(),
        *(g.numpy() for g in torch.autograd.grad(y, inputs, torch.tensor(dy))),
    ]


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_output_and_weights_by_hand():
    # D = 4, so the scores 2 ln 3 and 0 are halved: weights 3/4 and 1/4.
    query = np.array([[2 * math.log(3), 0.0, 0.0, 0.0]])
    key = np.array([[1.0, 5.0, 0.0, 0.0], [0.0, -2.0, 1.0, 7.0]])
    value = np.array([[8.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(attention_weights(query, key), [[0.75, 0.25]], rtol=1e-14)
    y, _ = scaled_dot_product_forward(query, key, value)
    np.testing.assert_allclose(y, [[6.0, 1.0]], rtol=1e-14)


def test_gradients_by_hand():
    query, key = np.array([[0.0]]), np.array([[1.0], [-1.0]])  # equal scores: weights 1/2 each
    value, dy = np.array([[3.0], [5.0]]), np.array([[2.0]])
    _, cache = scaled_dot_product_forward(query, key, value)
    dquery, dkey, dvalue = scaled_dot_product_backward(dy, cache)
    np.testing.assert_allclose(dvalue, [[1.0], [1.0]], rtol=1e-14)
    # dw = (6, 10), their mean 8: dz = (-1, 1), and dq = -1 * 1 + 1 * -1
    np.testing.assert_allclose(dquery, [[-2.0]], rtol=1e-14)
    np.testing.assert_array_equal(dkey, [[0.0], [0.0]])


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_output_and_all_gradients_match_torch_with_any_leading_axes(batch):
    *inputs, dy = draw(*batch)
    y, cache = scaled_dot_product_forward(*inputs)
    found = [y, *scaled_dot_product_backward(dy, cache)]
    for mine, truth in zip(found, torch_results(*inputs, dy, None), strict=True):
        np.testing.assert_allclose(mine, truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_output_and_all_gradients_match_torch_under_masks(mask):
    *inputs, dy = draw(B, H)
    y, cache = scaled_dot_product_forward(*inputs, mask)
    found = [y, *scaled_dot_product_backward(dy, cache)]
    for mine, truth in zip(found, torch_results(*inputs, dy, mask), strict=True):
        np.testing.assert_allclose(mine, truth, rtol=1e-10, atol=1e-10)


def test_masks_of_the_journal_are_those_of_torch():
    *inputs, dy = draw(B, H)
    mask = combined(padding_mask(np.array([7, 4]), S), causal_mask(T, S))
    y, cache = scaled_dot_product_forward(*inputs, mask)
    found = [y, *scaled_dot_product_backward(dy, cache)]
    truth = torch_results(*inputs, dy, MASKS["padding and causal"])
    for mine, theirs in zip(found, truth, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in MASKS if name != "everything"])
def test_gradients_are_those_measured(name):
    inputs = dict(zip(("query", "key", "value"), draw(B, H), strict=False))

    def forward(query, key, value):
        return scaled_dot_product_forward(query, key, value, MASKS[name])

    check_backward(forward, scaled_dot_product_backward, inputs, np.random.default_rng(1))


def test_float32_is_kept_and_matches_torch_in_five_digits():
    *inputs, dy = draw(B, H, dtype=np.float32)
    mask = MASKS["holes"]
    y, cache = scaled_dot_product_forward(*inputs, mask)
    found = [y, *scaled_dot_product_backward(dy, cache)]
    assert [array.dtype for array in found] == [np.float32] * 4
    assert attention_weights(inputs[0], inputs[1], mask).dtype == np.float32
    for mine, truth in zip(found, torch_results(*inputs, dy, mask), strict=True):
        np.testing.assert_allclose(mine, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_weights_are_the_mixture_of_the_output(mask):
    query, key, value, _ = draw(B, H)
    weights = attention_weights(query, key, mask)
    assert weights.shape == (B, H, T, S)
    y, _ = scaled_dot_product_forward(query, key, value, mask)
    np.testing.assert_allclose(weights @ value, y, rtol=1e-12, atol=1e-12)
    allowed = np.broadcast_to(True if mask is None else mask, weights.shape)
    np.testing.assert_array_equal(weights[~allowed], 0)
    np.testing.assert_allclose(weights.sum(axis=-1), allowed.any(axis=-1).astype(float), rtol=1e-12)


def test_scores_of_wide_heads_keep_their_variance():
    rng = np.random.default_rng(0)
    query, key = (rng.normal(size=(400, 256)) for _ in range(2))
    weights = attention_weights(query, key)
    scores = np.log(weights)
    assert np.var(scores - scores.mean(axis=-1, keepdims=True)) == pytest.approx(1, rel=0.05)


def test_later_keys_change_nothing_under_a_causal_mask():
    query, keys, values, dy = (array[:, :, :T] for array in draw(B, H))
    mask = causal_mask(T)
    before, _ = scaled_dot_product_forward(query, keys, values, mask)
    for t in range(1, T):
        later = np.arange(T)[:, None] >= t
        key, value = keys + 3.0 * later, values - 5.0 * later
        after, cache = scaled_dot_product_forward(query, key, value, mask)
        np.testing.assert_array_equal(after[:, :, :t], before[:, :, :t])
        assert np.abs(after[:, :, t:] - before[:, :, t:]).min() > 1e-6
        _, dkey, dvalue = scaled_dot_product_backward(dy * ~later, cache)
        np.testing.assert_array_equal(dkey[:, :, t:], 0)
        np.testing.assert_array_equal(dvalue[:, :, t:], 0)


def test_one_query_and_one_key_give_the_value():
    query, key, value, dy = (array[:, :1] for array in draw(B))
    y, cache = scaled_dot_product_forward(query, key, value)
    np.testing.assert_allclose(y, value, rtol=1e-14)
    dquery, dkey, dvalue = scaled_dot_product_backward(dy, cache)
    np.testing.assert_allclose(dvalue, dy, rtol=1e-14)
    np.testing.assert_allclose(dquery, np.zeros_like(query), atol=1e-14)
    np.testing.assert_allclose(dkey, np.zeros_like(key), atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_scores_pick_one_value(dtype):
    query, key, value, dy = draw(B, dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, cache = scaled_dot_product_forward(query * dtype(1e4), key, value)
        gradients = scaled_dot_product_backward(dy, cache)
    best = np.argmax(query @ key.swapaxes(1, 2), axis=-1)
    np.testing.assert_allclose(y, np.take_along_axis(value, best[:, :, None], axis=1), rtol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_no_sequences_give_no_output():
    *inputs, dy = draw(0)
    y, cache = scaled_dot_product_forward(*inputs)
    assert y.shape == (0, T, E)
    shapes = [gradient.shape for gradient in scaled_dot_product_backward(dy, cache)]
    assert shapes == [(0, T, D), (0, S, D), (0, S, E)]


def test_arguments_are_left_unchanged_and_backward_can_be_called_twice():
    *inputs, dy = draw(B, H)
    mask = HOLES.copy()
    arrays = [*inputs, dy, mask]
    before = [array.copy() for array in arrays]
    y, cache = scaled_dot_product_forward(*inputs, mask)
    kept = y.copy()
    first = [gradient.copy() for gradient in scaled_dot_product_backward(dy, cache)]
    second = scaled_dot_product_backward(dy, cache)
    for array, copy in zip([*arrays, y, *second], [*before, kept, *first], strict=True):
        np.testing.assert_array_equal(array, copy)


def test_layout_in_memory_makes_no_difference():
    *inputs, dy = draw(B, H)
    truth, cache = scaled_dot_product_forward(*inputs)
    gradients = scaled_dot_product_backward(dy, cache)
    for order in ((0, 2, 1, 3), (3, 1, 2, 0)):
        turned = [np.ascontiguousarray(x.transpose(order)).transpose(order) for x in (*inputs, dy)]
        y, cache = scaled_dot_product_forward(*turned[:3])
        np.testing.assert_allclose(y, truth, rtol=1e-12, atol=1e-14)
        for mine, right in zip(
            scaled_dot_product_backward(turned[3], cache), gradients, strict=True
        ):
            np.testing.assert_allclose(mine, right, rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 5, 4), (2, 7, 3), (2, 7, 6)),  # widths of query and key
        ((2, 5, 4), (2, 7, 4), (2, 6, 6)),  # keys and values
        ((2, 5, 4), (3, 7, 4), (3, 7, 6)),  # batches
        ((2, 5, 4), (1, 7, 4), (1, 7, 6)),
        ((5, 4), (2, 7, 4), (2, 7, 6)),
        ((4,), (7, 4), (7, 6)),
        ((5, 0), (7, 0), (7, 6)),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_all_three(shapes):
    with pytest.raises(ValueError, match=re.escape(str(shapes[0]))) as caught:
        scaled_dot_product_forward(*(np.ones(shape) for shape in shapes))
    for shape in shapes[1:]:
        assert str(shape) in str(caught.value)


def test_mask_of_another_shape_is_refused():
    query, key, value, _ = draw(B)
    with pytest.raises(ValueError, match=re.escape(str((S, T)))):
        scaled_dot_product_forward(query, key, value, np.ones((S, T), dtype=bool))
    with pytest.raises(ValueError, match=re.escape(str((S, T)))):
        attention_weights(query, key, np.ones((S, T), dtype=bool))
