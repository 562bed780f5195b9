"""Chunks with a carried state against torch's, and clipping on the way."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from phase01.optimizers import SGD
from phase02.bptt import chunks, train_on_chunks, truncated_gradients
from phase02.char_lm import CELLS, CharLM, CharLMConfig

B, T, V, H = 3, 8, 7, 4  # all different, so that a wrong transpose cannot pass
THREES = (slice(0, 3), slice(3, 6), slice(6, 8))  # T in chunks of 3
EACH_CELL = pytest.mark.parametrize("cell", CELLS)


def make(cell="lstm", seed=0):
    return CharLM(CharLMConfig(V, H, cell), np.random.default_rng(seed), np.float64)


def batch(seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, V, (B, T)), rng.integers(0, V, (B, T))


# ---- chunks ------------------------------------------------------------------------------


def test_chunks_cover_all_steps_in_order():
    assert list(chunks(7, 3)) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert list(chunks(6, 3)) == [slice(0, 3), slice(3, 6)]
    assert list(chunks(2, 1)) == [slice(0, 1), slice(1, 2)]
    assert list(chunks(2, 5)) == [slice(0, 2)]
    assert list(chunks(0, 5)) == []


def test_chunks_refuse_a_length_of_nothing():
    with pytest.raises(ValueError, match=r"\b0\b|chunk|length"):
        list(chunks(7, 0))


# ---- truncated backpropagation -----------------------------------------------------------


class Twin(nn.Module):
    """The character model in torch, with the same names."""

    def __init__(self, model):
        super().__init__()
        cell = model.config.cell
        layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.rnn = layer(V, H, batch_first=True)
        self.output = nn.Linear(H, V)
        self.double()
        values = {name: torch.from_numpy(value.copy()) for name, value in model.params.items()}
        self.load_state_dict(values)

    def loss(self, ids, targets, state):
        x = nn.functional.one_hot(torch.from_numpy(ids), V).double()
        y, state = self.rnn(x, state)
        logits = self.output(y).flatten(0, 1)
        targets = torch.from_numpy(targets).flatten()
        return nn.functional.cross_entropy(logits, targets), state


def detached(state):
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return state.detach()


@EACH_CELL
def test_gradients_of_the_chunks_match_torch_with_a_detached_state(cell):
    model = make(cell)
    ids, targets = batch()
    twin, state = Twin(model), None
    found = list(truncated_gradients(model, ids, targets, 3))
    for part, (loss, grads, last) in zip(THREES, found, strict=True):
        twin.zero_grad()
        truth, state = twin.loss(ids[:, part], targets[:, part], state)
        truth.backward()
        state = detached(state)
        assert loss == pytest.approx(truth.item(), rel=1e-12)
        for name, parameter in twin.named_parameters():
            assert parameter.grad is not None
            np.testing.assert_allclose(
                grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name
            )
        hidden = state[0] if cell == "lstm" else state
        np.testing.assert_allclose(last[0], hidden[0].numpy(), rtol=1e-10)


@EACH_CELL
def test_one_chunk_of_everything_is_plain_backpropagation_through_time(cell):
    model = make(cell)
    ids, targets = batch()
    ((loss, grads, _),) = truncated_gradients(model, ids, targets, T)
    truth, cache = model.forward(ids, targets)
    assert loss == truth
    for name, value in model.backward(cache).items():
        np.testing.assert_array_equal(grads[name], value, err_msg=name)


def test_state_is_carried_and_the_gradient_is_not():
    model = make()
    ids, targets = batch()
    *_, (loss, grads, _) = truncated_gradients(model, ids, targets, 4)
    _, first = model.forward(ids[:, :4], targets[:, :4])
    carried, cache = model.forward(ids[:, 4:], targets[:, 4:], first.state)
    forgotten, _ = model.forward(ids[:, 4:], targets[:, 4:])
    assert loss == pytest.approx(carried, rel=1e-12)
    assert abs(loss - forgotten) > 1e-4
    for name, value in model.backward(cache).items():
        np.testing.assert_allclose(grads[name], value, rtol=1e-12, atol=1e-14)
    # The whole gradient is another one: it goes back into the first chunk.
    _, whole = model.forward(ids, targets)
    _, early = model.forward(ids[:, :4], targets[:, :4])
    halves = model.backward(early)["rnn.weight_hh_l0"] + grads["rnn.weight_hh_l0"]
    assert np.abs(halves / 2 - model.backward(whole)["rnn.weight_hh_l0"]).max() > 1e-5


def test_first_state_may_be_given():
    model = make("gru")
    ids, targets = batch()
    state = (np.full((B, H), 0.5),)
    loss, _, _ = next(truncated_gradients(model, ids, targets, 3, state))
    assert loss == model.forward(ids[:, :3], targets[:, :3], state)[0]


def test_chunk_of_no_length_is_refused():
    with pytest.raises(ValueError, match=r"\b0\b|chunk|length"):
        list(truncated_gradients(make(), *batch(), 0))


# ---- training with clipping --------------------------------------------------------------


@EACH_CELL
@pytest.mark.parametrize("max_norm", [None, 0.05, 0.5, 100.0])
def test_training_on_chunks_matches_torch_with_clip_grad_norm(cell, max_norm):
    model = make(cell)
    ids, targets = batch()
    twin, state = Twin(model), None
    optimizer = SGD(model.params, 0.5)
    steps = list(train_on_chunks(model, optimizer, ids, targets, 3, max_norm=max_norm))
    for part, step in zip(THREES, steps, strict=True):
        twin.zero_grad()
        loss, state = twin.loss(ids[:, part], targets[:, part], state)
        loss.backward()
        state = detached(state)
        norm = nn.utils.clip_grad_norm_(twin.parameters(), max_norm or math.inf)
        with torch.no_grad():
            for parameter in twin.parameters():
                assert parameter.grad is not None
                parameter -= 0.5 * parameter.grad
        assert step.loss == pytest.approx(loss.item(), rel=1e-10)
        assert step.norm == pytest.approx(norm.item(), rel=1e-10)
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(
            model.params[name], parameter.detach().numpy(), rtol=1e-10, atol=1e-10, err_msg=name
        )


class Recorder:
    """An optimizer that only writes down what it gets."""

    def __init__(self):
        self.grads = []

    def step(self, grads):
        self.grads.append({name: value.copy() for name, value in grads.items()})


class Scripted:
    """A model whose gradients are given: the one of the first chunk is (3, 4), of norm 5."""

    def forward(self, inputs, targets, state):
        seen = 0 if state is None else state
        return float(inputs.sum()), SimpleNamespace(state=seen + inputs.shape[1], seen=seen)

    def backward(self, cache):
        size = 1.0 + cache.seen
        return {"a": np.array([3.0 * size]), "b": np.array([[4.0 * size]])}


def test_gradients_are_shortened_together_and_only_above_the_threshold():
    inputs = np.arange(4.0)[np.newaxis]
    recorder = Recorder()
    steps = list(train_on_chunks(Scripted(), recorder, inputs, inputs, 2, max_norm=6.0))
    assert [(step.loss, step.norm, step.state) for step in steps] == [(1.0, 5.0, 2), (5.0, 15.0, 4)]
    np.testing.assert_array_equal(recorder.grads[0]["a"], [3.0])  # 5 is below 6: untouched
    np.testing.assert_array_equal(recorder.grads[0]["b"], [[4.0]])
    np.testing.assert_allclose(recorder.grads[1]["a"], [9.0 * 6 / 15], rtol=1e-6)
    np.testing.assert_allclose(recorder.grads[1]["b"], [[12.0 * 6 / 15]], rtol=1e-6)


def test_gradients_are_left_alone_without_a_threshold():
    inputs = np.arange(4.0)[np.newaxis]
    recorder = Recorder()
    steps = list(train_on_chunks(Scripted(), recorder, inputs, inputs, 2))
    assert [step.norm for step in steps] == [5.0, 15.0]
    np.testing.assert_array_equal(recorder.grads[1]["a"], [9.0])
    np.testing.assert_array_equal(recorder.grads[1]["b"], [[12.0]])


def test_step_has_been_taken_when_its_values_come():
    inputs = np.arange(4.0)[np.newaxis]
    recorder = Recorder()
    steps = train_on_chunks(Scripted(), recorder, inputs, inputs, 2)
    assert (next(steps).norm, len(recorder.grads)) == (5.0, 1)
    assert (next(steps).norm, len(recorder.grads)) == (15.0, 2)


def test_training_goes_on_from_a_given_state():
    inputs = np.arange(4.0)[np.newaxis]
    steps = list(train_on_chunks(Scripted(), Recorder(), inputs, inputs, 3, state=9))
    assert [(step.norm, step.state) for step in steps] == [(50.0, 12), (65.0, 13)]


def test_run_that_diverged_says_so_when_clipped():
    class Diverged(Scripted):
        def backward(self, cache):
            return {"a": np.array([math.nan])}

    inputs = np.ones((1, 2))
    with pytest.raises(ValueError, match=r"(?i)nan|finite"):
        list(train_on_chunks(Diverged(), Recorder(), inputs, inputs, 2, max_norm=1.0))
