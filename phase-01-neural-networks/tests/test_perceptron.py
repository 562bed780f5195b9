"""The perceptron on its gates, by hand, and the convergence theorem on random data."""

import re

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase01.perceptron import (
    gate,
    margin,
    mistake_bound,
    predict,
    separable_points,
    train,
    update,
)


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# ---- the gates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "truth"), [("AND", [0, 0, 0, 1]), ("OR", [0, 1, 1, 1]), ("XOR", [0, 1, 1, 0])]
)
def test_gate_answers_its_four_inputs(name, truth):
    inputs, targets = gate(name)
    np.testing.assert_array_equal(inputs, [[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(targets, truth)


def test_gate_that_is_none_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"(?=.*\bAND\b)(?=.*\bOR\b)(?=.*\bXOR\b)"):
        gate("NAND")


def test_changing_a_gate_s_arrays_changes_no_other_s():
    inputs, targets = gate("AND")
    inputs += 5
    targets += 5
    np.testing.assert_array_equal(gate("AND")[0][0], [0, 0])
    np.testing.assert_array_equal(gate("AND")[1], [0, 0, 0, 1])


# ---- the rule --------------------------------------------------------------------------------


def test_answer_is_one_where_the_weighted_sum_reaches_zero():
    weight = np.array([2.0, -1.0])
    answers = predict(np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.5]]), weight, -1.0)
    np.testing.assert_array_equal(answers, [1, 0, 1, 0])  # sums 0, -2, 1, -0.5
    assert predict(np.array([1.0, 1.0]), weight, -1.0).shape == ()
    assert predict(np.zeros((2, 3, 2)), weight, 0.5).shape == (2, 3)


def test_mistake_adds_or_takes_away_the_example_and_a_right_answer_nothing():
    x, weight = np.array([3.0, -2.0]), np.array([1.0, 1.0])  # the sum is 1, plus the bias
    missed = update(x, 1, weight, -4.0)
    np.testing.assert_array_equal(missed[0], [4.0, -1.0])
    assert missed[1] == -3.0
    wrongly_fired = update(x, 0, weight, 0.5)
    np.testing.assert_array_equal(wrongly_fired[0], [-2.0, 3.0])
    assert wrongly_fired[1] == -0.5
    right = update(x, 1, weight, 0.5)
    np.testing.assert_array_equal(right[0], [1.0, 1.0])
    assert right[1] == 0.5
    np.testing.assert_array_equal(weight, [1.0, 1.0])


def test_training_on_and_is_the_one_worked_out_by_hand():
    history = train(*gate("AND"))
    assert history.mistakes == (2, 3, 3, 2, 1, 0)
    assert history.converged
    hand = [[0, 0, 0], [0, 0, -1], [1, 1, 0], [1, 1, -1], [1, 0, -2], [2, 1, -1], [2, 0, -2]]
    hand += [[1, 0, -3], [2, 1, -2], [1, 1, -3], [2, 2, -2], [2, 1, -3]]
    np.testing.assert_array_equal(history.weights, [row[:2] for row in hand])
    np.testing.assert_array_equal(history.biases, [row[2] for row in hand])


@pytest.mark.parametrize("name", ["AND", "OR"])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_gate_that_a_line_separates_is_learned_in_any_order(name, seed):
    x, targets = gate(name)
    rng = None if seed is None else np.random.default_rng(seed)
    history = train(x, targets, rng=rng)
    assert history.converged
    np.testing.assert_array_equal(predict(x, history.weights[-1], history.biases[-1]), targets)


def test_xor_is_never_learned_and_the_weights_go_round_in_circles():
    history = train(*gate("XOR"), n_epoch=500)
    assert len(history.mistakes) == 500
    assert not history.converged
    assert min(history.mistakes) >= 1
    assert np.abs(history.weights).max() <= 3
    states = {(*weight, bias) for weight, bias in zip(history.weights, history.biases, strict=True)}
    assert len(states) < 20 < len(history.weights)


def test_history_holds_the_start_and_one_entry_for_each_mistake():
    x, targets, *_ = separable_points(30, 3, 0.05, np.random.default_rng(4))
    history = train(x, targets)
    assert len(history.weights) == len(history.biases) == 1 + sum(history.mistakes)
    np.testing.assert_array_equal(history.weights[0], [0, 0, 0])
    moved = np.diff(np.column_stack([history.weights, history.biases]), axis=0)
    examples = np.column_stack([x, np.ones(30)])
    for step in moved:  # every update is an example, added or taken away
        apart = np.abs(np.abs(examples @ step) - step @ step).min()
        assert apart == pytest.approx(0, abs=1e-12)


def test_training_can_begin_elsewhere_and_leaves_that_start_as_it_is():
    start = np.array([2.0, 1.0])
    history = train(*gate("AND"), weight=start, bias=-3.0)
    assert history.mistakes == (0,)
    np.testing.assert_array_equal(history.weights, [[2.0, 1.0]])
    np.testing.assert_array_equal(history.biases, [-3.0])
    single = train(*gate("AND"), weight=start.astype(np.float32))
    assert single.weights.dtype == np.float64
    train(*gate("XOR"), weight=start, bias=-3.0, n_epoch=3)
    np.testing.assert_array_equal(start, [2.0, 1.0])


def test_training_stops_at_the_limit():
    history = train(*gate("AND"), n_epoch=3)
    assert history.mistakes == (2, 3, 3)
    assert not history.converged
    assert train(*gate("AND"), n_epoch=1).mistakes == (2,)
    assert len(train(*gate("XOR")).mistakes) == 100


def test_order_comes_from_the_generator_and_one_seed_gives_one_history():
    x, targets, *_ = separable_points(40, 3, 0.01, np.random.default_rng(5))
    first = train(x, targets, rng=np.random.default_rng(6))
    np.testing.assert_array_equal(
        first.weights, train(x, targets, rng=np.random.default_rng(6)).weights
    )
    assert not np.array_equal(first.weights[1:3], train(x, targets).weights[1:3])


# ---- the convergence theorem -----------------------------------------------------------------


def test_margin_and_bound_by_hand():
    # AND with w = (2, 2), b = -3: |(w, b)|^2 = 17; the sums are -3, -1, -1 and 1
    x, targets = gate("AND")
    gamma = margin(x, targets, np.array([2.0, 2.0]), -3.0)
    assert gamma == pytest.approx(1 / np.sqrt(17), rel=1e-14)
    # with b = -3.5 the nearest is the one that fires: 0.5, and |(w, b)| = 4.5
    gamma = margin(x, targets, np.array([2.0, 2.0]), -3.5)
    assert gamma == pytest.approx(1 / 9, rel=1e-14)
    # the longest (x, 1) is (1, 1, 1), of squared length 3
    bound = mistake_bound(x, targets, np.array([2.0, 2.0]), -3.0)
    assert bound == pytest.approx(3 * 17, rel=1e-14)
    assert sum(train(x, targets).mistakes) <= bound


def test_margin_does_not_depend_on_the_length_of_the_vector():
    x, targets = gate("OR")
    short = margin(x, targets, np.array([2.0, 2.0]), -1.0)
    assert margin(x, targets, np.array([20.0, 20.0]), -10.0) == pytest.approx(short, rel=1e-14)


def test_margin_is_negative_where_an_example_is_on_the_wrong_side():
    x, targets = gate("XOR")
    # w = (1, 1), b = -0.5 is wrong about (1, 1) alone, by 1.5 / 1.5
    assert margin(x, targets, np.array([1.0, 1.0]), -0.5) == pytest.approx(-1, rel=1e-14)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_example=st.integers(2, 40),
    n_input=st.integers(1, 6),
    distance=st.floats(0.05, 0.5),
)
def test_mistakes_on_random_separable_points_are_within_the_bound(
    seed, n_example, n_input, distance
):
    rng = np.random.default_rng(seed)
    x, targets, weight, bias = separable_points(n_example, n_input, distance, rng)
    history = train(x, targets, n_epoch=20_000, rng=rng)
    assert history.converged
    assert sum(history.mistakes) <= mistake_bound(x, targets, weight, bias) * (1 + 1e-12)


def test_both_inequalities_of_the_proof_hold_after_every_update():
    x, targets, weight, bias = separable_points(50, 4, 0.05, np.random.default_rng(8))
    history = train(x, targets, n_epoch=1000)
    assert len(history.weights) > 5
    gamma = margin(x, targets, weight, bias)
    longest = mistake_bound(x, targets, weight, bias) * gamma**2
    vectors = np.column_stack([history.weights, history.biases])
    along = vectors @ np.append(weight, bias) / np.linalg.norm(np.append(weight, bias))
    k = np.arange(len(vectors))
    assert (along >= k * gamma - 1e-9).all()
    assert ((vectors**2).sum(axis=1) <= k * longest + 1e-9).all()


@pytest.mark.parametrize(
    ("name", "weight", "bias"), [("XOR", [1.0, 1.0], -0.5), ("AND", [1.0, 1.0], -1.0)]
)
def test_bound_of_a_plane_that_does_not_separate_is_refused(name, weight, bias):
    with pytest.raises(ValueError, match=r"."):
        mistake_bound(*gate(name), np.array(weight), bias)


def test_separable_points_are_separated_by_the_plane_they_come_with():
    x, targets, weight, bias = separable_points(200, 3, 0.2, np.random.default_rng(9))
    assert (x.shape, targets.shape) == ((200, 3), (200,))
    assert np.linalg.norm(weight) == pytest.approx(1, rel=1e-14)
    np.testing.assert_array_equal(predict(x, weight, bias), targets)
    distances = np.abs(x @ weight + bias)
    assert distances.min() == pytest.approx(0.2, rel=1e-12)  # some were moved, just so far
    assert distances.max() > 0.5
    assert 40 < targets.sum() < 160
    assert x.min() < -0.9 < 0.9 < x.max()


def test_separable_points_without_a_distance_are_left_in_their_cube():
    biases = []
    for seed in range(20):
        x, _, _, bias = separable_points(200, 3, 0.0, np.random.default_rng(seed))
        assert np.abs(x).max() <= 1
        biases.append(bias)
    assert -0.25 <= min(biases) < 0 < max(biases) <= 0.25


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, 2])
def test_target_that_is_neither_0_nor_1_is_refused_by_its_value(wrong):
    x, targets = gate("AND")
    targets[2] = wrong
    with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
        train(x, targets)
    with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
        margin(x, targets, np.ones(2), 0.0)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(("x", "targets"), [((4, 2), (3,)), ((4, 2), (4, 1)), ((4,), (4,))])
def test_examples_and_targets_that_do_not_fit_are_refused_with_both_shapes(x, targets):
    with pytest.raises(ValueError, match=re.escape(str(x))) as caught:
        train(np.ones(x), np.ones(targets, int))
    assert str(targets) in str(caught.value)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("weight", [(3,), (2, 1), (1,)])
def test_weight_that_does_not_fit_the_inputs_is_refused_with_both_shapes(weight):
    with pytest.raises(ValueError, match=r"\(4, 2\)") as caught:
        predict(np.ones((4, 2)), np.ones(weight), 0.0)
    assert str(weight) in str(caught.value)


def test_plane_of_zeros_no_examples_and_a_limit_of_no_epochs_are_refused():
    with pytest.raises(ValueError, match=r"."):
        margin(*gate("AND"), np.zeros(2), 0.0)
    with pytest.raises(ValueError, match=r"."):
        train(np.ones((0, 2)), np.ones(0, int))
    with pytest.raises(ValueError, match="epoch"):
        train(*gate("AND"), n_epoch=0)
    assert margin(*gate("OR"), np.zeros(2), 1.0) == -1  # a bias alone is a plane far away
