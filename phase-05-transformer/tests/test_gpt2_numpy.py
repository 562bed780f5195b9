"""GPT-2 in NumPy: logits of transformers with random weights, causality, layouts."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from phase05.gpt2 import (
    BLOCK_NAMES,
    TURNED,
    GPT2Config,
    block_parameters,
    gpt2_hidden,
    gpt2_logits,
    turned,
)

B, T, V, POSITIONS, C, H, LAYERS = 2, 5, 17, 9, 12, 3, 2  # all different
CONFIG = GPT2Config(LAYERS, H)


@pytest.fixture(scope="module")
def theirs():
    """A GPT2LMHeadModel in float64 none of whose weights is 0 or 1."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"n_layer": LAYERS, "n_head": H, "n_embd": C, "n_positions": POSITIONS}
    sizes |= {
        "bos_token_id": None,
        "eos_token_id": None,
    }  # 50256 by default, which is no token here
    # Eager attention: what scaled dot-product attention computes, in float64 to the last digits.
    config = transformers.GPT2Config(vocab_size=V, attn_implementation="eager", **sizes)
    model = transformers.GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


@pytest.fixture
def params(theirs):
    """Its parameters in our layout; the output matrix is the token embedding."""
    stored = {name: value.numpy() for name, value in theirs.state_dict().items()}
    return turned({name: value for name, value in stored.items() if name != "lm_head.weight"})


def some_ids(seed=0, length=T):
    return np.random.default_rng(seed).integers(0, V, size=(B, length))


def test_logits_are_those_of_transformers(theirs, params):
    for length in (1, T, POSITIONS):
        ids = some_ids(length=length)
        with torch.no_grad():
            truth = theirs(torch.from_numpy(ids)).logits.numpy()
        logits = gpt2_logits(params, ids, CONFIG)
        np.testing.assert_allclose(logits, truth, rtol=1e-10, atol=1e-10)
        assert logits.shape == (B, length, V)


def test_hidden_states_are_those_of_transformers(theirs, params):
    with torch.no_grad():
        truth = theirs.transformer(torch.from_numpy(some_ids())).last_hidden_state.numpy()
    hidden = gpt2_hidden(params, some_ids(), CONFIG)
    np.testing.assert_allclose(hidden, truth, rtol=1e-10, atol=1e-10)


def test_later_token_never_changes_an_earlier_logit(params):
    ids = some_ids()
    logits = gpt2_logits(params, ids, CONFIG)
    for t in range(T):
        changed = ids.copy()
        changed[:, t] = (changed[:, t] + 1) % V
        other = gpt2_logits(params, changed, CONFIG)
        np.testing.assert_allclose(other[:, :t], logits[:, :t], rtol=1e-11, atol=1e-12)
        assert np.abs(other[:, t] - logits[:, t]).max() > 1e-3


def test_order_of_earlier_tokens_counts(params):
    logits = gpt2_logits(params, np.array([[3, 5, 1]]), CONFIG)
    other = gpt2_logits(params, np.array([[5, 3, 1]]), CONFIG)
    assert np.abs(other[0, 2] - logits[0, 2]).max() > 1e-3


def test_turning_twice_is_nothing_and_only_four_matrices_turn(params):
    stored = turned(params)
    for name, value in params.items():
        is_matrix = name.startswith("transformer.h.") and value.ndim == 2
        np.testing.assert_array_equal(stored[name], value.T if is_matrix else value)
        np.testing.assert_array_equal(turned(stored)[name], value)
    assert stored["transformer.h.0.attn.c_attn.weight"].shape == (C, 3 * C)
    assert params["transformer.h.1.mlp.c_fc.weight"].shape == (4 * C, C)


def test_block_has_the_names_of_an_encoder_layer(params):
    block = block_parameters(params, 1)
    assert set(block) == set(BLOCK_NAMES.values())
    found = block["self_attn.out_proj.weight"]
    np.testing.assert_array_equal(found, params["transformer.h.1.attn.c_proj.weight"])
    with pytest.raises(KeyError, match=r"transformer\.h\.2\."):
        block_parameters(params, LAYERS)


def test_float32_stays_float32_and_is_near(params):
    single = {name: value.astype(np.float32) for name, value in params.items()}
    logits = gpt2_logits(single, some_ids(), CONFIG)
    assert logits.dtype == np.float32
    truth = gpt2_logits(params, some_ids(), CONFIG)
    np.testing.assert_allclose(logits, truth, rtol=1e-3, atol=1e-4)


def test_weights_near_zero_know_nothing(params):
    small = {name: 1e-3 * value for name, value in params.items()}
    logits = gpt2_logits(small, some_ids(), CONFIG)
    log_total = np.log(np.exp(logits).sum(axis=-1))
    np.testing.assert_allclose(log_total - logits.mean(axis=-1), math.log(V), rtol=1e-3)


@pytest.mark.parametrize("length", [0, POSITIONS + 1])
def test_length_without_positions_is_refused(params, length):
    with pytest.raises(ValueError, match=rf"\b({POSITIONS}|{length})\b"):
        gpt2_logits(params, some_ids(length=length), CONFIG)


def test_token_without_a_row_is_named(params):
    with pytest.raises(ValueError, match=rf"\b{V}\b"):
        gpt2_logits(params, np.array([[1, V]]), CONFIG)


@pytest.mark.kept
@pytest.mark.parametrize(("n_layer", "n_head"), [(0, 2), (2, 0)])
def test_model_of_nothing_is_refused(n_layer, n_head):
    with pytest.raises(ValueError, match=r"\b0\b"):
        GPT2Config(n_layer, n_head)


@pytest.mark.kept
def test_four_matrices_turn():
    assert len(TURNED) == 4
