"""The two-layer network by hand: values worked out, gradients measured, XOR solved."""

import math
import warnings

import jaxtyping
import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase01.xor import (
    INPUTS,
    TARGETS,
    cross_entropy,
    forward,
    gradients,
    sigmoid,
    train,
    train_one_layer,
)

NAMES = ("weight1", "bias1", "weight2", "bias2")


@pytest.fixture(autouse=True)
def _no_warning_leaks():
    """A test fails on a warning: what is meant is silent, what is not meant should not happen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def random_network(n_hidden=3, d=2, n_example=5):
    rng = np.random.default_rng(0)
    params = {
        "weight1": rng.normal(size=(n_hidden, d)),
        "bias1": rng.normal(size=n_hidden),
        "weight2": rng.normal(size=(1, n_hidden)),
        "bias2": rng.normal(size=1),
    }
    targets = rng.integers(0, 2, (n_example, 1)).astype(np.float64)
    return rng.normal(size=(n_example, d)), targets, params


def last(history):
    return [history[name][-1] for name in NAMES]


@pytest.mark.kept
def test_data_is_the_truth_table():
    np.testing.assert_array_equal(INPUTS, [[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(TARGETS, [[0], [1], [1], [0]])


# ---- by hand ---------------------------------------------------------------------------------

LN3 = math.log(3)
HAND = (  # one example: the hidden units are at 3/4 and 1/2, the logit at 0
    np.array([[1.0, 2.0]]),
    np.array([[LN3, 0.0], [2.0, -1.0]]),
    np.array([0.0, 0.0]),
    np.array([[4.0, -2.0]]),
    np.array([-2.0]),
)


def test_forward_by_hand():
    hidden, z2 = forward(*HAND)
    np.testing.assert_allclose(hidden, [[0.75, 0.5]], rtol=1e-15)
    np.testing.assert_allclose(z2, [[0.0]], atol=1e-15)
    assert cross_entropy(z2, np.array([[1.0]])) == pytest.approx(math.log(2), rel=1e-14)


def test_gradients_by_hand():
    x, _, _, weight2, _ = HAND
    hidden, z2 = forward(*HAND)
    dweight1, dbias1, dweight2, dbias2 = gradients(x, np.array([[1.0]]), hidden, z2, weight2)
    # dz2 = 1/2 - 1; dz1 = -1/2 * (4 * 3/16, -2 * 1/4)
    np.testing.assert_allclose(dbias2, [-0.5], rtol=1e-14)
    np.testing.assert_allclose(dweight2, [[-0.375, -0.25]], rtol=1e-14)
    np.testing.assert_allclose(dbias1, [-0.375, 0.25], rtol=1e-14)
    np.testing.assert_allclose(dweight1, [[-0.375, -0.75], [0.25, 0.5]], rtol=1e-14)


def test_sigmoid_by_hand_and_at_large_numbers():
    np.testing.assert_allclose(sigmoid(np.array([[0.0, LN3, -LN3]])), [[0.5, 0.75, 0.25]])
    np.testing.assert_array_equal(sigmoid(np.array([-1e4, 1e4])), [0.0, 1.0])
    np.testing.assert_allclose(sigmoid(np.array([-300.0])), np.exp([-300.0]), rtol=1e-12)


def test_loss_is_the_mean_of_the_examples_and_finite_where_a_probability_is_0():
    z2, targets = np.array([[LN3], [0.0]]), np.array([[0.0], [1.0]])
    assert cross_entropy(z2, targets) == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-14)
    assert cross_entropy(np.array([[-1000.0]]), np.array([[1.0]])) == 1000
    assert cross_entropy(np.array([[1000.0]]), np.array([[1.0]])) == 0


# ---- gradients -------------------------------------------------------------------------------


def test_gradients_are_those_measured():
    x, targets, params = random_network()

    def loss(**params):
        hidden, z2 = forward(x, **params)
        return cross_entropy(z2, targets), (hidden, z2, params["weight2"])

    def backward(dloss, cache):
        return tuple(dloss * gradient for gradient in gradients(x, targets, *cache))

    check_backward(loss, backward, params, np.random.default_rng(1))


def test_loss_and_gradients_match_torch():
    x, targets, params = random_network()
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    inner = torch.tensor(x) @ tensors["weight1"].T + tensors["bias1"]
    logits = torch.sigmoid(inner) @ tensors["weight2"].T + tensors["bias2"]
    truth = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(targets))
    slopes = torch.autograd.grad(truth, [tensors[name] for name in NAMES])
    hidden, z2 = forward(x, **params)
    assert cross_entropy(z2, targets) == pytest.approx(truth.item(), rel=1e-10)
    mine = gradients(x, targets, hidden, z2, params["weight2"])
    for gradient, slope in zip(mine, slopes, strict=True):
        np.testing.assert_allclose(gradient, slope.numpy(), rtol=1e-10, atol=1e-14)


# ---- training --------------------------------------------------------------------------------


def test_hidden_layer_solves_xor():
    history = train(INPUTS, TARGETS, np.random.default_rng(0), n_epoch=1000)
    _, z2 = forward(INPUTS, *last(history))
    probability = sigmoid(z2)
    np.testing.assert_array_equal(np.round(probability), TARGETS)
    assert np.abs(probability - TARGETS).max() < 0.05
    assert history["loss"][-1] < 0.02


def test_one_layer_is_stuck_at_the_loss_of_a_coin():
    history = train_one_layer(INPUTS, TARGETS, np.random.default_rng(0), n_epoch=1000)
    assert history["loss"][-1] == pytest.approx(math.log(2), rel=1e-9)
    assert history["loss"][0] > math.log(2) + 1e-3
    np.testing.assert_allclose(history["weight"][-1], [[0, 0]], atol=1e-6)
    np.testing.assert_allclose(history["bias"][-1], [0], atol=1e-6)


def test_one_layer_learns_a_gate_that_a_line_separates():
    targets = np.array([[0.0], [1.0], [1.0], [1.0]])
    history = train_one_layer(INPUTS, targets, np.random.default_rng(0), n_epoch=500)
    answers = INPUTS @ history["weight"][-1].T + history["bias"][-1] > 0
    np.testing.assert_array_equal(answers, targets)
    assert history["loss"][-1] < 0.05


def test_history_begins_at_the_start_and_every_epoch_is_one_step_downhill():
    x, targets, _ = random_network(d=3)
    history = train(x, targets, np.random.default_rng(3), n_hidden=6, learning_rate=0.3, n_epoch=4)
    shapes = {name: values.shape for name, values in history.items()}
    assert shapes == {
        "loss": (5,),
        "weight1": (5, 6, 3),
        "bias1": (5, 6),
        "weight2": (5, 1, 6),
        "bias2": (5, 1),
    }
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(history["weight1"][0], rng.normal(size=(6, 3)))
    np.testing.assert_array_equal(history["weight2"][0], rng.normal(size=(1, 6)))
    assert not history["bias1"][0].any()
    assert not history["bias2"][0].any()
    for epoch in range(4):
        params = [history[name][epoch] for name in NAMES]
        hidden, z2 = forward(x, *params)
        assert history["loss"][epoch] == cross_entropy(z2, targets)
        slopes = gradients(x, targets, hidden, z2, params[2])
        for name, value, slope in zip(NAMES, params, slopes, strict=True):
            np.testing.assert_allclose(
                history[name][epoch + 1], value - 0.3 * slope, rtol=1e-14, atol=1e-15
            )
    assert history["loss"][4] == cross_entropy(forward(x, *last(history))[1], targets)


def test_history_of_one_layer_is_one_step_downhill_an_epoch():
    x, targets, _ = random_network(d=3)
    history = train_one_layer(x, targets, np.random.default_rng(3), learning_rate=0.3, n_epoch=2)
    assert history["weight"].shape == (3, 1, 3)
    assert history["bias"].shape == (3, 1)
    weight = torch.tensor(np.random.default_rng(3).normal(size=(1, 3)), requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for epoch in range(3):
        np.testing.assert_allclose(history["weight"][epoch], weight.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(history["bias"][epoch], bias.detach().numpy(), rtol=1e-12)
        z = torch.tensor(x) @ weight.T + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(targets))
        assert history["loss"][epoch] == pytest.approx(loss.item(), rel=1e-12)
        dweight, dbias = torch.autograd.grad(loss, [weight, bias])
        weight = (weight - 0.3 * dweight).detach().requires_grad_()
        bias = (bias - 0.3 * dbias).detach().requires_grad_()


@pytest.mark.parametrize("function", [train, train_one_layer])
def test_one_seed_gives_one_history_and_arguments_are_left_unchanged(function):
    x, targets = INPUTS.copy(), TARGETS.copy()
    first = function(x, targets, np.random.default_rng(5), n_epoch=3)
    again = function(x, targets, np.random.default_rng(5), n_epoch=3)
    other = function(x, targets, np.random.default_rng(6), n_epoch=3)
    np.testing.assert_array_equal(first["loss"], again["loss"])
    assert not np.array_equal(first["loss"], other["loss"])
    np.testing.assert_array_equal(x, INPUTS)
    np.testing.assert_array_equal(targets, TARGETS)


@pytest.mark.parametrize("function", [train, train_one_layer])
def test_defaults_are_a_rate_of_2_and_2000_epochs(function):
    history = function(INPUTS, TARGETS, np.random.default_rng(0))
    truth = function(INPUTS, TARGETS, np.random.default_rng(0), learning_rate=2.0, n_epoch=2000)
    np.testing.assert_array_equal(history["loss"], truth["loss"])


def test_default_is_four_hidden_units():
    assert train(INPUTS, TARGETS, np.random.default_rng(0), n_epoch=1)["bias1"].shape == (2, 4)


# ---- what is refused -------------------------------------------------------------------------


def test_counts_and_rates_that_make_no_sense_are_refused_by_name():
    rng = np.random.default_rng(0)
    for function in (train, train_one_layer):
        for rate in (-0.5, 0.0, math.nan):
            with pytest.raises(ValueError, match=r"learning.rate"):
                function(INPUTS, TARGETS, rng, learning_rate=rate)
        with pytest.raises(ValueError, match="epoch"):
            function(INPUTS, TARGETS, rng, n_epoch=0)
    with pytest.raises(ValueError, match="hidden"):
        train(INPUTS, TARGETS, rng, n_hidden=0)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("shape", [(3, 1), (4,)])
def test_logits_and_targets_of_two_shapes_are_refused_with_both(shape):
    with pytest.raises(ValueError, match=r"\(4, 1\)") as caught:
        cross_entropy(np.zeros((4, 1)), np.zeros(shape))
    assert str(shape) in str(caught.value)
