"""The encoder-decoder with attention: torch, finite differences, masks, one batch, alignments."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from phase00.gradcheck import check_backward
from phase01.gradient_check import check_model
from phase01.optimizers import Adam
from phase02.seq2seq import END, Batch, encoder_forward, exact_matches, padded, reversal_batch
from phase04.attentive_seq2seq import (
    KINDS,
    AttentiveConfig,
    AttentiveSeq2Seq,
    bahdanau_decoder_backward,
    bahdanau_decoder_forward,
    combine_backward,
    combine_forward,
    luong_decoder_backward,
    luong_decoder_forward,
)

E, H, V, W = 3, 5, 6, 8  # all different, so that a wrong transpose cannot pass
SOURCES = [[1, 2, 3, 0], [5], [4, 4]]
TARGETS = [[3, 7], [0, 2, 1, 5, 7], [2, 2, 7]]
ALL = pytest.mark.parametrize("kind", KINDS)


def config_of(kind, **changes):
    symbols = AttentiveConfig(E, H, V, W, start_id=6, end_id=7, attention=kind)
    return dataclasses.replace(symbols, **changes)


def make(kind, dtype=np.float64, seed=0, **changes):
    return AttentiveSeq2Seq(config_of(kind, **changes), np.random.default_rng(seed), dtype)


def digits(kind, d_embedding=16, d_hidden=32, seed=0, **changes):
    """A float32 model for the reversal of digits."""
    config = AttentiveConfig(d_embedding, d_hidden, attention=kind, **changes)
    return AttentiveSeq2Seq(config, np.random.default_rng(seed))


def batch():
    return Batch(*padded(SOURCES), *padded(TARGETS))


def decode(model, before, state, memory, source_mask=None, target_mask=None):
    """((attentional states, scores, last state), cache) of the model's own decoder."""
    rest = before, state, memory, source_mask, target_mask
    if model.config.attention == "bahdanau":
        return bahdanau_decoder_forward(model.params, *rest)
    return luong_decoder_forward(model.params, model.config.attention, *rest)


# ---- the model against torch and finite differences --------------------------------------


class Score(nn.Module):
    """The parameters of the four scores, under our names, and the score of one state."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        if kind == "bahdanau":
            self.query = nn.Linear(H, H, bias=False)
        if kind in ("bahdanau", "general"):
            self.key = nn.Linear(H, H, bias=False)
        if kind == "concat":
            self.concat = nn.Linear(2 * H, H, bias=False)
        if kind in ("bahdanau", "concat"):
            self.score = nn.Linear(H, 1, bias=False)

    def forward(self, state, memory):
        """(S,) from one state (H,) and a memory (S, H)."""
        if self.kind == "dot":
            return memory @ state
        if self.kind == "general":
            return self.key(memory) @ state
        if self.kind == "concat":
            both = torch.cat([state.expand(len(memory), -1), memory], dim=-1)
            return self.score(torch.tanh(self.concat(both)))[:, 0]
        return self.score(torch.tanh(self.query(state) + self.key(memory)))[:, 0]


class Twin(nn.Module):
    """The same in torch, with the same names, one row and one step at a time."""

    def __init__(self, kind):
        super().__init__()
        self.before_the_step = kind == "bahdanau"
        self.encoder_embedding = nn.Embedding(V, E)
        self.encoder = nn.LSTM(E, H, batch_first=True)
        self.decoder_embedding = nn.Embedding(W, E)
        self.decoder = nn.LSTM(E + H if self.before_the_step else E, H, batch_first=True)
        self.attention = Score(kind)
        self.combine = nn.Linear(2 * H, H, bias=False)
        self.output = nn.Linear(H, W)

    def row(self, source, target, start):
        """The logits (T, W) and the weights (T, S) of one row."""
        memory, state = self.encoder(self.encoder_embedding(torch.tensor([source])))
        memory = memory[0]
        logits, weights = [], []
        for symbol in [start, *target[:-1]]:
            x = self.decoder_embedding(torch.tensor([[symbol]]))
            if self.before_the_step:
                a = torch.softmax(self.attention(state[0][0, 0], memory), dim=0)
                x = torch.cat([x, (a @ memory)[None, None]], dim=-1)
            y, state = self.decoder(x, state)
            if not self.before_the_step:
                a = torch.softmax(self.attention(y[0, 0], memory), dim=0)
            attended = torch.tanh(self.combine(torch.cat([a @ memory, y[0, 0]])))
            logits.append(self.output(attended))
            weights.append(a)
        return torch.stack(logits), torch.stack(weights)


def twin_of(model):
    twin = Twin(model.config.attention).double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in model.params.items()})
    return twin


@ALL
def test_loss_and_gradients_match_torch_row_by_row_without_filling(kind):
    model = make(kind)
    loss, cache = model.forward(*batch())
    grads = model.backward(cache)
    twin = twin_of(model)
    logits = [twin.row(s, t, 6)[0] for s, t in zip(SOURCES, TARGETS, strict=True)]
    symbols = torch.tensor([symbol for target in TARGETS for symbol in target])
    truth = nn.functional.cross_entropy(torch.cat(logits), symbols)
    truth.backward()
    assert loss == pytest.approx(truth.item(), rel=1e-12)
    assert set(grads) == {name for name, _ in twin.named_parameters()}
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name
        )


@ALL
def test_alignments_match_torch_row_by_row_without_filling(kind):
    model = make(kind)
    weights = model.alignments(*batch())
    twin = twin_of(model)
    truth = np.zeros((3, 5, 4))
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        found = twin.row(source, target, 6)[1].detach().numpy()
        truth[row, : len(target), : len(source)] = found
    np.testing.assert_allclose(weights, truth, rtol=1e-10, atol=1e-12)


class OneBatch:
    """A model as the gradient checker wants it: forward takes what is read, what is written."""

    def __init__(self, model):
        self.model, self.params, self.backward = model, model.params, model.backward

    def forward(self, source, target, rng=None):
        return self.model.forward(*source, *target, rng)


@ALL
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradient_of_the_whole_model_matches_finite_differences(kind, dropout):
    model = OneBatch(make(kind, dropout=dropout))
    examples = batch()
    assert check_model(model, examples[:2], examples[2:], np.random.default_rng(1)) < 1e-6


@ALL
def test_gradients_of_the_decoder_match_finite_differences(kind):
    rng = np.random.default_rng(3)
    model = make(kind)
    before, target_mask = padded([[6, 1], [2]])
    _, source_mask = padded([[1, 2, 3], [4, 4]])
    # The large matrices are left to the comparison with torch: what is checked is what goes in.
    params = {name: model.params[name] for name in model.params if name.startswith("attention")}
    arrays = {"h": (2, H), "c": (2, H), "memory": (2, 3, H)}
    given = {name: rng.normal(size=shape) for name, shape in arrays.items()}

    def forward(h, c, memory, **params):
        model.params = model.params | params
        (attended, _, _), cache = decode(model, before, (h, c), memory, source_mask, target_mask)
        # What stands at positions that do not count is nobody's.
        return attended * target_mask[:, :, np.newaxis], cache

    def backward(dy, cache):
        dy = dy * target_mask[:, :, np.newaxis]
        chosen = bahdanau_decoder_backward if kind == "bahdanau" else luong_decoder_backward
        (dh, dc), dmemory, grads = chosen(dy, cache)
        return dh, dc, dmemory, {name: grads[name] for name in params}

    check_backward(forward, backward, {**given, **params}, rng)


def test_gradients_of_the_attentional_state_match_finite_differences():
    rng = np.random.default_rng(4)
    inputs = {
        "weight": rng.normal(size=(H, 2 * H)),
        "context": rng.normal(size=(2, 3, H)),
        "state": rng.normal(size=(2, 3, H)),
    }

    def backward(dy, cache):
        dcontext, dstate, dweight = combine_backward(dy, cache)
        return {"context": dcontext, "state": dstate, "weight": dweight}

    check_backward(combine_forward, backward, inputs, rng)


def test_attentional_state_is_that_worked_out_by_hand():
    weight = np.array([[1.0, 0.0, 2.0, 0.0], [0.0, -1.0, 0.0, 3.0]])  # context first, then state
    context, state = np.array([[[0.5, 0.25]]]), np.array([[[0.125, 1.0]]])
    y, _ = combine_forward(weight, context, state)
    np.testing.assert_allclose(y, [[[math.tanh(0.75), math.tanh(2.75)]]], rtol=1e-14)


# ---- what forward does -------------------------------------------------------------------


@ALL
def test_filling_changes_nothing(kind):
    model = make(kind)
    source, source_mask, target, target_mask = batch()
    loss, cache = model.forward(source, source_mask, target, target_mask)
    other_source, other_target = np.where(source_mask, source, 5), np.where(target_mask, target, 6)
    filled = other_source, source_mask, other_target, target_mask
    other, other_cache = model.forward(*filled)
    assert other == pytest.approx(loss, rel=1e-14)
    grads = model.backward(cache)
    for name, value in model.backward(other_cache).items():
        np.testing.assert_allclose(value, grads[name], rtol=1e-12, atol=1e-15, err_msg=name)


@ALL
def test_row_alone_gives_what_it_gives_among_longer_ones(kind):
    model = make(kind, seed=5)
    weights = model.alignments(*batch())
    written = model.greedy(*padded(SOURCES), 6)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        alone = model.alignments(*padded([source]), *padded([target]))[0]
        found = weights[row, : len(target), : len(source)]
        np.testing.assert_allclose(found, alone, rtol=1e-12)
        n = model.greedy(*padded([source]), 6).shape[1]
        assert written[row, :n].tolist() == model.greedy(*padded([source]), 6)[0].tolist()


@ALL
def test_later_symbol_changes_nothing_before_it(kind):
    model, rng = make(kind, seed=6), np.random.default_rng(0)
    memory, state = rng.normal(size=(2, 4, H)), (rng.normal(size=(2, H)), rng.normal(size=(2, H)))
    before = rng.integers(0, W, (2, 5))
    (attended, scores, _), _ = decode(model, before, state, memory)
    changed = before.copy()
    changed[:, 3] = (changed[:, 3] + 1) % W
    (other, other_scores, _), _ = decode(model, changed, state, memory)
    np.testing.assert_array_equal(other[:, :3], attended[:, :3])
    np.testing.assert_array_equal(other_scores[:, :3], scores[:, :3])
    assert np.all(np.any(other[:, 3:] != attended[:, 3:], axis=-1))


def test_bahdanau_asks_with_the_state_before_the_step_and_luong_with_the_one_after():
    rng = np.random.default_rng(1)
    memory, state = rng.normal(size=(1, 4, H)), (rng.normal(size=(1, H)), rng.normal(size=(1, H)))
    for kind in KINDS:
        model = make(kind)
        (_, scores, _), _ = decode(model, np.array([[1]]), state, memory)
        (_, other, _), _ = decode(model, np.array([[2]]), state, memory)
        assert np.array_equal(scores, other) == (kind == "bahdanau")


@ALL
def test_decoding_in_pieces_gives_what_it_gives_at_once(kind):
    model, rng = make(kind, seed=7), np.random.default_rng(2)
    memory, state = rng.normal(size=(2, 4, H)), (rng.normal(size=(2, H)), rng.normal(size=(2, H)))
    before = rng.integers(0, W, (2, 5))
    (attended, scores, last), _ = decode(model, before, state, memory)
    (first, first_scores, between), _ = decode(model, before[:, :2], state, memory)
    (second, second_scores, end), _ = decode(model, before[:, 2:], between, memory)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), attended, rtol=1e-12)
    both = np.concatenate([first_scores, second_scores], axis=1)
    np.testing.assert_allclose(both, scores, rtol=1e-12)
    for mine, truth in zip(end, last, strict=True):
        np.testing.assert_allclose(mine, truth, rtol=1e-12)


@ALL
def test_decoder_reads_the_memory_and_not_the_state_alone(kind):
    model, rng = make(kind), np.random.default_rng(3)
    state = rng.normal(size=(1, H)), rng.normal(size=(1, H))
    (one, _, _), _ = decode(model, np.array([[1, 2]]), state, rng.normal(size=(1, 4, H)))
    (two, _, _), _ = decode(model, np.array([[1, 2]]), state, rng.normal(size=(1, 4, H)))
    assert np.all(np.any(one != two, axis=-1))


@ALL
def test_first_loss_is_near_the_log_of_the_vocabulary(kind):
    model = digits(kind)
    loss, _ = model.forward(*reversal_batch(np.random.default_rng(0), 64, 3, 8))
    assert loss == pytest.approx(math.log(12), rel=0.05)


@ALL
def test_float32_model_stays_float32(kind):
    model = make(kind, np.float32, dropout=0.5)
    loss, cache = model.forward(*batch(), np.random.default_rng(0))
    arrays = [*model.params.values(), *model.backward(cache).values(), model.alignments(*batch())]
    assert type(loss) is float
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@ALL
def test_dropout_is_drawn_from_the_rng_and_off_without_one(kind):
    model, sure = make(kind, dropout=0.5), make(kind)
    loss, cache = model.forward(*batch(), np.random.default_rng(0))
    again, _ = model.forward(*batch(), np.random.default_rng(0))
    other, _ = model.forward(*batch(), np.random.default_rng(1))
    plain, _ = model.forward(*batch())
    assert loss == again
    assert loss != other
    assert plain == sure.forward(*batch())[0]
    assert set(model.backward(cache)) == set(model.params)


def test_parameters_have_the_names_and_shapes_of_the_parts():
    shared = {
        "encoder_embedding.weight": (V, E),
        "encoder.weight_ih_l0": (4 * H, E),
        "encoder.weight_hh_l0": (4 * H, H),
        "encoder.bias_ih_l0": (4 * H,),
        "encoder.bias_hh_l0": (4 * H,),
        "decoder_embedding.weight": (W, E),
        "decoder.weight_ih_l0": (4 * H, E),
        "decoder.weight_hh_l0": (4 * H, H),
        "decoder.bias_ih_l0": (4 * H,),
        "decoder.bias_hh_l0": (4 * H,),
        "combine.weight": (H, 2 * H),
        "output.weight": (W, H),
        "output.bias": (W,),
    }
    own = {
        "bahdanau": {
            "decoder.weight_ih_l0": (4 * H, E + H),
            "attention.query.weight": (H, H),
            "attention.key.weight": (H, H),
            "attention.score.weight": (1, H),
        },
        "dot": {},
        "general": {"attention.key.weight": (H, H)},
        "concat": {"attention.concat.weight": (H, 2 * H), "attention.score.weight": (1, H)},
    }
    for kind in KINDS:
        found = {name: value.shape for name, value in make(kind).params.items()}
        assert found == shared | own[kind]


def test_attentional_layer_begins_as_a_linear_layer_of_torch():
    wide = AttentiveSeq2Seq(AttentiveConfig(4, 50, attention="dot"), np.random.default_rng(0))
    weight = wide.params["combine.weight"]  # (50, 100), so the limit is 1 / sqrt(100)
    assert 0.09 < weight.max() <= 0.1
    assert -0.1 <= weight.min() < -0.09
    assert abs(weight.mean()) < 0.01


@pytest.mark.parametrize(
    "changes", [{"attention": "cosine"}, {"start_id": -1}, {"end_id": W}, {"dropout": 1.0}]
)
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(ValueError, match=r"cosine|-1|8|1\.0|start|end|rate"):
        make("dot", **changes).forward(*batch(), np.random.default_rng(0))


@ALL
def test_symbol_without_a_row_is_named(kind):
    source, source_mask, target, target_mask = batch()
    source[0, 0] = V
    with pytest.raises(ValueError, match=rf"\b{V}\b"):
        make(kind).forward(source, source_mask, target, target_mask)


# ---- writing -----------------------------------------------------------------------------


def learned(kind, examples, n_steps):
    """A model that knows these reversals by heart."""
    model = digits(kind, seed=1)
    optimizer = Adam(model.params, 0.02)
    for _ in range(n_steps):
        _, cache = model.forward(*examples)
        optimizer.step(model.backward(cache))
    return model


@ALL
def test_model_learns_one_batch_by_heart_and_writes_it(kind):
    examples = reversal_batch(np.random.default_rng(1), 6, 2, 4)
    model = learned(kind, examples, 100)
    loss, _ = model.forward(*examples)
    assert loss < 0.05
    written = model.greedy(examples.source, examples.source_mask, 10)
    assert exact_matches(written, examples.target, examples.target_mask).all()
    # It stops when the longest row has ended, and fills the others up with end symbols.
    assert written.shape == examples.target.shape
    assert np.all(written[~examples.target_mask] == END)


def written_freely(model, symbols, n):
    """The best symbol at each of n steps, from the scores of all before, whatever comes."""
    source, mask = padded([symbols])
    (memory, state), _ = encoder_forward(model.params, source, mask)
    before = [model.config.start_id]
    for _ in range(n):
        (attended, _, _), _ = decode(model, np.array([before]), state, memory)
        scores = attended[0, -1] @ model.params["output.weight"].T + model.params["output.bias"]
        before.append(int(np.argmax(scores)))
    return before[1:]


@ALL
def test_greedy_takes_the_best_symbol_and_feeds_it_back(kind):
    model = make(kind, seed=4)
    model.params["output.bias"][7] = -9.0  # so that it goes on
    for name in ("output.weight", "combine.weight"):
        model.params[name] *= 5  # so that what was written before matters
    written = model.greedy(*padded(SOURCES), 6)
    assert written.tolist() == [written_freely(model, symbols, 6) for symbols in SOURCES]


@ALL
def test_row_that_has_ended_is_filled_up_while_another_goes_on(kind):
    model, rng = make(kind), np.random.default_rng(20)
    found = False
    for _ in range(50):  # until a model ends one row early that would write on after its end
        for name in sorted(model.params):
            model.params[name] = rng.normal(0, 2, model.params[name].shape)
        free = [written_freely(model, symbols, 6) for symbols in SOURCES]
        truth = []
        for symbols in free:
            n = symbols.index(7) if 7 in symbols else len(symbols)
            truth.append(symbols[:n] + [7] * (len(symbols) - n))
        found = free != truth and any(7 not in symbols for symbols in free)
        if found:
            break
    assert found
    assert model.greedy(*padded(SOURCES), 6).tolist() == truth


@ALL
def test_greedy_stops_at_once_where_every_row_ends(kind):
    model = make(kind)
    model.params["output.bias"][7] = 50.0
    np.testing.assert_array_equal(model.greedy(*padded(SOURCES), 9), [[7], [7], [7]])


@ALL
def test_greedy_refuses_to_write_nothing(kind):
    with pytest.raises(ValueError, match=r"\b0\b|max_length"):
        make(kind).greedy(*padded(SOURCES), 0)


# ---- alignments --------------------------------------------------------------------------


@ALL
def test_weights_sum_to_one_where_the_target_counts_and_are_zero_elsewhere(kind):
    source, source_mask, target, target_mask = batch()
    weights = make(kind).alignments(source, source_mask, target, target_mask)
    assert weights.shape == (3, 5, 4)
    np.testing.assert_allclose(weights.sum(axis=-1), target_mask, rtol=1e-12)
    hidden = ~(source_mask[:, np.newaxis] & target_mask[:, :, np.newaxis])
    np.testing.assert_array_equal(weights[hidden], np.zeros(hidden.sum()))


def test_trained_model_looks_at_the_digit_that_it_writes():
    rng, model = np.random.default_rng(2), digits("dot", 12, 24, seed=3)
    optimizer = Adam(model.params, 0.01)
    for _ in range(400):
        _, cache = model.forward(*reversal_batch(rng, 32, 1, 6))
        optimizer.step(model.backward(cache))
    test = reversal_batch(rng, 100, 6, 6)
    weights = model.alignments(*test)[:, :6]  # (B, 6, 6): without the end symbol
    looked_at = weights.argmax(axis=-1)
    assert np.mean(looked_at == np.arange(5, -1, -1)) > 0.75
