"""The whole model: nn.Transformer, finite differences, masks, ties, one batch learned."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from phase01.gradient_check import check_model, errors_by_parameter
from phase01.optimizers import Adam
from phase02.seq2seq import padded
from phase03.positional import sinusoidal
from phase05.transformer import (
    SOURCE,
    TARGET,
    Transformer,
    TransformerConfig,
    embed_backward,
    embed_forward,
    shifted,
)

V, W, C, H, WIDE = 11, 9, 12, 3, 10  # heads of width 4: all different
CONFIG = TransformerConfig(V, W, 7, 8, C, H, WIDE, n_layer=2)
JOINT = dataclasses.replace(CONFIG, source_vocab_size=W, shared=True)
SOURCES = [[1, 2, 3, 0, 5, 6, 2], [5, 4, 1]]
TARGETS = [[3, 8], [0, 2, 2, 1, 8]]
NORMS = ("post", "pre", "none")


def batch():
    return (*padded(SOURCES), *padded(TARGETS))


def make(config=CONFIG, dtype=np.float64, seed=0):
    """A model none of whose weights is 1 and none of whose biases is 0."""
    model = Transformer(config, np.random.default_rng(seed), dtype)
    rng = np.random.default_rng(7)
    for name in sorted(model.params):
        noise = rng.normal(0, 0.2, model.params[name].shape)
        model.params[name] += noise.astype(dtype)
    return model


def learn(model, n_steps, rate):
    optimizer = Adam(model.params, rate)
    for _ in range(n_steps):
        _, cache = model.forward(*batch())
        optimizer.step(model.backward(cache))
    return model.forward(*batch())[0]


# ---- torch -------------------------------------------------------------------------------


class Twin(nn.Transformer):
    """nn.Transformer with embeddings under our names, and without the norms at the end if asked."""

    def __init__(self, config):
        kind: dict[str, Any] = {
            "dropout": 0.0,
            "batch_first": True,
            "norm_first": config.norm == "pre",
            "activation": config.activation,
        }
        sizes = (config.d_model, config.n_head)
        # The two stacks that nn.Transformer makes by itself, and their norms only if asked for.
        read = nn.TransformerEncoderLayer(*sizes, config.d_ff, **kind)
        write = nn.TransformerDecoderLayer(*sizes, config.d_ff, **kind)
        ends = [nn.LayerNorm(config.d_model) if config.norm_at_end else None for _ in range(2)]
        stacks: dict[str, Any] = {
            "custom_encoder": nn.TransformerEncoder(
                read, config.n_layer, ends[0], enable_nested_tensor=False
            ),
            "custom_decoder": nn.TransformerDecoder(write, config.n_layer, ends[1]),
        }
        super().__init__(*sizes, batch_first=True, **stacks)
        self.config = config
        self.target_embedding = nn.Embedding(config.target_vocab_size, config.d_model)
        if not config.shared:
            self.source_embedding = nn.Embedding(config.source_vocab_size, config.d_model)
        if not config.tied:
            self.output = nn.Linear(config.d_model, config.target_vocab_size, bias=False)

    def embedded(self, table, ids):
        positions = torch.from_numpy(sinusoidal(ids.shape[1], self.d_model))
        return table(ids) * math.sqrt(self.d_model) + positions

    def scores(self, source, source_mask, target):
        start = torch.full((len(target), 1), self.config.start_id)
        before = torch.cat([start, target[:, :-1]], dim=1)
        later = torch.ones(before.shape[1], before.shape[1], dtype=torch.bool).triu(1)
        table = self.target_embedding if self.config.shared else self.source_embedding
        y = self(
            self.embedded(table, source),
            self.embedded(self.target_embedding, before),
            tgt_mask=later,
            src_key_padding_mask=~source_mask,
            memory_key_padding_mask=~source_mask,
        )
        output = self.target_embedding if self.config.tied else self.output
        return y @ output.weight.T

    def loss(self, source, source_mask, target, target_mask):
        return nn.functional.cross_entropy(
            self.scores(source, source_mask, target).flatten(0, 1),
            target.masked_fill(~target_mask, -100).flatten(),
            label_smoothing=self.config.label_smoothing,
        )


CHANGES = {
    "as it comes": {},
    "smoothed": {"label_smoothing": 0.1},
    "not tied": {"tied": False},
    "gelu": {"activation": "gelu"},
    "shared": {"source_vocab_size": W, "shared": True, "label_smoothing": 0.1},
    "shared, not tied": {"source_vocab_size": W, "shared": True, "tied": False},
}


@pytest.mark.parametrize("final_norm", [True, False], ids=["norm at the end", "none"])
@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_loss_and_all_gradients_match_torch(change, norm, final_norm):
    config = dataclasses.replace(CONFIG, norm=norm, final_norm=final_norm, **change)
    model = make(config)
    source, source_mask, target, target_mask = batch()
    source = np.minimum(source, config.source_vocab_size - 1)
    given = source, source_mask, target, target_mask
    twin = Twin(config).double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in model.params.items()})
    truth = twin.loss(*map(torch.from_numpy, given))
    truth.backward()
    loss, cache = model.forward(*given)
    grads = model.backward(cache)
    assert loss == pytest.approx(truth.item(), rel=1e-10)
    assert set(grads) == {name for name, _ in twin.named_parameters()}
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name
        )
    scores = twin.scores(*map(torch.from_numpy, given[:3]))
    logits = model.logits(model.encode(source, source_mask), source_mask, shifted(target, 7))
    np.testing.assert_allclose(logits, scores.detach().numpy(), rtol=1e-10, atol=1e-10)


# ---- finite differences ------------------------------------------------------------------


class OneArgument:
    """What `check_model` takes: forward(x, targets, rng)."""

    def __init__(self, model):
        self.model, self.params = model, model.params

    def forward(self, x, targets, *rng):
        return self.model.forward(*x, *targets, *rng)

    def backward(self, cache):
        return self.model.backward(cache)


KINDS = {
    "post": {},
    "pre": {"norm": "pre"},
    "no norms": {"norm": "none"},
    "no residuals": {"residual": False},
    "dropout": {"dropout": 0.2, "label_smoothing": 0.1},
    "shared": {"source_vocab_size": W, "shared": True, "norm": "pre", "dropout": 0.1},
    "not tied": {"tied": False, "final_norm": True},
}


@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
def test_gradient_of_the_whole_model_matches_finite_differences(change):
    config = dataclasses.replace(CONFIG, activation="gelu", **change)  # which has no kink
    source, source_mask, target, target_mask = batch()
    source = np.minimum(source, config.source_vocab_size - 1)
    given = (source, source_mask), (target, target_mask)
    model = OneArgument(make(config))
    error = check_model(model, *given, np.random.default_rng(1), shake=0.0)
    assert error < 1e-6


def test_gradient_of_every_parameter_matches_finite_differences():
    model = make(dataclasses.replace(JOINT, activation="gelu", label_smoothing=0.1))
    source, *rest = batch()
    given = (np.minimum(source, W - 1), *rest)
    _, cache = model.forward(*given)
    grads = model.backward(cache)
    own = model.params

    def loss(params):
        model.params = params
        return model.forward(*given)[0]

    errors = errors_by_parameter(loss, own, grads, np.random.default_rng(3))
    assert {name: error for name, error in errors.items() if not error < 1e-6} == {}


# ---- embeddings --------------------------------------------------------------------------


def test_embedding_is_the_row_times_the_root_of_the_width_plus_the_position():
    weight = np.random.default_rng(0).normal(size=(V, C))
    ids = np.array([[4, 4, 0], [9, 1, 4]])
    x, cache = embed_forward(weight, ids)
    truth = weight[ids] * math.sqrt(C) + sinusoidal(3, C)
    np.testing.assert_allclose(x, truth, rtol=1e-13)
    later, _ = embed_forward(weight, ids, first=5)
    np.testing.assert_allclose(later, weight[ids] * math.sqrt(C) + sinusoidal(8, C)[5:], rtol=1e-13)
    dx = np.random.default_rng(1).normal(size=x.shape)
    dweight = embed_backward(dx, cache)
    np.testing.assert_allclose(dweight[4], math.sqrt(C) * (dx[0, 0] + dx[0, 1] + dx[1, 2]))
    np.testing.assert_array_equal(dweight[2], np.zeros(C))


def test_dropout_of_the_embedding_is_of_the_sum_with_the_positions():
    weight = np.random.default_rng(0).normal(size=(V, C))
    ids = np.tile(np.arange(V), (3, 4))
    calm, _ = embed_forward(weight, ids, 0.25)
    x, cache = embed_forward(weight, ids, 0.25, np.random.default_rng(1))
    dropped = x == 0
    np.testing.assert_allclose(x[~dropped], calm[~dropped] / 0.75, rtol=1e-6)
    assert dropped.mean() == pytest.approx(0.25, abs=0.05)
    # Each id stands at several places: the kept ones alone hand on a gradient.
    dweight = embed_backward(np.ones(x.shape), cache)
    kept = np.array([(~dropped)[ids == i].sum(axis=0) for i in range(V)])
    np.testing.assert_allclose(dweight, kept * math.sqrt(C) / 0.75, rtol=1e-6)


def test_decoder_gets_the_start_symbol_and_not_the_last():
    found = shifted(np.array([[3, 1, 4], [1, 5, 9]]), 7)
    np.testing.assert_array_equal(found, [[7, 3, 1], [7, 1, 5]])


# ---- what forward does -------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_filling_never_changes_the_loss_of_a_row(norm):
    model = make(dataclasses.replace(CONFIG, norm=norm, label_smoothing=0.1))
    sums = 0.0
    for source, target in zip(SOURCES, TARGETS, strict=True):
        alone, _ = model.forward(*padded([source]), *padded([target]))
        sums += alone * len(target)
        wide, _ = model.forward(*wider(source, 3, 9), *wider(target, 4, 5))
        assert wide == pytest.approx(alone, rel=1e-12)
    together, _ = model.forward(*batch())
    assert together == pytest.approx(sums / sum(map(len, TARGETS)), rel=1e-12)


def wider(symbols, n, filling):
    """One row with `n` positions of filling behind it, and its mask."""
    ids = np.array([[*symbols, *[filling] * n]])
    return ids, np.arange(ids.shape[1])[np.newaxis] < len(symbols)


def test_what_filling_holds_changes_no_gradient():
    model = make()
    source, source_mask, target, target_mask = batch()
    _, cache = model.forward(source, source_mask, target, target_mask)
    grads = model.backward(cache)
    filled = np.where(source_mask, source, 9), source_mask, np.where(target_mask, target, 6)
    _, cache = model.forward(*filled, target_mask)
    for name, value in model.backward(cache).items():
        np.testing.assert_allclose(value, grads[name], rtol=1e-10, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("norm", NORMS)
def test_later_symbol_never_changes_an_earlier_score(norm):
    model = make(dataclasses.replace(CONFIG, norm=norm))
    source, mask = padded(SOURCES)
    memory = model.encode(source, mask)
    before = np.array([[7, 3, 1, 2, 0], [7, 0, 2, 2, 1]])
    scores = model.logits(memory, mask, before)
    for t in range(5):
        changed = before.copy()
        changed[:, t] = (changed[:, t] + 1) % W
        other = model.logits(memory, mask, changed)
        np.testing.assert_allclose(other[:, :t], scores[:, :t], rtol=1e-12, atol=1e-13)
        assert np.abs(other[:, t] - scores[:, t]).max() > 1e-6


def test_every_symbol_of_the_source_counts_and_so_does_its_place():
    model = make()
    source, mask = padded([[1, 2, 3, 4]])
    before = np.array([[7, 0]])
    scores = model.logits(model.encode(source, mask), mask, before)
    for other in ([2, 2, 3, 4], [1, 2, 3, 5], [2, 1, 3, 4], [4, 3, 2, 1]):
        others = model.logits(model.encode(np.array([other]), mask), mask, before)
        assert np.abs(others - scores).max() > 1e-6


def test_first_loss_is_near_the_log_of_the_vocabulary():
    plain = TransformerConfig(50, 60, 0, 1, 32, 4, 64, n_layer=2)
    for change in ({}, {"norm": "pre"}, {"tied": False}):
        config = dataclasses.replace(plain, **change)
        model = Transformer(config, np.random.default_rng(0))
        rng = np.random.default_rng(1)
        ids, mask = rng.integers(0, 50, (16, 12)), np.ones((16, 12), dtype=bool)
        loss, _ = model.forward(ids, mask, rng.integers(0, 60, (16, 12)), mask)
        assert loss == pytest.approx(math.log(60), rel=0.25)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_model_learns_one_batch_by_heart(norm):
    config = dataclasses.replace(CONFIG, norm=norm, d_model=24, d_ff=32)
    model = Transformer(config, np.random.default_rng(0))
    assert learn(model, 60, 0.005) < 0.05


def test_smoothed_loss_of_a_batch_known_by_heart_does_not_reach_zero():
    config = dataclasses.replace(CONFIG, d_model=24, d_ff=32, label_smoothing=0.2)
    loss = learn(Transformer(config, np.random.default_rng(0)), 60, 0.005)
    right, other = 0.8 + 0.2 / W, 0.2 / W
    least = -right * math.log(right) - (W - 1) * other * math.log(other)
    assert least < loss < least + 0.05


def test_dropout_is_drawn_from_the_generator_and_evaluation_has_none():
    model, calm = (make(dataclasses.replace(CONFIG, dropout=p)) for p in (0.3, 0.0))
    one, other, third = (
        model.forward(*batch(), np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    assert one == other
    assert abs(one - third) > 1e-6
    assert model.forward(*batch())[0] == calm.forward(*batch(), np.random.default_rng(1))[0]
    assert abs(one - calm.forward(*batch())[0]) > 1e-6


def test_dropout_acts_on_both_embeddings_and_in_every_sublayer():
    # Of a single symbol, what is dropped behind a bias gets no gradient, and the rest some.
    symbol = (np.array([[3]]), np.array([[True]]))
    config = dataclasses.replace(CONFIG, d_model=24, dropout=0.5, tied=False)
    model = make(config)
    _, cache = model.forward(*symbol, *symbol, np.random.default_rng(1))
    grads = model.backward(cache)
    behind = ["linear2.bias", "self_attn.out_proj.bias"]
    of_encoder = [f"encoder.layers.{i}.{name}" for i in range(2) for name in behind]
    behind = [*behind, "multihead_attn.out_proj.bias"]
    of_decoder = [f"decoder.layers.{i}.{name}" for i in range(2) for name in behind]
    for name in (*of_encoder, *of_decoder):
        assert 0 < np.count_nonzero(grads[name]) < 24, name
    assert 0 < np.count_nonzero(grads[SOURCE][3]) < 24
    assert 0 < np.count_nonzero(grads[TARGET][config.start_id]) < 24


def test_float32_model_stays_float32():
    for norm in NORMS:
        config = dataclasses.replace(CONFIG, norm=norm, dropout=0.1, label_smoothing=0.1)
        model = make(config, np.float32)
        loss, cache = model.forward(*batch(), np.random.default_rng(0))
        source, mask, target, _ = batch()
        maps = model.attention(source, mask, target)
        arrays = [*model.params.values(), *model.backward(cache).values()]
        arrays += [each for layers in maps.values() for each in layers]
        assert type(loss) is float
        assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


def test_backward_can_be_called_twice():
    for change in ({}, {"norm": "pre", "dropout": 0.2, "label_smoothing": 0.1}):
        model = make(dataclasses.replace(CONFIG, **change))
        _, cache = model.forward(*batch(), np.random.default_rng(0))
        first = {name: value.copy() for name, value in model.backward(cache).items()}
        for name, value in model.backward(cache).items():
            np.testing.assert_array_equal(value, first[name], err_msg=name)


# ---- parameters and ties -----------------------------------------------------------------


def test_parameters_begin_as_the_docstring_says():
    config = TransformerConfig(50, 60, 0, 1, 32, 4, 64, n_layer=3)
    params = Transformer(config, np.random.default_rng(0)).params
    assert (params[SOURCE].shape, params[TARGET].shape) == ((50, 32), (60, 32))
    for name in (SOURCE, TARGET):
        assert params[name].std() == pytest.approx(1 / math.sqrt(32), rel=0.06)
    assert "output.weight" not in params
    for stack in ("encoder", "decoder"):
        layers = {name.split(".")[2] for name in params if name.startswith(f"{stack}.layers.")}
        assert layers == {"0", "1", "2"}
        assert f"{stack}.norm.weight" not in params
    pre = Transformer(dataclasses.replace(config, norm="pre"), np.random.default_rng(0)).params
    assert set(pre) - set(params) == {
        f"{stack}.norm.{kind}" for stack in ("encoder", "decoder") for kind in ("weight", "bias")
    }


def test_shared_model_has_one_table_and_untied_one_another():
    names = set(Transformer(JOINT, np.random.default_rng(0)).params)
    assert TARGET in names
    assert not names & {SOURCE, "output.weight"}
    loose = Transformer(dataclasses.replace(CONFIG, tied=False), np.random.default_rng(0)).params
    assert {SOURCE, TARGET, "output.weight"} <= set(loose)
    assert loose["output.weight"].shape == (W, C)


def test_gradient_of_a_shared_table_is_the_sum_of_its_uses():
    joint = make(JOINT)
    loose = Transformer(
        dataclasses.replace(JOINT, shared=False, tied=False), np.random.default_rng(0), np.float64
    )
    table = joint.params[TARGET]
    loose.params = {**joint.params, SOURCE: table, "output.weight": table}
    source, *rest = batch()
    given = (np.minimum(source, W - 1), *rest)
    loss, cache = joint.forward(*given)
    other, loose_cache = loose.forward(*given)
    assert loss == pytest.approx(other, rel=1e-12)
    parts = loose.backward(loose_cache)
    truth = parts[SOURCE] + parts[TARGET] + parts["output.weight"]
    for name in (SOURCE, TARGET, "output.weight"):
        assert np.abs(parts[name]).max() > 1e-3  # each of them counts
    np.testing.assert_allclose(joint.backward(cache)[TARGET], truth, rtol=1e-10, atol=1e-13)


# ---- attention, looked at ----------------------------------------------------------------


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_attention_has_a_map_for_every_layer_and_head(norm):
    model = make(dataclasses.replace(CONFIG, norm=norm, n_layer=3))
    source, mask, target, _ = batch()
    maps = model.attention(source, mask, shifted(target, 7))
    shapes = {"encoder": (2, H, 7, 7), "decoder": (2, H, 5, 5), "cross": (2, H, 5, 7)}
    assert {name: [each.shape for each in layers] for name, layers in maps.items()} == {
        name: [shape] * 3 for name, shape in shapes.items()
    }
    for layers in maps.values():
        for weights in layers:
            np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-12)
        assert np.abs(layers[0] - layers[1]).max() > 1e-3
    for weights in (*maps["encoder"], *maps["cross"]):
        np.testing.assert_array_equal(weights[1, :, :, 3:], 0)  # what fills the second source
    for weights in maps["decoder"]:
        np.testing.assert_array_equal(np.triu(weights, 1), np.zeros_like(weights))


def test_maps_of_the_first_layer_are_those_of_torch():
    model = make(dataclasses.replace(CONFIG, n_layer=1))
    source, mask, target, _ = batch()
    before = shifted(target, 7)
    twin = Twin(model.config).double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in model.params.items()})
    maps = model.attention(source, mask, before)
    with torch.no_grad():
        x = twin.embedded(twin.source_embedding, torch.from_numpy(source))
        hidden = torch.from_numpy(~mask)
        read = twin.encoder.layers[0]
        _, own = read.self_attn(x, x, x, key_padding_mask=hidden, average_attn_weights=False)
        memory = read(x, src_key_padding_mask=hidden)
        y = twin.embedded(twin.target_embedding, torch.from_numpy(before))
        write = twin.decoder.layers[0]
        later = torch.ones(5, 5, dtype=torch.bool).triu(1)
        mixed, causal = write.self_attn(y, y, y, attn_mask=later, average_attn_weights=False)
        y = write.norm1(y + mixed)
        _, across = write.multihead_attn(
            y, memory, memory, key_padding_mask=hidden, average_attn_weights=False
        )
    for name, truth in (("encoder", own), ("decoder", causal), ("cross", across)):
        np.testing.assert_allclose(maps[name][0], truth.numpy(), rtol=1e-9, atol=1e-12)


# ---- what is refused ---------------------------------------------------------------------


@pytest.mark.kept
@pytest.mark.parametrize(
    ("change", "say"),
    [
        ({"start_id": W}, rf"\b{W}\b"),
        ({"end_id": -1}, r"-1"),
        ({"end_id": W}, rf"\b{W}\b"),
        ({"source_vocab_size": 0}, r"\b0\b"),
        ({"shared": True}, r"11.*9"),
        ({"label_smoothing": 1.5}, r"1\.5"),
        ({"n_head": 5}, r"12.*5"),
        ({"dropout": 1.0}, r"1\.0"),
    ],
)
def test_settings_that_make_no_model_are_refused(change, say):
    with pytest.raises(ValueError, match=say):
        dataclasses.replace(CONFIG, **change)


def test_smallest_model_has_one_of_everything():
    config = TransformerConfig(1, 1, 0, 0, 1, 1, 1, 1)
    symbol = (np.array([[0]]), np.array([[True]]))
    assert make(config).forward(*symbol, *symbol)[0] == pytest.approx(0, abs=1e-12)


def test_symbol_without_a_row_is_named():
    source, source_mask, target, target_mask = batch()
    source[0, 0] = V
    with pytest.raises(ValueError, match=rf"\b{V}\b"):
        make().forward(source, source_mask, target, target_mask)


def test_loss_of_nothing_is_refused():
    source, source_mask, target, target_mask = batch()
    with pytest.raises(ValueError, match=r"\S"):
        make().forward(source, source_mask, target, np.zeros_like(target_mask))
