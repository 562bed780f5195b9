"""Losses by hand, against measured gradients and torch, and where probabilities would be 0."""

import math
import re
import warnings

import jaxtyping
import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase00.probability import cross_entropy_batch
from phase01.losses import (
    binary_cross_entropy_backward,
    binary_cross_entropy_forward,
    cross_entropy_backward,
    cross_entropy_forward,
    mse_backward,
    mse_forward,
)

F = torch.nn.functional
EXACT_AND_SINGLE = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)]
)


@pytest.fixture(autouse=True)
def _no_warning_leaks():
    """A test fails on a warning: what is meant is silent, what is not meant should not happen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def normal(*shape, seed=0, size=2.0):
    return np.random.default_rng(seed).normal(0, size, shape)


def against_torch(forward, backward, torch_loss, outputs, targets, tolerance):
    """Loss and gradient beside torch's, for a dloss that is not 1."""
    tensor = torch.tensor(outputs, requires_grad=True)
    truth = torch_loss(tensor, torch.tensor(targets))
    (torch_gradient,) = torch.autograd.grad(-3 * truth, tensor)
    loss, cache = forward(outputs, targets)
    assert type(loss) is float
    assert loss == pytest.approx(truth.item(), rel=tolerance)
    gradient = backward(-3.0, cache)
    assert gradient.dtype == outputs.dtype
    np.testing.assert_allclose(gradient, torch_gradient.numpy(), tolerance, tolerance / 10)


# ---- mean squared error ----------------------------------------------------------------------


def test_squared_error_by_hand():
    loss, cache = mse_forward(
        np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.0, 2.0], [5.0, 1.0]])
    )
    assert loss == pytest.approx((1 + 0 + 4 + 1) / 4, rel=1e-15)
    # 2 (y - t) / 4, times 10
    np.testing.assert_allclose(mse_backward(10.0, cache), [[5.0, 0.0], [-10.0, -5.0]], rtol=1e-15)


def test_gradient_of_the_squared_error_is_the_one_measured():
    target = normal(3, 5, seed=1)
    inputs = {"prediction": normal(3, 5)}
    rng = np.random.default_rng(2)
    check_backward(lambda prediction: mse_forward(prediction, target), mse_backward, inputs, rng)


@EXACT_AND_SINGLE
def test_squared_error_matches_torch(dtype, tolerance):
    y, t = normal(3, 5).astype(dtype), normal(3, 5, seed=1).astype(dtype)
    against_torch(mse_forward, mse_backward, F.mse_loss, y, t, tolerance)


def test_squared_error_in_float32_keeps_its_dtype_beside_float64_targets():
    _, cache = mse_forward(np.ones(3, np.float32), np.zeros(3))
    assert mse_backward(np.float64(1), cache).dtype == np.float32


# ---- binary cross-entropy --------------------------------------------------------------------


def test_binary_loss_by_hand():
    # p = 3/4 and 1/2; targets 1 and 0
    loss, cache = binary_cross_entropy_forward(np.array([math.log(3), 0.0]), np.array([1.0, 0.0]))
    assert loss == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-15)
    gradient = binary_cross_entropy_backward(4.0, cache)
    np.testing.assert_allclose(gradient, [2 * (0.75 - 1), 2 * 0.5], rtol=1e-15)


def test_gradient_of_the_binary_loss_is_the_one_measured():
    for targets in (np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), normal(2, 3) ** 2 % 1):
        check_backward(
            lambda logits, targets=targets: binary_cross_entropy_forward(logits, targets),
            binary_cross_entropy_backward,
            {"logits": normal(2, 3, seed=1)},
            np.random.default_rng(2),
        )


@EXACT_AND_SINGLE
def test_binary_loss_matches_torch_also_at_large_logits_and_soft_targets(dtype, tolerance):
    logits = np.concatenate([normal(20), [-80.0, 80.0, -500.0, 500.0]]).astype(dtype)
    targets = np.random.default_rng(1).uniform(size=24).astype(dtype)
    targets[-4:] = [0, 1, 1, 0]
    forward, backward = binary_cross_entropy_forward, binary_cross_entropy_backward
    truth = F.binary_cross_entropy_with_logits
    against_torch(forward, backward, truth, logits, targets, tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_loss_of_a_certain_mistake_is_the_logit_and_not_infinite(dtype):
    logits = np.array([[1000.0, -1000.0]], dtype)
    loss, cache = binary_cross_entropy_forward(logits, np.array([[0, 1]], dtype))
    assert loss == pytest.approx(1000, rel=1e-6)
    gradient = binary_cross_entropy_backward(2.0, cache)
    np.testing.assert_array_equal(gradient, [[1.0, -1.0]])
    assert binary_cross_entropy_forward(logits, np.array([[1, 0]], dtype))[0] == 0


@pytest.mark.parametrize("kind", [bool, np.int64, np.uint8])
def test_answers_may_be_booleans_or_whole_numbers(kind):
    logits, answers = normal(5).astype(np.float32), np.array([1, 0, 0, 1, 1])
    loss, cache = binary_cross_entropy_forward(logits, answers.astype(kind))
    truth, truth_cache = binary_cross_entropy_forward(logits, answers.astype(np.float32))
    assert loss == truth
    gradient = binary_cross_entropy_backward(1.0, cache)
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient, binary_cross_entropy_backward(1.0, truth_cache))


@pytest.mark.parametrize("wrong", [-0.5, 1.5, 2.0, math.nan])
def test_target_that_is_no_probability_is_refused_by_its_value(wrong):
    with pytest.raises(ValueError, match=str(wrong)):
        binary_cross_entropy_forward(np.zeros(3), np.array([0.0, wrong, 1.0]))


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("forward", [mse_forward, binary_cross_entropy_forward])
@pytest.mark.parametrize("shapes", [((5, 1), (5,)), ((5,), (1,)), ((0, 2), (0, 2))])
def test_shapes_that_would_broadcast_are_refused_with_both(forward, shapes):
    with pytest.raises(ValueError, match=re.escape(str(shapes[0]))) as caught:
        forward(*(np.zeros(shape) for shape in shapes))
    assert str(shapes[1]) in str(caught.value)


# ---- categorical cross-entropy ---------------------------------------------------------------


def test_loss_and_gradient_of_a_choice_by_hand():
    logits = np.log([[1.0, 2.0, 5.0], [6.0, 3.0, 1.0]])
    loss, cache = cross_entropy_forward(logits, np.array([1, 0]))
    assert loss == pytest.approx(-(math.log(2 / 8) + math.log(6 / 10)) / 2, rel=1e-14)
    gradient = cross_entropy_backward(2.0, cache)
    truth = [[0.125, 0.25 - 1, 0.625], [0.6 - 1, 0.3, 0.1]]
    np.testing.assert_allclose(gradient, truth, rtol=1e-13)


def test_loss_is_that_of_phase_0():
    logits, targets = normal(5, 7), np.array([6, 0, 3, 3, 1])
    truth = cross_entropy_batch(logits, targets)
    assert cross_entropy_forward(logits, targets)[0] == pytest.approx(truth, rel=1e-15)


@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_gradient_of_the_categorical_loss_is_the_one_measured(batch):
    targets = np.random.default_rng(1).integers(0, 7, batch)
    check_backward(
        lambda logits: cross_entropy_forward(logits, np.asarray(targets)),
        cross_entropy_backward,
        {"logits": normal(*batch, 7)},
        np.random.default_rng(2),
    )


@EXACT_AND_SINGLE
def test_categorical_loss_matches_torch(dtype, tolerance):
    logits = normal(6, 9, size=5.0).astype(dtype)
    targets = np.array([0, 8, 3, 3, 7, 1])
    forward, backward = cross_entropy_forward, cross_entropy_backward
    against_torch(forward, backward, F.cross_entropy, logits, targets, tolerance)


def test_gradient_does_not_depend_on_how_the_logits_lie_in_memory():
    logits, targets = normal(2, 5, 7), np.random.default_rng(1).integers(0, 7, (2, 5))
    _, cache = cross_entropy_forward(logits, targets)
    truth = cross_entropy_backward(1.0, cache)
    _, cache = cross_entropy_forward(np.asfortranarray(logits), targets)
    np.testing.assert_allclose(cross_entropy_backward(1.0, cache), truth, rtol=1e-14)


def test_backward_can_be_called_twice_with_the_same_result():
    _, cache = cross_entropy_forward(normal(3, 4), np.array([0, 3, 1]))
    first = cross_entropy_backward(1.0, cache).copy()
    np.testing.assert_array_equal(cross_entropy_backward(1.0, cache), first)


def test_gradient_of_an_example_sums_to_zero():
    _, cache = cross_entropy_forward(normal(6, 9), np.array([0, 8, 3, 3, 7, 1]))
    np.testing.assert_allclose(cross_entropy_backward(1.0, cache).sum(axis=-1), 0, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_logits_give_a_finite_loss_and_a_gradient_of_ones(dtype):
    logits = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], dtype)
    loss, cache = cross_entropy_forward(logits, np.array([1, 0]))
    assert loss == 1e4
    gradient = cross_entropy_backward(2.0, cache)
    np.testing.assert_array_equal(gradient, [[1, -1, 0], [0, 0, 0]])


def test_class_with_the_logit_minus_infinity_has_no_gradient():
    logits = np.array([[0.0, -math.inf, 0.0]])
    loss, cache = cross_entropy_forward(logits, np.array([2]))
    assert loss == pytest.approx(math.log(2))
    np.testing.assert_allclose(cross_entropy_backward(1.0, cache), [[0.5, 0, -0.5]], rtol=1e-15)
    with pytest.raises(ValueError, match="inf"):
        cross_entropy_forward(np.full((1, 3), -math.inf), np.array([0]))


def test_loss_of_a_certain_answer_is_not_minus_zero():
    loss, _ = cross_entropy_forward(np.array([[1000.0, 0.0]]), np.array([0]))
    assert (loss, math.copysign(1, loss)) == (0, 1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_targets_may_be_whole_numbers_of_any_kind(kind):
    logits, targets = normal(3, 4).astype(np.float32), np.array([0, 3, 1])
    loss, cache = cross_entropy_forward(logits, targets.astype(kind))
    assert loss == cross_entropy_forward(logits, targets)[0]
    assert cross_entropy_backward(np.float64(1), cache).dtype == np.float32


@pytest.mark.parametrize("wrong", [-1, 4, 7])
def test_target_that_is_no_class_is_refused_by_its_value(wrong):
    with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
        cross_entropy_forward(np.zeros((2, 4)), np.array([3, wrong]))


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("logits", "targets"), [((5, 3), (5, 1)), ((5, 3), (3,)), ((0, 3), (0,)), ((5, 0), (5,))]
)
def test_logits_and_targets_that_do_not_fit_are_refused_with_both_shapes(logits, targets):
    with pytest.raises(ValueError, match=re.escape(str(logits))) as caught:
        cross_entropy_forward(np.zeros(logits), np.zeros(targets, int))
    assert str(targets) in str(caught.value)


@pytest.mark.usefixtures("without_shape_checks")
def test_targets_that_are_no_integers_are_refused_by_their_dtype():
    with pytest.raises(TypeError, match="float64"):
        cross_entropy_forward(np.zeros((2, 3)), np.zeros(2))


def test_logits_and_targets_are_left_unchanged():
    logits, targets = normal(3, 4), np.array([0, 3, 1])
    before = logits.copy()
    _, cache = cross_entropy_forward(logits, targets)
    cross_entropy_backward(1.0, cache)
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_array_equal(targets, [0, 3, 1])
