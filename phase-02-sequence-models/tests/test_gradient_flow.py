"""What arrives at each earlier step, against backward passes from there; and what bounds it."""

import math
import re

import numpy as np
import pytest

from phase02.char_lm import CELLS
from phase02.gradient_flow import (
    factor_per_step,
    largest_factor,
    norm_per_step,
    spectral_radius,
    state_gradients,
    steps_to_vanish,
    with_spectral_radius,
)
from phase02.lstm import lstm_backward, lstm_forward
from phase02.rnn import rnn_backward, rnn_forward

B, T, H, D = 3, 8, 4, 5  # all different, so that a wrong transpose cannot pass
EACH_CELL = pytest.mark.parametrize("cell", CELLS)


# ---- gradients step by step --------------------------------------------------------------


def draw(n_blocks, seed=0):
    rng = np.random.default_rng(seed)
    params = {
        "weight_ih_l0": rng.normal(0, 0.5, (n_blocks * H, D)),
        "weight_hh_l0": rng.normal(0, 0.5, (n_blocks * H, H)),
        "bias_ih_l0": rng.normal(0, 0.5, n_blocks * H),
        "bias_hh_l0": rng.normal(0, 0.5, n_blocks * H),
    }
    states = [rng.normal(0, 0.5, (B, H)) for _ in range(4)]
    return params, rng.normal(size=(B, T, D)), states, rng.normal(size=(B, T, H))


@EACH_CELL
@pytest.mark.parametrize("masked", [False, True])
def test_what_arrives_at_each_step_is_what_backward_from_there_returns(cell, masked):
    n_blocks, n_states, _, forward, backward = CELLS[cell]
    params, x, drawn, dy = draw(n_blocks)
    states, dlast = tuple(drawn[:n_states]), tuple(drawn[2 : 2 + n_states])
    mask = np.random.default_rng(7).random((B, T)) < 0.6 if masked else None
    arrived = state_gradients(forward, backward, params, x, states, dlast, dy, mask)
    assert [part.shape for part in arrived] == [(B, T + 1, H)] * n_states
    for t in range(T + 1):
        before, after = slice(0, t), slice(t, T)
        cut = None if mask is None else mask[:, before]
        (_, middle), _ = forward(params, x[:, before], *states, mask=cut)
        middle = middle if isinstance(middle, tuple) else (middle,)
        cut = None if mask is None else mask[:, after]
        _, cache = forward(params, x[:, after], *middle, mask=cut)
        _, *truth, _ = backward(dy[:, after], dlast if n_states > 1 else dlast[0], cache)
        for mine, other in zip(arrived, truth, strict=True):
            np.testing.assert_allclose(mine[:, t], other, rtol=1e-9, atol=1e-13)


def test_gradient_in_a_linear_network_is_a_power_of_the_weight():
    # So near to 0 that tanh is the identity: each step back multiplies by W_hh.
    weight = np.array([[0.5, 0.2], [0.0, -0.3]])
    params = {
        "weight_ih_l0": np.zeros((2, 1)),
        "weight_hh_l0": weight,
        "bias_ih_l0": np.zeros(2),
        "bias_hh_l0": np.zeros(2),
    }
    last = np.array([[1.0, 2.0]])
    zeros = np.zeros((1, 2))
    (arrived,) = state_gradients(
        rnn_forward, rnn_backward, params, np.zeros((1, 3, 1)), (zeros,), (last,)
    )
    truth = [last @ np.linalg.matrix_power(weight, 3 - t) for t in range(4)]
    np.testing.assert_allclose(arrived, np.stack(truth, axis=1), rtol=1e-12)


def test_gradient_along_an_open_cell_does_not_vanish():
    params, x, states, _ = draw(4)
    params["bias_ih_l0"][H : 2 * H] = 50.0  # the forget gates are open
    last = (np.zeros((B, H)), np.ones((B, H)))
    _, along_cell = state_gradients(
        lstm_forward, lstm_backward, params, 0.1 * x, tuple(states[:2]), last
    )
    assert along_cell.shape == (B, T + 1, H)
    assert np.abs(along_cell[:, 0]).mean() > 0.5


def test_norm_per_step_is_the_mean_over_the_batch_of_each_rows_norm():
    gradients = np.array([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 1.0], [6.0, 8.0]]])  # (B, time, H)
    np.testing.assert_allclose(norm_per_step(gradients), [(5 + 1) / 2, (0 + 10) / 2], rtol=1e-15)


def test_norm_per_step_sees_what_float32_squares_to_nothing():
    norms = norm_per_step(np.full((1, 1, 4), 1e-30, np.float32))
    assert norms.dtype == np.float64
    np.testing.assert_allclose(norms, [2e-30], rtol=1e-6)


# ---- how fast it falls -------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_factor_of_a_geometric_series_is_its_ratio(factor):
    norms = 3.0 * factor ** np.arange(6.0, -1.0, -1.0)  # in the order of time: the last is 3
    assert factor_per_step(norms) == pytest.approx(factor, rel=1e-12)


def test_factor_is_that_of_the_line_through_all_logarithms():
    logarithms = np.array([0.2, -0.1, 0.7, 1.5])
    slope = np.polyfit(np.arange(4.0), logarithms, 1)[0]  # over time; one step back is its inverse
    assert factor_per_step(np.exp(logarithms)) == pytest.approx(math.exp(-slope), rel=1e-12)


def test_factor_of_float32_norms_is_taken_in_float64():
    norms = np.array([1e-30, 1e-20, 1e-10, 1.0], np.float32)
    assert factor_per_step(norms) == pytest.approx(1e-10, rel=1e-6)


@pytest.mark.parametrize("norms", [[], [1.0], [0.0, 1.0], [math.inf, 1.0], [math.nan, 1.0]])
def test_factor_needs_two_positive_finite_norms(norms):
    with pytest.raises(ValueError, match=r"norms?\b|positive|finite|two"):
        factor_per_step(np.array(norms))


def test_steps_are_counted_from_the_end_to_the_first_norm_below_the_share():
    norms = np.array([9e-4, 0.5, 9e-4, 0.002, 0.1, 1.0])  # in the order of time
    assert steps_to_vanish(norms) == 3
    assert steps_to_vanish(norms, 0.2) == 1
    assert steps_to_vanish(10 * norms, 0.2) == 1  # a share of the last, not a number of its own


def test_norm_at_the_share_itself_is_not_below_it():
    assert steps_to_vanish(np.array([0.25, 0.5, 1.0]), 0.5) == 2


def test_gradient_that_never_falls_that_low_has_no_such_step():
    assert steps_to_vanish(np.array([4.0, 2.0, 1.0])) is None
    assert steps_to_vanish(np.array([0.01, 0.1, 1.0])) is None


# ---- the bound ---------------------------------------------------------------------------


def test_largest_factor_is_the_largest_singular_value_times_the_slope():
    weight = np.array([[3.0, 0.0], [4.0, 0.0]])  # its eigenvalues are 3 and 0
    assert largest_factor(weight) == pytest.approx(5.0, rel=1e-12)
    assert largest_factor(weight, 0.25) == pytest.approx(1.25, rel=1e-12)
    assert spectral_radius(weight) == pytest.approx(3.0, rel=1e-12)


def test_no_step_back_multiplies_the_gradient_by_more_than_the_largest_factor():
    params, x, states, _ = draw(1)
    (arrived,) = state_gradients(rnn_forward, rnn_backward, params, x, (states[0],), (states[2],))
    lengths = np.linalg.norm(arrived, axis=-1)  # (B, T + 1)
    assert np.all(lengths[:, :-1] <= largest_factor(params["weight_hh_l0"]) * lengths[:, 1:])


def test_bound_is_reached_along_the_first_singular_vector_of_a_linear_network():
    weight = np.random.default_rng(3).normal(size=(H, H))
    left, values, _ = np.linalg.svd(weight)
    params = {
        "weight_ih_l0": np.zeros((H, D)),
        "weight_hh_l0": weight,
        "bias_ih_l0": np.zeros(H),
        "bias_hh_l0": np.zeros(H),
    }
    zeros, last = np.zeros((1, H)), left[:, :1].T  # (1, H): of norm 1
    (arrived,) = state_gradients(
        rnn_forward, rnn_backward, params, np.zeros((1, 1, D)), (zeros,), (last,)
    )
    assert largest_factor(weight) == pytest.approx(values[0], rel=1e-12)
    assert norm_per_step(arrived)[0] == pytest.approx(largest_factor(weight), rel=1e-12)


def test_largest_factor_refuses_what_bounds_nothing(monkeypatch):
    with pytest.raises(ValueError, match=r"-1\b|slope"):
        largest_factor(np.eye(2), -1.0)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"2, 3\b|square"):
        largest_factor(np.ones((2, 3)))


# ---- spectral radius ---------------------------------------------------------------------


def test_spectral_radius_is_the_largest_absolute_eigenvalue():
    assert spectral_radius(np.array([[0.5, 9.0], [0.0, -0.8]])) == pytest.approx(0.8)
    turn = 3.0 * np.array([[0.0, -1.0], [1.0, 0.0]])  # eigenvalues 3i and -3i
    assert spectral_radius(turn) == pytest.approx(3.0)


@pytest.mark.parametrize("radius", [0.0, 0.5, 1.5])
def test_scaled_weight_has_the_radius_and_the_direction(radius):
    weight = np.random.default_rng(0).normal(size=(6, 6))
    scaled = with_spectral_radius(weight, radius)
    assert spectral_radius(scaled) == pytest.approx(radius, abs=1e-12)
    np.testing.assert_allclose(scaled, weight * radius / spectral_radius(weight), rtol=1e-12)


def test_scaled_weight_stays_float32_and_is_a_new_array():
    weight = np.eye(3, dtype=np.float32)
    scaled = with_spectral_radius(weight, 0.5)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, 0.5 * np.eye(3))
    np.testing.assert_array_equal(weight, np.eye(3))


@pytest.mark.parametrize("shape", [(2, 3), (4,), (0, 0)])
def test_spectral_radius_refuses_what_is_not_square(monkeypatch, shape):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match=rf"{re.escape(str(shape))}|square|empty"):
        spectral_radius(np.ones(shape))


def test_weight_without_a_radius_cannot_be_scaled():
    with pytest.raises(ValueError, match=r"\b0\b|radius|eigenvalue"):
        with_spectral_radius(np.array([[0.0, 1.0], [0.0, 0.0]]), 1.0)
    with pytest.raises(ValueError, match=r"-1\b|radius|negative"):
        with_spectral_radius(np.eye(2), -1.0)
