"""Dropout, weight decay and batch norm against values by hand, gradients measured, and torch."""

import math

import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase01.optimizers import SGD, Adam
from phase01.regularization import (
    batch_norm_backward,
    batch_norm_forward,
    decay_weights,
    dropout_backward,
    dropout_forward,
    weight_penalty_backward,
    weight_penalty_forward,
)


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


# ---- dropout -----------------------------------------------------------------------------


def test_what_dropout_keeps_is_scaled_up_and_the_rest_is_zero():
    x = 1 + np.abs(normal(40, 50))
    y, _ = dropout_forward(x, 0.2, np.random.default_rng(1))
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / 0.8)
    assert 1 - kept.mean() == pytest.approx(0.2, abs=0.03)


def test_dropout_keeps_the_expected_value():
    x = np.full((100, 300), 2.0)
    for rate in (0.1, 0.5, 0.9):
        y, _ = dropout_forward(x, rate, np.random.default_rng(2))
        assert y.mean() == pytest.approx(2.0, abs=0.06)


def test_dropout_is_off_at_evaluation_and_at_a_rate_of_zero():
    x, dy = normal(3, 4), normal(3, 4, seed=1)
    for rate, rng in ((0.5, None), (0.0, np.random.default_rng(3))):
        y, cache = dropout_forward(x, rate, rng)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(dropout_backward(dy, cache), dy)


def test_dropout_of_nothing_draws_nothing():
    rng = np.random.default_rng(3)
    dropout_forward(np.ones((3, 4)), 0.0, rng)
    assert rng.random() == np.random.default_rng(3).random()


def test_dropout_is_drawn_anew_each_time_for_each_element_and_repeated_from_a_seed():
    x, rng = np.ones((6, 7)), np.random.default_rng(4)
    first, _ = dropout_forward(x, 0.5, rng)
    second, _ = dropout_forward(x, 0.5, rng)
    again, _ = dropout_forward(x, 0.5, np.random.default_rng(4))
    assert np.any(first != second)
    assert np.any(first != first[:1])
    assert np.any(first != first[:, :1])
    np.testing.assert_array_equal(again, first)


def test_dropout_gradient_agrees_with_measured_one():
    def forward(x):
        return dropout_forward(x, 0.4, np.random.default_rng(5))

    check_backward(forward, dropout_backward, {"x": normal(4, 5)}, np.random.default_rng(0))


def test_dropout_gradient_is_that_of_torch_for_the_same_choice():
    x, dy = 1 + np.abs(normal(4, 5)), normal(4, 5, seed=1)
    y, cache = dropout_forward(x, 0.25, np.random.default_rng(5))
    tensor = torch.tensor(x, requires_grad=True)
    truth = torch.where(torch.tensor(y != 0), tensor / 0.75, 0.0)
    truth.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, truth.detach().numpy(), rtol=1e-7)
    np.testing.assert_allclose(dropout_backward(dy, cache), np.asarray(tensor.grad), rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_keeps_the_dtype_and_the_choice(dtype):
    x = np.ones((5, 6), dtype)
    y, cache = dropout_forward(x, 0.4, np.random.default_rng(6))
    other, _ = dropout_forward(np.ones((5, 6)), 0.4, np.random.default_rng(6))
    assert y.dtype == dtype
    assert dropout_backward(x, cache).dtype == dtype
    np.testing.assert_array_equal(y != 0, other != 0)
    np.testing.assert_array_equal(x, np.ones((5, 6)))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)], ids=["evaluation", "training"])
def test_rate_out_of_range_is_refused(rate, rng):
    with pytest.raises(ValueError, match=str(rate)):
        dropout_forward(np.ones(3), rate, rng)


# ---- weight decay ------------------------------------------------------------------------


def weights():
    return {"a": np.array([[1.0, -2.0]]), "b": np.array([3.0])}


def test_penalty_is_half_the_decay_times_the_sum_of_squares():
    penalty, _ = weight_penalty_forward(weights(), 0.5)
    assert penalty == pytest.approx(0.25 * 14)
    assert weight_penalty_forward(weights(), 0.0)[0] == 0.0
    assert weight_penalty_forward({}, 0.5)[0] == 0.0


def test_penalty_gradient_agrees_with_measured_one():
    def forward(**params):
        return weight_penalty_forward(params, 0.7)

    def backward(dpenalty, cache):
        return weight_penalty_backward(float(dpenalty), cache)

    params = {"layers.0.weight": normal(3, 4), "layers.1.weight": normal(2, 3)}
    check_backward(forward, backward, params, np.random.default_rng(0))


def test_penalty_keeps_float32_and_its_sum_does_not_overflow():
    large = {"a": np.array([3e19, 4e19], np.float32)}
    penalty, cache = weight_penalty_forward(large, 2.0)
    assert penalty == pytest.approx(25e38, rel=1e-6)
    grads = weight_penalty_backward(1.0, cache)
    assert grads["a"].dtype == np.float32
    np.testing.assert_allclose(grads["a"], [6e19, 8e19], rtol=1e-6)


def test_decoupled_decay_shrinks_every_weight_by_the_same_share_in_place():
    params = weights()
    arrays = dict(params)
    decay_weights(params, 0.1, 0.5)
    np.testing.assert_allclose(params["a"], [[0.95, -1.9]])
    np.testing.assert_allclose(params["b"], [2.85])
    assert params["a"] is arrays["a"]


def test_decay_of_zero_changes_nothing():
    params = weights()
    decay_weights(params, 0.1, 0.0)
    np.testing.assert_array_equal(params["a"], weights()["a"])
    decay_weights(params, 0.0, 0.5)
    np.testing.assert_array_equal(params["b"], weights()["b"])


def test_both_decays_are_one_for_plain_sgd():
    coupled, decoupled, grads = weights(), weights(), {"a": normal(1, 2), "b": normal(1)}
    first, second = SGD(coupled, 0.1), SGD(decoupled, 0.1)
    for _ in range(5):
        _, cache = weight_penalty_forward(coupled, 0.3)
        penalty = weight_penalty_backward(1.0, cache)
        first.step({name: grads[name] + penalty[name] for name in grads})
        decay_weights(decoupled, 0.1, 0.3)
        second.step(grads)
    for name in grads:
        np.testing.assert_allclose(coupled[name], decoupled[name], rtol=1e-12)


def test_the_two_decays_differ_for_adam():
    coupled, decoupled = weights(), weights()
    grads = {"a": np.array([[100.0, 0.01]]), "b": np.array([1.0])}
    first, second = Adam(coupled, 0.01), Adam(decoupled, 0.01)
    for _ in range(50):
        _, cache = weight_penalty_forward(coupled, 0.5)
        penalty = weight_penalty_backward(1.0, cache)
        first.step({name: grads[name] + penalty[name] for name in grads})
        decay_weights(decoupled, 0.01, 0.5)
        second.step(grads)
    # Without decay, 50 steps of 0.01 along a constant gradient.
    without = np.array([[0.5, -2.5]])
    assert abs(coupled["a"] - without)[0, 0] < 1e-3  # a large gradient drowns its decay
    assert abs(decoupled["a"] - without)[0, 0] > 0.1
    assert coupled["a"][0, 1] > -2.0  # a small one is turned round by it


@pytest.mark.parametrize("decay", [-0.1, math.inf, math.nan])
def test_weight_decay_that_is_negative_or_not_finite_is_refused(decay):
    with pytest.raises(ValueError, match=str(decay)):
        weight_penalty_forward(weights(), decay)
    with pytest.raises(ValueError, match=str(decay)):
        decay_weights(weights(), 0.1, decay)


@pytest.mark.parametrize("rate", [2.1, -0.1, math.nan])
def test_decay_that_would_turn_signs_is_refused_and_moves_nothing(rate):
    params = weights()
    with pytest.raises(ValueError, match=r"."):
        decay_weights(params, rate, 0.5)
    np.testing.assert_array_equal(params["a"], weights()["a"])
    decay_weights(params, 2.0, 0.5)
    np.testing.assert_array_equal(params["a"], [[0.0, 0.0]])


# ---- batch norm --------------------------------------------------------------------------

SHAPES = [(5, 3), (2, 3), (4, 3, 2, 5), (1, 3, 2, 2), (4, 3, 7)]
EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)
TRAINING = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def bn_arrays(shape, dtype=np.float64):
    """x far from standard, and weight, bias, running mean, running variance."""
    x = (3 + 2 * normal(*shape)).astype(dtype)
    weight, bias, mean = (normal(3, seed=seed, dtype=dtype) for seed in (1, 2, 3))
    return x, weight, bias, mean, np.array([0.5, 2.0, 4.0], dtype)


def torch_batch_norm(arrays, training, dy, **options):
    """y, the three gradients, and the running statistics after it, of torch."""
    x, weight, bias = (torch.tensor(array, requires_grad=True) for array in arrays[:3])
    mean, var = (torch.tensor(array) for array in arrays[3:])
    y = torch.nn.functional.batch_norm(x, mean, var, weight, bias, training, **options)
    y.backward(torch.tensor(dy))
    found = [y.detach(), x.grad, weight.grad, bias.grad, mean, var]
    return [np.asarray(tensor) for tensor in found]


def test_batch_norm_of_two_rows_is_the_value_worked_out_by_hand():
    x = np.array([[1.0, 10.0], [3.0, 30.0]])  # means 2 and 20, variances 1 and 100
    mean, var = np.array([0.0, 5.0]), np.array([1.0, 1.0])
    y, _ = batch_norm_forward(
        x, np.array([2.0, 1.0]), np.array([0.5, -1.0]), mean, var, training=True, epsilon=0.0
    )
    np.testing.assert_allclose(y, [[-1.5, -2.0], [2.5, 0.0]])
    np.testing.assert_allclose(mean, [0.2, 6.5])  # 0.9 old + 0.1 new
    np.testing.assert_allclose(var, [1.1, 20.9])  # the new ones are 2 and 200, divided by 1


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    x, mean, var = np.array([[3.0], [7.0]]), np.array([1.0]), np.array([4.0])
    y, _ = batch_norm_forward(
        x, np.array([10.0]), np.array([1.0]), mean, var, training=False, epsilon=0.0
    )
    np.testing.assert_allclose(y, [[11.0], [31.0]])
    assert (mean.item(), var.item()) == (1.0, 4.0)


@EACH_SHAPE
@TRAINING
@pytest.mark.parametrize("options", [(0.1, 1e-5), (0.3, 0.2)], ids=["defaults", "others"])
def test_batch_norm_is_that_of_torch(shape, training, options):
    momentum, epsilon = options
    arrays, dy = bn_arrays(shape), normal(*shape, seed=9)
    truth = torch_batch_norm(arrays, training, dy, momentum=momentum, eps=epsilon)
    given = {} if options == (0.1, 1e-5) else {"momentum": momentum, "epsilon": epsilon}
    y, cache = batch_norm_forward(*arrays, training, **given)
    mine = [y, *batch_norm_backward(dy, cache), *arrays[3:]]
    for ours, theirs in zip(mine, truth, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@EACH_SHAPE
@TRAINING
def test_batch_norm_in_float32_is_near_torch_and_stays_float32(shape, training):
    arrays, dy = bn_arrays(shape, np.float32), normal(*shape, seed=9, dtype=np.float32)
    truth = torch_batch_norm(arrays, training, dy)
    y, cache = batch_norm_forward(*arrays, training)
    mine = [y, *batch_norm_backward(dy, cache), *arrays[3:]]
    for ours, theirs in zip(mine, truth, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


@EACH_SHAPE
@TRAINING
def test_batch_norm_gradients_agree_with_measured_ones(shape, training):
    x, weight, bias, mean, var = bn_arrays(shape)

    def forward(x, weight, bias):
        return batch_norm_forward(x, weight, bias, mean.copy(), var.copy(), training, epsilon=1e-2)

    inputs = {"x": x, "weight": weight, "bias": bias}
    check_backward(forward, batch_norm_backward, inputs, np.random.default_rng(0))


def test_running_statistics_come_to_those_of_the_data():
    rng, mean, var = np.random.default_rng(3), np.zeros(2), np.ones(2)
    for _ in range(400):
        x = rng.normal([5.0, -1.0], [3.0, 0.5], size=(200, 2))
        batch_norm_forward(x, np.ones(2), np.zeros(2), mean, var, training=True)
    np.testing.assert_allclose(mean, [5.0, -1.0], atol=0.25)
    np.testing.assert_allclose(var, [9.0, 0.25], rtol=0.1)


def test_large_offset_does_not_spoil_the_variance():
    x = np.array([[10001.0], [10003.0]], np.float32)
    y, _ = batch_norm_forward(
        x,
        *(np.array([value], np.float32) for value in (1, 0, 0, 1)),
        training=True,
    )
    np.testing.assert_allclose(y, [[-1.0], [1.0]], rtol=1e-3)


def test_feature_that_is_the_same_throughout_becomes_the_bias():
    x = np.full((4, 1), 7.0)
    y, cache = batch_norm_forward(
        x, np.array([2.0]), np.array([0.5]), np.zeros(1), np.ones(1), training=True
    )
    np.testing.assert_allclose(y, np.full((4, 1), 0.5))
    dx, _, _ = batch_norm_backward(normal(4, 1), cache)
    assert np.all(np.isfinite(dx))


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)], ids=str)
def test_one_value_of_each_feature_is_refused_in_training_and_fine_in_evaluation(shape):
    arrays = bn_arrays(shape)
    with pytest.raises(ValueError, match=r"."):
        batch_norm_forward(*arrays, True)
    np.testing.assert_array_equal(arrays[3], bn_arrays(shape)[3])
    y, _ = batch_norm_forward(*arrays, False)
    assert y.shape == shape


def test_batch_norm_leaves_x_weight_bias_and_dy():
    arrays, dy = bn_arrays((5, 3)), normal(5, 3)
    _, cache = batch_norm_forward(*arrays, True)
    batch_norm_backward(dy, cache)
    for after, before in zip(arrays[:3], bn_arrays((5, 3)), strict=False):
        np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(dy, normal(5, 3))
