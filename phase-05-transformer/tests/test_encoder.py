"""Sublayers, the encoder's layer and its stack: by hand, torch, finite differences, masks."""

import dataclasses
import itertools
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

from phase01.gradient_check import errors_by_parameter
from phase04.masks import combined, padding_mask
from phase05.encoder import (
    LayerConfig,
    encoder_backward,
    encoder_forward,
    encoder_layer_backward,
    encoder_layer_forward,
    encoder_layer_parameters,
    encoder_layer_weights,
    encoder_parameters,
    sublayer_backward,
    sublayer_forward,
)
from phase05.layer_norm import layer_norm_forward

B, T, H, C, WIDE = 2, 5, 3, 12, 10  # heads of width 4: all different
CONFIG = LayerConfig(C, H, WIDE)
NORMS = ("post", "pre", "none")
MASK = combined(padding_mask([5, 3], T))  # (B, 1, 1, T)
ALL_KINDS = [
    dataclasses.replace(CONFIG, norm=norm, residual=residual)
    for norm, residual in itertools.product(NORMS, (True, False))
]
IDS = [f"{config.norm}-{'residual' if config.residual else 'plain'}" for config in ALL_KINDS]


def shaken(params, seed=7):
    """No weight of 1 and no bias of 0, so that a factor or a term that is forgotten shows."""
    rng = np.random.default_rng(seed)
    return {
        name: value + rng.normal(0, 0.3, value.shape).astype(value.dtype)
        for name, value in params.items()
    }


def layer(config=CONFIG, dtype=np.float64, seed=0):
    return shaken(encoder_layer_parameters(config, np.random.default_rng(seed), dtype))


def stack(config=CONFIG, n_layer=2, final_norm=False, dtype=np.float64):
    rng = np.random.default_rng(1)
    return shaken(encoder_parameters(n_layer, config, rng, dtype, final_norm))


def normal(*shape, seed=3, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of types are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def check_gradients(forward, backward, inputs):
    """Each input by itself along a random direction, for a random upstream gradient: 1e-6.

    Two forwards for each name, where `check_backward` takes two for each element.
    """
    y, cache = forward(**inputs)
    dy = normal(*y.shape, seed=31)
    *firsts, grads = backward(dy, cache)
    names = [name for name in inputs if name not in grads]
    grads = {**dict(zip(names, firsts, strict=True)), **grads}

    def loss(arrays):
        return float(np.sum(dy * forward(**arrays)[0]))

    errors = errors_by_parameter(loss, inputs, grads, np.random.default_rng(1))
    assert {name: error for name, error in errors.items() if not error < 1e-6} == {}


def torch_layer(config):
    kind = nn.TransformerEncoderLayer(
        C, H, WIDE, 0.0, config.activation, batch_first=True, norm_first=config.norm == "pre"
    )
    return kind.double()


def assert_same_as_torch(module, truth, inputs, y, gradients, grads):
    """Output and the gradients of all inputs and parameters, to 1e-10."""
    close: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(y, truth.detach().numpy(), **close)
    for mine, tensor in zip(gradients, inputs, strict=True):
        np.testing.assert_allclose(mine, tensor.grad.numpy(), **close)
    assert set(grads) == {name for name, _ in module.named_parameters()}
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(grads[name], parameter.grad.numpy(), **close, err_msg=name)


def loaded(module, params):
    module.load_state_dict({name: torch.from_numpy(value) for name, value in params.items()})
    return module


# ---- a sublayer --------------------------------------------------------------------------

NORM = {"weight": normal(C, seed=11) + 1, "bias": normal(C, seed=12)}


def tripled(x):
    return 3 * x, None


def test_sublayer_is_what_its_formula_says():
    x = normal(B, T, C)

    def norm(x):
        return layer_norm_forward(x, NORM["weight"], NORM["bias"])[0]

    truth = {
        ("post", True): norm(4 * x),
        ("pre", True): x + 3 * norm(x),
        ("none", True): 4 * x,
        ("post", False): norm(3 * x),
        ("pre", False): 3 * norm(x),
        ("none", False): 3 * x,
    }
    for config in ALL_KINDS:
        y, _ = sublayer_forward(NORM, x, tripled, config)
        np.testing.assert_allclose(y, truth[config.norm, config.residual], rtol=1e-13)


@pytest.mark.parametrize("config", ALL_KINDS, ids=IDS)
def test_sublayer_gradients_match_finite_differences(config):
    def square(x):
        return x * x, x

    def forward(x, **norm):
        return sublayer_forward(norm, x, square, config)

    def backward(dy, cache):
        dx, others, grads = sublayer_backward(dy, cache, lambda dy, x: (2 * x * dy, "another"))
        assert others == ("another",)
        return dx, grads

    norm = {} if config.norm == "none" else NORM
    inputs = {"x": normal(B, T, C), **norm}
    check_gradients(forward, backward, inputs)


def test_norm_is_not_looked_at_where_there_is_none():
    y, cache = sublayer_forward(
        {}, normal(B, T, C), tripled, dataclasses.replace(CONFIG, norm="none")
    )
    _, _, grads = sublayer_backward(y, cache, lambda dy, _: (3 * dy,))
    assert grads == {}


def test_dropout_acts_on_what_the_function_returns_and_on_nothing_else():
    x = normal(B, 50, C)
    config = LayerConfig(C, H, WIDE, dropout=0.25, norm="none")
    y, cache = sublayer_forward({}, x, tripled, config, np.random.default_rng(2))
    factor = (y - x) / (3 * x)  # 0, or 1 / (1 - 0.25)
    dropped = np.abs(factor) < 1e-9
    np.testing.assert_allclose(factor[~dropped], 4 / 3, rtol=1e-9)
    assert dropped.mean() == pytest.approx(0.25, abs=0.05)
    dy = normal(*x.shape, seed=5)
    dx, _, _ = sublayer_backward(dy, cache, lambda dy, _: (3 * dy,))
    np.testing.assert_allclose(dx, dy + 3 * factor * dy, rtol=1e-9)


def test_no_generator_is_evaluation():
    x = normal(B, T, C)
    config = LayerConfig(C, H, WIDE, dropout=0.9)
    y, _ = sublayer_forward(NORM, x, tripled, config, None)
    truth, _ = sublayer_forward(NORM, x, tripled, CONFIG, np.random.default_rng(0))
    np.testing.assert_array_equal(y, truth)


# ---- a layer -----------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "padding"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_layer_and_all_gradients_match_torch(norm, activation, mask):
    config = dataclasses.replace(CONFIG, norm=norm, activation=activation)
    params, x, dy = layer(config), normal(B, T, C), normal(B, T, C, seed=4)
    module = loaded(torch_layer(config), params)
    inputs = torch.tensor(x, requires_grad=True)
    hidden = None if mask is None else torch.from_numpy(~mask[:, 0, 0])
    truth = module(inputs, src_key_padding_mask=hidden)
    truth.backward(torch.from_numpy(dy))
    y, cache = encoder_layer_forward(params, x, mask, config)
    dx, grads = encoder_layer_backward(dy, cache)
    assert_same_as_torch(module, truth, [inputs], y, [dx], grads)


@pytest.mark.parametrize("config", ALL_KINDS, ids=IDS)
def test_layer_gradients_match_finite_differences(config):
    config = dataclasses.replace(config, activation="gelu")  # which has no kink
    params = layer(config)

    def forward(x, **params):
        return encoder_layer_forward(params, x, MASK, config)

    inputs = {"x": normal(B, T, C), **params}
    check_gradients(forward, encoder_layer_backward, inputs)


def test_layer_gradients_with_dropout_match_finite_differences():
    config = dataclasses.replace(CONFIG, dropout=0.3, activation="gelu")

    def forward(x, **params):
        return encoder_layer_forward(params, x, MASK, config, np.random.default_rng(9))

    inputs = {"x": normal(B, T, C), **layer(config)}
    check_gradients(forward, encoder_layer_backward, inputs)


@pytest.mark.parametrize("silent", ["self_attn.out_proj.", "linear2."])
def test_dropout_acts_on_each_of_the_two_sublayers(silent):
    # With one of the functions at 0, any difference comes from the dropout of the other.
    config = dataclasses.replace(CONFIG, dropout=0.5)
    params = {n: 0 * v if n.startswith(silent) else v for n, v in layer().items()}
    calm, _ = encoder_layer_forward(params, normal(B, T, C), MASK, config)
    y, _ = encoder_layer_forward(params, normal(B, T, C), MASK, config, np.random.default_rng(1))
    assert np.abs(y - calm).max() > 0.01


@pytest.mark.parametrize("norm", NORMS)
def test_names_and_shapes_are_those_of_torch(norm):
    params = encoder_layer_parameters(
        dataclasses.replace(CONFIG, norm=norm), np.random.default_rng(0)
    )
    theirs = {name: tuple(value.shape) for name, value in torch_layer(CONFIG).state_dict().items()}
    if norm == "none":
        theirs = {name: shape for name, shape in theirs.items() if "norm" not in name}
    assert {name: value.shape for name, value in params.items()} == theirs
    for name, value in params.items():
        if "norm" in name:
            np.testing.assert_array_equal(value, np.full(C, float(name.endswith("weight"))))
        assert value.dtype == np.float32


@pytest.mark.parametrize("norm", NORMS)
def test_what_is_masked_changes_no_other_position(norm):
    config = dataclasses.replace(CONFIG, norm=norm)
    x = normal(B, T, C)
    filled = x.copy()
    filled[1, 3:] = 100.0
    y, _ = encoder_layer_forward(layer(config), x, MASK, config)
    other, _ = encoder_layer_forward(layer(config), filled, MASK, config)
    np.testing.assert_allclose(other[0], y[0], rtol=1e-12)
    np.testing.assert_allclose(other[1, :3], y[1, :3], rtol=1e-12)


def test_layer_knows_no_order():
    x, order = normal(B, T, C), [3, 0, 4, 1, 2]
    y, _ = encoder_layer_forward(layer(), x, None, CONFIG)
    turned, _ = encoder_layer_forward(layer(), x[:, order], None, CONFIG)
    np.testing.assert_allclose(turned, y[:, order], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_weights_of_the_heads_are_those_of_torch(norm):
    config = dataclasses.replace(CONFIG, norm=norm)
    params, x = layer(config), normal(B, T, C)
    module = loaded(torch_layer(config), params)
    with torch.no_grad():
        inside = module.norm1(torch.from_numpy(x)) if norm == "pre" else torch.from_numpy(x)
        hidden = torch.from_numpy(~MASK[:, 0, 0])
        _, truth = module.self_attn(
            inside, inside, inside, key_padding_mask=hidden, average_attn_weights=False
        )
    weights = encoder_layer_weights(params, x, MASK, config)
    np.testing.assert_allclose(weights, truth.numpy(), rtol=1e-10, atol=1e-12)
    assert weights.shape == (B, H, T, T)


def test_float32_stays_float32():
    for config in ALL_KINDS:
        config = dataclasses.replace(config, dropout=0.1)
        params = layer(config, np.float32)
        x = normal(B, T, C, dtype=np.float32)
        y, cache = encoder_layer_forward(params, x, MASK, config, np.random.default_rng(0))
        dx, grads = encoder_layer_backward(y, cache)
        weights = encoder_layer_weights(params, x, MASK, config)
        found = {array.dtype for array in (y, dx, weights, *grads.values())}
        assert found == {np.dtype(np.float32)}


# ---- the stack ---------------------------------------------------------------------------


@pytest.mark.parametrize("final_norm", [False, True])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_stack_and_all_gradients_match_torch(norm, final_norm):
    config = dataclasses.replace(CONFIG, norm=norm)
    params, x, dy = stack(config, 3, final_norm), normal(B, T, C), normal(B, T, C, seed=4)
    last = nn.LayerNorm(C).double() if final_norm else None
    module = nn.TransformerEncoder(torch_layer(config), 3, last, enable_nested_tensor=False)
    loaded(module, params)
    inputs = torch.tensor(x, requires_grad=True)
    truth = module(inputs, src_key_padding_mask=torch.from_numpy(~MASK[:, 0, 0]))
    truth.backward(torch.from_numpy(dy))
    y, cache = encoder_forward(params, x, MASK, config, 3)
    dx, grads = encoder_backward(dy, cache)
    assert_same_as_torch(module, truth, [inputs], y, [dx], grads)


@pytest.mark.parametrize("norm", NORMS)
def test_stack_gradients_match_finite_differences(norm):
    config = dataclasses.replace(CONFIG, norm=norm, activation="gelu")

    def forward(x, **params):
        return encoder_forward(params, x, MASK, config, 2)

    inputs = {"x": normal(B, T, C), **stack(config, final_norm=norm == "pre")}
    check_gradients(forward, encoder_backward, inputs)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_stack_is_its_layers_one_after_the_other(dropout):
    config = dataclasses.replace(CONFIG, dropout=dropout)
    params, x = stack(), normal(B, T, C)
    y, _ = encoder_forward(params, x, MASK, config, 2, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    for i in range(2):
        start = f"layers.{i}."
        one = {name[len(start) :]: v for name, v in params.items() if name.startswith(start)}
        x, _ = encoder_layer_forward(one, x, MASK, config, rng)
    np.testing.assert_allclose(y, x, rtol=1e-13)


def test_layers_of_a_stack_begin_different():
    params = encoder_parameters(2, CONFIG, np.random.default_rng(0))
    one, other = (params[f"layers.{i}.linear1.weight"] for i in range(2))
    assert np.abs(one - other).max() > 0.1
    assert not any(name.startswith("norm") for name in params)
    pre = dataclasses.replace(CONFIG, norm="pre")
    assert "norm.weight" not in encoder_parameters(1, pre, np.random.default_rng(0))
    assert "norm.weight" in encoder_parameters(
        1, CONFIG, np.random.default_rng(0), np.float32, True
    )


def test_backward_can_be_called_twice_and_changes_nothing():
    for config in ALL_KINDS:
        params, x = stack(config), normal(B, T, C)
        before = {name: value.copy() for name, value in params.items()} | {"x": x.copy()}
        _, cache = encoder_forward(params, x, MASK, config, 2)
        dy = normal(B, T, C, seed=4)
        first, grads = encoder_backward(dy, cache)
        first, grads = first.copy(), {name: value.copy() for name, value in grads.items()}
        again, others = encoder_backward(dy, cache)
        np.testing.assert_array_equal(again, first)
        for name, value in others.items():
            np.testing.assert_array_equal(value, grads[name], err_msg=name)
        np.testing.assert_array_equal(dy, normal(B, T, C, seed=4))
        for name, value in ({**params, "x": x}).items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_no_residual_loses_the_gradient_with_the_depth():
    def first(residual):
        config = LayerConfig(C, H, WIDE, norm="none", residual=residual)
        params = encoder_parameters(12, config, np.random.default_rng(0), np.float64)
        x = normal(B, T, C)
        _, cache = encoder_forward(params, x, None, config, 12)
        return np.linalg.norm(encoder_backward(normal(B, T, C, seed=4), cache)[0])

    assert first(False) < 1e-3 * first(True)


# ---- what is refused ---------------------------------------------------------------------


@pytest.mark.kept
@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("change", "say"),
    [
        ({"n_head": 5}, r"12.*5"),
        ({"d_model": 0}, r"\b0\b"),
        ({"n_head": 0}, r"\b0\b"),
        ({"d_ff": 0}, r"\b0\b"),
        ({"dropout": 1.0}, r"1\.0"),
        ({"dropout": -0.1}, r"-0\.1"),
        ({"norm": "both"}, r"both"),
    ],
)
def test_settings_that_make_no_layer_are_refused(change, say):
    with pytest.raises(ValueError, match=say):
        dataclasses.replace(CONFIG, **change)


def test_smallest_layer_has_one_of_everything():
    y, _ = encoder_layer_forward(
        layer(LayerConfig(1, 1, 1)), normal(B, T, 1), None, LayerConfig(1, 1, 1)
    )
    assert y.shape == (B, T, 1)


def test_stack_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"\b0\b"):
        encoder_parameters(0, CONFIG, np.random.default_rng(0))


def test_norm_at_the_end_of_a_stack_without_norms_is_refused():
    config = dataclasses.replace(CONFIG, norm="none")
    with pytest.raises(ValueError, match=r"\S"):
        encoder_parameters(1, config, np.random.default_rng(0), np.float32, True)
