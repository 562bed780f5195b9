"""Softmax by hand, against torch, and at the scores where the naive form fails."""

import math
import warnings

import numpy as np
import pytest
import torch

from phase00.probability import log_softmax, softmax, softmax_naive

BOTH = pytest.mark.parametrize("function", [softmax_naive, softmax])
STABLE = pytest.mark.parametrize("function", [softmax, log_softmax])
ALL = pytest.mark.parametrize("function", [softmax_naive, softmax, log_softmax])
INFINITY = math.inf


@pytest.fixture(autouse=True)
def _no_warning_leaks():
    """A test fails on a warning: what is meant is silent, what is not meant should not happen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@BOTH
def test_probabilities_are_the_exponentials_over_their_sum(function):
    # exp turns these scores into 1, 2 and 5, which sum to 8.
    probabilities = function(np.log([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(probabilities, [1 / 8, 2 / 8, 5 / 8], rtol=1e-14)


@ALL
def test_function_leaves_its_scores_unchanged(function):
    scores = np.array([[0.5, 2.0, -1.0], [7.0, 8.0, 9.0]])
    before = scores.copy()
    function(scores)
    np.testing.assert_array_equal(scores, before)


@BOTH
def test_each_row_of_the_last_axis_is_a_distribution_of_its_own(function):
    probabilities = function(np.log([[1.0, 2.0, 5.0], [6.0, 3.0, 1.0]]))
    truth = [[0.125, 0.25, 0.625], [0.6, 0.3, 0.1]]
    np.testing.assert_allclose(probabilities, truth, rtol=1e-14)


@BOTH
def test_probabilities_are_positive_and_sum_to_one(function):
    probabilities = function(np.random.default_rng(0).normal(0, 3, (2, 5, 7)))
    assert probabilities.shape == (2, 5, 7)
    assert (probabilities > 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), np.ones((2, 5)), rtol=1e-14)


def test_softmax_of_scores_of_1000_does_not_overflow():
    e = math.e
    truth = np.array([e * e, e, 1]) / (e * e + e + 1)
    probabilities = softmax(np.array([1000.0, 999.0, 998.0]))
    np.testing.assert_allclose(probabilities, truth, rtol=1e-14)
    assert (probabilities > 0).all()


def test_softmax_of_scores_of_minus_1000_does_not_divide_by_zero():
    probabilities = softmax(np.array([-1000.0, -1000.0 + math.log(3)]))
    np.testing.assert_allclose(probabilities, [0.25, 0.75], rtol=1e-12)


def test_softmax_takes_the_largest_of_each_row_and_not_of_the_whole_array():
    probabilities = softmax(np.array([[1000.0, 1000.0], [0.0, math.log(3)]]))
    np.testing.assert_allclose(probabilities, [[0.5, 0.5], [0.25, 0.75]], rtol=1e-14)


def test_naive_softmax_of_scores_of_1000_is_nan():
    probabilities = softmax_naive(np.array([1000.0, 999.0, 998.0]))
    np.testing.assert_array_equal(probabilities, [math.nan] * 3)


def test_naive_softmax_of_scores_of_minus_1000_is_nan():
    probabilities = softmax_naive(np.array([-1000.0, -999.0]))
    np.testing.assert_array_equal(probabilities, [math.nan] * 2)


def test_naive_softmax_in_float32_fails_at_a_score_of_89_already():
    assert np.isfinite(softmax_naive(np.array([89.0, 0.0]))).all()
    assert math.isnan(softmax_naive(np.array([89, 0], np.float32))[0])
    np.testing.assert_array_equal(softmax(np.array([200, 0], np.float32)), [1, 0])


def test_adding_a_constant_to_all_scores_changes_nothing():
    scores = np.array([[0.5, -1.0, 2.0], [1.5, 0.0, -0.25]])  # exact also after adding 4096
    np.testing.assert_array_equal(softmax(scores + 4096), softmax(scores))
    np.testing.assert_array_equal(log_softmax(scores - 4096), log_softmax(scores))


def test_temperature_divides_the_scores():
    # At T = 1/2 the exponentials 1, 2, 5 are squared; at T = 2 their roots are taken.
    scores = np.log([1.0, 2.0, 5.0])
    sharp = softmax(scores, temperature=0.5)
    np.testing.assert_allclose(sharp, [1 / 30, 4 / 30, 25 / 30], rtol=1e-14)
    roots = np.sqrt([1.0, 2.0, 5.0])
    np.testing.assert_allclose(softmax(scores, temperature=2.0), roots / roots.sum(), rtol=1e-14)


def test_temperature_of_one_is_the_default():
    scores = np.array([0.3, -2.0, 1.1])
    np.testing.assert_array_equal(softmax(scores), softmax(scores, temperature=1.0))
    np.testing.assert_allclose(softmax(scores), softmax_naive(scores), rtol=1e-14)


def test_a_small_temperature_gives_all_to_the_largest_score():
    np.testing.assert_array_equal(softmax(np.array([1.0, 3.0, 2.0]), 1e-3), [0, 1, 0])


def test_a_small_temperature_lets_equal_largest_scores_share():
    np.testing.assert_array_equal(softmax(np.array([3.0, 1.0, 3.0]), 1e-3), [0.5, 0, 0.5])


def test_the_smallest_temperatures_do_not_overflow():
    probabilities = softmax(np.array([1000.0, 999.0, -1000.0]), temperature=1e-307)
    np.testing.assert_array_equal(probabilities, [1, 0, 0])


def test_a_large_temperature_makes_all_outcomes_alike():
    probabilities = softmax(np.array([5.0, -3.0, 0.0, 1.0]), temperature=1e9)
    np.testing.assert_allclose(probabilities, [0.25] * 4, rtol=1e-8)


@pytest.mark.parametrize("temperature", [0.0, -0.5, math.nan, INFINITY])
def test_a_temperature_that_is_not_above_zero_and_finite_is_refused(temperature):
    with pytest.raises(ValueError, match=f"(?i)temperature.*{temperature}"):
        softmax(np.array([1.0, 2.0]), temperature=temperature)


def test_a_temperature_that_is_zero_in_the_dtype_of_the_scores_is_refused():
    with pytest.raises(ValueError, match="1e-60"):
        softmax(np.array([1, 2], np.float32), temperature=1e-60)


def test_log_softmax_is_the_logarithm_of_the_probabilities():
    logs = log_softmax(np.log([[1.0, 2.0, 5.0], [6.0, 3.0, 1.0]]))
    truth = np.log([[0.125, 0.25, 0.625], [0.6, 0.3, 0.1]])
    np.testing.assert_allclose(logs, truth, rtol=1e-14)


def test_log_softmax_is_finite_where_the_probability_is_rounded_to_zero():
    np.testing.assert_array_equal(log_softmax(np.array([0.0, -1000.0])), [0, -1000])
    np.testing.assert_array_equal(log_softmax(np.array([3000.0, 1000.0])), [0, -2000])


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_result_has_the_dtype_of_the_scores(function, dtype):
    assert function(np.array([0.5, 2.0, -1.0], dtype)).dtype == dtype


def test_a_float64_temperature_leaves_float32_scores_float32():
    scores = np.array([0.5, 2.0], np.float32)
    assert softmax(scores, temperature=np.float64(0.5)).dtype == np.float32


@ALL
def test_whole_number_scores_are_taken_as_float64(function):
    result = function(np.array([3, 1, 2]))
    np.testing.assert_array_equal(result, function(np.array([3.0, 1.0, 2.0])))
    small = function(np.array([3, 1, 2], np.uint8))
    np.testing.assert_array_equal(small, function(np.array([3.0, 1.0, 2.0])))


def test_whole_number_scores_take_a_fractional_temperature():
    probabilities = softmax(np.array([1, 2]), temperature=0.5)
    np.testing.assert_array_equal(probabilities, softmax(np.array([1.0, 2.0]), temperature=0.5))


@BOTH
def test_a_masked_score_has_the_probability_zero(function):
    probabilities = function(np.array([math.log(3), -INFINITY, 0.0]))
    np.testing.assert_allclose(probabilities, [0.75, 0, 0.25], rtol=1e-14)
    assert probabilities[1] == 0


def test_a_masked_score_stays_masked_at_every_temperature():
    probabilities = softmax(np.array([-INFINITY, 2.0, 2.0]), temperature=1e6)
    np.testing.assert_array_equal(probabilities, [0, 0.5, 0.5])


def test_a_masked_score_has_the_log_probability_minus_infinity():
    logs = log_softmax(np.array([math.log(3), -INFINITY, 0.0]))
    np.testing.assert_allclose(logs, [math.log(0.75), -INFINITY, math.log(0.25)], rtol=1e-14)


@STABLE
def test_a_row_with_all_scores_masked_is_refused(function):
    scores = np.array([[0.0, 1.0], [-INFINITY, -INFINITY]])
    with pytest.raises(ValueError, match="-inf"):
        function(scores)


@STABLE
def test_rows_are_masked_out_along_the_axis_that_is_asked_for(function):
    scores = np.array([[0.0, 1.0], [-INFINITY, -INFINITY]])
    assert np.isfinite(function(scores, axis=0)[0]).all()
    with pytest.raises(ValueError, match="-inf"):
        function(scores.T, axis=0)


@ALL
def test_a_nan_spoils_its_own_row_alone(function):
    result = function(np.array([[0.0, math.nan, 1.0], [0.0, 1.0, 2.0]]))
    np.testing.assert_array_equal(np.isnan(result), [[True] * 3, [False] * 3])


@STABLE
def test_axis_says_along_which_axis_the_outcomes_lie(function):
    scores = np.random.default_rng(1).normal(size=(2, 3, 4))
    for axis in (0, 1, 2):
        last = np.moveaxis(function(np.moveaxis(scores, axis, -1)), -1, axis)
        np.testing.assert_allclose(function(scores, axis=axis), last, rtol=1e-14)
        np.testing.assert_allclose(function(scores, axis=axis - 3), last, rtol=1e-14)


@STABLE
@pytest.mark.parametrize(
    ("shape", "axis"), [((), -1), ((0,), -1), ((2, 0), 1), ((2, 3), 2), ((2, 3), -3)]
)
def test_an_axis_without_a_score_is_refused(function, shape, axis):
    with pytest.raises(ValueError, match=r"axis|score|shape|empty|at least one|zero-size"):
        function(np.zeros(shape), axis=axis)


@ALL
def test_an_empty_batch_has_an_empty_result(function):
    assert function(np.zeros((0, 5))).shape == (0, 5)


def test_a_single_outcome_is_certain():
    np.testing.assert_array_equal(softmax(np.array([[-3.0], [800.0]])), [[1], [1]])
    np.testing.assert_array_equal(log_softmax(np.array([-3.0])), [0])


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [(np.float64, 1e-12, 0), (np.float32, 2e-6, 1e-7)]
)
def test_softmax_and_log_softmax_equal_those_of_torch(dtype, rtol, atol):
    scores = np.random.default_rng(2).normal(0, 5, (3, 4, 7)).astype(dtype)
    theirs = torch.from_numpy(scores)
    truth = torch.softmax(theirs / 0.7, dim=1).numpy()
    np.testing.assert_allclose(softmax(scores, 0.7, axis=1), truth, rtol=rtol, atol=atol)
    truth = torch.log_softmax(theirs, dim=-1).numpy()
    np.testing.assert_allclose(log_softmax(scores), truth, rtol=rtol, atol=atol)
