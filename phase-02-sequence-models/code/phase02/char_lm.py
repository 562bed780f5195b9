"""A language model that writes one character after another, over any of the three cells.

    id -> one-hot or embedding -> RNN, LSTM or GRU -> linear layer -> logits of the next character

The loss is the mean cross-entropy in nats of the character that follows; divided by ln 2 it is in
bits per character. A model that knows nothing gives each of V characters the same probability and
has the loss ln V, which is close to where training begins.

The state of the cell goes in with `state` and comes out as `cache.state`, so that a text can be
read chunk by chunk (`phase02.char_text` cuts it, `phase02.bptt` trains on it). The model predicts
from left to right by its form: a state knows nothing of later characters.

Parameters have the names of a torch module with `embedding`, `rnn` and `output`:

    embedding.weight (V, E)   rnn.weight_ih_l0 ...   output.weight (V, H)   output.bias (V,)

Left out: dropout, several layers, masks (the streams have no padding).

Shapes: B batch, T time, V characters, E width of the embedding, H width of the state.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from phase00.probability import softmax
from phase01.linear import linear_backward, linear_forward
from phase01.losses import cross_entropy_backward, cross_entropy_forward
from phase01.optimizers import Optimizer
from phase02.bptt import Step, train_on_chunks
from phase02.char_text import stream_batches, streams
from phase02.gru import gru_backward, gru_forward, gru_parameters
from phase02.lstm import lstm_backward, lstm_forward, lstm_parameters
from phase02.recurrent import Gradients, part_of, prefixed
from phase02.rnn import rnn_backward, rnn_forward, rnn_parameters

State = tuple[Float[np.ndarray, "B H"], ...]


class Cell(NamedTuple):
    """What the model has to know of a cell."""

    n_blocks: int  # blocks of H rows in its weights
    n_states: int  # 1, or 2 for the LSTM's (h, c)
    parameters: Callable[..., Gradients]
    forward: Callable[..., Any]
    backward: Callable[..., Any]


CELLS = {
    "rnn": Cell(1, 1, rnn_parameters, rnn_forward, rnn_backward),
    "lstm": Cell(4, 2, lstm_parameters, lstm_forward, lstm_backward),
    "gru": Cell(3, 1, gru_parameters, gru_forward, gru_backward),
}


@dataclass(frozen=True)
class CharLMConfig:
    """What a model is made of."""

    vocab_size: int
    d_hidden: int
    cell: str = "lstm"
    """rnn, lstm or gru"""
    d_embedding: int | None = None
    """width of the characters' vectors; none for one-hot inputs"""

    @property
    def d_input(self) -> int:
        """The width of what goes into the cell."""
        return self.vocab_size if self.d_embedding is None else self.d_embedding


class Cache(NamedTuple):
    """What backward needs, and the last state, with which the next chunk begins."""

    state: State
    input: Any
    cell: Any
    output: Any
    loss: Any


def embedding_forward(
    ids: Integer[np.ndarray, "*batch"], weight: Float[np.ndarray, "V E"]
) -> tuple[Float[np.ndarray, "*batch E"], Any]:
    """The rows of `weight` that the ids name. Raises ValueError for an id without a row."""
    _check_ids(ids, len(weight))
    return weight[ids], (ids, weight)  # (..., E)


def embedding_backward(dy: Float[np.ndarray, "*batch E"], cache: Any) -> Float[np.ndarray, "V E"]:
    """The weight's gradient: an id's row gets the sum over all its places, also where it repeats.

    np.add.at, since `dweight[ids] += dy` would keep one of them and drop the others. It is given
    every number's place in the flat weight, not the rows: for rows NumPy has no fast path.
    """
    ids, weight = cache
    n_rows, width = weight.shape
    places = ids.astype(np.int64)[..., np.newaxis] * width + np.arange(width)  # (..., E)
    dweight = np.zeros(n_rows * width, weight.dtype)
    np.add.at(dweight, places.ravel(), dy.ravel())
    return dweight.reshape(n_rows, width)  # (V, E)


def one_hot(
    ids: Integer[np.ndarray, "*batch"], vocab_size: int, dtype: Any = np.float32
) -> Float[np.ndarray, "*batch V"]:
    """A 1 at each id's place and 0 elsewhere. Raises ValueError for an id that is no place."""
    _check_ids(ids, vocab_size)
    return np.eye(vocab_size, dtype=dtype)[ids]  # (..., V)


def count_parameters(config: CharLMConfig) -> int:
    """How many numbers a model of this config learns, without making it."""
    rows = CELLS[config.cell].n_blocks * config.d_hidden
    embedding = 0 if config.d_embedding is None else config.vocab_size * config.d_embedding
    cell = rows * (config.d_input + config.d_hidden + 2)
    return embedding + cell + config.vocab_size * (config.d_hidden + 1)


def with_parameters(config: CharLMConfig, n_parameters: int) -> CharLMConfig:
    """The config with the width of the state that brings its parameters closest to this number.

    So that cells can be compared at the same size. Raises ValueError where the narrowest model
    already has more.
    """
    narrow = replace(config, d_hidden=1)
    if count_parameters(narrow) > n_parameters:
        raise ValueError(
            f"no {config.cell} over {config.vocab_size} characters has {n_parameters} parameters: "
            f"the smallest has {count_parameters(narrow)}"
        )
    wide = replace(config, d_hidden=2)
    while count_parameters(wide) <= n_parameters:
        narrow, wide = wide, replace(config, d_hidden=wide.d_hidden + 1)
    return min((narrow, wide), key=lambda near: abs(count_parameters(near) - n_parameters))


class CharLM:
    """A character language model: `config`, and `params`, which an optimizer changes in place."""

    def __init__(
        self, config: CharLMConfig, rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        """Weights as torch begins: normal(0, 1) embeddings, all others within 1/sqrt(H) of 0.

        Raises ValueError for an unknown cell, or a size that is not at least 1.
        """
        if config.cell not in CELLS:
            raise ValueError(f"the cell is {', '.join(CELLS)}, not {config.cell!r}")
        if min(config.vocab_size, config.d_hidden, config.d_input) < 1:
            raise ValueError(f"all sizes must be at least 1, got {config}")
        self.config = config
        self.params: Gradients = {}
        n_out, d_hidden = config.vocab_size, config.d_hidden
        if config.d_embedding is not None:
            embedding = rng.normal(size=(n_out, config.d_embedding))  # (V, E)
            self.params["embedding.weight"] = embedding.astype(dtype)
        cell = CELLS[config.cell].parameters(config.d_input, d_hidden, rng, dtype)
        self.params |= prefixed("rnn.", cell)
        limit = 1 / math.sqrt(d_hidden)
        weight = rng.uniform(-limit, limit, (n_out, d_hidden))  # (V, H)
        self.params["output.weight"] = weight.astype(dtype)
        self.params["output.bias"] = rng.uniform(-limit, limit, n_out).astype(dtype)  # (V,)

    def initial_state(self, n_batch: int) -> State:
        """Zeros: the state before the first character of a text, in the parameters' dtype."""
        dtype = self.params["output.weight"].dtype
        shape = (n_batch, self.config.d_hidden)
        return tuple(np.zeros(shape, dtype) for _ in range(CELLS[self.config.cell].n_states))

    def logits(
        self, ids: Integer[np.ndarray, "B T"], state: State | None = None
    ) -> tuple[Float[np.ndarray, "B T V"], State]:
        """The scores of the next character after each of `ids`, and the state after the last."""
        logits, (state, *_) = self._scores(ids, state)
        return logits, state

    def forward(
        self,
        ids: Integer[np.ndarray, "B T"],
        targets: Integer[np.ndarray, "B T"],
        state: State | None = None,
    ) -> tuple[float, Cache]:
        """The mean loss in nats of predicting `targets`, and the cache; `cache.state` is the last.

        Without a `state` the text begins here. Raises ValueError for an id that is no character,
        and where targets or state do not fit the ids.
        """
        logits, parts = self._scores(ids, state)
        loss, loss_cache = cross_entropy_forward(logits, targets)
        return loss, Cache(*parts, loss=loss_cache)

    def backward(self, cache: Cache) -> Gradients:
        """The gradient of the loss for every parameter, under the parameters' names.

        The last state gets no gradient: what comes after this chunk is not followed back.
        """
        grads: Gradients = {}
        dlogits = cross_entropy_backward(1.0, cache.loss)  # (B, T, V)
        dy, grads["output.weight"], grads["output.bias"] = linear_backward(dlogits, cache.output)
        dx, *_, cell_grads = CELLS[self.config.cell].backward(dy, None, cache.cell)
        grads |= prefixed("rnn.", cell_grads)
        if self.config.d_embedding is not None:
            grads["embedding.weight"] = embedding_backward(dx, cache.input)
        return grads

    def sample(
        self,
        prompt: Integer[np.ndarray, " N"],
        n_new: int,
        rng: np.random.Generator,
        temperature: float = 1.0,
    ) -> Integer[np.ndarray, " n"]:
        """`n_new` characters after the prompt, each drawn from the model's probabilities.

        By `rng.choice`. A low temperature prefers the likely; 0 always takes the likeliest. The
        state is carried from character to character, so that each costs one step however long the
        text is. Raises ValueError for an empty prompt, and for a temperature that is negative or
        not finite.
        """
        if len(prompt) == 0:
            raise ValueError("a prompt needs at least one character: a newline, for example")
        if not 0 <= temperature < math.inf:
            raise ValueError(f"the temperature must be 0 or more and finite, not {temperature}")
        new = np.empty(n_new, dtype=np.int64)
        read, state = prompt[np.newaxis], None  # (1, N)
        for n in range(n_new):
            logits, state = self.logits(read, state)
            last = logits[0, -1].astype(np.float64)  # (V,): probabilities that add up to 1
            if temperature == 0:
                new[n] = np.argmax(last)
            else:
                new[n] = rng.choice(len(last), p=softmax(last, temperature))
            read = new[n : n + 1][np.newaxis]  # (1, 1)
        return new

    def _scores(self, ids: np.ndarray, state: State | None) -> tuple[np.ndarray, tuple]:
        """The logits, and the cache's parts up to the loss."""
        cell = CELLS[self.config.cell]
        state = self.initial_state(len(ids)) if state is None else state
        if len(state) != cell.n_states:
            raise ValueError(f"a {self.config.cell} has {cell.n_states} states, got {len(state)}")
        weight, bias = self.params["output.weight"], self.params["output.bias"]
        input_cache = None
        if self.config.d_embedding is None:
            x = one_hot(ids, self.config.vocab_size, weight.dtype)  # (B, T, V)
        else:
            x, input_cache = embedding_forward(ids, self.params["embedding.weight"])  # (B, T, E)
        (y, last), cell_cache = cell.forward(part_of(self.params, "rnn."), x, *state)
        logits, output_cache = linear_forward(y, weight, bias)  # (B, T, V)
        last = last if isinstance(last, tuple) else (last,)
        return logits, (last, input_cache, cell_cache, output_cache)


def stream_loss(
    model: CharLM, ids: Integer[np.ndarray, " N"], n_batch: int = 1, chunk_length: int = 200
) -> float:
    """The mean loss in nats per character over a whole text, with the state carried along.

    Each of `n_batch` streams begins without a state. Raises ValueError as `stream_batches` does.
    """
    total, n_read, state = 0.0, 0, None
    for inputs, targets in stream_batches(ids, n_batch, chunk_length):
        logits, state = model.logits(inputs, state)
        loss, _ = cross_entropy_forward(logits, targets)
        total += loss * inputs.size
        n_read += inputs.size
    return total / n_read


def train_on_text(
    model: CharLM,
    optimizer: Optimizer,
    ids: Integer[np.ndarray, " N"],
    n_batch: int,
    chunk_length: int,
    schedule: Callable[[int], float],
    max_norm: float | None = None,
) -> Iterator[Step]:
    """One optimizer step for each chunk of a text, which is read again and again, without end.

    Chunks and clipping are those of `phase02.bptt.train_on_chunks`. Step n, counted from 0 over all
    passes, has the learning rate `schedule(n)`. Each pass begins without a state, since the rows
    jump back to where they began. Raises ValueError as `streams` and `train_on_chunks` do.
    """
    inputs, targets = streams(ids, n_batch)  # (B, L) each
    n_steps = 0
    optimizer.learning_rate = schedule(n_steps)
    while True:
        for step in train_on_chunks(
            model, optimizer, inputs, targets, chunk_length, None, max_norm
        ):
            n_steps += 1
            optimizer.learning_rate = schedule(n_steps)
            yield step


def bits_per_character(loss: float) -> float:
    """A loss in nats per character, in bits: divided by ln 2."""
    return loss / math.log(2)


def _check_ids(ids: np.ndarray, vocab_size: int) -> None:
    """NumPy would take -1 for the last row."""
    outside = ids[(ids < 0) | (ids >= vocab_size)]
    if outside.size:
        raise ValueError(f"id {outside[0]} is no character: there are {vocab_size}, from 0 on")
