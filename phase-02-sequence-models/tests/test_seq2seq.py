"""The encoder-decoder: torch, finite differences, masks, one batch learned, greedy writing."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from phase00.gradcheck import check_backward
from phase01.optimizers import Adam
from phase02.seq2seq import (
    END,
    START,
    Batch,
    Seq2Seq,
    Seq2SeqConfig,
    decoder_backward,
    decoder_forward,
    encoder_backward,
    encoder_forward,
    exact_matches,
    padded,
    reversal_batch,
)

E, H, V, W = 3, 5, 6, 8  # all different, so that a wrong transpose cannot pass
CONFIG = Seq2SeqConfig(E, H, source_vocab_size=V, target_vocab_size=W, start_id=6, end_id=7)
SOURCES = [[1, 2, 3, 0], [5], [4, 4]]
TARGETS = [[3, 7], [0, 2, 1, 5, 7], [2, 2, 7]]


def make(dtype=np.float64, seed=0, config=CONFIG):
    return Seq2Seq(config, np.random.default_rng(seed), dtype)


def batch():
    return Batch(*padded(SOURCES), *padded(TARGETS))


# ---- batches -----------------------------------------------------------------------------


def test_sequences_are_filled_up_at_their_ends():
    ids, mask = padded([[4, 0], [7, 8, 9], []])
    np.testing.assert_array_equal(ids, [[4, 0, 0], [7, 8, 9], [0, 0, 0]])
    np.testing.assert_array_equal(mask, [[True, True, False], [True] * 3, [False] * 3])
    assert (ids.dtype, mask.dtype) == (np.dtype(np.int64), np.dtype(bool))


def test_batch_of_no_sequence_is_refused():
    with pytest.raises(ValueError, match=r"(?i)sequence|empty|at least"):
        padded([])


def test_target_is_the_source_backwards_and_the_end_symbol():
    source, source_mask, target, target_mask = reversal_batch(np.random.default_rng(0), 50, 2, 6)
    lengths = source_mask.sum(axis=1)
    assert (lengths.min(), lengths.max()) == (2, 6)
    assert set(source[source_mask]) == set(range(10))
    for row, length in enumerate(lengths):
        digits = source[row, :length].tolist()
        assert target[row][target_mask[row]].tolist() == [*digits[::-1], END]
        assert source_mask[row, :length].all()


def test_batches_are_the_same_for_the_same_seed():
    first = reversal_batch(np.random.default_rng(3), 4, 3, 3)
    again = reversal_batch(np.random.default_rng(3), 4, 3, 3)
    np.testing.assert_array_equal(first.source, again.source)
    np.testing.assert_array_equal(first.target, again.target)
    assert first.source.shape == (4, 3)
    assert first.target.shape == (4, 4)


def test_a_single_digit_is_a_sequence_too():
    batch_of_one = reversal_batch(np.random.default_rng(0), 4, 1, 1)
    assert batch_of_one.source.shape == (4, 1)
    np.testing.assert_array_equal(batch_of_one.target[:, :1], batch_of_one.source)


@pytest.mark.parametrize(("shortest", "longest"), [(0, 3), (4, 3)])
def test_lengths_that_are_none_are_refused(shortest, longest):
    with pytest.raises(ValueError, match=rf"\b{shortest}\b|length"):
        reversal_batch(np.random.default_rng(0), 4, shortest, longest)


# ---- the model against torch and finite differences --------------------------------------


class Twin(nn.Module):
    """The same in torch, with the same names."""

    def __init__(self):
        super().__init__()
        self.encoder_embedding = nn.Embedding(V, E)
        self.encoder = nn.LSTM(E, H, batch_first=True)
        self.decoder_embedding = nn.Embedding(W, E)
        self.decoder = nn.LSTM(E, H, batch_first=True)
        self.output = nn.Linear(H, W)

    def forward(self, sources, targets):
        """The mean over all symbols, row by row and without any filling."""
        losses = []
        for source, target in zip(sources, targets, strict=True):
            _, state = self.encoder(self.encoder_embedding(torch.tensor([source])))
            before = torch.tensor([[CONFIG.start_id, *target[:-1]]])
            y, _ = self.decoder(self.decoder_embedding(before), state)
            logits = self.output(y)[0]
            losses.append(
                nn.functional.cross_entropy(logits, torch.tensor(target), reduction="none")
            )
        return torch.cat(losses).mean()


def test_loss_and_gradients_match_torch_row_by_row_without_filling():
    model = make()
    loss, cache = model.forward(*batch())
    grads = model.backward(cache)
    twin = Twin().double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in model.params.items()})
    truth = twin(SOURCES, TARGETS)
    truth.backward()
    assert loss == pytest.approx(truth.item(), rel=1e-12)
    assert set(grads) == {name for name, _ in twin.named_parameters()}
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name
        )


def test_gradient_of_the_whole_model_matches_finite_differences():
    model = make()

    def forward(**params):
        model.params = params
        return model.forward(*batch())

    def backward(dy, cache):
        return {name: dy * gradient for name, gradient in model.backward(cache).items()}

    check_backward(forward, backward, model.params, np.random.default_rng(1))


def test_encoder_matches_torch_on_packed_sequences():
    model = make()
    source, mask = padded(SOURCES)
    (y, (h, c)), _ = encoder_forward(model.params, source, mask)
    twin = Twin().double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in model.params.items()})
    x = twin.encoder_embedding(torch.from_numpy(source))
    packed = pack_padded_sequence(x, [4, 1, 2], batch_first=True, enforce_sorted=False)
    _, (torch_h, torch_c) = twin.encoder(packed)
    np.testing.assert_allclose(h, torch_h[0].detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(c, torch_c[0].detach().numpy(), rtol=1e-10)
    np.testing.assert_array_equal(y[1, 1:], np.zeros((3, H)))


def test_gradients_of_the_encoder_match_finite_differences():
    model = make()
    source, mask = padded(SOURCES)
    params = {name: value for name, value in model.params.items() if "encoder" in name}

    def forward(**params):
        (y, (h, c)), cache = encoder_forward(params, source, mask)
        return (y, h, c), cache

    def backward(dy, cache):
        return encoder_backward(dy[0], (dy[1], dy[2]), cache)

    check_backward(forward, backward, params, np.random.default_rng(2))


def test_gradients_of_the_decoder_match_finite_differences():
    model = make()
    rng = np.random.default_rng(3)
    before, mask = padded([[6, 1, 1], [6, 2, 0], [6, 3, 3]])
    names = ("decoder", "output")
    params = {name: value for name, value in model.params.items() if name.startswith(names)}
    states = {"h": rng.normal(size=(3, H)), "c": rng.normal(size=(3, H))}

    def forward(h, c, **params):
        (logits, _), cache = decoder_forward(params, before, (h, c), mask)
        return logits, cache

    def backward(dy, cache):
        (dh, dc), grads = decoder_backward(dy, cache)
        return dh, dc, grads

    check_backward(forward, backward, {**states, **params}, rng)


# ---- what forward does -------------------------------------------------------------------


def test_filling_changes_nothing():
    model = make()
    source, source_mask, target, target_mask = batch()
    loss, cache = model.forward(source, source_mask, target, target_mask)
    filled = np.where(source_mask, source, 5), source_mask, np.where(target_mask, target, 6)
    other, other_cache = model.forward(*filled, target_mask)
    assert other == pytest.approx(loss, rel=1e-14)
    grads = model.backward(cache)
    for name, value in model.backward(other_cache).items():
        np.testing.assert_allclose(value, grads[name], rtol=1e-12, atol=1e-15, err_msg=name)


def test_last_state_of_the_decoder_is_that_after_the_last_symbol_that_counts():
    params, rng = make().params, np.random.default_rng(4)
    before, mask = padded([[6, 1, 1], [6, 2]])
    h, c = rng.normal(size=(2, H)), rng.normal(size=(2, H))
    (_, filled), _ = decoder_forward(params, before, (h, c), mask)
    (_, alone), _ = decoder_forward(params, before[1:, :2], (h[1:], c[1:]))
    for mine, truth in zip(filled, alone, strict=True):
        np.testing.assert_allclose(mine[1:], truth, rtol=1e-12)


def test_decoder_gets_the_right_symbol_before_and_not_the_one_to_write():
    # What is asked for last is nobody's input: changing it changes the loss of that place alone.
    model = make()
    source, source_mask = padded([[1, 2]])
    mask = np.ones((1, 3), dtype=bool)
    scores = {}
    for last in (0, 4):
        target = np.array([[3, 2, last]])
        (_, state), _ = encoder_forward(model.params, source, source_mask)
        (logits, _), _ = decoder_forward(model.params, np.array([[6, 3, 2]]), state)
        probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=1, keepdims=True)
        truth = -np.log(probabilities[np.arange(3), target[0]]).mean()
        loss, _ = model.forward(source, source_mask, target, mask)
        assert loss == pytest.approx(truth, rel=1e-12)
        scores[last] = loss
    assert scores[0] != scores[4]


def test_source_reaches_the_loss_only_through_the_state():
    model = make()
    source, source_mask, target, target_mask = batch()
    loss, _ = model.forward(source, source_mask, target, target_mask)
    other, _ = model.forward((source + 1) % V, source_mask, target, target_mask)
    assert abs(other - loss) > 1e-6


def test_first_loss_is_near_the_log_of_the_vocabulary():
    config = Seq2SeqConfig(16, 32)
    model = make(config=config)
    loss, _ = model.forward(*reversal_batch(np.random.default_rng(0), 64, 3, 8))
    assert loss == pytest.approx(math.log(12), rel=0.05)


def test_float32_model_stays_float32():
    model = make(np.float32)
    loss, cache = model.forward(*batch())
    arrays = [*model.params.values(), *model.backward(cache).values()]
    assert type(loss) is float
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


def test_parameters_begin_as_those_of_torch():
    model = make(config=Seq2SeqConfig(20, 25))
    for name, value in model.params.items():
        if "embedding" in name:
            assert value.std() == pytest.approx(1, rel=0.15)
        else:
            assert 0.15 < np.abs(value).max() <= 1 / 5
    assert model.params["output.weight"].shape == (12, 25)
    assert model.params["encoder_embedding.weight"].shape == (10, 20)


@pytest.mark.parametrize("field", ["start_id", "end_id"])
@pytest.mark.parametrize("wrong", [-1, 12])
def test_start_and_end_must_be_symbols(field, wrong):
    with pytest.raises(ValueError, match=rf"{wrong}\b|start|end"):
        make(config=Seq2SeqConfig(E, H, **{field: wrong}))


@pytest.mark.parametrize("config", [Seq2SeqConfig(0, H), Seq2SeqConfig(E, 0)])
def test_widths_of_nothing_are_refused(config):
    with pytest.raises(ValueError, match=r"\b0\b|d_embedding|d_hidden|width"):
        make(config=config)


def test_symbol_without_a_row_is_named():
    source, source_mask, target, target_mask = batch()
    source[0, 0] = V
    with pytest.raises(ValueError, match=rf"\b{V}\b"):
        make().forward(source, source_mask, target, target_mask)


# ---- writing -----------------------------------------------------------------------------


def learned():
    """A model that knows one small batch of reversals by heart, and the batch."""
    examples = reversal_batch(np.random.default_rng(1), 6, 2, 4)
    model = make(np.float32, config=Seq2SeqConfig(16, 32))
    optimizer = Adam(model.params, 0.02)
    for _ in range(120):
        _, cache = model.forward(*examples)
        optimizer.step(model.backward(cache))
    return model, examples


def test_model_learns_one_batch_by_heart_and_writes_it():
    model, examples = learned()
    loss, _ = model.forward(*examples)
    assert loss < 0.05
    written = model.greedy(examples.source, examples.source_mask, 10)
    assert exact_matches(written, examples.target, examples.target_mask).all()
    # It stops when the longest row has ended, and fills the others up with end symbols.
    assert written.shape == examples.target.shape
    assert np.all(written[~examples.target_mask] == END)


def written_freely(model, symbols, n):
    """The best symbol at each of n steps, from the scores of all before, whatever comes."""
    mask = np.ones((1, len(symbols)), dtype=bool)
    (_, state), _ = encoder_forward(model.params, np.array([symbols]), mask)
    before = [CONFIG.start_id]
    for _ in range(n):
        (logits, _), _ = decoder_forward(model.params, np.array([before]), state)
        before.append(int(np.argmax(logits[0, -1])))
    return before[1:]


def test_greedy_takes_the_best_symbol_and_feeds_it_back():
    model = make(seed=4)
    model.params["output.bias"][CONFIG.end_id] = -9.0  # so that it goes on
    written = model.greedy(*padded(SOURCES), 6)
    assert written.tolist() == [written_freely(model, symbols, 6) for symbols in SOURCES]


def test_row_that_has_ended_is_filled_up_while_another_goes_on():
    model = wavering()
    free = [written_freely(model, symbols, 6) for symbols in SOURCES]
    truth = []
    for symbols in free:
        n = symbols.index(CONFIG.end_id) if CONFIG.end_id in symbols else len(symbols)
        truth.append(symbols[:n] + [CONFIG.end_id] * (len(symbols) - n))
    assert model.greedy(*padded(SOURCES), 6).tolist() == truth
    assert free != truth  # one of them would have gone on after its end


def wavering():
    """A model that ends some rows, and writes on after the end where it may."""
    model, rng = make(), np.random.default_rng(25)
    for name in sorted(model.params):  # in an order of our own, whatever that of the model
        model.params[name] = rng.normal(0, 2, model.params[name].shape)
    return model


def test_greedy_stops_at_once_where_every_row_ends():
    model = make()
    model.params["output.bias"][CONFIG.end_id] = 50.0
    written = model.greedy(*padded(SOURCES), 9)
    np.testing.assert_array_equal(written, [[7], [7], [7]])


def test_greedy_refuses_to_write_nothing():
    with pytest.raises(ValueError, match=r"\b0\b|max_length"):
        make().greedy(*padded(SOURCES), 0)


def test_start_symbol_begins_the_writing():
    model = make(seed=2)
    source, mask = padded([[1, 2]])
    other = make(seed=2, config=Seq2SeqConfig(E, H, V, W, start_id=0, end_id=7))
    scores = np.zeros(W)
    for which in (model, other):
        (_, state), _ = encoder_forward(which.params, source, mask)
        start = np.array([[which.config.start_id]])
        (logits, _), _ = decoder_forward(which.params, start, state)
        assert which.greedy(source, mask, 1)[0, 0] == np.argmax(logits)
        scores += logits[0, 0]
    assert START not in (0, END)


# ---- judging -----------------------------------------------------------------------------


def test_match_is_exact_in_length_and_symbols():
    target, mask = padded([[1, 2, END], [3, END], [4, 4, END], [5, END]])
    written = np.array([[1, 2, END, END], [3, END, END, END], [4, END, END, END], [5, 5, END, END]])
    np.testing.assert_array_equal(exact_matches(written, target, mask), [True, True, False, False])


def test_what_is_cut_off_before_its_end_is_no_match():
    target, mask = padded([[1, 2, END], [END]])
    found = exact_matches(np.array([[1, 2], [END, END]]), target, mask)
    np.testing.assert_array_equal(found, [False, True])
