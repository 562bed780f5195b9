"""The decoder's layer and its stack: torch, finite differences, causality, the memory."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from phase01.gradient_check import errors_by_parameter
from phase04.masks import causal_mask, combined, padding_mask
from phase05.decoder import (
    decoder_backward,
    decoder_forward,
    decoder_layer_backward,
    decoder_layer_forward,
    decoder_layer_parameters,
    decoder_layer_weights,
    decoder_parameters,
)
from phase05.encoder import LayerConfig

B, T, S, H, C, WIDE = 2, 5, 7, 3, 12, 10  # all different
CONFIG = LayerConfig(C, H, WIDE)
NORMS = ("post", "pre", "none")
CAUSAL = causal_mask(T)
MEMORY_MASK = combined(padding_mask([4, 7], S))  # (B, 1, 1, S)
MASKS = (CAUSAL, MEMORY_MASK)
ALL_KINDS = [
    dataclasses.replace(CONFIG, norm=norm, residual=residual)
    for norm, residual in itertools.product(NORMS, (True, False))
]
IDS = [f"{config.norm}-{'residual' if config.residual else 'plain'}" for config in ALL_KINDS]


def shaken(params):
    """No weight of 1 and no bias of 0, so that a factor or a term that is forgotten shows."""
    rng = np.random.default_rng(7)
    return {
        name: value + rng.normal(0, 0.3, value.shape).astype(value.dtype)
        for name, value in params.items()
    }


def layer(config=CONFIG, dtype=np.float64):
    return shaken(decoder_layer_parameters(config, np.random.default_rng(0), dtype))


def stack(config=CONFIG, n_layer=2, final_norm=False, dtype=np.float64):
    rng = np.random.default_rng(1)
    return shaken(decoder_parameters(n_layer, config, rng, dtype, final_norm))


def normal(*shape, seed=3, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def inputs(dtype=np.float64):
    return normal(B, T, C, dtype=dtype), normal(B, S, C, seed=4, dtype=dtype)


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
    return nn.TransformerDecoderLayer(
        C, H, WIDE, 0.0, config.activation, batch_first=True, norm_first=config.norm == "pre"
    ).double()


def compare_with_torch(module, params, forward, backward):
    """Output, and the gradients of x, the memory and all parameters, to 1e-10."""
    module.load_state_dict({name: torch.from_numpy(value) for name, value in params.items()})
    x, memory = inputs()
    dy = normal(B, T, C, seed=5)
    theirs = [torch.tensor(array, requires_grad=True) for array in (x, memory)]
    truth = module(
        *theirs,
        tgt_mask=torch.from_numpy(~CAUSAL),
        memory_key_padding_mask=torch.from_numpy(~MEMORY_MASK[:, 0, 0]),
    )
    truth.backward(torch.from_numpy(dy))
    y, cache = forward(params, x, memory)
    dx, dmemory, grads = backward(dy, cache)
    close: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(y, truth.detach().numpy(), **close)
    for mine, tensor in zip((dx, dmemory), theirs, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(mine, tensor.grad.numpy(), **close)
    assert set(grads) == {name for name, _ in module.named_parameters()}
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(grads[name], parameter.grad.numpy(), **close, err_msg=name)


# ---- a layer -----------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_layer_and_all_gradients_match_torch(norm, activation):
    config = dataclasses.replace(CONFIG, norm=norm, activation=activation)

    def forward(params, x, memory):
        return decoder_layer_forward(params, x, memory, *MASKS, config)

    compare_with_torch(torch_layer(config), layer(config), forward, decoder_layer_backward)


@pytest.mark.parametrize("config", ALL_KINDS, ids=IDS)
def test_layer_gradients_match_finite_differences(config):
    config = dataclasses.replace(config, activation="gelu")  # which has no kink
    x, memory = inputs()

    def forward(x, memory, **params):
        return decoder_layer_forward(params, x, memory, *MASKS, config)

    given = {"x": x, "memory": memory, **layer(config)}
    check_gradients(forward, decoder_layer_backward, given)


def test_layer_gradients_with_dropout_match_finite_differences():
    config = dataclasses.replace(CONFIG, dropout=0.3, activation="gelu")
    x, memory = inputs()

    def forward(x, memory, **params):
        rng = np.random.default_rng(9)
        return decoder_layer_forward(params, x, memory, *MASKS, config, rng)

    given = {"x": x, "memory": memory, **layer(config)}
    check_gradients(forward, decoder_layer_backward, given)


@pytest.mark.parametrize("norm", NORMS)
def test_names_and_shapes_are_those_of_torch(norm):
    params = decoder_layer_parameters(
        dataclasses.replace(CONFIG, norm=norm), np.random.default_rng(0)
    )
    theirs = {name: tuple(value.shape) for name, value in torch_layer(CONFIG).state_dict().items()}
    if norm == "none":
        theirs = {name: shape for name, shape in theirs.items() if "norm" not in name}
    assert {name: value.shape for name, value in params.items()} == theirs
    assert {value.dtype for value in params.values()} == {np.dtype(np.float32)}
    difference = params["self_attn.in_proj_weight"] - params["multihead_attn.in_proj_weight"]
    assert np.abs(difference).max() > 0.1


def test_no_generator_is_evaluation_and_one_seed_is_one_dropout():
    params, (x, memory) = layer(), inputs()

    def output(dropout, rng=None):
        config = dataclasses.replace(CONFIG, dropout=dropout)
        return decoder_layer_forward(params, x, memory, *MASKS, config, rng)[0]

    calm = output(0.5)
    np.testing.assert_array_equal(calm, output(0.0, np.random.default_rng(1)))
    one, other, third = (output(0.5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one - third).max() > 0.1
    assert np.abs(one - calm).max() > 0.1


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_weights_of_the_heads_are_those_of_torch(norm):
    config = dataclasses.replace(CONFIG, norm=norm)
    params, (x, memory) = layer(config), inputs()
    module = torch_layer(config)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in params.items()})
    causal = torch.from_numpy(~CAUSAL)
    with torch.no_grad():
        mine, read = torch.from_numpy(x), torch.from_numpy(memory)
        asking = module.norm1(mine) if norm == "pre" else mine
        mixed, own = module.self_attn(
            asking, asking, asking, attn_mask=causal, average_attn_weights=False
        )
        mine = module.norm2(mine + mixed) if norm == "pre" else module.norm1(mine + mixed)
        hidden = torch.from_numpy(~MEMORY_MASK[:, 0, 0])
        _, across = module.multihead_attn(
            mine, read, read, key_padding_mask=hidden, average_attn_weights=False
        )
    found = decoder_layer_weights(params, x, memory, *MASKS, config)
    for weights, truth in zip(found, (own, across), strict=True):
        np.testing.assert_allclose(weights, truth.numpy(), rtol=1e-10, atol=1e-12)
    assert [weights.shape for weights in found] == [(B, H, T, T), (B, H, T, S)]


# ---- who sees whom -----------------------------------------------------------------------


@pytest.mark.parametrize("config", ALL_KINDS, ids=IDS)
def test_later_token_never_changes_an_earlier_output(config):
    params, (x, memory) = stack(config), inputs()
    y, _ = decoder_forward(params, x, memory, *MASKS, config, 2)
    for t in range(T):
        changed = x.copy()
        changed[:, t] += normal(B, C, seed=20 + t)
        other, _ = decoder_forward(params, changed, memory, *MASKS, config, 2)
        np.testing.assert_allclose(other[:, :t], y[:, :t], rtol=1e-12, atol=1e-13)
        assert np.abs(other[:, t] - y[:, t]).max() > 1e-3
        if t + 1 < T:
            assert np.abs(other[:, t + 1 :] - y[:, t + 1 :]).max() > 1e-9


def test_shorter_target_gives_the_same_outputs():
    params, (x, memory) = stack(), inputs()
    y, _ = decoder_forward(params, x, memory, *MASKS, CONFIG, 2)
    for n in range(1, T):
        short, _ = decoder_forward(params, x[:, :n], memory, causal_mask(n), MEMORY_MASK, CONFIG, 2)
        np.testing.assert_allclose(short, y[:, :n], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("norm", NORMS)
def test_hidden_memory_counts_for_nothing_and_gets_no_gradient(norm):
    config = dataclasses.replace(CONFIG, norm=norm)
    params, (x, memory) = stack(config), inputs()
    y, cache = decoder_forward(params, x, memory, *MASKS, config, 2)
    filled = memory.copy()
    filled[0, 4:] = 50.0
    other, _ = decoder_forward(params, x, filled, *MASKS, config, 2)
    np.testing.assert_allclose(other, y, rtol=1e-12)
    _, dmemory, _ = decoder_backward(normal(B, T, C, seed=5), cache)
    np.testing.assert_array_equal(dmemory[0, 4:], np.zeros((3, C)))
    assert np.abs(dmemory[0, :4]).max() > 1e-3
    assert np.abs(dmemory[1]).min(axis=1).max() > 0


def test_every_position_of_the_memory_counts_where_nothing_is_hidden():
    params, (x, memory) = layer(), inputs()
    _, cache = decoder_layer_forward(params, x, memory, CAUSAL, None, CONFIG)
    _, dmemory, _ = decoder_layer_backward(normal(B, T, C, seed=5), cache)
    assert np.abs(dmemory).max(axis=2).min() > 1e-4


# ---- the stack ---------------------------------------------------------------------------


@pytest.mark.parametrize("final_norm", [False, True])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_stack_and_all_gradients_match_torch(norm, final_norm):
    config = dataclasses.replace(CONFIG, norm=norm)
    last = nn.LayerNorm(C).double() if final_norm else None
    module = nn.TransformerDecoder(torch_layer(config), 3, last)

    def forward(params, x, memory):
        return decoder_forward(params, x, memory, *MASKS, config, 3)

    compare_with_torch(module, stack(config, 3, final_norm), forward, decoder_backward)


def test_dropout_acts_in_every_layer_of_a_stack():
    config = dataclasses.replace(CONFIG, dropout=0.5)
    params, (x, memory) = stack(n_layer=2), inputs()
    y, _ = decoder_forward(params, x, memory, *MASKS, config, 2, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    for i in range(2):
        start = f"layers.{i}."
        one = {name[len(start) :]: v for name, v in params.items() if name.startswith(start)}
        x, _ = decoder_layer_forward(one, x, memory, *MASKS, config, rng)
    np.testing.assert_allclose(y, x, rtol=1e-13)


def test_gradient_of_the_memory_is_the_sum_over_the_layers():
    # The paths through each layer, taken alone: the other layers look at a memory of their own.
    params, (x, memory) = stack(n_layer=3), inputs()
    dy = normal(B, T, C, seed=5)
    _, cache = decoder_forward(params, x, memory, *MASKS, CONFIG, 3)
    _, dmemory, _ = decoder_backward(dy, cache)
    parts = []
    for i in range(3):
        start = f"layers.{i}."
        one = {name[len(start) :]: v for name, v in params.items() if name.startswith(start)}
        x, cache = decoder_layer_forward(one, x, memory, *MASKS, CONFIG)
        parts.append(cache)
    total = np.zeros_like(memory)
    for cache in reversed(parts):
        dy, dpart, _ = decoder_layer_backward(dy, cache)
        assert np.abs(dpart).max() > 1e-3
        total += dpart
    np.testing.assert_allclose(dmemory, total, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_stack_gradients_match_finite_differences(norm):
    config = dataclasses.replace(CONFIG, norm=norm, activation="gelu")
    x, memory = inputs()

    def forward(x, memory, **params):
        return decoder_forward(params, x, memory, *MASKS, config, 2)

    given = {"x": x, "memory": memory, **stack(config, final_norm=norm == "pre")}
    check_gradients(forward, decoder_backward, given)


def test_backward_can_be_called_twice_and_changes_nothing():
    for config in ALL_KINDS:
        params, (x, memory) = stack(config), inputs()
        before = (x.copy(), memory.copy())
        _, cache = decoder_forward(params, x, memory, *MASKS, config, 2)
        dy = normal(B, T, C, seed=5)
        *first, grads = decoder_backward(dy, cache)
        first, grads = [d.copy() for d in first], {name: v.copy() for name, v in grads.items()}
        *again, others = decoder_backward(dy, cache)
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)
        for name, value in others.items():
            np.testing.assert_array_equal(value, grads[name], err_msg=name)
        for one, other in zip((x, memory, dy), (*before, normal(B, T, C, seed=5)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_float32_stays_float32():
    for config in ALL_KINDS:
        config = dataclasses.replace(config, dropout=0.1)
        params, given = stack(config, dtype=np.float32), inputs(np.float32)
        rng = np.random.default_rng(0)
        y, cache = decoder_forward(params, *given, *MASKS, config, 2, rng)
        dx, dmemory, grads = decoder_backward(y, cache)
        found = {array.dtype for array in (y, dx, dmemory, *grads.values())}
        assert found == {np.dtype(np.float32)}


def test_single_position_is_possible():
    params, (x, memory) = stack(), inputs()
    y, cache = decoder_forward(params, x[:, :1], memory, causal_mask(1), MEMORY_MASK, CONFIG, 2)
    dx, dmemory, _ = decoder_backward(y, cache)
    assert (y.shape, dx.shape, dmemory.shape) == ((B, 1, C), (B, 1, C), (B, S, C))


def test_stack_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"\b0\b"):
        decoder_parameters(0, CONFIG, np.random.default_rng(0))
