"""Gradient descent against closed forms, and the surfaces against values worked out by hand."""

import math

import numpy as np
import pytest

from phase00.optimization import (
    descend,
    largest_stable_rate,
    quadratic,
    quadratic_gradient,
    rosenbrock,
    rosenbrock_gradient,
    saddle,
    saddle_gradient,
    steps_to_reach,
)

CURVATURES = np.array([1.0, 8.0, 0.5])
RAVINE = np.array([1.0, 20.0])


def ravine_gradient(x):
    return quadratic_gradient(x, RAVINE)


def measured_gradient(f, x, epsilon=1e-6):
    """Central differences, coordinate by coordinate."""
    slopes = []
    for i in range(len(x)):
        step = np.zeros(len(x))
        step[i] = epsilon
        slopes.append((f(x + step) - f(x - step)) / (2 * epsilon))
    return np.array(slopes)


# ---- surfaces ----------------------------------------------------------------------------


def test_quadratic_is_half_the_sum_of_curvature_times_square():
    # (1 * 4 + 8 * 1 + 0.5 * 16) / 2
    assert quadratic(np.array([2.0, -1.0, 4.0]), CURVATURES) == pytest.approx(10.0)


def test_quadratic_gradient_is_curvature_times_coordinate():
    slope = quadratic_gradient(np.array([2.0, -1.0, 4.0]), CURVATURES)
    np.testing.assert_allclose(slope, [2.0, -8.0, 2.0])


@pytest.mark.parametrize(
    ("x", "value"),
    [
        ([1.0, 1.0], 0.0),
        ([0.0, 0.0], 1.0),
        ([2.0, 3.0], 101.0),  # (1 - 2)^2 + 100 (3 - 4)^2
        ([-1.0, 3.0], 404.0),  # (1 + 1)^2 + 100 (3 - 1)^2
    ],
)
def test_rosenbrock_has_the_values_worked_out_by_hand(x, value):
    assert rosenbrock(np.array(x)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("x", "slope"),
    [
        ([2.0, 3.0], [2 + 800.0, -200.0]),
        ([-1.0, 3.0], [-4 + 800.0, 400.0]),
        ([1.0, 1.0], [0.0, 0.0]),
    ],
)
def test_rosenbrock_gradient_has_the_values_worked_out_by_hand(x, slope):
    np.testing.assert_allclose(rosenbrock_gradient(np.array(x)), slope, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "value"),
    [([0.0, 0.0], 0.0), ([0.0, 1.0], -0.25), ([0.0, -1.0], -0.25), ([3.0, 2.0], 6.5)],
)
def test_saddle_has_the_values_worked_out_by_hand(x, value):
    assert saddle(np.array(x)) == pytest.approx(value)


def test_saddle_gradient_is_zero_at_the_saddle_and_at_both_minima():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    np.testing.assert_allclose(saddle_gradient(points), np.zeros((3, 2)), atol=1e-15)


def test_saddle_gradient_has_the_value_worked_out_by_hand():
    np.testing.assert_allclose(saddle_gradient(np.array([3.0, 2.0])), [3.0, 6.0])


@pytest.mark.parametrize(
    ("f", "gradient", "d"),
    [
        (lambda x: quadratic(x, CURVATURES), lambda x: quadratic_gradient(x, CURVATURES), 3),
        (rosenbrock, rosenbrock_gradient, 2),
        (saddle, saddle_gradient, 2),
    ],
    ids=["quadratic", "rosenbrock", "saddle"],
)
def test_gradient_agrees_with_central_differences(f, gradient, d):
    rng = np.random.default_rng(7)
    for x in rng.uniform(-2, 2, size=(5, d)):
        np.testing.assert_allclose(gradient(x), measured_gradient(f, x), rtol=1e-6, atol=1e-6)


def test_surface_of_a_grid_of_points_is_the_surface_of_each_point():
    rng = np.random.default_rng(11)
    grid = rng.normal(size=(4, 5, 2))
    for f in (lambda x: quadratic(x, RAVINE), rosenbrock, saddle):
        values = f(grid)
        assert values.shape == (4, 5)
        assert values[3, 1] == pytest.approx(f(grid[3, 1]))
    for gradient in (ravine_gradient, rosenbrock_gradient, saddle_gradient):
        slopes = gradient(grid)
        assert slopes.shape == (4, 5, 2)
        np.testing.assert_allclose(slopes[3, 1], gradient(grid[3, 1]))


def test_surfaces_of_whole_numbers_are_computed_without_integer_overflow():
    far = np.array([100_000, 0])
    assert rosenbrock(far) == pytest.approx(1e22, rel=1e-4)
    assert saddle(far[::-1]) == pytest.approx(2.5e19, rel=1e-4)
    np.testing.assert_allclose(rosenbrock_gradient(far * 100)[0], 4e23, rtol=1e-4)
    np.testing.assert_allclose(saddle_gradient(far[::-1] * 100)[1], 1e21, rtol=1e-4)
    assert quadratic(far * 100_000, np.array([2, 3])) == pytest.approx(1e20)
    np.testing.assert_allclose(quadratic_gradient(far, far * 10**12), [1e22, 0])


def test_curvatures_of_another_length_are_refused_with_both_shapes():
    for f in (quadratic, quadratic_gradient):
        with pytest.raises(ValueError, match="3") as caught:
            f(np.ones(3), np.ones(2))
        assert "2" in str(caught.value)


def test_one_curvature_is_not_stretched_over_all_coordinates():
    for f in (quadratic, quadratic_gradient):
        with pytest.raises(ValueError, match="3"):
            f(np.ones(3), np.ones(1))
        with pytest.raises(ValueError, match="1"):
            f(np.array(3.0), np.ones(1))


def test_point_without_exactly_two_coordinates_is_refused_with_its_shape():
    for f in (rosenbrock, rosenbrock_gradient, saddle, saddle_gradient):
        with pytest.raises(ValueError, match="3"):
            f(np.ones(3))


# ---- descent -----------------------------------------------------------------------------


def test_small_step_goes_downhill_against_the_gradient():
    start, rate = np.array([3.0, -2.0]), 0.01
    path = descend(ravine_gradient, start.copy(), rate, 1)
    # The gradient is (3, -40).
    np.testing.assert_allclose(path, [[3.0, -2.0], [2.97, -1.6]])


def test_descent_leaves_its_start_unchanged():
    start = np.array([3.0, -2.0])
    descend(ravine_gradient, start, 0.01, 5)
    np.testing.assert_array_equal(start, [3.0, -2.0])


def test_path_on_a_quadratic_is_the_closed_form():
    start, rate = np.array([3.0, -2.0, 5.0]), 0.15
    t = np.arange(41)[:, None]
    closed = (1 - rate * CURVATURES) ** t * start
    path = descend(lambda x: quadratic_gradient(x, CURVATURES), start, rate, 40)
    np.testing.assert_allclose(path, closed, rtol=1e-9)


def test_path_holds_the_start_and_one_point_for_each_step():
    path = descend(ravine_gradient, np.array([-2.0, 0.5]), 0.01, 7)
    assert path.shape == (8, 2)
    np.testing.assert_array_equal(path[0], [-2.0, 0.5])
    np.testing.assert_allclose(path[1], [-1.98, 0.4])


def test_descent_of_no_steps_stays_at_the_start():
    np.testing.assert_array_equal(descend(ravine_gradient, np.ones(2), 0.01, 0), [[1.0, 1.0]])


def test_descent_from_whole_numbers_is_not_rounded():
    path = descend(ravine_gradient, np.array([3, -2]), 0.01, 2)
    np.testing.assert_allclose(path[2], [3 * 0.99**2, -2 * 0.8**2])


def test_gradient_that_writes_into_its_point_does_not_change_the_path():
    def careless(x):
        x *= 2
        return x

    path = descend(careless, np.array([1.0, 4.0]), 0.25, 3)
    np.testing.assert_allclose(path[:, 0], [1.0, 0.5, 0.25, 0.125])


def test_step_just_below_two_over_the_largest_curvature_converges():
    path = descend(ravine_gradient, np.array([0.0, 1.0]), 0.99 * 0.1, 200)
    np.testing.assert_allclose(path[200, 1], 0.98**200, rtol=1e-9)


def test_step_just_above_two_over_the_largest_curvature_diverges():
    path = descend(ravine_gradient, np.array([0.0, 1.0]), 1.01 * 0.1, 200)
    np.testing.assert_allclose(path[200, 1], 1.02**200, rtol=1e-9)


def test_at_exactly_two_over_the_largest_curvature_the_steepest_coordinate_swings_for_ever():
    path = descend(ravine_gradient, np.array([1.0, 3.0]), largest_stable_rate(RAVINE), 6)
    np.testing.assert_allclose(path[:, 1], [3, -3, 3, -3, 3, -3, 3])
    np.testing.assert_allclose(path[6, 0], 0.9**6)


def test_descent_on_rosenbrock_follows_the_valley_to_its_end():
    path = descend(rosenbrock_gradient, np.array([-1.2, 1.0]), 1e-3, 20_000)
    np.testing.assert_allclose(path[-1], [1.0, 1.0], atol=0.01)
    floor = np.abs(path[100:, 1] - path[100:, 0] ** 2)
    assert floor.max() < 0.01


def test_started_exactly_on_the_axis_descent_ends_at_the_saddle():
    path = descend(saddle_gradient, np.array([1.5, 0.0]), 0.1, 500)
    np.testing.assert_allclose(path[-1], [0.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_nudge_of_a_millionth_leaves_the_saddle_for_the_minimum_on_its_side(side):
    path = descend(saddle_gradient, np.array([1.5, side * 1e-6]), 0.1, 500)
    np.testing.assert_allclose(path[-1], [0.0, side], atol=1e-9)
    # Near the saddle the nudge grows by the factor 1 + 0.1 at every step.
    np.testing.assert_allclose(path[50, 1], side * 1e-6 * 1.1**50, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.inf, math.nan])
def test_learning_rate_that_is_not_positive_and_finite_is_refused(rate):
    with pytest.raises(ValueError, match=str(rate)):
        descend(ravine_gradient, np.ones(2), rate, 3)


def test_negative_number_of_steps_is_refused():
    with pytest.raises(ValueError, match="-1"):
        descend(ravine_gradient, np.ones(2), 0.01, -1)


def test_start_that_is_not_one_point_is_refused_with_its_shape():
    with pytest.raises(ValueError, match=r"3, 2"):
        descend(ravine_gradient, np.ones((3, 2)), 0.01, 1)


def test_gradient_of_another_shape_than_the_point_is_refused():
    with pytest.raises(ValueError, match="2"):
        descend(lambda x: np.sum(x), np.ones(2), 0.01, 1)


# ---- how large a step, how many of them --------------------------------------------------


def test_largest_stable_rate_is_two_over_the_largest_curvature():
    assert largest_stable_rate(CURVATURES) == pytest.approx(0.25)
    assert largest_stable_rate(np.array([0.0, 0.4])) == pytest.approx(5.0)


@pytest.mark.parametrize("curvatures", [[1.0, -0.5], [0.0, 0.0]])
def test_largest_stable_rate_of_a_surface_without_one_is_refused(curvatures):
    with pytest.raises(ValueError, match="curvature"):
        largest_stable_rate(np.array(curvatures))


def test_steps_to_reach_is_the_first_step_within_the_tolerance():
    path = np.array([[4.0, 3.0], [3.0, 1.5], [1.3, 0.4], [1.0, 0.1], [1.0, 3.0], [1.0, 0.0]])
    assert steps_to_reach(path, np.array([1.0, 0.0]), 0.6) == 2
    assert steps_to_reach(path, np.array([1.0, 0.0]), 0.45) == 3
    assert steps_to_reach(path, np.array([1.0, 0.0]), 0.0) == 5


def test_distance_of_exactly_the_tolerance_is_near_enough():
    path = np.array([[6.0, 8.0], [3.0, 4.0], [0.0, 0.0]])
    assert steps_to_reach(path, np.zeros(2), 5.0) == 1


def test_path_that_starts_at_its_goal_needs_no_steps():
    assert steps_to_reach(np.array([[1.0, 2.0], [5.0, 5.0]]), np.array([1.0, 2.0]), 0.1) == 0


def test_path_that_never_comes_near_has_no_number_of_steps():
    path = descend(ravine_gradient, np.array([1.0, 1.0]), 1.01 * 0.1, 50)
    assert steps_to_reach(path, np.zeros(2), 1e-3) is None


def test_goal_of_another_length_than_the_points_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match="2") as caught:
        steps_to_reach(np.ones((4, 2)), np.ones(3), 0.1)
    assert "3" in str(caught.value)
    with pytest.raises(ValueError, match="1"):
        steps_to_reach(np.ones((4, 2)), np.ones(1), 0.1)
    with pytest.raises(ValueError, match="2"):
        steps_to_reach(np.ones(2), np.array(1.0), 0.1)


def test_number_of_steps_grows_with_the_ratio_of_the_curvatures():
    counts = []
    for ratio in (10.0, 100.0, 1000.0):
        curvatures = np.array([1.0, ratio])
        rate = largest_stable_rate(curvatures) / 2  # one step ends the steepest coordinate
        path = descend(lambda x, c=curvatures: quadratic_gradient(x, c), np.ones(2), rate, 8000)
        counts.append(steps_to_reach(path, np.zeros(2), 1e-3))
    # (1 - 1 / ratio)^t falls below 1e-3 for the first time at these t.
    assert counts == [66, 688, 6905]
