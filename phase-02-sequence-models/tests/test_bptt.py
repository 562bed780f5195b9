"""Chunks with a carried state against torch's, clipping on the way, and gradients step by step."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from phase01.optimizers import SGD
from phase02.bptt import (
    chunks,
    norm_per_step,
    spectral_radius,
    state_gradients,
    train_on_chunks,
    truncated_gradients,
    with_spectral_radius,
)
from phase02.char_lm import CELLS, CharLM, CharLMConfig
from phase02.lstm import lstm_backward, lstm_forward
from phase02.rnn import rnn_backward, rnn_forward

B, T, V, H, D = 3, 8, 7, 4, 5  # all different, so that a wrong transpose cannot pass
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
    assert list(chunks(2, 5)) == [slice(0, 2)]
    assert list(chunks(0, 5)) == []


def test_chunks_refuse_a_length_of_nothing():
    with pytest.raises(ValueError, match="a chunk has at least 1 step, not 0"):
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
    with pytest.raises(ValueError, match="a chunk has at least 1 step"):
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
    with pytest.raises(ValueError, match="the norm of the gradients is nan"):
        list(train_on_chunks(Diverged(), Recorder(), inputs, inputs, 2, max_norm=1.0))


# ---- gradients step by step --------------------------------------------------------------


def draw(n_blocks, seed=0):
    rng = np.random.default_rng(seed)
    params = {
        "weight_ih_l0": rng.normal(0, 0.5, (n_blocks * H, D)),
        "weight_hh_l0": rng.normal(0, 0.5, (n_blocks * H, H)),
        "bias_ih_l0": rng.normal(0, 0.5, n_blocks * H),
        "bias_hh_l0": rng.normal(0, 0.5, n_blocks * H),
    }
    states = [rng.normal(0, 0.5, (B, H)) for _ in range(4)]
    return params, rng.normal(size=(B, T, D)), states, rng.normal(size=(B, T, H))


@EACH_CELL
@pytest.mark.parametrize("masked", [False, True])
def test_what_arrives_at_each_step_is_what_backward_from_there_returns(cell, masked):
    n_blocks, n_states, _, forward, backward = CELLS[cell]
    params, x, drawn, dy = draw(n_blocks)
    states, dlast = tuple(drawn[:n_states]), tuple(drawn[2 : 2 + n_states])
    mask = np.random.default_rng(7).random((B, T)) < 0.6 if masked else None
    arrived = state_gradients(forward, backward, params, x, states, dlast, dy, mask)
    assert [part.shape for part in arrived] == [(B, T + 1, H)] * n_states
    for t in range(T + 1):
        before, after = slice(0, t), slice(t, T)
        cut = None if mask is None else mask[:, before]
        (_, middle), _ = forward(params, x[:, before], *states, mask=cut)
        middle = middle if isinstance(middle, tuple) else (middle,)
        cut = None if mask is None else mask[:, after]
        _, cache = forward(params, x[:, after], *middle, mask=cut)
        _, *truth, _ = backward(dy[:, after], dlast if n_states > 1 else dlast[0], cache)
        for mine, other in zip(arrived, truth, strict=True):
            np.testing.assert_allclose(mine[:, t], other, rtol=1e-9, atol=1e-13)


def test_gradient_in_a_linear_network_is_a_power_of_the_weight():
    # So near to 0 that tanh is the identity: each step back multiplies by W_hh.
    weight = np.array([[0.5, 0.2], [0.0, -0.3]])
    params = {
        "weight_ih_l0": np.zeros((2, 1)),
        "weight_hh_l0": weight,
        "bias_ih_l0": np.zeros(2),
        "bias_hh_l0": np.zeros(2),
    }
    last = np.array([[1.0, 2.0]])
    zeros = np.zeros((1, 2))
    (arrived,) = state_gradients(
        rnn_forward, rnn_backward, params, np.zeros((1, 3, 1)), (zeros,), (last,)
    )
    truth = [last @ np.linalg.matrix_power(weight, 3 - t) for t in range(4)]
    np.testing.assert_allclose(arrived, np.stack(truth, axis=1), rtol=1e-12)


def test_gradient_along_an_open_cell_does_not_vanish():
    params, x, states, _ = draw(4)
    params["bias_ih_l0"][H : 2 * H] = 50.0  # the forget gates are open
    last = (np.zeros((B, H)), np.ones((B, H)))
    _, along_cell = state_gradients(
        lstm_forward, lstm_backward, params, 0.1 * x, tuple(states[:2]), last
    )
    assert along_cell.shape == (B, T + 1, H)
    assert np.abs(along_cell[:, 0]).mean() > 0.5


def test_norm_per_step_is_the_mean_over_the_batch_of_each_rows_norm():
    gradients = np.array([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 1.0], [6.0, 8.0]]])  # (B, time, H)
    np.testing.assert_allclose(norm_per_step(gradients), [(5 + 1) / 2, (0 + 10) / 2], rtol=1e-15)


def test_norm_per_step_sees_what_float32_squares_to_nothing():
    norms = norm_per_step(np.full((1, 1, 4), 1e-30, np.float32))
    assert norms.dtype == np.float64
    np.testing.assert_allclose(norms, [2e-30], rtol=1e-6)


# ---- spectral radius ---------------------------------------------------------------------


def test_spectral_radius_is_the_largest_absolute_eigenvalue():
    assert spectral_radius(np.array([[0.5, 9.0], [0.0, -0.8]])) == pytest.approx(0.8)
    turn = 3.0 * np.array([[0.0, -1.0], [1.0, 0.0]])  # eigenvalues 3i and -3i
    assert spectral_radius(turn) == pytest.approx(3.0)


@pytest.mark.parametrize("radius", [0.0, 0.5, 1.5])
def test_scaled_weight_has_the_radius_and_the_direction(radius):
    weight = np.random.default_rng(0).normal(size=(6, 6))
    scaled = with_spectral_radius(weight, radius)
    assert spectral_radius(scaled) == pytest.approx(radius, abs=1e-12)
    np.testing.assert_allclose(scaled, weight * radius / spectral_radius(weight), rtol=1e-12)


def test_scaled_weight_stays_float32_and_is_a_new_array():
    weight = np.eye(3, dtype=np.float32)
    scaled = with_spectral_radius(weight, 0.5)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, 0.5 * np.eye(3))
    np.testing.assert_array_equal(weight, np.eye(3))


@pytest.mark.parametrize("weight", [np.ones((2, 3)), np.ones(4), np.ones((0, 0))])
def test_spectral_radius_refuses_what_is_not_square(monkeypatch, weight):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match="of a square matrix"):
        spectral_radius(weight)


def test_weight_without_a_radius_cannot_be_scaled():
    with pytest.raises(ValueError, match="a spectral radius of 0 cannot be made 1"):
        with_spectral_radius(np.array([[0.0, 1.0], [0.0, 0.0]]), 1.0)
    with pytest.raises(ValueError, match="cannot be made -1"):
        with_spectral_radius(np.eye(2), -1.0)
