"""Initialization: the spread of the weights against torch.nn.init, and what a deep stack does."""

import math
import re

import numpy as np
import pytest
import torch

from phase01.initialization import (
    fans,
    gain_of,
    he_normal,
    he_uniform,
    layer_statistics,
    xavier_normal,
    xavier_uniform,
)

SHAPE = (300, 700)
KERNEL = (60, 80, 5, 7)  # fan_in 2800, fan_out 2100
EVERY = [xavier_normal, xavier_uniform, he_normal, he_uniform]
NORMAL = {xavier_normal: True, he_normal: True, xavier_uniform: False, he_uniform: False}


def rng(seed=0):
    return np.random.default_rng(seed)


def test_fans_are_inputs_of_an_output_and_outputs_of_an_input():
    assert fans((4, 3)) == (3, 4)
    assert fans((20, 30, 5, 7)) == (30 * 35, 20 * 35)
    assert fans((2, 3, 5)) == (15, 10)


@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 0)])
def test_shape_that_is_no_weight_is_refused(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        fans(shape)


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu"])
def test_gain_is_torch_s(name):
    assert gain_of(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)


def test_gain_of_something_unknown_is_refused_with_what_is_known():
    with pytest.raises(ValueError, match=r"(?=.*linear)(?=.*sigmoid)(?=.*tanh)(?=.*relu)"):
        gain_of("swish")


@pytest.mark.parametrize("initialize", EVERY)
@pytest.mark.parametrize("shape", [SHAPE, KERNEL])
def test_standard_deviation_is_that_of_the_formula(initialize, shape):
    fan_in, fan_out = (700, 300) if shape == SHAPE else (2800, 2100)
    xavier = initialize in (xavier_normal, xavier_uniform)
    truth = math.sqrt(2 / (fan_in + fan_out)) if xavier else math.sqrt(2 / fan_in)
    weight = initialize(shape, rng())
    assert weight.shape == shape
    assert float(weight.std()) == pytest.approx(truth, rel=0.01)
    assert abs(float(weight.mean())) < 0.01 * truth


@pytest.mark.parametrize("initialize", EVERY)
def test_weights_are_spread_evenly_or_normally(initialize):
    weight = initialize(SHAPE, rng())
    largest = float(np.abs(weight).max() / weight.std())
    fourth = float(np.mean((weight / weight.std()) ** 4))  # 3 for a normal spread, 9/5 for an even
    if NORMAL[initialize]:
        assert largest > 4
        assert fourth == pytest.approx(3, rel=0.03)
    else:
        assert largest == pytest.approx(math.sqrt(3), rel=0.01)
        assert fourth == pytest.approx(9 / 5, rel=0.01)


@pytest.mark.parametrize(
    ("initialize", "torchs"),
    [
        (xavier_uniform, lambda w: torch.nn.init.xavier_uniform_(w, gain=3.0)),
        (xavier_normal, lambda w: torch.nn.init.xavier_normal_(w, gain=3.0)),
    ],
)
def test_xavier_has_the_spread_of_torch_with_a_gain(initialize, torchs):
    torch.manual_seed(0)
    truth = torchs(torch.empty(SHAPE)).numpy()
    assert float(initialize(SHAPE, rng(), 3.0).std()) == pytest.approx(truth.std(), rel=0.01)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize(
    ("initialize", "torchs"),
    [(he_uniform, torch.nn.init.kaiming_uniform_), (he_normal, torch.nn.init.kaiming_normal_)],
)
def test_he_has_the_spread_of_torch_in_both_modes(initialize, torchs, mode):
    torch.manual_seed(0)
    truth = torchs(torch.empty(KERNEL), mode=mode, nonlinearity="tanh").numpy()
    weight = initialize(KERNEL, rng(), gain=5 / 3, mode=mode)
    assert float(weight.std()) == pytest.approx(truth.std(), rel=0.01)


@pytest.mark.parametrize("initialize", [he_normal, he_uniform])
def test_mode_that_is_none_is_refused(initialize):
    with pytest.raises(ValueError, match="fan_avg"):
        initialize((4, 3), rng(), mode="fan_avg")


@pytest.mark.parametrize("initialize", EVERY)
def test_weights_come_from_the_generator_alone_in_float32_unless_asked_otherwise(initialize):
    weight = initialize((4, 3), rng(5))
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight, initialize((4, 3), rng(5)))
    assert not np.array_equal(weight, initialize((4, 3), rng(6)))
    exact = initialize((4, 3), rng(5), dtype=np.float64)
    assert exact.dtype == np.float64
    np.testing.assert_array_equal(weight, exact.astype(np.float32))


# ---- a deep stack ----------------------------------------------------------------------------


def scaled(factor):
    return lambda shape, generator: factor * generator.normal(size=shape) / math.sqrt(shape[1])


def test_statistics_of_two_layers_are_those_worked_out_by_hand():
    # Weights that are drawn from nothing: every number of the stack can be written down.
    first, second = np.arange(8.0).reshape(4, 2) - 3, np.arange(20.0).reshape(5, 4) / 7 - 1
    start: dict[tuple[int, ...], np.ndarray] = {(4, 2): first, (5, 4): second}
    found = layer_statistics(lambda shape, _: start[shape], "relu", (2, 4, 5), 3, rng(1))
    generator = rng(1)
    x = generator.normal(size=(3, 2))
    dy = generator.normal(size=(3, 5))
    z1 = x @ first.T
    z2 = np.maximum(z1, 0) @ second.T
    dz2 = dy * (z2 > 0)
    dz1 = (dz2 @ second) * (z1 > 0)
    truth = [np.std(np.maximum(z1, 0)), np.std(np.maximum(z2, 0))]
    np.testing.assert_allclose(found.activations, truth, rtol=1e-13)
    np.testing.assert_allclose(found.gradients, [np.std(dz1), np.std(dz2)], rtol=1e-13)


@pytest.mark.parametrize(
    ("initialize", "activation"),
    [
        (he_normal, "relu"),
        (he_uniform, "relu"),
        (lambda shape, generator: xavier_normal(shape, generator, gain_of("tanh")), "tanh"),
    ],
)
def test_right_start_carries_the_signal_through_ten_layers(initialize, activation):
    found = layer_statistics(initialize, activation, [256] * 11, 128, rng())
    assert found.activations.shape == found.gradients.shape == (10,)
    for spread in (found.activations, found.gradients):
        assert 0.3 < spread[-1] / spread[0] < 3


def test_start_that_is_too_small_lets_the_signal_die_both_ways():
    found = layer_statistics(scaled(0.3), "tanh", [100] * 11, 64, rng())
    assert found.activations[-1] < 1e-4 * found.activations[0]
    assert found.gradients[0] < 1e-4 * found.gradients[-1]
    # 0.3 for each layer, as tanh is straight where its inputs are small
    assert found.activations[9] / found.activations[8] == pytest.approx(0.3, rel=0.2)
    assert found.gradients[0] / found.gradients[1] == pytest.approx(0.3, rel=0.2)


def test_start_that_is_too_large_drives_tanh_to_its_ends_and_relu_out_of_bounds():
    found = layer_statistics(scaled(20.0), "tanh", [100] * 11, 64, rng())
    assert found.activations[-1] > 0.9
    found = layer_statistics(scaled(20.0), "relu", [100] * 41, 64, rng())
    assert found.activations[-1] > 1e40
    assert np.isfinite(found.activations).all()
    assert found.gradients[0] > 1e40


def test_stack_of_float32_weights_is_computed_in_float64():
    def enormous(shape, generator):
        return he_normal(shape, generator, gain=1e15)  # 1e60 in the end, beyond float32

    found = layer_statistics(enormous, "relu", (20, 30, 40, 50, 60), 10, rng())
    assert found.activations[-1] > 1e50
    assert np.isfinite(found.activations).all()
    assert np.isfinite(found.gradients).all()


def test_xavier_is_too_small_for_relu_by_the_root_of_two_a_layer():
    found = layer_statistics(xavier_normal, "relu", [400] * 11, 200, rng())
    ratio = (found.activations[-1] / found.activations[0]) ** (1 / 9)
    assert ratio == pytest.approx(math.sqrt(1 / 2), rel=0.05)


def test_stack_with_a_step_passes_no_gradient_on():
    found = layer_statistics(xavier_normal, "step", (3, 4, 5), 6, rng())
    np.testing.assert_array_equal(found.gradients, [0, 0])


def test_stack_that_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="swish"):
        layer_statistics(he_normal, "swish", (3, 4), 5, rng())
    with pytest.raises(ValueError, match=r"."):
        layer_statistics(he_normal, "relu", (3,), 5, rng())
    with pytest.raises(ValueError, match=r"(?=.*\(3, 4\))(?=.*\(4, 3\))"):
        layer_statistics(lambda shape, _: np.ones(shape[::-1]), "relu", (3, 4), 5, rng())
