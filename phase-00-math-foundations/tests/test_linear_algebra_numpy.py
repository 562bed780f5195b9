"""The same operations on arrays, and broadcasting: by hand, against loops, and what is refused."""

import copy
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase00.linear_algebra_numpy import (
    add_bias,
    cosine_similarity,
    dot,
    matmul,
    matvec,
    norm,
    pairwise_distances,
    standardize,
    transpose,
)

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])  # (2, 3)
B = np.array([[1.0, 0.0, -1.0, 2.0], [2.0, 1.0, 0.0, 0.0], [0.0, -3.0, 1.0, 4.0]])  # (3, 4)

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
without_deadline = settings(deadline=None, max_examples=40)


def named(*shapes):
    """A pattern that finds these shapes in a message, in this order."""
    return ".*".join(re.escape(str(shape)) for shape in shapes)


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# All of them


CALLS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "dot": (dot, (A[0], A[1])),
    "norm": (norm, (A[0] - 2.0,)),
    "cosine_similarity": (cosine_similarity, (A[0], A[1])),
    "transpose": (transpose, (A,)),
    "matvec": (matvec, (A, A[1])),
    "matmul": (matmul, (A, B)),
    "add_bias": (add_bias, (A, A[1])),
    "standardize": (standardize, (A,)),
    "pairwise_distances": (pairwise_distances, (A, A + 1.0)),
}


@pytest.mark.parametrize(("function", "arguments"), CALLS.values(), ids=CALLS.keys())
def test_function_leaves_its_arguments_unchanged(function, arguments):
    mine = copy.deepcopy(arguments)
    function(*mine)
    for after, before in zip(mine, arguments, strict=True):
        np.testing.assert_array_equal(after, before)


# The operations that lists have too, with the same results


def test_dot_multiplies_number_by_number_and_adds_up():
    assert dot(np.array([1.0, 2.0, 3.0]), np.array([4.0, -5.0, 6.0])) == 1 * 4 - 2 * 5 + 3 * 6


def test_dot_of_two_empty_vectors_is_zero():
    assert dot(np.zeros(0), np.zeros(0)) == 0.0


@without_deadline
@given(n=st.integers(0, 30), seed=seeds)
def test_dot_equals_a_sum_in_a_loop(n, seed):
    a, b = array(2, n, seed=seed)
    expected = sum(a[i] * b[i] for i in range(n))
    np.testing.assert_allclose(dot(a, b), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [((3,), (2,)), ((3,), (1,)), ((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (3, 1)), ((), ())],
)
def test_dot_of_anything_but_two_vectors_of_one_length_is_refused(shape_a, shape_b):
    with pytest.raises(ValueError, match=named(shape_a, shape_b)):
        dot(np.ones(shape_a), np.ones(shape_b))


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1, 7.0),
        (2, 5.0),
        (3, 91 ** (1 / 3)),
        (1.5, (3**1.5 + 4**1.5) ** (2 / 3)),
        (math.inf, 4.0),
    ],
)
def test_norm_of_three_and_minus_four_is_as_worked_out_by_hand(p, expected):
    assert norm(np.array([3.0, -4.0]), p) == pytest.approx(expected, rel=1e-14)


def test_norm_is_the_length_unless_told_otherwise():
    assert norm(np.array([2.0, -3.0, 6.0])) == pytest.approx(7.0, rel=1e-14)


@pytest.mark.parametrize("p", [1, 2, 3.5, math.inf])
def test_norm_of_zeros_and_of_nothing_is_zero(p):
    assert norm(np.zeros(2), p) == 0.0
    assert norm(np.zeros(0), p) == 0.0


@without_deadline
@given(n=st.integers(1, 30), seed=seeds, p=st.sampled_from([1, 1.5, 2, 3, 7, math.inf]))
def test_norm_equals_that_of_numpys_own_linear_algebra(n, seed, p):
    a = array(n, seed=seed)
    np.testing.assert_allclose(norm(a, p), np.linalg.norm(a, p), rtol=1e-12)


@pytest.mark.parametrize("p", [0.99, 0, -2, -math.inf, math.nan])
def test_norm_with_a_p_below_one_is_refused(p):
    with pytest.raises(ValueError, match=re.escape(str(p))):
        norm(np.array([3.0, 4.0]), p)


@pytest.mark.parametrize("shape", [(), (2, 3), (3, 1)])
def test_norm_of_anything_but_a_vector_is_refused_naming_the_shape(shape):
    with pytest.raises(ValueError, match=named(shape)):
        norm(np.ones(shape))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, 2.0], [3.0, 6.0], 1.0),  # one direction
        ([1.0, 2.0], [-2.0, -4.0], -1.0),  # opposite
        ([1.0, 2.0], [-4.0, 2.0], 0.0),  # perpendicular
        ([1.0, 0.0], [5.0, 5.0], math.sqrt(0.5)),  # 45 degrees
        ([3.0, 4.0], [4.0, 3.0], 24 / 25),
    ],
)
def test_cosine_similarity_is_the_cosine_of_the_angle_between(a, b, expected):
    similarity = cosine_similarity(np.array(a), np.array(b))
    assert similarity == pytest.approx(expected, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize(
    ("a", "b", "which"),
    [
        ([0.0, 0.0], [1.0, 2.0], "first"),
        ([1.0, 2.0], [0.0, 0.0], "second"),
        ([0.0], [0.0], "first"),
        ([], [], "first"),
    ],
)
def test_cosine_similarity_with_a_zero_vector_is_refused_saying_which(a, b, which):
    with pytest.raises(ValueError, match=which):
        cosine_similarity(np.array(a), np.array(b))


def test_cosine_similarity_of_different_lengths_is_refused_naming_both_shapes():
    with pytest.raises(ValueError, match=named((3,), (2,))):
        cosine_similarity(np.ones(3), np.ones(2))


def test_transpose_turns_rows_into_columns():
    np.testing.assert_array_equal(transpose(A), [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]])


@without_deadline
@given(m=sizes, n=sizes, seed=seeds)
def test_transpose_has_at_j_i_what_was_at_i_j(m, n, seed):
    a = array(m, n, seed=seed)
    expected = [[a[i, j] for i in range(m)] for j in range(n)]
    np.testing.assert_array_equal(transpose(a), expected)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_transpose_of_anything_but_a_matrix_is_refused_naming_the_shape(shape):
    with pytest.raises(ValueError, match=named(shape)):
        transpose(np.ones(shape))


def test_matvec_takes_the_dot_product_of_every_row_with_the_vector():
    np.testing.assert_array_equal(matvec(A, np.array([1.0, 0.5, -1.0])), [-1.0, 0.5])


@without_deadline
@given(m=sizes, n=sizes, seed=seeds)
def test_matvec_equals_a_sum_in_a_loop(m, n, seed):
    a, x = array(m, n, seed=seed), array(n, seed=seed + 1)
    expected = [sum(a[i, j] * x[j] for j in range(n)) for i in range(m)]
    np.testing.assert_allclose(matvec(a, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape_a", "shape_x"),
    [((2, 3), (2,)), ((2, 3), (1,)), ((2, 3), (3, 1)), ((2, 3), (0,)), ((3,), (3,)), ((2, 3), ())],
)
def test_matvec_of_shapes_that_do_not_fit_is_refused_naming_both(shape_a, shape_x):
    with pytest.raises(ValueError, match=named(shape_a, shape_x)):
        matvec(np.ones(shape_a), np.ones(shape_x))


def test_matmul_takes_the_dot_product_of_every_row_with_every_column():
    np.testing.assert_array_equal(matmul(A, B), [[5.0, -7.0, 2.0, 14.0], [14.0, -13.0, 2.0, 32.0]])


@without_deadline
@given(m=sizes, n=sizes, p=sizes, seed=seeds)
def test_matmul_equals_a_sum_in_a_loop(m, n, p, seed):
    a, b = array(m, n, seed=seed), array(n, p, seed=seed + 1)
    expected = [[sum(a[i, k] * b[k, j] for k in range(n)) for j in range(p)] for i in range(m)]
    np.testing.assert_allclose(matmul(a, b), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [((2, 3), (2, 3)), ((2, 3), (4, 2)), ((2, 3), (3,)), ((3,), (3, 2)), ((5, 2, 3), (3, 4))],
)
def test_matmul_of_shapes_that_do_not_fit_is_refused_naming_both(shape_a, shape_b):
    with pytest.raises(ValueError, match=named(shape_a, shape_b)):
        matmul(np.ones(shape_a), np.ones(shape_b))


def test_transpose_of_a_product_is_the_product_of_the_transposes_the_other_way_round():
    np.testing.assert_array_equal(transpose(matmul(A, B)), matmul(transpose(B), transpose(A)))


def test_empty_array_keeps_its_shape_where_an_empty_list_has_none():
    np.testing.assert_array_equal(matmul(np.zeros((2, 0)), np.zeros((0, 3))), np.zeros((2, 3)))
    np.testing.assert_array_equal(matvec(np.zeros((2, 0)), np.zeros(0)), np.zeros(2))
    assert transpose(np.zeros((2, 0))).shape == (0, 2)


# Broadcasting


def test_bias_is_added_to_every_row():
    y = add_bias(A, np.array([10.0, 20.0, -30.0]))
    np.testing.assert_array_equal(y, [[11.0, 22.0, -27.0], [14.0, 25.0, -24.0]])


def test_bias_of_a_square_input_goes_along_the_columns_and_not_down_the_rows():
    y = add_bias(np.zeros((2, 2)), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(y, [[1.0, 2.0], [1.0, 2.0]])


def test_bias_is_added_to_no_rows_and_to_a_single_number():
    assert add_bias(np.zeros((0, 3)), np.ones(3)).shape == (0, 3)
    np.testing.assert_array_equal(add_bias(np.array([[2.0]]), np.array([3.0])), [[5.0]])


@pytest.mark.parametrize(
    ("shape_x", "shape_bias"),
    [
        ((2, 3), (2,)),
        ((2, 3), (1,)),  # broadcasting alone would take this one
        ((2, 3), ()),  # and these
        ((2, 3), (2, 1)),
        ((2, 3), (2, 3)),
        ((3,), (3,)),
        ((3,), ()),
        ((4, 2, 3), (3,)),
    ],
)
def test_bias_that_is_not_one_number_for_each_column_is_refused_naming_both(shape_x, shape_bias):
    with pytest.raises(ValueError, match=named(shape_x, shape_bias)):
        add_bias(np.ones(shape_x), np.ones(shape_bias))


def test_standardize_counts_in_standard_deviations_from_the_mean_of_the_column():
    # The columns have means 3 and 20 and variances 4 and 0.25.
    x = np.array([[1.0, 20.5], [5.0, 19.5], [5.0, 19.5], [1.0, 20.5]])
    np.testing.assert_allclose(
        standardize(x), [[-1.0, 1.0], [1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], rtol=1e-14
    )


@without_deadline
@given(n=st.integers(2, 30), d=sizes, seed=seeds)
def test_standardized_columns_have_mean_0_and_variance_1(n, d, seed):
    z = standardize(5.0 + 3.0 * array(n, d, seed=seed))
    assert z.shape == (n, d)
    np.testing.assert_allclose(z.mean(axis=0), np.zeros(d), atol=1e-10)
    np.testing.assert_allclose((z**2).mean(axis=0), np.ones(d), rtol=1e-10)


def test_standardize_does_not_see_the_unit_of_measurement():
    x = array(6, 2)
    np.testing.assert_allclose(standardize(1000.0 * x + 7.0), standardize(x), rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0, 1e10])
def test_constant_column_cannot_be_standardized_and_is_named(value):
    x = array(7, 3)
    x[:, 1] = value
    with pytest.raises(ValueError, match="column 1"):
        standardize(x)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_cannot_be_standardized(n):
    with pytest.raises(ValueError, match="column 0"):
        standardize(np.ones((n, 2)))


@pytest.mark.parametrize("shape", [(3,), (4, 3, 2)])
def test_standardize_of_anything_but_a_matrix_is_refused_naming_the_shape(shape):
    with pytest.raises(ValueError, match=named(shape)):
        standardize(array(*shape))


def test_pairwise_distances_are_those_worked_out_by_hand():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    y = np.array([[0.0, 0.0], [0.0, 4.0], [-5.0, -12.0]])
    expected = [[0.0, 4.0, 13.0], [5.0, 3.0, math.sqrt(64 + 256)]]
    np.testing.assert_allclose(pairwise_distances(x, y), expected, rtol=1e-14)


@without_deadline
@given(n=sizes, m=sizes, d=sizes, seed=seeds)
def test_pairwise_distances_equal_three_loops(n, m, d, seed):
    x, y = array(n, d, seed=seed), array(m, d, seed=seed + 1)
    expected = np.zeros((n, m))
    for i in range(n):
        for j in range(m):
            expected[i, j] = math.sqrt(sum((x[i, k] - y[j, k]) ** 2 for k in range(d)))
    np.testing.assert_allclose(pairwise_distances(x, y), expected, rtol=1e-12)


@pytest.mark.parametrize(("n", "d", "far"), [(5, 3, 1000.0), (20, 37, 0.0), (7, 300, 1.0)])
def test_distance_of_a_point_to_itself_is_zero_and_not_nan(n, d, far):
    x = far + array(n, d)
    np.testing.assert_array_equal(np.diag(pairwise_distances(x, x.copy())), np.zeros(n))


def test_small_distance_far_from_the_origin_keeps_its_digits():
    x, y = np.array([[2.0**20, 0.0]]), np.array([[2.0**20, 2.0**-20]])
    np.testing.assert_allclose(pairwise_distances(x, y), [[2.0**-20]], rtol=1e-12)


def test_pairwise_distances_with_no_points_are_an_empty_table():
    assert pairwise_distances(np.zeros((0, 3)), np.zeros((2, 3))).shape == (0, 2)
    assert pairwise_distances(np.zeros((4, 3)), np.zeros((0, 3))).shape == (4, 0)


@pytest.mark.parametrize(
    ("shape_x", "shape_y"),
    [
        ((2, 3), (4, 2)),
        ((2, 3), (4, 1)),  # broadcasting alone would take these
        ((2, 1), (4, 3)),
        ((2, 3), (3,)),
        ((3,), (4, 3)),
        ((5, 2, 3), (4, 3)),
        ((2, 3), (5, 4, 3)),
    ],
)
def test_pairwise_distances_of_shapes_that_do_not_fit_are_refused_naming_both(shape_x, shape_y):
    with pytest.raises(ValueError, match=named(shape_x, shape_y)):
        pairwise_distances(np.ones(shape_x), np.ones(shape_y))


# What comes back


@pytest.mark.parametrize(
    ("function", "arguments"),
    [CALLS[name] for name in CALLS if name not in ("dot", "norm", "cosine_similarity")],
)
def test_arrays_in_float32_stay_in_float32(function, arguments):
    assert function(*(one.astype(np.float32) for one in arguments)).dtype == np.float32


@pytest.mark.parametrize("name", ["dot", "norm", "cosine_similarity"])
def test_single_numbers_come_back_as_python_floats(name):
    function, arguments = CALLS[name]
    assert type(function(*arguments)) is float


def test_largest_number_comes_back_as_a_python_float_too():
    assert type(norm(A[0], math.inf)) is float
