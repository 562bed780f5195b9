"""Label smoothing: by hand, torch, finite differences, and the least loss that there can be."""

import math

import jaxtyping
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from phase00.gradcheck import check_backward
from phase01.losses import cross_entropy_forward
from phase05.label_smoothing import (
    least_loss,
    smoothed_cross_entropy_backward,
    smoothed_cross_entropy_forward,
)

B, T, V = 2, 5, 4
SHARES = [0.0, 0.1, 0.35, 1.0]


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def examples(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, size=(B, T, V)).astype(dtype)
    return logits, rng.integers(0, V, size=(B, T))


def test_value_worked_out_by_hand():
    # Probabilities 1/2, 1/4, 1/4 and the target 0; smoothing 0.3 makes it 0.8, 0.1, 0.1.
    logits = np.log([[2.0, 1.0, 1.0]]) + 5
    loss, cache = smoothed_cross_entropy_forward(logits, np.array([0]), 0.3)
    assert loss == pytest.approx(0.8 * math.log(2) + 0.2 * math.log(4), rel=1e-14)
    dlogits = smoothed_cross_entropy_backward(1.0, cache)
    np.testing.assert_allclose(dlogits, [[0.5 - 0.8, 0.25 - 0.1, 0.25 - 0.1]], rtol=1e-13)


@pytest.mark.parametrize("smoothing", SHARES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_loss_and_gradient_match_torch(smoothing, dtype, tolerance):
    logits, targets = examples(dtype)
    theirs = torch.tensor(logits, requires_grad=True)
    truth = F.cross_entropy(
        theirs.flatten(0, 1), torch.from_numpy(targets).flatten(), label_smoothing=smoothing
    )
    (2.5 * truth).backward()
    loss, cache = smoothed_cross_entropy_forward(logits, targets, smoothing)
    dlogits = smoothed_cross_entropy_backward(2.5, cache)
    assert type(loss) is float
    assert loss == pytest.approx(truth.item(), rel=tolerance)
    assert theirs.grad is not None
    np.testing.assert_allclose(dlogits, theirs.grad.numpy(), rtol=tolerance, atol=tolerance)
    assert dlogits.dtype == dtype


@pytest.mark.parametrize("smoothing", SHARES)
def test_gradient_matches_finite_differences(smoothing):
    logits, targets = examples(seed=1)

    def forward(logits):
        return smoothed_cross_entropy_forward(logits, targets, smoothing)

    backward = smoothed_cross_entropy_backward
    check_backward(forward, backward, {"logits": logits}, np.random.default_rng(2))


def test_no_smoothing_is_cross_entropy_and_what_it_does_unasked():
    logits, targets = examples()
    truth, _ = cross_entropy_forward(logits, targets)
    assert smoothed_cross_entropy_forward(logits, targets)[0] == pytest.approx(truth, rel=1e-13)
    loss, _ = smoothed_cross_entropy_forward(logits, targets, 0.0)
    assert loss == pytest.approx(truth, rel=1e-13)


def test_loss_is_linear_between_certainty_and_the_mean_of_all_classes():
    logits, targets = examples()
    sure, _ = smoothed_cross_entropy_forward(logits, targets, 0.0)
    flat, _ = smoothed_cross_entropy_forward(logits, targets, 1.0)
    log_probabilities = F.log_softmax(torch.from_numpy(logits), dim=-1).numpy()
    assert flat == pytest.approx(-log_probabilities.mean(), rel=1e-12)
    mixed, _ = smoothed_cross_entropy_forward(logits, targets, 0.2)
    assert mixed == pytest.approx(0.8 * sure + 0.2 * flat, rel=1e-12)


@pytest.mark.parametrize("smoothing", SHARES)
def test_least_loss_is_reached_where_the_probabilities_are_the_smoothed_target(smoothing):
    wanted = np.full((1, V), smoothing / V)
    wanted[0, 2] += 1 - smoothing
    target = np.array([2])
    best = np.log(np.maximum(wanted, 1e-300))
    loss, cache = smoothed_cross_entropy_forward(best, target, smoothing)
    assert loss == pytest.approx(least_loss(V, smoothing), abs=1e-12)
    np.testing.assert_allclose(
        smoothed_cross_entropy_backward(1.0, cache), np.zeros((1, V)), atol=1e-12
    )
    for seed in range(5):
        moved = best + np.random.default_rng(seed).normal(0, 0.3, size=best.shape)
        assert smoothed_cross_entropy_forward(moved, target, smoothing)[0] >= loss - 1e-12


def test_least_loss_by_hand():
    assert least_loss(2, 1.0) == pytest.approx(math.log(2))
    assert least_loss(5, 0.0) == 0
    truth = -0.8 * math.log(0.8) - 2 * 0.1 * math.log(0.1)
    assert least_loss(3, 0.3) == pytest.approx(truth)
    assert least_loss(1, 0.4) == pytest.approx(0)


def test_large_logits_neither_overflow_nor_warn():
    logits = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4, 0.0]], dtype=np.float32)
    loss, cache = smoothed_cross_entropy_forward(logits, np.array([0, 0]), 0.3)
    # Row one: 0.2 (log 1 + 1e4) / 2 ...: shares 0.8, 0.1, 0.1 of 0, 1e4, 2e4; row two: 2e4, 0, 1e4
    assert loss == pytest.approx((0.1 * 3e4 + 0.8 * 2e4 + 0.1 * 1e4) / 2, rel=1e-5)
    assert np.isfinite(smoothed_cross_entropy_backward(1.0, cache)).all()


def test_large_logits_of_one_example_leave_the_others_alone():
    logits = np.array([[0.0, 1.0, 2.0], [1e4, 1e4 + 1, 1e4 + 2]])
    alone, _ = smoothed_cross_entropy_forward(logits[:1], np.array([0]), 0.1)
    both, cache = smoothed_cross_entropy_forward(logits, np.array([0, 0]), 0.1)
    assert both == pytest.approx(alone, rel=1e-10)
    dlogits = smoothed_cross_entropy_backward(1.0, cache)
    np.testing.assert_allclose(dlogits[0], dlogits[1], rtol=1e-10)


def test_gradients_of_an_example_add_up_to_zero():
    logits, targets = examples()
    _, cache = smoothed_cross_entropy_forward(logits, targets, 0.1)
    sums = smoothed_cross_entropy_backward(3.0, cache).sum(axis=-1)
    np.testing.assert_allclose(sums, np.zeros((B, T)), atol=1e-14)


def test_backward_can_be_called_twice_and_no_input_is_changed():
    logits, targets = examples()
    before = logits.copy(), targets.copy()
    _, cache = smoothed_cross_entropy_forward(logits, targets, 0.1)
    first = smoothed_cross_entropy_backward(1.0, cache).copy()
    np.testing.assert_array_equal(smoothed_cross_entropy_backward(1.0, cache), first)
    np.testing.assert_array_equal(logits, before[0])
    np.testing.assert_array_equal(targets, before[1])


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, math.nan])
def test_share_that_is_none_is_refused(smoothing):
    logits, targets = examples()
    with pytest.raises(ValueError, match=rf"{smoothing}"):
        smoothed_cross_entropy_forward(logits, targets, smoothing)
    with pytest.raises(ValueError, match=r"\d|nan"):
        least_loss(V, smoothing)


@pytest.mark.parametrize("target", [-1, V])
def test_target_that_is_no_class_is_named(target):
    logits, targets = examples()
    targets[1, 2] = target
    with pytest.raises(ValueError, match=rf"{target}\b"):
        smoothed_cross_entropy_forward(logits, targets, 0.1)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(("shape", "rows"), [((3, V), (2,)), ((0, V), (0,)), ((2, 3, V), (2,))])
def test_shapes_that_do_not_fit_are_refused(shape, rows):
    with pytest.raises(ValueError, match=r"\d"):
        smoothed_cross_entropy_forward(np.zeros(shape), np.zeros(rows, dtype=int), 0.1)


def test_no_class_has_no_least_loss():
    with pytest.raises(ValueError, match=r"\b0\b"):
        least_loss(0, 0.1)
