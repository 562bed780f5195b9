"""Layer normalization: values by hand, torch, finite differences, and what it must not change."""

import jaxtyping
import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase05.layer_norm import EPSILON, layer_norm_backward, layer_norm_forward

B, T, C = 2, 5, 4  # all different, so that a wrong axis cannot pass


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def inputs(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(1.5, 2.0, size=(B, T, C))
    weight, bias = rng.normal(1, 0.5, size=C), rng.normal(size=C)
    return tuple(array.astype(dtype) for array in (x, weight, bias))


def test_values_worked_out_by_hand():
    # Mean 5; deviations -3, -1, 1, 3; variance (9 + 1 + 1 + 9) / 4 = 5, with epsilon 4 the root
    # is 3: so epsilon stands in it, and the variance is divided by C.
    x = np.array([[2.0, 4.0, 6.0, 8.0]])
    weight, bias = np.array([1.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, -1.0])
    y, _ = layer_norm_forward(x, weight, bias, 4.0)
    np.testing.assert_allclose(y, [[-1.0, 1 - 1 / 3, 2 / 3, 2.0]], rtol=1e-14)


def test_gradient_worked_out_by_hand():
    # z = -1, 1 (r = 1 / 2, epsilon 0), dy = 3, 5 with weights of 1: mean(dz) = 4 and
    # mean(dz z) = 1, so dx = (3 - 4 + 1, 5 - 4 - 1) / 2 = 0: of two features nothing is left.
    # With epsilon 12 the root is 4 and z = -1/2, 1/2: mean(dz z) = 1/2 and
    # dx = (3 - 4 + 1/4, 5 - 4 - 1/4) / 4.
    x, ones, zeros = np.array([[1.0, 5.0]]), np.ones(2), np.zeros(2)
    dy = np.array([[3.0, 5.0]])
    _, cache = layer_norm_forward(x, ones, zeros, 0.0)
    dx, dweight, dbias = layer_norm_backward(dy, cache)
    np.testing.assert_allclose(dx, [[0.0, 0.0]], atol=1e-15)
    np.testing.assert_allclose(dweight, [-3.0, 5.0], rtol=1e-14)
    np.testing.assert_allclose(dbias, [3.0, 5.0], rtol=1e-14)
    _, cache = layer_norm_forward(x, ones, zeros, 12.0)
    dx, _, _ = layer_norm_backward(dy, cache)
    np.testing.assert_allclose(dx, [[-3 / 16, 3 / 16]], rtol=1e-14)


def test_gradients_match_finite_differences():
    x, weight, bias = inputs()
    given = {"x": x, "weight": weight, "bias": bias}
    check_backward(layer_norm_forward, layer_norm_backward, given, np.random.default_rng(1))


def test_gradients_match_finite_differences_where_epsilon_is_large():
    x, weight, bias = inputs()

    def forward(x, weight, bias):
        return layer_norm_forward(x, weight, bias, 2.0)

    given = {"x": x, "weight": weight, "bias": bias}
    check_backward(forward, layer_norm_backward, given, np.random.default_rng(2))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_output_and_gradients_match_torch(dtype, tolerance, epsilon):
    mine = inputs(dtype)
    dy = np.random.default_rng(3).normal(size=(B, T, C)).astype(dtype)
    theirs = [torch.tensor(array, requires_grad=True) for array in mine]
    truth = torch.nn.functional.layer_norm(theirs[0], (C,), theirs[1], theirs[2], epsilon)
    truth.backward(torch.from_numpy(dy))
    y, cache = layer_norm_forward(*mine, epsilon)
    np.testing.assert_allclose(y, truth.detach().numpy(), rtol=tolerance, atol=tolerance)
    for found, tensor in zip(layer_norm_backward(dy, cache), theirs, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=tolerance, atol=tolerance)
        assert found.dtype == dtype
    assert y.dtype == dtype


def test_each_position_has_mean_zero_and_variance_one():
    x, _, _ = inputs()
    y, _ = layer_norm_forward(x, np.ones(C), np.zeros(C), 0.0)
    np.testing.assert_allclose(y.mean(axis=-1), np.zeros((B, T)), atol=1e-14)
    np.testing.assert_allclose(y.var(axis=-1), np.ones((B, T)), rtol=1e-12)


def test_shift_and_stretch_of_a_position_change_nothing():
    x, weight, bias = inputs()
    y, _ = layer_norm_forward(x, weight, bias, 0.0)
    factor = np.arange(1.0, B * T + 1).reshape(B, T, 1)
    moved, _ = layer_norm_forward(x * factor - 7 * factor, weight, bias, 0.0)
    np.testing.assert_allclose(moved, y, rtol=1e-9)


def test_no_position_depends_on_another():
    x, weight, bias = inputs()
    whole, _ = layer_norm_forward(x, weight, bias)
    alone, _ = layer_norm_forward(x[1, 2], weight, bias)
    np.testing.assert_allclose(alone, whole[1, 2], rtol=1e-14)


def test_any_leading_axes_and_none_at_all():
    x, weight, bias = inputs()
    y, cache = layer_norm_forward(x, weight, bias)
    flat, flat_cache = layer_norm_forward(x.reshape(-1, C), weight, bias)
    np.testing.assert_allclose(flat, y.reshape(-1, C), rtol=1e-14)
    dy = np.random.default_rng(4).normal(size=x.shape)
    for one, other in zip(
        layer_norm_backward(dy.reshape(-1, C), flat_cache),
        layer_norm_backward(dy, cache),
        strict=True,
    ):
        np.testing.assert_allclose(one, other.reshape(one.shape), rtol=1e-13)
    one, _ = layer_norm_forward(x[0, 0], weight, bias)
    assert one.shape == (C,)


def test_no_position_at_all_is_possible():
    y, cache = layer_norm_forward(np.zeros((0, 3)), np.ones(3), np.zeros(3))
    dx, dweight, dbias = layer_norm_backward(np.zeros((0, 3)), cache)
    assert (y.shape, dx.shape) == ((0, 3), (0, 3))
    np.testing.assert_array_equal([dweight, dbias], np.zeros((2, 3)))


def test_equal_features_give_the_bias_and_not_nan():
    y, _ = layer_norm_forward(np.full((2, 3), 7.0), np.ones(3), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(y, [[1.0, 2.0, 3.0]] * 2, atol=1e-9)


def test_one_feature_is_its_own_mean_and_gives_the_bias():
    y, _ = layer_norm_forward(np.array([[3.0], [-4.0]]), np.array([2.0]), np.array([5.0]))
    np.testing.assert_array_equal(y, [[5.0], [5.0]])


def test_large_features_lose_no_digits_to_the_mean():
    # mean(x^2) - mean^2 would have none of its digits left here.
    x = np.array([[1e8, 1e8 + 2, 1e8 + 4]])
    y, _ = layer_norm_forward(x, np.ones(3), np.zeros(3), 0.0)
    np.testing.assert_allclose(y, [[-np.sqrt(1.5), 0.0, np.sqrt(1.5)]], rtol=1e-7, atol=1e-9)


def test_default_epsilon_is_that_of_torch():
    x, weight, bias = inputs()
    small = x * 1e-3  # so small that epsilon counts
    y, _ = layer_norm_forward(small, weight, bias)
    truth = torch.nn.functional.layer_norm(
        *(torch.from_numpy(small), (C,), torch.from_numpy(weight), torch.from_numpy(bias))
    )
    np.testing.assert_allclose(y, truth.numpy(), rtol=1e-10)


@pytest.mark.kept
def test_epsilon_is_one_in_a_hundred_thousand():
    assert EPSILON == 1e-5


def test_backward_can_be_called_twice_and_changes_no_input():
    x, weight, bias = inputs()
    before = x.copy()
    _, cache = layer_norm_forward(x, weight, bias)
    dy = np.random.default_rng(5).normal(size=x.shape)
    given = dy.copy()
    first = [array.copy() for array in layer_norm_backward(dy, cache)]
    for one, other in zip(layer_norm_backward(dy, cache), first, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(dy, given)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("x", "weight", "bias"),
    [((2, 4), 3, 4), ((2, 4), 4, 3), ((2, 1), 4, 4), ((2, 0), 0, 0), ((), 1, 1)],
)
def test_shapes_that_do_not_fit_are_refused(x, weight, bias):
    with pytest.raises(ValueError, match=r"\d"):
        layer_norm_forward(np.zeros(x), np.ones(weight), np.zeros(bias))
