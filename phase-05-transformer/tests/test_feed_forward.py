"""The feed-forward network: by hand, torch, finite differences; each position is alone."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from phase00.gradcheck import check_backward
from phase05.feed_forward import (
    NAMES,
    feed_forward_backward,
    feed_forward_forward,
    feed_forward_parameters,
)

B, T, C, WIDE = 2, 5, 3, 7
THEIRS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


def make(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    params = feed_forward_parameters(C, WIDE, rng, dtype)
    for name in ("linear1.bias", "linear2.bias"):  # which begin as zeros
        params[name] = rng.normal(size=params[name].shape).astype(dtype)
    return params, rng.normal(size=(B, T, C)).astype(dtype)


def test_values_worked_out_by_hand():
    # Hidden sums 1 * 2 + 3 * 1 = 5 and 2 - 2 * 1 - 1 = -1, of which ReLU leaves 5 and 0.
    params = {
        "linear1.weight": np.array([[1.0, 3.0], [1.0, -2.0]]),
        "linear1.bias": np.array([0.0, -1.0]),
        "linear2.weight": np.array([[2.0, 10.0], [-1.0, 10.0]]),
        "linear2.bias": np.array([0.5, 1.0]),
    }
    y, _ = feed_forward_forward(params, np.array([[2.0, 1.0]]))
    np.testing.assert_allclose(y, [[10.5, -4.0]], rtol=1e-15)


@pytest.mark.parametrize("activation", THEIRS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_output_and_gradients_match_torch(activation, dtype, tolerance):
    params, x = make(dtype)
    dy = np.random.default_rng(1).normal(size=x.shape).astype(dtype)
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    inputs = torch.tensor(x, requires_grad=True)
    hidden = F.linear(inputs, theirs["linear1.weight"], theirs["linear1.bias"])
    hidden = THEIRS[activation](hidden)
    truth = F.linear(hidden, theirs["linear2.weight"], theirs["linear2.bias"])
    truth.backward(torch.from_numpy(dy))
    y, cache = feed_forward_forward(params, x, activation)
    dx, grads = feed_forward_backward(dy, cache)
    close = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(y, truth.detach().numpy(), **close)
    assert inputs.grad is not None
    np.testing.assert_allclose(dx, inputs.grad.numpy(), **close)
    assert set(grads) == set(params)
    for name, tensor in theirs.items():
        assert tensor.grad is not None
        np.testing.assert_allclose(grads[name], tensor.grad.numpy(), **close, err_msg=name)
    assert {array.dtype for array in (y, dx, *grads.values())} == {np.dtype(dtype)}


@pytest.mark.parametrize("activation", THEIRS)
def test_gradients_match_finite_differences(activation):
    params, x = make(seed=2)

    def forward(x, **params):
        return feed_forward_forward(params, x, activation)

    check_backward(forward, feed_forward_backward, {"x": x, **params}, np.random.default_rng(3))


def test_relu_is_what_it_takes_unasked():
    params, x = make()
    y, _ = feed_forward_forward(params, x)
    relu, _ = feed_forward_forward(params, x, "relu")
    other, _ = feed_forward_forward(params, x, "gelu")
    np.testing.assert_array_equal(y, relu)
    assert np.abs(other - y).max() > 1e-3


def test_the_two_gelus_differ_a_little():
    params, x = make()
    exact, _ = feed_forward_forward(params, x, "gelu")
    tanh, _ = feed_forward_forward(params, x, "gelu_tanh")
    assert 1e-7 < np.abs(exact - tanh).max() < 1e-2


def test_every_position_is_by_itself():
    params, x = make()
    y, _ = feed_forward_forward(params, x)
    alone, _ = feed_forward_forward(params, x[1, 3])
    np.testing.assert_allclose(alone, y[1, 3], rtol=1e-12)
    changed = x.copy()
    changed[0, 1] += 1
    other, _ = feed_forward_forward(params, changed)
    rest = np.ones((B, T), dtype=bool)
    rest[0, 1] = False
    np.testing.assert_allclose(other[rest], y[rest], rtol=1e-12)


def test_other_parameters_beside_its_own_do_not_disturb():
    params, x = make()
    y, _ = feed_forward_forward({**params, "norm1.weight": np.ones(C)}, x)
    truth, _ = feed_forward_forward(params, x)
    np.testing.assert_array_equal(y, truth)


def test_parameters_begin_as_xaviers_with_biases_of_zero():
    params = feed_forward_parameters(40, 160, np.random.default_rng(0))
    bound = math.sqrt(6 / 200)
    for name, shape in (("linear1.weight", (160, 40)), ("linear2.weight", (40, 160))):
        assert params[name].shape == shape
        assert 0.95 * bound < np.abs(params[name]).max() <= bound
        assert params[name].std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    np.testing.assert_array_equal(params["linear1.bias"], np.zeros(160))
    np.testing.assert_array_equal(params["linear2.bias"], np.zeros(40))
    assert {value.dtype for value in params.values()} == {np.dtype(np.float32)}
    assert np.any(params["linear1.weight"] != params["linear2.weight"].T)


def test_backward_can_be_called_twice():
    params, x = make()
    _, cache = feed_forward_forward(params, x)
    dy = np.random.default_rng(6).normal(size=x.shape)
    first, grads = feed_forward_backward(dy.copy(), cache)
    again, others = feed_forward_backward(dy.copy(), cache)
    np.testing.assert_array_equal(again, first)
    for name, value in others.items():
        np.testing.assert_array_equal(value, grads[name], err_msg=name)


@pytest.mark.parametrize("activation", ["tanh", "Relu", ""])
def test_other_activations_are_refused(activation):
    params, x = make()
    with pytest.raises(ValueError, match=rf"{activation or '.'}"):
        feed_forward_forward(params, x, activation)


def test_widths_of_one_are_enough():
    params = feed_forward_parameters(1, 1, np.random.default_rng(0))
    y, _ = feed_forward_forward(params, np.ones((2, 1), np.float32))
    assert y.shape == (2, 1)


@pytest.mark.parametrize(("d_model", "d_ff"), [(0, 4), (4, 0)])
def test_widths_of_nothing_are_refused(d_model, d_ff):
    with pytest.raises(ValueError, match=r"\b0\b"):
        feed_forward_parameters(d_model, d_ff, np.random.default_rng(0))


@pytest.mark.kept
def test_names_are_the_three():
    assert NAMES == ("relu", "gelu", "gelu_tanh")
