"""Cross-entropy by hand, against torch, and where the naive form is infinite."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional

from phase00.probability import cross_entropy, cross_entropy_batch, cross_entropy_naive

NOT_INTEGERS = (TypeError, ValueError)  # either is a fair answer to a target of 1.0


@pytest.fixture(autouse=True)
def _no_warning_leaks():
    """A test fails on a warning: what is meant is silent, what is not meant should not happen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.mark.parametrize(("target", "loss"), [(0, math.log(2)), (1, math.log(4)), (3, math.log(8))])
def test_naive_loss_is_minus_the_log_of_the_right_probability(target, loss):
    probabilities = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8])
    assert cross_entropy_naive(probabilities, target) == pytest.approx(loss, rel=1e-14)


def test_naive_loss_is_infinite_where_the_probability_is_zero():
    assert cross_entropy_naive(np.array([1.0, 0.0]), 1) == math.inf


def test_a_confident_wrong_answer_has_a_large_loss_and_not_infinity():
    assert cross_entropy(np.array([1000.0, 0.0]), 1) == 1000
    assert cross_entropy(np.array([0.0, -5000.0, 5000.0]), 1) == 10000
    logits = np.array([[1000.0, 0.0], [0.0, 3000.0]])
    assert cross_entropy_batch(logits, np.array([1, 0])) == 2000


def test_logits_go_through_softmax_once_and_not_twice():
    # Taken for scores again, the probabilities 1/8, 2/8, 5/8 would give 1.33 and not log 8.
    logits = np.log([1.0, 2.0, 5.0])
    assert cross_entropy(logits, 0) == pytest.approx(math.log(8), rel=1e-14)
    batch = cross_entropy_batch(logits[np.newaxis], np.array([0]))
    assert batch == pytest.approx(math.log(8), rel=1e-14)


@pytest.mark.parametrize(("target", "share"), [(0, 1 / 8), (1, 2 / 8), (2, 5 / 8)])
def test_loss_from_logits_is_minus_the_log_of_their_softmax(target, share):
    logits = np.log([1.0, 2.0, 5.0])  # the exponentials are 1, 2, 5
    assert cross_entropy(logits, target) == pytest.approx(-math.log(share), rel=1e-14)


def test_loss_of_equal_logits_is_the_log_of_the_number_of_classes():
    assert cross_entropy(np.full(50, -3.0), 17) == pytest.approx(math.log(50), rel=1e-14)


def test_loss_of_a_certain_and_right_answer_is_zero():
    assert cross_entropy_naive(np.array([0.0, 1.0]), 1) == 0
    assert cross_entropy(np.array([-2000.0, 0.0, -1000.0]), 1) == 0
    assert cross_entropy_batch(np.array([[-2000.0, 0.0, -1000.0]]), np.array([1])) == 0


def test_a_loss_of_zero_is_not_written_as_minus_zero():
    losses = [
        cross_entropy_naive(np.array([0.0, 1.0]), 1),
        cross_entropy(np.array([-2000.0, 0.0]), 1),
        cross_entropy_batch(np.array([[-2000.0, 0.0]]), np.array([1])),
    ]
    assert [str(loss) for loss in losses] == ["0.0"] * 3


def test_a_masked_class_takes_no_part():
    logits = np.array([math.log(3), -math.inf, 0.0])
    assert cross_entropy(logits, 0) == pytest.approx(math.log(4 / 3), rel=1e-14)


def test_loss_is_infinite_only_where_the_right_class_is_masked():
    assert cross_entropy(np.array([0.0, -math.inf]), 1) == math.inf


def test_batch_loss_is_the_mean_over_the_examples():
    logits = np.log([[1.0, 2.0, 5.0], [6.0, 3.0, 1.0]])
    truth = (math.log(8 / 2) + math.log(10 / 6)) / 2
    assert cross_entropy_batch(logits, np.array([1, 0])) == pytest.approx(truth, rel=1e-14)


def test_batch_loss_takes_the_class_of_each_row_from_its_own_target():
    logits = np.random.default_rng(0).normal(0, 2, (6, 4))
    targets = np.array([3, 0, 2, 2, 1, 0])
    single = [cross_entropy(row, int(target)) for row, target in zip(logits, targets, strict=True)]
    assert cross_entropy_batch(logits, targets) == pytest.approx(np.mean(single), rel=1e-14)


def test_a_batch_of_one_has_the_loss_of_its_example():
    logits = np.array([0.5, -2.0, 1.0, 4.0])
    batch = cross_entropy_batch(logits[np.newaxis], np.array([2]))
    assert batch == pytest.approx(cross_entropy(logits, 2), rel=1e-14)


def test_losses_are_plain_floats():
    assert type(cross_entropy_naive(np.array([0.5, 0.5], np.float32), 0)) is float
    assert type(cross_entropy(np.array([0.5, 0.1], np.float32), 0)) is float
    assert type(cross_entropy_batch(np.array([[0.5, 0.1]], np.float32), np.array([0]))) is float


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.uint16])
def test_targets_may_have_any_integer_dtype(dtype):
    logits = np.random.default_rng(1).normal(size=(2, 3))
    truth = cross_entropy_batch(logits, np.array([2, 0]))
    assert cross_entropy_batch(logits, np.array([2, 0], dtype)) == truth
    assert cross_entropy(logits[0], dtype(2)) == cross_entropy(logits[0], 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_whole_numbers_are_taken_as_logits_too(dtype):
    truth = cross_entropy(np.array([3, 1, 2], dtype), 1)
    assert cross_entropy(np.array([3, 1, 2]), 1) == pytest.approx(truth, rel=1e-6)
    batch = cross_entropy_batch(np.array([[3, 1, 2]]), np.array([1]))
    assert batch == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("target", [-1, -3, 3, 7])
@pytest.mark.parametrize("function", [cross_entropy_naive, cross_entropy])
def test_a_target_that_is_no_class_is_refused_by_name(function, target):
    with pytest.raises(ValueError, match=rf"(?<!\d){target}\b.*\b3\b|\b3\b.*(?<!\d){target}\b"):
        function(np.array([0.5, 0.25, 0.25]), target)


@pytest.mark.parametrize("target", [-1, 5])
def test_a_target_of_a_batch_that_is_no_class_is_refused_by_name(target):
    with pytest.raises(ValueError, match=rf"(?<!\d){target}\b.*\b5\b|\b5\b.*(?<!\d){target}\b"):
        cross_entropy_batch(np.zeros((3, 5)), np.array([4, target, 0]))


@pytest.mark.parametrize("target", [1.0, True, "1", None])
@pytest.mark.parametrize("function", [cross_entropy_naive, cross_entropy])
def test_a_target_that_is_no_integer_is_refused(function, target):
    with pytest.raises(NOT_INTEGERS):
        function(np.array([0.5, 0.25, 0.25]), target)


def test_targets_of_a_batch_that_are_no_integers_are_refused():
    with pytest.raises(NOT_INTEGERS):
        cross_entropy_batch(np.zeros((2, 3)), np.array([1.0, 2.0]))


@pytest.mark.parametrize("shape", [(), (3, 1), (1, 3), (3, 5)])
def test_targets_of_another_shape_than_the_batch_are_refused(shape):
    with pytest.raises(ValueError, match=r"3, 5"):
        cross_entropy_batch(np.zeros((3, 5)), np.zeros(shape, int))


@pytest.mark.parametrize(("n_logits", "n_targets"), [(3, 2), (3, 4), (3, 1), (1, 3)])
def test_logits_and_targets_of_different_numbers_are_refused_with_both_named(n_logits, n_targets):
    both = rf"{n_logits}, 5.*{n_targets},|{n_targets},.*{n_logits}, 5"
    with pytest.raises(ValueError, match=both):
        cross_entropy_batch(np.zeros((n_logits, 5)), np.zeros(n_targets, int))


def test_a_batch_is_no_single_example_and_a_single_example_no_batch():
    with pytest.raises(ValueError, match="shape"):
        cross_entropy(np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match="shape"):
        cross_entropy_naive(np.full((2, 2), 0.5), 1)
    with pytest.raises(ValueError, match="shape"):
        cross_entropy_batch(np.zeros(3), np.array(1))
    with pytest.raises(ValueError, match="shape"):
        cross_entropy_batch(np.zeros((2, 4, 3)), np.zeros((2, 4), int))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"empty|at least one"):
        cross_entropy_batch(np.zeros((0, 3)), np.zeros(0, int))


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_losses_equal_those_of_torch(dtype, rtol):
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 5, (11, 7)).astype(dtype)
    targets = rng.integers(7, size=11)
    truth = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets)).item()
    assert cross_entropy_batch(logits, targets) == pytest.approx(truth, rel=rtol)
    each = functional.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(targets), reduction="none"
    )
    for row, target, one in zip(logits, targets, each, strict=True):
        assert cross_entropy(row, int(target)) == pytest.approx(one.item(), rel=rtol)
