"""Convolution and pooling against values by hand, gradients measured, and torch."""

import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase01.convolution import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    conv2d_backward,
    conv2d_backward_parameters,
    conv2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)

# x (B, C, H, W), filters (F, C, K, L), stride, padding
CONVOLUTIONS = [
    ((2, 3, 7, 9), (4, 3, 3, 2), 1, 0),
    ((2, 3, 7, 9), (4, 3, 3, 2), 1, 2),
    ((2, 3, 7, 9), (4, 3, 2, 3), 2, 1),
    ((3, 2, 8, 7), (5, 2, 3, 3), 3, 0),  # two rows and one column at the end fill no window
    ((2, 1, 5, 6), (1, 1, 1, 1), 1, 0),
    ((2, 3, 5, 6), (4, 3, 1, 1), 3, 2),  # windows that see nothing but padding, and gaps
    ((2, 3, 4, 5), (2, 3, 4, 5), 1, 0),  # one window
    ((2, 3, 2, 3), (4, 3, 5, 4), 1, 2),  # larger than the image itself
    ((1, 2, 6, 5), (3, 2, 2, 2), 2, 0),
]
EACH_CONVOLUTION = pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)

POOLS = [  # x, size, stride
    ((2, 3, 6, 8), 2, None),
    ((2, 3, 7, 9), 2, None),
    ((2, 3, 7, 9), 3, 2),
    ((2, 3, 7, 9), 3, 1),
    ((2, 3, 8, 7), 2, 3),
    ((1, 2, 5, 5), 5, None),
    ((2, 1, 4, 5), 1, None),
]
EACH_POOL = pytest.mark.parametrize("case", POOLS, ids=str)


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def conv_arrays(case, dtype=np.float64):
    shape, weight_shape, _, _ = case
    bias = normal(weight_shape[0], seed=2, dtype=dtype)
    return normal(*shape, dtype=dtype), normal(*weight_shape, seed=1, dtype=dtype), bias


def torch_gradients(function, arrays, dy_of):
    """torch's y, the dy that `dy_of` makes of its shape, and the gradients of the arrays."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    y = function(*tensors)
    dy = dy_of(*y.shape)
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), dy, [np.asarray(tensor.grad) for tensor in tensors]


# ---- convolution -------------------------------------------------------------------------


def test_convolution_is_the_value_worked_out_by_hand():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    weight = np.array([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.0, -1.0]]]])
    y, _ = conv2d_forward(x, weight, np.array([0.5, 100.0]))
    # The first window is 0, 1 over 3, 4: 0 + 2 + 9 + 16. A step to the right adds 10, down 30.
    np.testing.assert_allclose(y[0, 0], [[27.5, 37.5], [57.5, 67.5]])
    np.testing.assert_allclose(y[0, 1], [[96.0, 95.0], [93.0, 92.0]])  # the filter is not turned


def test_channels_are_added_up():
    x = np.array([[[[1.0]], [[10.0]], [[100.0]]]])
    weight = np.array([2.0, 3.0, 4.0]).reshape(1, 3, 1, 1)
    y, _ = conv2d_forward(x, weight, np.zeros(1))
    np.testing.assert_allclose(y, [[[[432.0]]]])


def test_padding_is_a_frame_of_zeros_and_stride_skips_windows():
    x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    y, _ = conv2d_forward(x, np.ones((1, 1, 2, 2)), np.zeros(1), stride=2, padding=1)
    np.testing.assert_allclose(y[0, 0], [[1.0, 2 + 3], [4 + 7, 5 + 6 + 8 + 9]])


@EACH_CONVOLUTION
def test_convolution_and_its_gradients_are_those_of_torch(case):
    _, _, stride, padding = case
    arrays = conv_arrays(case)
    truth, dy, gradients = torch_gradients(
        lambda *args: torch.nn.functional.conv2d(*args, stride=stride, padding=padding),
        arrays,
        lambda *shape: normal(*shape, seed=3),
    )
    y, cache = conv2d_forward(*arrays, stride=stride, padding=padding)
    np.testing.assert_allclose(y, truth, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(conv2d_backward(dy, cache), gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


@EACH_CONVOLUTION
def test_convolution_in_float32_is_near_torch_and_stays_float32(case):
    _, _, stride, padding = case
    arrays = conv_arrays(case, np.float32)
    truth, dy, gradients = torch_gradients(
        lambda *args: torch.nn.functional.conv2d(*args, stride=stride, padding=padding),
        arrays,
        lambda *shape: normal(*shape, seed=3, dtype=np.float32),
    )
    y, cache = conv2d_forward(*arrays, stride=stride, padding=padding)
    for mine, theirs in zip([y, *conv2d_backward(dy, cache)], [truth, *gradients], strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=2e-5)


@EACH_CONVOLUTION
def test_convolution_gradients_agree_with_measured_ones(case):
    _, _, stride, padding = case

    def forward(x, weight, bias):
        return conv2d_forward(x, weight, bias, stride, padding)

    inputs = dict(zip(("x", "weight", "bias"), conv_arrays(case), strict=True))
    check_backward(forward, conv2d_backward, inputs, np.random.default_rng(4))


@EACH_CONVOLUTION
def test_gradients_of_the_parameters_alone_are_the_same(case):
    _, _, stride, padding = case
    y, cache = conv2d_forward(*conv_arrays(case), stride, padding)
    dy = normal(*y.shape, seed=3)
    _, dweight, dbias = conv2d_backward(dy, cache)
    alone = conv2d_backward_parameters(dy, cache)
    np.testing.assert_array_equal(alone[0], dweight)
    np.testing.assert_array_equal(alone[1], dbias)


def test_convolution_takes_arrays_that_are_views_and_changes_none():
    case = CONVOLUTIONS[1]
    x, weight, bias = conv_arrays(case)
    turned = np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    y, cache = conv2d_forward(turned, weight, bias, 1, 2)
    truth, straight = conv2d_forward(x, weight, bias, 1, 2)
    np.testing.assert_allclose(y, truth, rtol=1e-12)
    dy = normal(*y.shape, seed=3)
    turned_dy = np.ascontiguousarray(dy.transpose(1, 3, 2, 0)).transpose(3, 0, 2, 1)
    for mine, theirs in zip(
        conv2d_backward(turned_dy, cache), conv2d_backward(dy, straight), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    for after, before in zip((x, weight, bias), conv_arrays(case), strict=True):
        np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(dy, normal(*y.shape, seed=3))


def test_shifted_image_gives_a_shifted_output():
    x = np.zeros((1, 1, 12, 12))
    x[0, 0, 3:6, 2:5] = normal(3, 3)
    weight, bias = normal(2, 1, 3, 3), normal(2)
    y, _ = conv2d_forward(x, weight, bias, padding=1)
    moved, _ = conv2d_forward(np.roll(x, (4, 3), axis=(2, 3)), weight, bias, padding=1)
    np.testing.assert_allclose(moved, np.roll(y, (4, 3), axis=(2, 3)), atol=1e-12)


def test_batch_of_no_images_gives_a_batch_of_none():
    y, cache = conv2d_forward(np.zeros((0, 3, 5, 5)), normal(4, 3, 2, 2), normal(4))
    assert y.shape == (0, 4, 4, 4)
    dx, dweight, dbias = conv2d_backward(y, cache)
    assert dx.shape == (0, 3, 5, 5)
    np.testing.assert_array_equal(dweight, np.zeros((4, 3, 2, 2)))
    np.testing.assert_array_equal(dbias, np.zeros(4))


def test_filters_for_other_channels_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"(?=.*\b3\b)(?=.*\b2\b)"):
        conv2d_forward(normal(2, 3, 5, 5), normal(4, 2, 3, 3), normal(4))


@pytest.mark.parametrize(("height", "width"), [(6, 2), (2, 6)])
def test_window_larger_than_the_padded_image_is_refused(height, width):
    x = normal(1, 1, 3, 3)
    with pytest.raises(ValueError, match=r"."):
        conv2d_forward(x, normal(1, 1, height, width), normal(1), padding=1)


@pytest.mark.parametrize("stride", [0, -1])
def test_stride_below_one_is_refused(stride):
    with pytest.raises(ValueError, match="stride"):
        conv2d_forward(normal(1, 1, 3, 3), normal(1, 1, 2, 2), normal(1), stride=stride)
    for pool in (max_pool2d_forward, avg_pool2d_forward):
        with pytest.raises(ValueError, match="stride"):
            pool(normal(1, 1, 3, 3), 2, stride)


def test_padding_below_zero_is_refused():
    with pytest.raises(ValueError, match="padding"):
        conv2d_forward(normal(1, 1, 3, 3), normal(1, 1, 2, 2), normal(1), padding=-1)


# ---- pooling -----------------------------------------------------------------------------


def test_max_pooling_is_the_value_worked_out_by_hand():
    x = np.array([[[[1.0, 5.0, 2.0], [4.0, 3.0, 9.0], [-1.0, -2.0, -3.0]]]])
    y, cache = max_pool2d_forward(x, 2, 1)
    np.testing.assert_array_equal(y, [[[[5.0, 9.0], [4.0, 9.0]]]])
    dx = max_pool2d_backward(np.array([[[[1.0, 10.0], [100.0, 1000.0]]]]), cache)
    np.testing.assert_array_equal(dx, [[[[0, 1, 0], [100, 0, 1010], [0, 0, 0]]]])


def test_average_pooling_is_the_value_worked_out_by_hand():
    x = np.array([[[[1.0, 5.0, 2.0], [4.0, 2.0, 8.0]]]])
    y, cache = avg_pool2d_forward(x, 2, 1)
    np.testing.assert_array_equal(y, [[[[3.0, 4.25]]]])
    dx = avg_pool2d_backward(np.array([[[[4.0, 8.0]]]]), cache)
    np.testing.assert_array_equal(dx, [[[[1, 3, 2], [1, 3, 2]]]])


def test_maximum_of_negative_numbers_is_negative():
    y, _ = max_pool2d_forward(np.full((1, 2, 3, 3), -7.0), 2)
    np.testing.assert_array_equal(y, np.full((1, 2, 1, 1), -7.0))


PAIRS = [
    (max_pool2d_forward, max_pool2d_backward, torch.nn.functional.max_pool2d),
    (avg_pool2d_forward, avg_pool2d_backward, torch.nn.functional.avg_pool2d),
]
EACH_PAIR = pytest.mark.parametrize("pair", PAIRS, ids=["max", "average"])


@EACH_PAIR
@EACH_POOL
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_pooling_and_its_gradient_are_those_of_torch(pair, case, dtype, tolerance):
    forward, backward, reference = pair
    shape, size, stride = case
    x = normal(*shape, dtype=dtype)
    truth, dy, (dx,) = torch_gradients(
        lambda tensor: reference(tensor, size, stride),
        [x],
        lambda *shape: normal(*shape, seed=3, dtype=dtype),
    )
    y, cache = forward(x, size, stride)
    mine = backward(dy, cache)
    assert (y.dtype, mine.dtype) == (dtype, dtype)
    np.testing.assert_allclose(y, truth, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(mine, dx, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(x, normal(*shape, dtype=dtype))


@EACH_PAIR
@EACH_POOL
def test_pooling_gradients_agree_with_measured_ones(pair, case):
    forward, backward, _ = pair
    shape, size, stride = case

    def pooled(x):
        return forward(x, size, stride)

    check_backward(pooled, backward, {"x": normal(*shape)}, np.random.default_rng(4))


@EACH_POOL
@pytest.mark.parametrize("values", [1, 2, 3])
def test_ties_go_where_torch_sends_them(case, values):
    """Of whole numbers from 0 up to below `values`, many are equal; of 1, all are."""
    shape, size, stride = case
    x = np.random.default_rng(6).integers(values, size=shape).astype(np.float64)
    truth, dy, (dx,) = torch_gradients(
        lambda tensor: torch.nn.functional.max_pool2d(tensor, size, stride),
        [x],
        lambda *shape: normal(*shape, seed=3),
    )
    y, cache = max_pool2d_forward(x, size, stride)
    np.testing.assert_array_equal(y, truth)
    np.testing.assert_allclose(max_pool2d_backward(dy, cache), dx, rtol=1e-12, atol=1e-12)


def test_gradient_of_a_tie_goes_to_the_first_place_only():
    x = np.array([[[[0.0, 2.0], [2.0, 2.0]]]])
    _, cache = max_pool2d_forward(x, 2)
    dx = max_pool2d_backward(np.array([[[[5.0]]]]), cache)
    np.testing.assert_array_equal(dx, [[[[0.0, 5.0], [0.0, 0.0]]]])


def test_nan_is_not_hidden_by_its_neighbours():
    x = np.array([[[[1.0, np.nan, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]]])
    y, _ = max_pool2d_forward(x, 2)
    np.testing.assert_array_equal(y, [[[[np.nan, 8.0]]]])


@EACH_PAIR
def test_pooling_window_larger_than_the_image_or_empty_is_refused(pair):
    forward, _, _ = pair
    with pytest.raises(ValueError, match=r"."):
        forward(normal(1, 1, 3, 5), 4)
    with pytest.raises(ValueError, match=r"."):
        forward(normal(1, 1, 3, 5), 0, 1)
