"""The character model over each cell: gradients, torch, first loss, one batch learned, sampling."""

import math
from dataclasses import replace
from itertools import islice

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

from phase00.gradcheck import check_backward
from phase01.optimizers import SGD, Adam
from phase02.bptt import train_on_chunks
from phase02.char_lm import (
    CELLS,
    CharLM,
    CharLMConfig,
    bits_per_character,
    count_parameters,
    embedding_backward,
    embedding_forward,
    one_hot,
    stream_loss,
    train_on_text,
    with_parameters,
)
from phase02.char_text import streams

B, T, V, H, E = 3, 5, 7, 4, 6  # all different, so that a wrong transpose cannot pass
EACH_CELL = pytest.mark.parametrize("cell", CELLS)
EACH_INPUT = pytest.mark.parametrize("d_embedding", [None, E], ids=["one-hot", "embedding"])


def make(cell="lstm", d_embedding=None, dtype=np.float64, seed=0, vocab_size=V, d_hidden=H):
    config = CharLMConfig(vocab_size, d_hidden, cell, d_embedding)
    return CharLM(config, np.random.default_rng(seed), dtype)


def batch(seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, V, (B, T)), rng.integers(0, V, (B, T))


def random_state(model, seed=2):
    rng = np.random.default_rng(seed)
    zeros = model.initial_state(B)
    return tuple(rng.normal(0, 0.5, part.shape).astype(part.dtype) for part in zeros)


@pytest.fixture
def as_in_use(monkeypatch):
    """Without the shape checks that the tests wrap around each function."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# ---- inputs ------------------------------------------------------------------------------


def test_embedding_takes_the_rows_that_the_ids_name():
    weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    y, _ = embedding_forward(np.array([[2, 0, 2]]), weight)
    np.testing.assert_array_equal(y, [[[5.0, 6.0], [1.0, 2.0], [5.0, 6.0]]])


def test_embedding_gradient_adds_up_where_an_id_repeats():
    weight = np.zeros((3, 2))
    _, cache = embedding_forward(np.array([[2, 0, 2]]), weight)
    dweight = embedding_backward(np.array([[[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]]), cache)
    np.testing.assert_array_equal(dweight, [[2.0, 20.0], [0.0, 0.0], [5.0, 50.0]])


def test_embedding_gradient_matches_finite_differences():
    rng = np.random.default_rng(0)
    inputs = {"ids": rng.integers(0, V, (B, T)), "weight": rng.normal(size=(V, E))}
    check_backward(embedding_forward, embedding_backward, inputs, rng)


def test_embedding_gradient_takes_ids_of_a_narrow_dtype_and_none_at_all():
    ids = np.arange(100, dtype=np.uint8)  # 99 * 6 is more than a uint8 holds
    _, cache = embedding_forward(ids, np.zeros((100, E)))
    dy = np.random.default_rng(0).normal(size=(100, E))
    np.testing.assert_array_equal(embedding_backward(dy, cache), dy)
    _, cache = embedding_forward(ids[:0], np.zeros((V, E)))
    np.testing.assert_array_equal(embedding_backward(dy[:0], cache), np.zeros((V, E)))


def test_embedding_keeps_float32():
    y, cache = embedding_forward(np.array([1, 1]), np.ones((V, E), np.float32))
    dweight = embedding_backward(y, cache)
    assert (y.dtype, dweight.dtype) == (np.dtype(np.float32), np.dtype(np.float32))


def test_one_hot_has_its_one_at_the_id():
    mine = one_hot(np.array([[2, 0]]), 3)
    np.testing.assert_array_equal(mine, [[[0, 0, 1], [1, 0, 0]]])
    assert mine.dtype == np.float32


@pytest.mark.parametrize("wrong", [-1, V])
@EACH_INPUT
def test_id_outside_the_vocabulary_is_named(wrong, d_embedding):
    model = make(d_embedding=d_embedding)
    with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
        model.logits(np.array([[0, wrong]]))


# ---- the model ---------------------------------------------------------------------------


@EACH_CELL
@EACH_INPUT
def test_gradient_of_the_whole_model_matches_finite_differences(cell, d_embedding):
    model = make(cell, d_embedding)
    ids, targets = batch()
    state = random_state(model)

    def forward(**params):
        model.params = params
        return model.forward(ids, targets, state)

    def backward(dy, cache):
        return {name: dy * gradient for name, gradient in model.backward(cache).items()}

    check_backward(forward, backward, model.params, np.random.default_rng(3))


class TorchCharLM(nn.Module):
    """The same in torch, with the same names."""

    def __init__(self, cell, d_embedding):
        super().__init__()
        self.embedding = None if d_embedding is None else nn.Embedding(V, d_embedding)
        layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.rnn = layer(d_embedding or V, H, batch_first=True)
        self.output = nn.Linear(H, V)

    def forward(self, ids, targets, state):
        one_hot = nn.functional.one_hot(ids, V).double()
        x = one_hot if self.embedding is None else self.embedding(ids)
        y, last = self.rnn(x, state)
        loss = nn.functional.cross_entropy(self.output(y).flatten(0, 1), targets.flatten())
        return loss, last


@EACH_CELL
@EACH_INPUT
def test_loss_state_and_gradients_match_torch(cell, d_embedding):
    model = make(cell, d_embedding)
    ids, targets = batch()
    state = random_state(model)
    loss, cache = model.forward(ids, targets, state)
    grads = model.backward(cache)

    twin = TorchCharLM(cell, d_embedding).double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in model.params.items()})
    first = tuple(torch.from_numpy(part)[None] for part in state)
    truth, last = twin(
        torch.from_numpy(ids), torch.from_numpy(targets), first if cell == "lstm" else first[0]
    )
    truth.backward()
    last = last if cell == "lstm" else (last,)
    assert loss == pytest.approx(truth.item(), rel=1e-12)
    for mine, other in zip(cache.state, last, strict=True):
        np.testing.assert_allclose(mine, other[0].detach().numpy(), rtol=1e-10, atol=1e-10)
    assert set(grads) == {name for name, _ in twin.named_parameters()}
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name
        )


@EACH_CELL
@EACH_INPUT
def test_first_loss_is_near_the_log_of_the_vocabulary(cell, d_embedding):
    model = make(cell, d_embedding, vocab_size=65, d_hidden=64)
    rng = np.random.default_rng(0)
    ids, targets = rng.integers(0, 65, (8, 20)), rng.integers(0, 65, (8, 20))
    loss, _ = model.forward(ids, targets)
    assert loss == pytest.approx(math.log(65), rel=0.03)


@EACH_CELL
@EACH_INPUT
def test_model_learns_one_batch_by_heart(cell, d_embedding):
    model = make(cell, d_embedding, np.float32, d_hidden=16)
    ids, targets = batch()
    optimizer = Adam(model.params, 0.03)
    for _ in range(150):
        _, cache = model.forward(ids, targets)
        optimizer.step(model.backward(cache))
    loss, _ = model.forward(ids, targets)
    assert loss < 0.05


@EACH_CELL
def test_scores_know_nothing_of_later_characters(cell):
    model = make(cell)
    ids, _ = batch()
    logits, _ = model.logits(ids)
    ids[:, 3:] = (ids[:, 3:] + 1) % V
    changed, _ = model.logits(ids)
    np.testing.assert_array_equal(changed[:, :3], logits[:, :3])
    assert np.all(changed[:, 3:] != logits[:, 3:])


@EACH_CELL
@EACH_INPUT
def test_float32_model_stays_float32(cell, d_embedding):
    model = make(cell, d_embedding, np.float32)
    ids, targets = batch()
    loss, cache = model.forward(ids, targets)
    grads = model.backward(cache)
    assert type(loss) is float
    arrays = [*model.params.values(), *grads.values(), *cache.state, model.logits(ids)[0]]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@EACH_CELL
def test_text_in_two_chunks_has_the_loss_of_the_whole(cell):
    model = make(cell)
    ids, targets = batch()
    whole, cache = model.forward(ids, targets)
    first, first_cache = model.forward(ids[:, :2], targets[:, :2])
    second, second_cache = model.forward(ids[:, 2:], targets[:, 2:], first_cache.state)
    assert (2 * first + 3 * second) / 5 == pytest.approx(whole, rel=1e-12)
    for mine, other in zip(second_cache.state, cache.state, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


@EACH_CELL
def test_text_begins_with_a_state_of_zeros(cell):
    model = make(cell)
    ids, targets = batch()
    zeros = model.initial_state(B)
    assert [part.shape for part in zeros] == [(B, H)] * (2 if cell == "lstm" else 1)
    assert not any(part.any() for part in zeros)
    assert model.forward(ids, targets)[0] == model.forward(ids, targets, zeros)[0]


@EACH_CELL
def test_parameters_begin_as_those_of_torch(cell):
    model = make(cell, 20, vocab_size=50, d_hidden=25)
    assert model.params["embedding.weight"].std() == pytest.approx(1, rel=0.1)
    for name, value in model.params.items():
        if name != "embedding.weight":
            assert np.abs(value).max() <= 1 / 5
            assert np.abs(value).max() > 0.17
    assert model.config == CharLMConfig(50, 25, cell, 20)


@EACH_CELL
@EACH_INPUT
def test_parameters_are_as_many_as_counted(cell, d_embedding):
    model = make(cell, d_embedding)
    truth = sum(value.size for value in model.params.values())
    assert count_parameters(model.config) == truth


def test_number_of_parameters_of_a_small_lstm_by_hand():
    # 4 * 2 rows of 3 + 2 weights and 2 biases, and 3 rows of 2 weights and a bias.
    assert count_parameters(CharLMConfig(3, 2, "lstm")) == 8 * 7 + 3 * 3
    assert count_parameters(CharLMConfig(3, 2, "gru", 5)) == 15 + 6 * 9 + 3 * 3


@EACH_CELL
@EACH_INPUT
def test_no_width_comes_closer_to_a_number_of_parameters(cell, d_embedding):
    config = CharLMConfig(V, H, cell, d_embedding)
    found = with_parameters(config, 3000)
    assert found == replace(config, d_hidden=found.d_hidden)
    distances = {d: abs(count_parameters(replace(config, d_hidden=d)) - 3000) for d in range(1, 60)}
    assert found.d_hidden == min(distances, key=distances.__getitem__)


def test_number_of_parameters_that_is_met_exactly_gives_back_the_width():
    config = CharLMConfig(V, 13, "gru")
    assert with_parameters(replace(config, d_hidden=2), count_parameters(config)) == config
    smallest = CharLMConfig(V, 1, "rnn")
    assert with_parameters(CharLMConfig(V, H, "rnn"), 24) == smallest


def test_number_of_parameters_below_the_smallest_model_is_refused():
    assert count_parameters(CharLMConfig(V, 1, "rnn")) == 24
    with pytest.raises(ValueError, match=r"\b2[34]\b|parameters"):
        with_parameters(CharLMConfig(V, H, "rnn"), 23)


NO_SIZE = r"\b0\b|size|width|vocab|d_hidden|d_embedding"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CharLMConfig(V, H, "LSTM"), "LSTM"),
        (CharLMConfig(0, H), NO_SIZE),
        (CharLMConfig(V, 0), NO_SIZE),
        (CharLMConfig(V, H, "gru", 0), NO_SIZE),
        (CharLMConfig(0, H, "gru", E), NO_SIZE),
    ],
)
def test_model_refuses_a_config_that_makes_none(config, message):
    with pytest.raises(ValueError, match=message):
        CharLM(config, np.random.default_rng(0))


@EACH_CELL
def test_smallest_sizes_make_a_model_that_has_nothing_to_guess(cell):
    model = make(cell, d_embedding=1, vocab_size=1, d_hidden=1)
    loss, _ = model.forward(np.zeros((B, T), np.int64), np.zeros((B, T), np.int64))
    assert loss == 0.0


@pytest.mark.usefixtures("as_in_use")
def test_state_of_another_cell_is_refused():
    model, ids = make("lstm"), batch()[0]
    with pytest.raises(ValueError, match=r"state|\b2\b"):
        model.logits(ids, (np.zeros((B, H)),))


# ---- training ----------------------------------------------------------------------------


def constant(step):
    return 0.3


@EACH_CELL
def test_first_pass_over_a_text_is_that_of_its_streams(cell):
    ids = np.random.default_rng(0).integers(0, V, 24)
    mine, twin = make(cell), make(cell)
    steps = train_on_text(mine, SGD(mine.params, 9.0), ids, 2, 4, constant, 0.1)
    found = list(islice(steps, 3))  # rows of 11 characters: chunks of 4, 4 and 3
    truth = list(train_on_chunks(twin, SGD(twin.params, 0.3), *streams(ids, 2), 4, None, 0.1))
    assert [step.loss for step in found] == [step.loss for step in truth]
    assert [step.norm for step in found] == [step.norm for step in truth]
    for name, value in mine.params.items():
        np.testing.assert_array_equal(value, twin.params[name], err_msg=name)


def test_second_pass_begins_the_text_again_without_a_state():
    ids = np.random.default_rng(0).integers(0, V, 24)
    model = make()
    steps = train_on_text(model, SGD(model.params, 0.0), ids, 2, 4, lambda step: 0.0)
    found = [step.loss for step in islice(steps, 7)]
    assert found[3:6] == found[:3]
    assert found[6] == found[0]


def test_each_step_has_the_rate_of_its_number_over_all_passes():
    ids = np.random.default_rng(0).integers(0, V, 24)
    model, used = make("rnn"), []

    def schedule(step):
        return 0.01 * (step + 1)

    class Watching(SGD):
        def step(self, grads):
            used.append(self.learning_rate)
            super().step(grads)

    optimizer = Watching(model.params, 5.0)
    list(islice(train_on_text(model, optimizer, ids, 2, 4, schedule), 5))
    assert used == [0.01 * n for n in (1, 2, 3, 4, 5)]


def test_training_on_a_text_too_short_for_its_rows_is_refused():
    model = make()
    with pytest.raises(ValueError, match=r"row|character|n_batch|\b2\b"):
        next(train_on_text(model, SGD(model.params, 0.1), np.array([1, 2]), 2, 4, constant))


# ---- writing -----------------------------------------------------------------------------


def counting_model():
    """A model that has learned one thing: after n comes n + 1, and after the last the first."""
    model = make("rnn", dtype=np.float32, d_hidden=16)
    ids = np.arange(40)[np.newaxis] % V
    optimizer = Adam(model.params, 0.03)
    for _ in range(100):
        _, cache = model.forward(ids[:, :-1], ids[:, 1:])
        optimizer.step(model.backward(cache))
    return model


def test_sampling_at_zero_takes_the_likeliest_and_goes_on_from_the_prompt():
    written = counting_model().sample(np.array([2, 3]), 9, np.random.default_rng(0), 0.0)
    np.testing.assert_array_equal(written, [4, 5, 6, 0, 1, 2, 3, 4, 5])


def test_sampling_carries_the_state():
    # Drawn one by one from the scores of the whole text so far, the same numbers come out.
    model = make("gru", E)
    model.params["output.weight"] *= 20  # so that it has preferences
    text = [3, 1]
    written = model.sample(np.array(text), 30, np.random.default_rng(5), 0.7)
    rng = np.random.default_rng(5)
    for _ in range(30):
        logits, _ = model.logits(np.array([text]))
        exponentials = np.exp(logits[0, -1] / 0.7)
        text.append(int(rng.choice(V, p=exponentials / exponentials.sum())))
    np.testing.assert_array_equal(written, text[2:])


def test_samples_have_the_frequencies_of_the_model():
    model = make()
    model.params["output.bias"] += np.log([1, 2, 4, 8, 8, 4, 2])
    logits, _ = model.logits(np.array([[4]]))
    truth = np.exp(logits[0, -1]) / np.exp(logits[0, -1]).sum()
    rng = np.random.default_rng(0)
    drawn = [model.sample(np.array([4]), 1, rng)[0] for _ in range(800)]
    frequencies = np.bincount(drawn, minlength=V) / 800
    np.testing.assert_allclose(frequencies, truth, atol=0.05)


def test_high_temperature_makes_all_characters_alike():
    model = counting_model()
    rng = np.random.default_rng(0)
    drawn = model.sample(np.array([0]), 800, rng, 1000.0)
    np.testing.assert_allclose(np.bincount(drawn, minlength=V) / 800, 1 / V, atol=0.05)


def test_samples_are_the_same_for_the_same_seed():
    model = make(dtype=np.float32)
    first = model.sample(np.array([1]), 20, np.random.default_rng(3))
    again = model.sample(np.array([1]), 20, np.random.default_rng(3))
    other = model.sample(np.array([1]), 20, np.random.default_rng(4))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


def test_no_new_character_is_a_sample_too():
    assert make().sample(np.array([1]), 0, np.random.default_rng(0)).shape == (0,)


def test_sampling_refuses_an_empty_prompt():
    with pytest.raises(ValueError, match=r"(?i)prompt|empty|at least"):
        make().sample(np.array([], dtype=np.int64), 3, np.random.default_rng(0))


@pytest.mark.parametrize("temperature", [-1.0, math.inf, math.nan])
def test_sampling_refuses_a_temperature_that_is_none(temperature):
    with pytest.raises(ValueError, match=rf"(?i)temperature|{temperature}"):
        make().sample(np.array([1]), 3, np.random.default_rng(0), temperature)


# ---- measuring ---------------------------------------------------------------------------


@EACH_CELL
def test_loss_of_a_text_is_the_same_however_it_is_cut(cell):
    model = make(cell)
    ids = np.random.default_rng(0).integers(0, V, 24)
    whole, _ = model.forward(ids[np.newaxis, :-1], ids[np.newaxis, 1:])
    for chunk_length in (1, 5, 23, 100):
        mine = stream_loss(model, ids, chunk_length=chunk_length)
        assert mine == pytest.approx(whole, rel=1e-12)


def test_loss_of_several_streams_is_their_mean():
    model = make()
    ids = np.random.default_rng(0).integers(0, V, 21)
    rows = [model.forward(ids[None, n : n + 10], ids[None, n + 1 : n + 11])[0] for n in (0, 10)]
    assert stream_loss(model, ids, 2, 4) == pytest.approx(np.mean(rows), rel=1e-12)


def test_a_bit_is_the_loss_of_a_coin():
    assert bits_per_character(math.log(2)) == pytest.approx(1, rel=1e-15)
    assert bits_per_character(math.log(8)) == pytest.approx(3, rel=1e-15)
