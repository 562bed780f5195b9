"""One head of self-attention by hand, against torch and measured gradients."""

import math
import re

import jaxtyping
import numpy as np
import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from phase00.gradcheck import check_backward
from phase04.masks import causal_mask
from phase04.self_attention import (
    self_attention_backward,
    self_attention_forward,
    self_attention_parameters,
    self_attention_weights,
)

B, T, C, D = 2, 5, 6, 4  # all different, so that a wrong transpose cannot pass
NAMES = ("query.weight", "key.weight", "value.weight")
CAUSAL = np.tri(T, dtype=bool)
PADDED = np.arange(T) < np.array([5, 3])[:, None, None]
NOTHING = PADDED & (np.arange(T) < np.array([5, 3])[:, None])[:, :, None]  # rows without a key
MASKS = {"none": None, "causal": CAUSAL, "padding": PADDED, "both": CAUSAL & PADDED, "0": NOTHING}


def draw(*batch, dtype=np.float64, seed=0):
    """Parameters, an input and the gradient of the output, of sizes that all matter."""
    rng = np.random.default_rng(seed)
    params = {name: rng.normal(0, 0.6, (D, C)).astype(dtype) for name in NAMES}
    x, dy = (rng.normal(size=(*batch, T, width)).astype(dtype) for width in (C, D))
    return params, x, dy


def torch_results(params, x, dy, mask):
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, *params.values())]
    query, key, value = (linear(tensors[0], weight) for weight in tensors[1:])
    allowed = None if mask is None else torch.tensor(mask)
    y = scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    gradients = torch.autograd.grad(y, tensors, torch.tensor(dy))
    return [y.detach().numpy(), *(gradient.numpy() for gradient in gradients)]


def our_results(params, x, dy, mask):
    y, cache = self_attention_forward(params, x, mask)
    dx, grads = self_attention_backward(dy, cache)
    assert set(grads) == set(params)
    return [y, dx, *(grads[name] for name in NAMES)]


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_output_and_weights_by_hand():
    # Three positions, a head of one number: each asks for ln 3, found by 0, 1 and 0.
    x = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    params = {
        "query.weight": np.array([[math.log(3), 0.0]]),
        "key.weight": np.array([[0.0, 1.0]]),
        "value.weight": np.array([[5.0, 10.0]]),
    }
    weights = self_attention_weights(params, x)
    np.testing.assert_allclose(weights, [[0.2, 0.6, 0.2]] * 3, rtol=1e-14)
    y, _ = self_attention_forward(params, x)
    np.testing.assert_allclose(y, [[0.2 * 5 + 0.6 * 15 + 0.2 * 5]] * 3, rtol=1e-14)
    y, _ = self_attention_forward(params, x, causal_mask(3))
    np.testing.assert_allclose(y, [[5.0], [0.25 * 5 + 0.75 * 15], [11.0]], rtol=1e-14)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_output_and_all_gradients_match_torch(mask):
    params, x, dy = draw(B)
    for mine, truth in zip(
        our_results(params, x, dy, mask), torch_results(params, x, dy, mask), strict=True
    ):
        np.testing.assert_allclose(mine, truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("batch", [(), (B,), (B, 3)], ids=str)
def test_any_leading_axes_match_torch(batch):
    params, x, dy = draw(*batch)
    for mine, truth in zip(
        our_results(params, x, dy, CAUSAL), torch_results(params, x, dy, CAUSAL), strict=True
    ):
        np.testing.assert_allclose(mine, truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_gradients_are_those_measured(mask):
    params, x, _ = draw(B)

    def forward(x, **weights):
        return self_attention_forward(
            {name.replace("_", "."): w for name, w in weights.items()}, x, mask
        )

    def backward(dy, cache):
        dx, grads = self_attention_backward(dy, cache)
        return {"x": dx, **{name.replace(".", "_"): grad for name, grad in grads.items()}}

    inputs = {"x": x, **{name.replace(".", "_"): weight for name, weight in params.items()}}
    check_backward(forward, backward, inputs, np.random.default_rng(1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype):
    params, x, dy = draw(B, dtype=dtype)
    assert {array.dtype for array in our_results(params, x, dy, CAUSAL)} == {np.dtype(dtype)}
    assert self_attention_weights(params, x, CAUSAL).dtype == dtype


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_weights_are_the_mixture_of_the_values(mask):
    params, x, _ = draw(B)
    weights = self_attention_weights(params, x, mask)
    y, _ = self_attention_forward(params, x, mask)
    np.testing.assert_allclose(weights @ (x @ params["value.weight"].T), y, rtol=1e-12, atol=1e-13)


def test_a_later_position_changes_no_earlier_output():
    params, x, _ = draw(B)
    before, _ = self_attention_forward(params, x, causal_mask(T))
    for t in range(1, T):
        moved = x + 2.0 * (np.arange(T) >= t)[:, None]
        after, _ = self_attention_forward(params, moved, causal_mask(T))
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.abs(after[:, t:] - before[:, t:]).max(axis=-1).min() > 1e-6


def test_positions_that_change_places_take_their_outputs_with_them():
    params, x, _ = draw(B)
    order = np.array([3, 0, 4, 2, 1])
    y, _ = self_attention_forward(params, x)
    moved, _ = self_attention_forward(params, x[:, order])
    np.testing.assert_allclose(moved, y[:, order], rtol=1e-12)


def test_one_position_gets_its_own_value():
    params, x, dy = draw(B)
    y, cache = self_attention_forward(params, x[:, :1])
    np.testing.assert_allclose(y, x[:, :1] @ params["value.weight"].T, rtol=1e-14)
    dx, grads = self_attention_backward(dy[:, :1], cache)
    np.testing.assert_allclose(dx, dy[:, :1] @ params["value.weight"], rtol=1e-12, atol=1e-14)
    for name in ("query.weight", "key.weight"):
        np.testing.assert_allclose(grads[name], np.zeros((D, C)), atol=1e-14)


def test_arguments_are_left_unchanged_and_backward_can_be_called_twice():
    params, x, dy = draw(B)
    arrays = [x, dy, *params.values()]
    before = [array.copy() for array in arrays]
    _, cache = self_attention_forward(params, x, CAUSAL)
    dx, grads = self_attention_backward(dy, cache)
    first = [dx.copy(), *(grads[name].copy() for name in NAMES)]
    dx, grads = self_attention_backward(dy, cache)
    for array, copy in zip([*arrays, dx, *(grads[n] for n in NAMES)], before + first, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_widths_of_one_are_widths():
    params = self_attention_parameters(1, 1, np.random.default_rng(0))
    assert {weight.shape for weight in params.values()} == {(1, 1)}


def test_parameters_begin_uniform_within_one_over_the_root_of_the_width():
    params = self_attention_parameters(64, 32, np.random.default_rng(0))
    assert set(params) == set(NAMES)
    for weight in params.values():
        assert weight.shape == (32, 64)
        assert weight.dtype == np.float32
        assert 0.12 < np.abs(weight).max() <= 1 / 8
        assert np.std(weight) == pytest.approx(1 / 8 / math.sqrt(3), rel=0.05)
    again = self_attention_parameters(64, 32, np.random.default_rng(0))
    np.testing.assert_array_equal(params["key.weight"], again["key.weight"])
    double = self_attention_parameters(64, 32, np.random.default_rng(0), np.float64)
    assert double["key.weight"].dtype == np.float64
    assert not np.array_equal(params["key.weight"], params["query.weight"])


@pytest.mark.parametrize("widths", [(0, 4), (4, 0)])
def test_widths_below_one_are_refused(widths):
    with pytest.raises(ValueError, match="0"):
        self_attention_parameters(*widths, np.random.default_rng(0))


@pytest.mark.usefixtures("without_shape_checks")
def test_input_of_another_width_is_refused():
    params, x, _ = draw(B)
    with pytest.raises(ValueError, match=re.escape(str((B, T, C - 1)))):
        self_attention_forward(params, x[:, :, 1:])
