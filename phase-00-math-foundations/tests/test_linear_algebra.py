"""Vectors and matrices as lists: values worked out by hand, NumPy's values, and what is refused."""

import copy
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase00.linear_algebra import cosine_similarity, dot, matmul, matvec, norm, transpose

A = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]  # (2, 3)
B = [[1.0, 0.0, -1.0, 2.0], [2.0, 1.0, 0.0, 0.0], [0.0, -3.0, 1.0, 4.0]]  # (3, 4)

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
without_deadline = settings(deadline=None, max_examples=40)


def named(*shapes):
    """A pattern that finds these shapes in a message, in this order."""
    return ".*".join(re.escape(str(shape)) for shape in shapes)


# All functions


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (dot, (A[0], A[1])),
        (norm, ([3.0, -4.0],)),
        (cosine_similarity, (A[0], A[1])),
        (transpose, (A,)),
        (matvec, (A, A[1])),
        (matmul, (A, B)),
    ],
)
def test_function_leaves_its_arguments_unchanged(function, arguments):
    before = copy.deepcopy(arguments)
    function(*arguments)
    assert arguments == before


# The dot product


def test_dot_multiplies_number_by_number_and_adds_up():
    assert dot([1.0, 2.0, 3.0], [4.0, -5.0, 6.0]) == 1 * 4 - 2 * 5 + 3 * 6


def test_dot_of_perpendicular_vectors_is_zero():
    assert dot([2.0, 3.0], [-3.0, 2.0]) == 0.0


def test_dot_of_one_number_each_is_their_product():
    assert dot([3.0], [-4.0]) == -12.0


def test_dot_of_two_empty_vectors_is_zero():
    assert dot([], []) == 0.0


@without_deadline
@given(n=st.integers(0, 30), seed=seeds)
def test_dot_equals_numpys(n, seed):
    a, b = np.random.default_rng(seed).standard_normal((2, n))
    np.testing.assert_allclose(dot(a.tolist(), b.tolist()), np.dot(a, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("n_a", "n_b"), [(3, 2), (2, 3), (0, 1), (1, 0)])
def test_dot_of_different_lengths_is_refused_naming_both_shapes(n_a, n_b):
    with pytest.raises(ValueError, match=named((n_a,), (n_b,))):
        dot([1.0] * n_a, [1.0] * n_b)


# The norm


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
    assert norm([3.0, -4.0], p) == pytest.approx(expected, rel=1e-14)


def test_norm_is_the_length_unless_told_otherwise():
    assert norm([2.0, -3.0, 6.0]) == pytest.approx(7.0, rel=1e-14)


def test_norm_counts_negative_numbers_by_their_size():
    assert norm([-3.0], 3) == pytest.approx(3.0, rel=1e-14)
    assert norm([-5.0, 2.0], math.inf) == 5.0


@pytest.mark.parametrize("p", [1, 2, 3.5, math.inf])
def test_norm_of_zeros_and_of_nothing_is_zero(p):
    assert norm([0.0, 0.0], p) == 0.0
    assert norm([], p) == 0.0


@without_deadline
@given(n=st.integers(1, 30), seed=seeds, p=st.sampled_from([1, 1.5, 2, 3, 7, math.inf]))
def test_norm_equals_numpys(n, seed, p):
    a = np.random.default_rng(seed).standard_normal(n)
    np.testing.assert_allclose(norm(a.tolist(), p), np.linalg.norm(a, p), rtol=1e-12)


@pytest.mark.parametrize("p", [0.99, 0, -2, -math.inf, math.nan])
def test_norm_with_a_p_below_one_is_refused(p):
    with pytest.raises(ValueError, match=re.escape(str(p))):
        norm([3.0, 4.0], p)


# Cosine similarity


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, 2.0], [3.0, 6.0], 1.0),  # one direction
        ([1.0, 2.0], [-2.0, -4.0], -1.0),  # opposite
        ([1.0, 2.0], [-4.0, 2.0], 0.0),  # perpendicular
        ([1.0, 0.0], [5.0, 5.0], math.sqrt(0.5)),  # 45 degrees
        ([3.0, 4.0], [4.0, 3.0], 24 / 25),
        ([3.0], [-0.5], -1.0),
    ],
)
def test_cosine_similarity_is_the_cosine_of_the_angle_between(a, b, expected):
    assert cosine_similarity(a, b) == pytest.approx(expected, rel=1e-14, abs=1e-15)


def test_cosine_similarity_does_not_depend_on_the_lengths():
    a, b = [1.0, -2.0, 0.5], [0.3, 4.0, 2.0]
    longer = [1000 * value for value in b]
    assert cosine_similarity(a, longer) == pytest.approx(cosine_similarity(a, b), rel=1e-14)


@without_deadline
@given(n=st.integers(1, 30), seed=seeds)
def test_cosine_similarity_equals_numpys(n, seed):
    a, b = np.random.default_rng(seed).standard_normal((2, n))
    expected = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    np.testing.assert_allclose(
        cosine_similarity(a.tolist(), b.tolist()), expected, rtol=1e-12, atol=1e-14
    )


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
        cosine_similarity(a, b)


def test_cosine_similarity_of_different_lengths_is_refused_naming_both_shapes():
    with pytest.raises(ValueError, match=named((3,), (2,))):
        cosine_similarity([1.0, 2.0, 3.0], [1.0, 2.0])


# The transpose


def test_transpose_turns_rows_into_columns():
    assert transpose(A) == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]


@pytest.mark.parametrize(
    ("a", "expected"),
    [
        ([[7.0]], [[7.0]]),
        ([[1.0, 2.0, 3.0]], [[1.0], [2.0], [3.0]]),
        ([[1.0], [2.0]], [[1.0, 2.0]]),
    ],
)
def test_transpose_of_a_single_number_row_or_column(a, expected):
    assert transpose(a) == expected


@without_deadline
@given(m=sizes, n=sizes, seed=seeds)
def test_transpose_equals_numpys(m, n, seed):
    a = np.random.default_rng(seed).standard_normal((m, n))
    assert transpose(a.tolist()) == a.T.tolist()


def test_transpose_has_rows_of_its_own():
    a = [[1.0, 2.0], [3.0, 4.0]]
    b = transpose(a)
    for row in b:
        row[0] = 99.0
    assert a == [[1.0, 2.0], [3.0, 4.0]]
    assert b == [[99.0, 3.0], [99.0, 4.0]]


# Matrix times vector


def test_matvec_takes_the_dot_product_of_every_row_with_the_vector():
    assert matvec(A, [1.0, 0.5, -1.0]) == [-1.0, 0.5]


def test_matvec_of_a_single_number_is_a_product():
    assert matvec([[3.0]], [-2.0]) == [-6.0]


def test_matvec_of_a_column_scales_it():
    assert matvec([[1.0], [2.0], [3.0]], [2.0]) == [2.0, 4.0, 6.0]


@without_deadline
@given(m=sizes, n=sizes, seed=seeds)
def test_matvec_equals_numpys(m, n, seed):
    rng = np.random.default_rng(seed)
    a, x = rng.standard_normal((m, n)), rng.standard_normal(n)
    np.testing.assert_allclose(matvec(a.tolist(), x.tolist()), a @ x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_matvec_of_another_length_is_refused_naming_both_shapes(n):
    with pytest.raises(ValueError, match=named((2, 3), (n,))):
        matvec(A, [1.0] * n)


# Matrix times matrix


def test_matmul_of_matrices_that_are_not_square_has_the_rows_of_one_and_the_columns_of_the_other():
    assert matmul([[1.0, 5.0]], [[2.0, 0.0, 1.0], [0.0, -1.0, 3.0]]) == [[2.0, -5.0, 16.0]]
    assert matmul([[1.0], [5.0], [2.0]], [[2.0, -1.0]]) == [[2.0, -1.0], [10.0, -5.0], [4.0, -2.0]]


def test_matmul_takes_the_dot_product_of_every_row_with_every_column():
    assert matmul(A, B) == [[5.0, -7.0, 2.0, 14.0], [14.0, -13.0, 2.0, 32.0]]


def test_matmul_of_two_single_numbers_is_their_product():
    assert matmul([[3.0]], [[-2.0]]) == [[-6.0]]


def test_matmul_of_a_column_and_a_row_is_the_table_of_all_products():
    assert matmul([[1.0], [2.0]], [[3.0, 4.0, 5.0]]) == [[3.0, 4.0, 5.0], [6.0, 8.0, 10.0]]


def test_matmul_depends_on_the_order():
    flip, double = [[0.0, 1.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 1.0]]
    assert matmul(flip, double) == [[0.0, 1.0], [2.0, 0.0]]
    assert matmul(double, flip) == [[0.0, 2.0], [1.0, 0.0]]


def test_matmul_gives_every_row_a_list_of_its_own():
    c = matmul([[1.0], [1.0]], [[5.0, 6.0]])
    c[0][0] = 99.0
    assert c == [[99.0, 6.0], [5.0, 6.0]]


@without_deadline
@given(m=sizes, n=sizes, p=sizes, seed=seeds)
def test_matmul_equals_numpys(m, n, p, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((m, n)), rng.standard_normal((n, p))
    np.testing.assert_allclose(matmul(a.tolist(), b.tolist()), a @ b, rtol=1e-12, atol=1e-12)


def test_transpose_of_a_product_is_the_product_of_the_transposes_the_other_way_round():
    assert transpose(matmul(A, B)) == matmul(transpose(B), transpose(A))


def test_two_matrices_in_turn_do_what_their_product_does():
    x = [1.0, -1.0, 2.0, 3.0]
    assert matvec(A, matvec(B, x)) == matvec(matmul(A, B), x)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (A, A),
        (B, A),
        (A, [[1.0, 2.0], [3.0, 4.0]]),
        (A, [[1.0], [2.0], [3.0], [4.0]]),
        ([[1.0]], B),
    ],
)
def test_matmul_of_shapes_that_do_not_fit_is_refused_naming_both(a, b):
    shapes = (len(a), len(a[0])), (len(b), len(b[0]))
    with pytest.raises(ValueError, match=named(*shapes)):
        matmul(a, b)


# What no matrix may be


CALLS = {
    "transpose": lambda bad: transpose(bad),
    "matvec": lambda bad: matvec(bad, [1.0, 2.0, 3.0]),
    "matmul, first": lambda bad: matmul(bad, B),
    "matmul, second": lambda bad: matmul(A, bad),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(
    ("ragged", "first_other"),
    [
        ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0]], 2),
        ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0]], 1),
        ([[1.0, 2.0, 3.0], []], 1),
        ([[], [1.0]], 1),
    ],
)
def test_rows_of_different_lengths_are_refused_naming_the_first_that_differs(
    call, ragged, first_other
):
    with pytest.raises(ValueError, match=f"row {first_other}"):
        call(ragged)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(("empty", "shape"), [([], (0, 0)), ([[]], (1, 0)), ([[], []], (2, 0))])
def test_matrix_without_rows_or_columns_is_refused_naming_its_shape(call, empty, shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        call(empty)
