"""Sinusoidal positions: the formula by hand, the rotation, and dot products by distance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phase03.positional import dot_products, frequencies, rotation, sinusoidal

EVEN = st.integers(1, 20).map(lambda half: 2 * half)


def test_encoding_by_hand():
    # d_model = 4: frequencies 1 and 10000^(-2/4) = 0.01.
    truth = [
        [0.0, 1.0, 0.0, 1.0],
        [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)],
        [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)],
    ]
    np.testing.assert_allclose(sinusoidal(3, 4), truth, rtol=1e-14)


def test_encoding_in_digits():
    # sin 1, cos 1, and the angle 10000^(-2/6) = 0.0464159: worked out with a pocket calculator.
    np.testing.assert_allclose(
        sinusoidal(2, 6)[1, :4], [0.841471, 0.540302, 0.0463992, 0.998923], rtol=1e-5
    )


@pytest.mark.parametrize(("length", "d_model"), [(7, 6), (50, 512), (5, 1), (4, 7), (1, 2), (0, 4)])
def test_every_number_is_that_of_the_formula(length, d_model):
    encoding = sinusoidal(length, d_model)
    assert encoding.shape == (length, d_model)
    truth = np.array(
        [
            [
                (math.cos if i % 2 else math.sin)(p / 10000 ** (2 * (i // 2) / d_model))
                for i in range(d_model)
            ]
            for p in range(length)
        ]
    )
    np.testing.assert_allclose(encoding, truth.reshape(length, d_model), rtol=1e-11, atol=1e-13)


def test_frequencies_fall_from_one_towards_a_ten_thousandth():
    np.testing.assert_allclose(frequencies(4), [1.0, 0.01], rtol=1e-14)
    np.testing.assert_allclose(frequencies(8), [1.0, 0.1, 0.01, 0.001], rtol=1e-14)
    np.testing.assert_allclose(frequencies(1), [1.0], rtol=1e-14)
    assert frequencies(7).shape == (4,)
    assert 1e-4 < frequencies(512)[-1] < 1.04e-4


def test_a_longer_table_begins_with_the_shorter_one():
    np.testing.assert_array_equal(sinusoidal(40, 6)[:11], sinusoidal(11, 6))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_late_positions_are_as_exact_as_the_dtype(dtype):
    encoding = sinusoidal(60_001, 4, dtype)
    assert encoding.dtype == dtype
    truth = [math.sin(60_000), math.cos(60_000), math.sin(600), math.cos(600)]
    np.testing.assert_allclose(encoding[-1], truth, rtol=4 * np.finfo(dtype).eps + 1e-10)


def test_encoding_is_float64_unless_told():
    assert sinusoidal(2, 4).dtype == np.float64


@pytest.mark.parametrize(("length", "d_model"), [(-1, 4), (3, 0), (3, -2)])
def test_sizes_below_the_least_are_refused(length, d_model):
    with pytest.raises(ValueError, match=r"."):
        sinusoidal(length, d_model)


# ---- the rotation ------------------------------------------------------------------------


def test_rotation_by_hand():
    c, s, slow_c, slow_s = math.cos(2), math.sin(2), math.cos(0.02), math.sin(0.02)
    truth = [
        [c, s, 0.0, 0.0],
        [-s, c, 0.0, 0.0],
        [0.0, 0.0, slow_c, slow_s],
        [0.0, 0.0, -slow_s, slow_c],
    ]
    np.testing.assert_allclose(rotation(2, 4), truth, rtol=1e-14)


@given(st.integers(0, 300), st.integers(0, 300), EVEN)
def test_one_matrix_shifts_every_position_forwards_and_back(p, q, d_model):
    table = sinusoidal(301, d_model)
    shifted = rotation(q - p, d_model) @ table[p]
    np.testing.assert_allclose(shifted, table[q], rtol=0, atol=1e-11)


def test_whole_table_is_shifted_by_one_product():
    shifted = sinusoidal(20, 6) @ rotation(5, 6).T
    np.testing.assert_allclose(shifted, sinusoidal(25, 6)[5:], rtol=0, atol=1e-12)


def test_rotations_are_orthogonal_add_up_and_turn_back():
    r = rotation(3, 8)
    np.testing.assert_allclose(r @ r.T, np.eye(8), rtol=0, atol=1e-14)
    assert np.linalg.det(r) == pytest.approx(1)
    np.testing.assert_allclose(rotation(-3, 8), r.T, rtol=0, atol=1e-15)
    np.testing.assert_allclose(rotation(4, 8) @ r, rotation(7, 8), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(rotation(0, 8), np.eye(8))
    np.testing.assert_allclose(rotation(0.5, 8) @ rotation(2.5, 8), r, rtol=0, atol=1e-14)


# ---- dot products ------------------------------------------------------------------------


@given(st.integers(0, 200), st.integers(0, 200), EVEN)
def test_dot_product_depends_on_the_distance_alone(p, q, d_model):
    table = sinusoidal(201, d_model)
    found = dot_products(np.array([float(p - q), float(q - p)]), d_model)
    np.testing.assert_allclose(found, [table[p] @ table[q]] * 2, rtol=0, atol=1e-10)


def test_dot_products_by_hand():
    np.testing.assert_allclose(
        dot_products(np.array([0.0, 1.0, -1.0]), 4),
        [2.0, math.cos(1) + math.cos(0.01), math.cos(1) + math.cos(0.01)],
        rtol=1e-14,
    )
    np.testing.assert_allclose(dot_products(np.zeros(3), 10), [5.0, 5.0, 5.0])


def test_every_position_has_the_same_length():
    lengths = np.linalg.norm(sinusoidal(100, 64), axis=1)
    np.testing.assert_allclose(lengths, np.full(100, math.sqrt(32)), rtol=1e-14)


@pytest.mark.parametrize("d_model", [1, 7])
def test_odd_width_has_no_rotation_and_no_dot_products(d_model):
    with pytest.raises(ValueError, match=str(d_model)):
        rotation(1, d_model)
    with pytest.raises(ValueError, match=str(d_model)):
        dot_products(np.array([1.0]), d_model)


@pytest.mark.parametrize("d_model", [0, -2])
def test_width_of_nothing_is_refused_everywhere(d_model):
    for call in (frequencies, lambda n: rotation(1, n), lambda n: dot_products(np.ones(2), n)):
        with pytest.raises(ValueError, match=str(d_model)):
            call(d_model)
