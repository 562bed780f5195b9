"""Activations and erf: by hand, measured, against torch and scipy, and where numbers are large."""

import math
import warnings

import numpy as np
import pytest
import scipy.special
import torch

from phase00.gradcheck import check_backward
from phase01.activations import (
    ACTIVATIONS,
    erf,
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    step_backward,
    step_forward,
    tanh_backward,
    tanh_forward,
)

TORCH = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
}
SMOOTH = pytest.mark.parametrize("name", list(TORCH))
EVERY = pytest.mark.parametrize("name", ["step", *TORCH])
FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])
PHI_1 = 0.8413447460685429  # of the normal distribution at 1
DENSITY_1 = 0.24197072451914337  # its density there


@pytest.fixture(autouse=True)
def _no_warning_leaks():
    """A test fails on a warning: what is meant is silent, what is not meant should not happen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape)


def both(name, x, dy):
    forward, backward = ACTIVATIONS[name]
    y, cache = forward(x)
    return y, backward(dy, cache)


# ---- by hand ---------------------------------------------------------------------------------


def test_step_is_one_from_zero_on_and_its_derivative_is_zero():
    y, cache = step_forward(np.array([-2.0, -1e-300, 0.0, 0.5]))
    np.testing.assert_array_equal(y, [0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(step_backward(np.full(4, 3.0), cache), np.zeros(4))


def test_sigmoid_of_the_logarithm_of_odds_is_their_probability():
    # odds of 3 to 1 are 3/4, with the derivative 3/4 * 1/4
    y, cache = sigmoid_forward(np.array([0.0, math.log(3), -math.log(3)]))
    np.testing.assert_allclose(y, [0.5, 0.75, 0.25], rtol=1e-15)
    dx = sigmoid_backward(np.array([8.0, 16.0, -16.0]), cache)
    np.testing.assert_allclose(dx, [2.0, 3.0, -3.0], rtol=1e-15)


def test_tanh_of_the_logarithm_of_2_is_three_fifths():
    # (2 - 1/2) / (2 + 1/2), with the derivative 1 - 9/25
    y, cache = tanh_forward(np.array([0.0, math.log(2), -math.log(2)]))
    np.testing.assert_allclose(y, [0.0, 0.6, -0.6], rtol=1e-15)
    dx = tanh_backward(np.array([2.0, 25.0, -25.0]), cache)
    np.testing.assert_allclose(dx, [2.0, 16.0, -16.0], rtol=1e-15)


def test_relu_lets_through_what_is_above_zero_and_at_zero_no_gradient():
    y, cache = relu_forward(np.array([-2.0, 0.0, 3.0]))
    np.testing.assert_array_equal(y, [0.0, 0.0, 3.0])
    np.testing.assert_array_equal(
        relu_backward(np.array([5.0, 6.0, -7.0]), cache), [0.0, 0.0, -7.0]
    )


def test_gelu_is_x_times_the_normal_distribution():
    y, cache = gelu_forward(np.array([0.0, 1.0, -1.0]))
    np.testing.assert_allclose(y, [0.0, PHI_1, PHI_1 - 1], rtol=1e-14)
    dx = gelu_backward(np.array([2.0, 1.0, 1.0]), cache)
    slopes = [1.0, PHI_1 + DENSITY_1, 1 - PHI_1 - DENSITY_1]
    np.testing.assert_allclose(dx, slopes, rtol=1e-14)


def test_gelu_with_tanh_by_hand():
    u = math.sqrt(2 / math.pi) * 1.044715
    t = math.tanh(u)
    y, cache = gelu_tanh_forward(np.array([0.0, 1.0]))
    np.testing.assert_allclose(y, [0.0, (1 + t) / 2], rtol=1e-14)
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715)
    dx = gelu_tanh_backward(np.array([2.0, -1.0]), cache)
    np.testing.assert_allclose(dx, [1.0, -((1 + t) / 2 + (1 - t * t) * du / 2)], rtol=1e-14)


def test_two_forms_of_gelu_differ_by_less_than_a_two_thousandth_and_more_than_a_ten_thousandth():
    x = np.linspace(-8, 8, 16001)
    apart = np.max(np.abs(gelu_forward(x)[0] - gelu_tanh_forward(x)[0]))
    assert 1e-4 < apart < 5e-4


@pytest.mark.kept
def test_activations_are_found_by_name():
    assert list(ACTIVATIONS) == ["step", "sigmoid", "tanh", "relu", "gelu", "gelu_tanh"]
    assert ACTIVATIONS["gelu"] == (gelu_forward, gelu_backward)
    assert ACTIVATIONS["gelu_tanh"] == (gelu_tanh_forward, gelu_tanh_backward)
    assert ACTIVATIONS["relu"] == (relu_forward, relu_backward)


# ---- measured, and against torch -------------------------------------------------------------


@EVERY
def test_derivative_is_the_one_measured(name):
    x = normal(2, 5, 7)
    assert np.abs(x).min() > 1e-4  # away from the kink and the step
    check_backward(*ACTIVATIONS[name], {"x": x}, np.random.default_rng(1))


@SMOOTH
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_output_and_gradient_match_torch(name, dtype, tolerance):
    x = np.concatenate([normal(200), np.linspace(-12, 12, 97)]).astype(dtype)
    dy = normal(297, seed=1).astype(dtype)
    tensor = torch.tensor(x, requires_grad=True)
    torch_y = TORCH[name](tensor)
    (torch_dx,) = torch.autograd.grad(torch_y, tensor, torch.tensor(dy))
    y, dx = both(name, x, dy)
    np.testing.assert_allclose(y, torch_y.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, torch_dx.numpy(), rtol=tolerance, atol=tolerance)


@EVERY
@FLOATS
def test_dtype_and_shape_are_kept_and_arguments_left_as_they_are(name, dtype):
    x, dy = normal(2, 3, 4).astype(dtype), normal(2, 3, 4, seed=1).astype(dtype)
    before, dy_before = x.copy(), dy.copy()
    y, dx = both(name, x, dy)
    assert (y.dtype, y.shape) == (dtype, (2, 3, 4))
    assert (dx.dtype, dx.shape) == (dtype, (2, 3, 4))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(dy, dy_before)


@EVERY
def test_no_numbers_give_no_numbers(name):
    y, dx = both(name, np.zeros((0, 3)), np.zeros((0, 3)))
    assert y.shape == dx.shape == (0, 3)


# ---- large numbers ---------------------------------------------------------------------------

ENDS = {  # y and dy/dx far to the left, and far to the right; no y is above x
    "step": ((0, 0), (1, 0)),
    "sigmoid": ((0, 0), (1, 0)),
    "tanh": ((-1, 0), (1, 0)),
    "relu": ((0, 0), (math.inf, 1)),
    "gelu": ((0, 0), (math.inf, 1)),
    "gelu_tanh": ((0, 0), (math.inf, 1)),
}


@EVERY
@FLOATS
@pytest.mark.parametrize("size", [200.0, 1e4, 1e30, "largest"])
def test_large_inputs_reach_the_ends_without_a_warning(name, dtype, size):
    largest = float(np.finfo(dtype).max) if size == "largest" else size
    x = np.array([-largest, largest], dtype)
    y, dx = both(name, x, np.array([2, 2], dtype))
    (left, left_slope), (right, right_slope) = ENDS[name]
    truth = [left, min(right, float(x[1]))]
    np.testing.assert_allclose(y, truth, rtol=1e-15, atol=1e-80)
    np.testing.assert_allclose(dx, [2 * left_slope, 2 * right_slope], rtol=1e-15, atol=1e-80)


def test_sigmoid_keeps_its_digits_far_below_zero():
    x = np.array([-30.0, -300.0, -700.0])
    np.testing.assert_allclose(sigmoid_forward(x)[0], np.exp(x), rtol=1e-12)
    y, cache = sigmoid_forward(x)
    np.testing.assert_allclose(sigmoid_backward(np.ones(3), cache), np.exp(x), rtol=1e-12)
    assert (y > 0).all()


@EVERY
def test_nan_stays_nan_beside_healthy_numbers(name):
    y, _ = both(name, np.array([math.nan, 1.0]), np.ones(2))
    assert math.isfinite(y[1])
    assert math.isnan(y[0]) == (name != "step")


# ---- erf -------------------------------------------------------------------------------------


def many_numbers():
    rng = np.random.default_rng(2)
    tiny = rng.choice([-1, 1], 20_000) * 10.0 ** rng.uniform(-300, 1, 20_000)
    return np.concatenate([rng.normal(0, 2, 20_000), np.linspace(-7, 7, 20_001), tiny])


def test_erf_is_scipy_s_and_the_standard_library_s_to_rounding():
    x = many_numbers()
    truth = np.array([math.erf(value) for value in x])
    np.testing.assert_allclose(erf(x), truth, rtol=1e-15, atol=0)
    np.testing.assert_allclose(erf(x), scipy.special.erf(x), rtol=0, atol=5e-16)
    np.testing.assert_allclose(erf(x), torch.erf(torch.tensor(x)).numpy(), rtol=0, atol=5e-16)


def test_erf_in_float32_is_right_to_rounding():
    x = many_numbers().astype(np.float32)
    y = erf(x)
    assert y.dtype == np.float32
    truth = scipy.special.erf(x.astype(np.float64))
    np.testing.assert_allclose(y, truth, rtol=3e-7, atol=1e-38)


def test_erf_by_hand_is_odd_and_reaches_one():
    np.testing.assert_array_equal(
        erf(np.array([0.0, 6.0, -6.0, 1e300, math.inf])), [0, 1, -1, 1, 1]
    )
    assert math.copysign(1, float(erf(np.array([-0.0]))[0])) == -1
    # the normal distribution: 68.27 % within one standard deviation
    within = erf(np.array([[1.0, -2.0]]) / math.sqrt(2))
    np.testing.assert_allclose(within, [[0.6826894921370859, -0.9544997361036416]], rtol=1e-14)


def test_erf_of_nan_is_nan():
    np.testing.assert_array_equal(np.isnan(erf(np.array([math.nan, 1.0]))), [True, False])


def test_erf_of_another_dtype_is_refused_by_name():
    with pytest.raises(TypeError, match="float16"):
        erf(np.ones(2, np.float16))
