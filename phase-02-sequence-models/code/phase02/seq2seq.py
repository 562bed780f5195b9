"""Sequence to sequence: one LSTM reads, another writes, and a single state goes between them.

    encoder   reads the source; its last state (h, c) is all that is kept of it
    decoder   begins with that state and the start symbol; at each step it gets the symbol before,
              and a linear layer scores the next one, until the end symbol

In training the decoder gets the right symbol before, whatever it would have written itself
(*teacher forcing*), so that all steps of all rows are one pass. In use it gets its own
(*greedy decoding*: the symbol of the highest score, at each step anew).

The state has the same size for three digits as for thirty. That is the bottleneck which attention
removes (phase 4).

Paper and our code: Sutskever, Vinyals and Le (2014) have four layers, feed the source in reversed
order and search with a beam; here it is one layer, the order as it is, and greedy decoding.
In Cho et al. (2014) the decoder sees the context at every step; here, as in Sutskever's, only as
its first state.

Parameters have the names of a torch module with two embeddings, two LSTMs and an output layer:

    encoder_embedding.weight (V, E)   encoder.weight_ih_l0 ...     output.weight (W, H)
    decoder_embedding.weight (W, E)   decoder.weight_ih_l0 ...     output.bias (W,)

Shapes: B batch, S time of the source, T time of the target, V source and W target symbols,
E width of the embeddings, H width of the states.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer

from phase01.linear import linear_backward, linear_forward
from phase01.losses import cross_entropy_backward, cross_entropy_forward
from phase02.char_lm import embedding_backward, embedding_forward
from phase02.lstm import State, lstm_backward, lstm_forward, lstm_parameters
from phase02.recurrent import Gradients, Parameters, part_of, prefixed

N_DIGITS, START, END = 10, 10, 11  # symbols of the reversal task: 0 to 9, then these two


@dataclass(frozen=True)
class Seq2SeqConfig:
    """What a model is made of; the defaults are the symbols of reversing digits."""

    d_embedding: int
    d_hidden: int
    source_vocab_size: int = N_DIGITS
    target_vocab_size: int = N_DIGITS + 2
    start_id: int = START
    end_id: int = END


class Batch(NamedTuple):
    """Sources and targets of unequal lengths; a mask is True where a position counts."""

    source: Int64[np.ndarray, "B S"]
    source_mask: Bool[np.ndarray, "B S"]
    target: Int64[np.ndarray, "B T"]
    """what is to be written, the end symbol included, the start symbol not"""
    target_mask: Bool[np.ndarray, "B T"]


def padded(
    sequences: Sequence[Sequence[int]],
) -> tuple[Int64[np.ndarray, "B T"], Bool[np.ndarray, "B T"]]:
    """Sequences side by side, filled up with 0 at their ends, and the mask of what is not filling.

    Raises ValueError where there is none.
    """
    if not sequences:
        raise ValueError("there is no sequence to put into a batch")
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = np.arange(lengths.max()) < lengths[:, np.newaxis]  # (B, T)
    ids = np.zeros(mask.shape, dtype=np.int64)
    ids[mask] = [symbol for sequence in sequences for symbol in sequence]
    return ids, mask


def reversal_batch(
    rng: np.random.Generator, n_batch: int, min_length: int, max_length: int
) -> Batch:
    """Random digits, of random lengths between the two (both included), and the same backwards.

    Raises ValueError unless 1 <= min_length <= max_length.
    """
    if not 1 <= min_length <= max_length:
        raise ValueError(f"lengths go from 1 upwards, got {min_length} to {max_length}")
    lengths = rng.integers(min_length, max_length, n_batch, endpoint=True)
    sources = [rng.integers(0, N_DIGITS, length).tolist() for length in lengths]
    return Batch(*padded(sources), *padded([[*digits[::-1], END] for digits in sources]))


# ---- the two halves ----------------------------------------------------------------------


def encoder_forward(
    params: Parameters, source: Integer[np.ndarray, "B S"], mask: Bool[np.ndarray, "B S"] | None
) -> tuple[tuple[Float[np.ndarray, "B S H"], State], Any]:
    """The encoder's outputs and its last state, ((y, (h, c)), cache), from a state of zeros.

    The decoder here uses the state alone. Raises ValueError for an id without a row.
    """
    x, embedding_cache = embedding_forward(source, params["encoder_embedding.weight"])  # (B, S, E)
    cell = part_of(params, "encoder.")
    zeros = np.zeros((len(source), cell["weight_hh_l0"].shape[1]), x.dtype)  # (B, H)
    read, lstm_cache = lstm_forward(cell, x, zeros, zeros, mask)
    return read, (embedding_cache, lstm_cache)


def encoder_backward(
    dy: Float[np.ndarray, "B S H"] | None, dstate: State | None, cache: Any
) -> Gradients:
    """The gradients of the encoder's parameters, from those of its outputs and its last state."""
    embedding_cache, lstm_cache = cache
    dx, _, _, grads = lstm_backward(dy, dstate, lstm_cache)
    dembedding = embedding_backward(dx, embedding_cache)  # (V, E)
    return {"encoder_embedding.weight": dembedding, **prefixed("encoder.", grads)}


def decoder_forward(
    params: Parameters,
    before: Integer[np.ndarray, "B T"],
    state: State,
    mask: Bool[np.ndarray, "B T"] | None = None,
) -> tuple[tuple[Float[np.ndarray, "B T W"], State], Any]:
    """The scores of each next symbol, given the one before, and the last state.

    Raises ValueError for an id without a row.
    """
    x, embedding_cache = embedding_forward(before, params["decoder_embedding.weight"])  # (B, T, E)
    (y, state), lstm_cache = lstm_forward(part_of(params, "decoder."), x, *state, mask)
    logits, output_cache = linear_forward(y, params["output.weight"], params["output.bias"])
    return (logits, state), (embedding_cache, lstm_cache, output_cache)  # (B, T, W)


def decoder_backward(dlogits: Float[np.ndarray, "B T W"], cache: Any) -> tuple[State, Gradients]:
    """The gradients of the state that it began with, and of the decoder's parameters."""
    embedding_cache, lstm_cache, output_cache = cache
    dy, dweight, dbias = linear_backward(dlogits, output_cache)
    dx, dh, dc, grads = lstm_backward(dy, None, lstm_cache)
    dembedding = embedding_backward(dx, embedding_cache)  # (W, E)
    return (dh, dc), {
        "decoder_embedding.weight": dembedding,
        **prefixed("decoder.", grads),
        "output.weight": dweight,
        "output.bias": dbias,
    }


# ---- the model ---------------------------------------------------------------------------


class Seq2Seq:
    """An encoder and a decoder: `config`, and `params`, which an optimizer changes in place."""

    def __init__(
        self, config: Seq2SeqConfig, rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        """Weights as torch begins: normal(0, 1) embeddings, all others within 1/sqrt(H) of 0.

        Raises ValueError where a width is not at least 1, or start or end is no target symbol.
        """
        n_source, n_target = config.source_vocab_size, config.target_vocab_size
        d_embedding, d_hidden = config.d_embedding, config.d_hidden
        if not (0 <= config.start_id < n_target and 0 <= config.end_id < n_target):
            raise ValueError(f"start and end must be among {n_target} target symbols, got {config}")
        self.config = config
        encoder = lstm_parameters(d_embedding, d_hidden, rng, dtype)
        decoder = lstm_parameters(d_embedding, d_hidden, rng, dtype)
        limit = 1 / math.sqrt(d_hidden)
        self.params: Gradients = {
            "encoder_embedding.weight": rng.normal(size=(n_source, d_embedding)).astype(dtype),
            **prefixed("encoder.", encoder),
            "decoder_embedding.weight": rng.normal(size=(n_target, d_embedding)).astype(dtype),
            **prefixed("decoder.", decoder),
            "output.weight": rng.uniform(-limit, limit, (n_target, d_hidden)).astype(dtype),
            "output.bias": rng.uniform(-limit, limit, n_target).astype(dtype),
        }

    def forward(
        self,
        source: Integer[np.ndarray, "B S"],
        source_mask: Bool[np.ndarray, "B S"],
        target: Integer[np.ndarray, "B T"],
        target_mask: Bool[np.ndarray, "B T"],
    ) -> tuple[float, Any]:
        """The mean loss in nats over all target positions that count, with teacher forcing.

        The decoder's inputs are the start symbol and the target without its last position. Raises
        ValueError for an id without a row, and where no target position counts.
        """
        start = np.full((len(target), 1), self.config.start_id, dtype=target.dtype)  # (B, 1)
        before = np.concatenate([start, target[:, :-1]], axis=1)  # (B, T)
        (_, state), encoder_cache = encoder_forward(self.params, source, source_mask)
        (logits, _), decoder_cache = decoder_forward(self.params, before, state, target_mask)
        # (n, W) and (n,): the n positions that count, of all rows
        loss, loss_cache = cross_entropy_forward(logits[target_mask], target[target_mask])
        return loss, (target_mask, encoder_cache, decoder_cache, loss_cache)

    def backward(self, cache: Any) -> Gradients:
        """The gradient of the loss for every parameter, under the parameters' names.

        The state between the halves is the only way from the loss to the encoder.
        """
        target_mask, encoder_cache, decoder_cache, loss_cache = cache
        counted = cross_entropy_backward(1.0, loss_cache)  # (n, W)
        dlogits = np.zeros((*target_mask.shape, counted.shape[1]), counted.dtype)  # (B, T, W)
        dlogits[target_mask] = counted
        dstate, grads = decoder_backward(dlogits, decoder_cache)
        return encoder_backward(None, dstate, encoder_cache) | grads

    def greedy(
        self,
        source: Integer[np.ndarray, "B S"],
        source_mask: Bool[np.ndarray, "B S"],
        max_length: int,
    ) -> Int64[np.ndarray, "B L"]:
        """What the model writes, at most `max_length` symbols a row: (B, L).

        It stops where every row has written the end symbol, which is part of the answer; after its
        end a row is filled up with end symbols. Raises ValueError unless max_length is at least 1.
        """
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1 symbol, got {max_length}")
        end = self.config.end_id
        (_, state), _ = encoder_forward(self.params, source, source_mask)
        before = np.full((len(source), 1), self.config.start_id, dtype=np.int64)  # (B, 1)
        ended = np.zeros(len(source), dtype=bool)  # (B,)
        written = []
        while len(written) < max_length and not ended.all():
            (logits, state), _ = decoder_forward(self.params, before, state)
            best = np.where(ended, end, np.argmax(logits[:, 0], axis=-1))  # (B,)
            written.append(best)
            ended |= best == end
            before = best[:, np.newaxis]  # (B, 1)
        return np.stack(written, axis=1)  # (B, L)


def exact_matches(
    written: Integer[np.ndarray, "B L"],
    target: Integer[np.ndarray, "B T"],
    mask: Bool[np.ndarray, "B T"],
) -> Bool[np.ndarray, " B"]:
    """True for each row that is the whole target, the end symbol included."""
    n_batch, width = target.shape
    wide = np.full((n_batch, max(width, written.shape[1])), -1)
    wide[:, : written.shape[1]] = written
    return np.all((wide[:, :width] == target) | ~mask, axis=1)  # (B,)
