"""Measured derivatives against those known in closed form, and their error for each epsilon."""

import math

import numpy as np
import pytest

from phase00.calculus import (
    derivative_errors,
    numerical_derivative,
    numerical_gradient,
    sin_of_square,
    sin_of_square_derivative,
)

# --- numerical_derivative -----------------------------------------------------------------------


@pytest.mark.parametrize("x", [-2.0, 0.0, 0.5, 3.0])
def test_derivative_of_x_squared_is_2x(x):
    assert numerical_derivative(lambda t: t**2, x) == pytest.approx(2 * x, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("x", [-1.0, 0.0, 0.7, 2.0])
def test_derivative_of_the_sine_is_the_cosine(x):
    assert numerical_derivative(math.sin, x) == pytest.approx(math.cos(x), rel=1e-7)


def test_both_sides_are_used_so_a_parabola_has_no_truncation_error_even_at_epsilon_1():
    # One side alone gives ((3 + 1)^2 - 3^2) / 1 = 7.
    assert numerical_derivative(lambda t: t**2, 3.0, epsilon=1.0) == pytest.approx(6.0, rel=1e-12)


def test_derivative_of_a_cube_is_too_large_by_epsilon_squared():
    # ((2 + 0.5)^3 - (2 - 0.5)^3) / (2 * 0.5) = 15.625 - 3.375 = 12.25, and 3 * 2^2 = 12.
    assert numerical_derivative(lambda t: t**3, 2.0, epsilon=0.5) == pytest.approx(12.25, rel=1e-12)


def test_derivative_takes_a_step_of_1e_minus_7_by_default():
    seen = []

    def square(t):
        seen.append(t)
        return t**2

    numerical_derivative(square, 0.0)
    assert [min(seen), max(seen)] == pytest.approx([-1e-7, 1e-7])


# --- numerical_gradient -------------------------------------------------------------------------


def test_gradient_of_the_sum_of_squares_is_2x_in_the_shape_of_x():
    x = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, -1.5]])
    truth = 2 * x  # before the call: it shall not matter here whether x is left as it is
    gradient = numerical_gradient(lambda a: np.sum(a**2), x)
    np.testing.assert_allclose(gradient, truth, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 3, 5)])
def test_gradient_of_the_sum_of_sines_is_the_cosine_for_any_shape(shape):
    x = np.random.default_rng(0).normal(size=shape)
    gradient = numerical_gradient(lambda a: np.sum(np.sin(a)), x)
    np.testing.assert_allclose(gradient, np.cos(x), rtol=1e-6, atol=1e-7)


def test_each_element_is_moved_alone_so_that_products_of_elements_come_out_right():
    # f = a b^2 c^3 at (2, 3, 1): (9 * 1, 2 * 2 * 3 * 1, 3 * 2 * 9 * 1)
    x = np.array([2.0, 3.0, 1.0])
    gradient = numerical_gradient(lambda a: a[0] * a[1] ** 2 * a[2] ** 3, x)
    np.testing.assert_allclose(gradient, [9.0, 12.0, 54.0], rtol=1e-7)


def test_gradient_of_a_dot_product_is_the_other_vector():
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=5), rng.normal(size=5)
    gradient = numerical_gradient(lambda a: a @ weight, x, epsilon=1e-3)
    np.testing.assert_allclose(gradient, weight, rtol=1e-10)


def test_gradient_leaves_x_unchanged_to_the_last_bit():
    x = np.array([0.1, 1e8, -3.3e-5])
    before = x.copy()
    gradient = numerical_gradient(lambda a: np.sum(a), x, epsilon=1e-2)
    np.testing.assert_allclose(gradient, np.ones(3), rtol=1e-5)
    np.testing.assert_array_equal(x, before)


def test_an_element_is_back_in_its_place_to_the_last_bit_when_the_next_one_is_moved():
    # (0.1 + 0.3) - 0.3 is 0.10000000000000003: what was added is not simply taken away again.
    seen = []

    def second(a):
        seen.append((float(a[0]), float(a[1])))
        return a[1]

    numerical_gradient(second, np.array([0.1, 0.7]), epsilon=0.3)
    assert {first for first, other in seen if other != 0.7} == {0.1}


def test_a_function_that_writes_into_its_argument_does_not_reach_x():
    x = np.array([1.0, -2.0])

    def careless(a):
        total = float(np.sum(a))
        a *= 0
        return total

    numerical_gradient(careless, x)
    np.testing.assert_array_equal(x, [1.0, -2.0])


def test_gradient_of_float32_and_of_integers_is_measured_in_float64():
    for x in (np.array([1.0, 3.0], dtype=np.float32), np.array([1, 3])):
        gradient = numerical_gradient(lambda a: np.sum(a**2), x)
        assert gradient.dtype == np.float64
        np.testing.assert_allclose(gradient, [2.0, 6.0], rtol=1e-7)


def test_gradient_takes_a_step_of_1e_minus_7_by_default():
    seen = []

    def first(a):
        seen.append(float(a[0]))
        return a[0]

    numerical_gradient(first, np.zeros(1))
    assert [min(seen), max(seen)] == pytest.approx([-1e-7, 1e-7])


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, -1e-5, math.nan])
def test_a_step_that_is_not_above_zero_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon"):
        numerical_derivative(math.sin, 1.0, epsilon=epsilon)
    with pytest.raises(ValueError, match="epsilon"):
        numerical_gradient(np.sum, np.ones(2), epsilon=epsilon)


def test_a_function_that_returns_an_array_is_refused_with_its_shape():
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        numerical_gradient(np.square, np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"\(1,\)"):
        numerical_derivative(lambda t: np.array([t]), 1.0)  # ty: ignore[invalid-argument-type]


# --- the chain rule -----------------------------------------------------------------------------


def test_sin_of_square_squares_first():
    assert sin_of_square(math.sqrt(math.pi / 2)) == pytest.approx(1.0)  # and not sin(x)^2 = 0.90
    assert sin_of_square(0.5) == pytest.approx(math.sin(0.25))
    np.testing.assert_allclose(sin_of_square(np.array([-2.0, 0.0])), [math.sin(4), 0], rtol=1e-12)


def test_chain_rule_takes_the_outer_derivative_at_the_inner_value():
    # At x^2 = pi: cos(pi) * 2 sqrt(pi); taken at x it would be cos(sqrt(pi)) * 2 sqrt(pi).
    root = math.sqrt(math.pi)
    assert sin_of_square_derivative(root) == pytest.approx(-2 * root)
    assert sin_of_square_derivative(0.0) == 0


def test_chain_rule_by_formula_and_by_measurement_agree():
    x = np.random.default_rng(2).uniform(-3, 3, size=(3, 7))
    by_formula = sin_of_square_derivative(x)
    measured = numerical_gradient(lambda a: np.sum(sin_of_square(a)), x, epsilon=1e-5)
    np.testing.assert_allclose(by_formula, measured, rtol=1e-6, atol=1e-7)


# --- the error as a function of epsilon ---------------------------------------------------------


def test_errors_are_absolute_and_one_for_each_epsilon():
    # For the cube the error is epsilon squared, exactly; for its negative it is below the truth.
    errors = derivative_errors(lambda t: -(t**3), lambda t: -3 * t**2, 2.0, [0.5, 1.0, 0.25])
    np.testing.assert_allclose(errors, [0.25, 1.0, 0.0625], rtol=1e-12)


def test_a_step_ten_times_smaller_has_a_hundredth_of_the_truncation_error():
    errors = derivative_errors(math.exp, math.exp, 1.0, [1e-1, 1e-2, 1e-3])
    np.testing.assert_allclose(errors[:2] / errors[1:], [100, 100], rtol=0.01)
    assert errors[0] == pytest.approx(0.1**2 * math.e / 6, rel=0.01)


def test_too_large_truncates_and_too_small_rounds():
    epsilons = np.array([1e-2, 1e-5, 1e-12])
    errors = derivative_errors(math.exp, math.exp, 1.0, epsilons)
    assert errors[1] < 1e-9
    assert errors[0] > 1e-5
    assert errors[2] > 1e-6
