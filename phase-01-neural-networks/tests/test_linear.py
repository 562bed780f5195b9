"""The linear layer by hand, against measured gradients and against torch."""

import re

import jaxtyping
import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase01.linear import linear_backward, linear_backward_parameters, linear_forward

RNG = np.random.default_rng(0)
X = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]])
WEIGHT = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.5]])
BIAS = np.array([10.0, 20.0])


def arrays(*batch, d_in=3, d_out=4, dtype=np.float64):
    shapes = ((*batch, d_in), (d_out, d_in), (d_out,), (*batch, d_out))
    return tuple(RNG.normal(size=shape).astype(dtype) for shape in shapes)


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_output_is_each_row_of_the_weight_times_the_input_plus_the_bias():
    y, _ = linear_forward(X, WEIGHT, BIAS)
    # 1 - 3 + 10, 2 + 2 + 1.5 + 20; -4 + 10, -1 + 2 + 20
    np.testing.assert_allclose(y, [[8.0, 25.5], [6.0, 21.0]], rtol=1e-15)


def test_gradients_by_hand():
    _, cache = linear_forward(X, WEIGHT, BIAS)
    dx, dweight, dbias = linear_backward(np.array([[1.0, 10.0], [-1.0, 2.0]]), cache)
    np.testing.assert_allclose(dx, [[21.0, 10.0, 4.0], [3.0, 2.0, 2.0]], rtol=1e-15)
    np.testing.assert_allclose(dweight, [[1.0, 3.0, -1.0], [10.0, 18.0, 38.0]], rtol=1e-15)
    np.testing.assert_allclose(dbias, [0.0, 12.0], rtol=1e-15)


@pytest.mark.parametrize("batch", [(), (2,), (2, 5), (2, 5, 6)])
def test_gradients_are_those_measured_with_any_leading_axes(batch):
    x, weight, bias, _ = arrays(*batch)
    inputs = {"x": x, "weight": weight, "bias": bias}
    check_backward(linear_forward, linear_backward, inputs, np.random.default_rng(1))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize("batch", [(2,), (2, 5)])
def test_output_and_all_gradients_match_torch(batch, dtype, tolerance):
    x, weight, bias, dy = arrays(*batch, dtype=dtype)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, weight, bias)]
    torch_y = torch.nn.functional.linear(*tensors)
    truth = torch.autograd.grad(torch_y, tensors, torch.tensor(dy))
    y, cache = linear_forward(x, weight, bias)
    np.testing.assert_allclose(y, torch_y.detach().numpy(), rtol=tolerance, atol=tolerance)
    for mine, gradient in zip(linear_backward(dy, cache), truth, strict=True):
        np.testing.assert_allclose(mine, gradient.numpy(), rtol=tolerance, atol=tolerance)


def test_gradients_of_the_parameters_alone_are_the_same():
    x, weight, bias, dy = arrays(2, 5)
    _, cache = linear_forward(x, weight, bias)
    _, dweight, dbias = linear_backward(dy, cache)
    alone = linear_backward_parameters(dy, cache)
    np.testing.assert_allclose(alone[0], dweight, rtol=1e-15)
    np.testing.assert_allclose(alone[1], dbias, rtol=1e-15)
    np.testing.assert_allclose(alone[0], np.einsum("bto,bti->oi", dy, x), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype):
    x, weight, bias, dy = arrays(2, 5, dtype=dtype)
    y, cache = linear_forward(x, weight, bias)
    assert y.dtype == dtype
    assert [gradient.dtype for gradient in linear_backward(dy, cache)] == [dtype] * 3


def test_transposed_arrays_give_the_same_as_contiguous_ones():
    x, weight, bias, dy = arrays(2, 5)
    truth, _ = linear_forward(x, weight, bias)
    turned = np.asfortranarray(x)
    y, cache = linear_forward(turned, np.asfortranarray(weight), bias)
    np.testing.assert_allclose(y, truth, rtol=1e-14)
    dx, _, _ = linear_backward(np.asfortranarray(dy), cache)
    np.testing.assert_allclose(dx, dy @ weight, rtol=1e-14)


def test_arguments_are_left_unchanged():
    x, weight, bias, dy = arrays(2, 5)
    before = [array.copy() for array in (x, weight, bias, dy)]
    _, cache = linear_forward(x, weight, bias)
    linear_backward(dy, cache)
    for array, copy in zip((x, weight, bias, dy), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_empty_batch_has_no_output_and_gradients_of_zero():
    x, weight, bias, dy = arrays(0)
    y, cache = linear_forward(x, weight, bias)
    assert y.shape == (0, 4)
    dx, dweight, dbias = linear_backward(dy, cache)
    assert dx.shape == (0, 3)
    np.testing.assert_array_equal(dweight, np.zeros((4, 3)))
    np.testing.assert_array_equal(dbias, np.zeros(4))


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (4, 5), (4,)), ((2, 3), (4, 3), (1,)), ((2, 3), (4, 3), (3,)), ((2, 3), (3,), (3,))],
)
def test_shapes_that_do_not_fit_are_refused_with_all_three(shapes):
    with pytest.raises(ValueError, match=re.escape(str(shapes[0]))) as caught:
        linear_forward(*(np.ones(shape) for shape in shapes))
    for shape in shapes[1:]:
        assert str(shape) in str(caught.value)
