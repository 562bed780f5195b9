"""The encoder-decoder of phase 2 that looks back: attention over all outputs of the encoder.

The encoder is phase 2's, and the decoder begins with its last state, as there. What it adds is the
*memory*: the encoder's output at every position. At each step the decoder makes a weighted average
of it, the context c_t, with weights that it computes from its own state s. The two ways differ in
when it looks (x_t is the embedding of the symbol before):

    bahdanau              s_(t-1) asks, with the additive score; then
                          s_t = LSTM([x_t; c_t], s_(t-1))      the context is part of the input
    dot, general, concat  s_t = LSTM(x_t, s_(t-1));  s_t asks, with one of Luong's scores

    both                  h_t = tanh(W_c [c_t; s_t])           the attentional state
                          scores of the symbols = linear(h_t)

In Bahdanau's way a context changes every later state, so the decoder goes step by step. In Luong's
the recurrence knows nothing of the contexts: it runs through first, then all steps ask at once.

Paper and our code. Bahdanau et al. (2015): their encoder reads in both directions and their cells
are GRUs; here it is phase 2's LSTM in one direction, so that an output knows only what stands
before it. Their first state is a layer on the encoder's backward state; here it is the encoder's
last state. Their output layer has a maxout of state, context and symbol before; here it is Luong's
h_t (equation 5 of Luong et al. 2015), so that the models differ in the attention alone. Luong et
al.: four layers, the source in reversed order, and *input feeding* (h_(t-1) is part of the next
input); here it is one layer, the order as it is, and no input feeding, which would force his
decoder to go step by step too. Dropout is on the memory and on h_t, Luong et al. have it in the
LSTMs; the output layer has a bias, their equation 6 none. Decoding is greedy, where Bahdanau et al.
search with a beam.

Parameters are phase 2's (`phase02.seq2seq`), and beside them

    attention.*  those of the score (`phase04.bahdanau`, `phase04.luong`), of width A = H
    combine.weight (H, 2H)       decoder.weight_ih_l0 is (4H, E + H) with bahdanau

Shapes: B batch, S time of the source, T time of the target, V source and W target symbols,
E width of the embeddings, H width of the states, n target positions that count in all rows.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer

from phase01.linear import linear_backward, linear_forward
from phase01.losses import cross_entropy_backward, cross_entropy_forward
from phase01.regularization import dropout_backward, dropout_forward
from phase02.char_lm import embedding_backward, embedding_forward
from phase02.lstm import State, lstm_backward, lstm_forward, lstm_parameters
from phase02.recurrent import Gradients, Parameters, part_of, prefixed
from phase02.seq2seq import Seq2Seq, Seq2SeqConfig, encoder_backward, encoder_forward
from phase04.bahdanau import (
    additive_parameters,
    attend_backward,
    attend_forward,
    compare_backward,
    compare_forward,
    project_keys_backward,
    project_keys_forward,
)
from phase04.luong import (
    concat_parameters,
    concat_scores_backward,
    concat_scores_forward,
    dot_scores_backward,
    dot_scores_forward,
    general_parameters,
    general_scores_backward,
    general_scores_forward,
)
from phase04.masks import masked_softmax_forward

LUONG = {
    "dot": (dot_scores_forward, dot_scores_backward),
    "general": (general_scores_forward, general_scores_backward),
    "concat": (concat_scores_forward, concat_scores_backward),
}
KINDS = ("bahdanau", *LUONG)

# What a decoder gives: attentional states (B, T, H), scores (B, T, S) and the last state.
Decoded = tuple[Float[np.ndarray, "B T H"], Float[np.ndarray, "B T S"], State]


@dataclass(frozen=True)
class AttentiveConfig(Seq2SeqConfig):
    """What a model is made of: phase 2's settings, and the attention."""

    attention: str = "bahdanau"
    """one of `KINDS`"""
    dropout: float = 0.0
    """share of the memory and of the attentional states that is dropped where there is an rng"""


# ---- the attentional state ---------------------------------------------------------------


def combine_forward(
    weight: Float[np.ndarray, "H 2*H"],
    context: Float[np.ndarray, "B T H"],
    state: Float[np.ndarray, "B T H"],
) -> tuple[Float[np.ndarray, "B T H"], Any]:
    """h_t = tanh(W_c [c_t; s_t]), equation 5 of Luong et al.: no bias, the context first."""
    both = np.concatenate([context, state], axis=-1)  # (B, T, 2H)
    zeros = np.zeros(len(weight), both.dtype)  # the layer has no bias
    combined, linear_cache = linear_forward(both, weight, zeros)  # (B, T, H)
    y = np.tanh(combined)
    return y, (y, linear_cache)


def combine_backward(
    dy: Float[np.ndarray, "B T H"], cache: Any
) -> tuple[Float[np.ndarray, "B T H"], Float[np.ndarray, "B T H"], Float[np.ndarray, "H 2*H"]]:
    """The gradients (dcontext, dstate, dweight); the slope of the tanh is 1 - y^2."""
    y, linear_cache = cache
    dboth, dweight, _ = linear_backward(dy * (1 - y * y), linear_cache)  # (B, T, 2H)
    d_hidden = y.shape[-1]
    return dboth[..., :d_hidden], dboth[..., d_hidden:], dweight


# ---- Luong's decoder: first all states, then all scores ----------------------------------


def luong_decoder_forward(
    params: Parameters,
    kind: str,
    before: Integer[np.ndarray, "B T"],
    state: State,
    memory: Float[np.ndarray, "B S H"],
    source_mask: Bool[np.ndarray, "B S"] | None = None,
    target_mask: Bool[np.ndarray, "B T"] | None = None,
) -> tuple[Decoded, Any]:
    """Attentional states, scores and the last state, with the current state asking.

    `kind` is dot, general or concat. Raises ValueError for an id without a row.
    """
    scores_forward, _ = LUONG[kind]
    x, embedding_cache = embedding_forward(before, params["decoder_embedding.weight"])  # (B, T, E)
    (y, state), lstm_cache = lstm_forward(part_of(params, "decoder."), x, *state, target_mask)
    scores, score_cache = scores_forward(part_of(params, "attention."), y, memory)  # (B, T, S)
    context, attend_cache = attend_forward(scores, memory, source_mask)  # (B, T, H)
    attended, combine_cache = combine_forward(params["combine.weight"], context, y)
    caches = (kind, embedding_cache, lstm_cache, score_cache, attend_cache, combine_cache)
    return (attended, scores, state), caches


def luong_decoder_backward(
    dattended: Float[np.ndarray, "B T H"], cache: Any
) -> tuple[State, Float[np.ndarray, "B S H"], Gradients]:
    """The gradients of the first state, of the memory and of the parameters.

    The memory is used twice, as keys and as values; so is the state, as query and in h_t.
    """
    kind, embedding_cache, lstm_cache, score_cache, attend_cache, combine_cache = cache
    _, scores_backward = LUONG[kind]
    dcontext, dstate, dweight = combine_backward(dattended, combine_cache)
    dscores, dvalues = attend_backward(dcontext, attend_cache)
    dquery, dkeys, score_grads = scores_backward(dscores, score_cache)
    dx, dh, dc, grads = lstm_backward(dstate + dquery, None, lstm_cache)
    return (
        (dh, dc),
        dvalues + dkeys,
        {
            "decoder_embedding.weight": embedding_backward(dx, embedding_cache),
            **prefixed("decoder.", grads),
            **prefixed("attention.", score_grads),
            "combine.weight": dweight,
        },
    )


# ---- Bahdanau's decoder: step by step ----------------------------------------------------


def bahdanau_decoder_forward(
    params: Parameters,
    before: Integer[np.ndarray, "B T"],
    state: State,
    memory: Float[np.ndarray, "B S H"],
    source_mask: Bool[np.ndarray, "B S"] | None = None,
    target_mask: Bool[np.ndarray, "B T"] | None = None,
) -> tuple[Decoded, Any]:
    """Attentional states, scores and the last state, with the state before the step asking.

    Raises ValueError for an id without a row.
    """
    cell, attention = part_of(params, "decoder."), part_of(params, "attention.")
    x, embedding_cache = embedding_forward(before, params["decoder_embedding.weight"])  # (B, T, E)
    projected, keys_cache = project_keys_forward(attention, memory)  # (B, S, H): once for all steps
    scores, contexts, outputs, step_caches = [], [], [], []
    for t in range(before.shape[1]):
        asking = state[0][:, np.newaxis]  # (B, 1, H): h of the step before
        score, compare_cache = compare_forward(attention, asking, projected)  # (B, 1, S)
        context, attend_cache = attend_forward(score, memory, source_mask)  # (B, 1, H)
        step = np.concatenate([x[:, t : t + 1], context], axis=-1)  # (B, 1, E + H)
        counts = None if target_mask is None else target_mask[:, t : t + 1]  # (B, 1)
        (y, state), lstm_cache = lstm_forward(cell, step, *state, counts)  # (B, 1, H)
        scores.append(score)
        contexts.append(context)
        outputs.append(y)
        step_caches.append((compare_cache, attend_cache, lstm_cache))
    context, y = np.concatenate(contexts, axis=1), np.concatenate(outputs, axis=1)  # (B, T, H)
    attended, combine_cache = combine_forward(params["combine.weight"], context, y)
    caches = (embedding_cache, keys_cache, step_caches, combine_cache, memory)
    return (attended, np.concatenate(scores, axis=1), state), caches


def bahdanau_decoder_backward(
    dattended: Float[np.ndarray, "B T H"], cache: Any
) -> tuple[State, Float[np.ndarray, "B S H"], Gradients]:
    """The gradients of the first state, of the memory and of the parameters.

    A context goes to two places, the LSTM of its step and h_t, and a state to three: the next step,
    the next query, and h_t. All of them are summed here, backwards from the last step.
    """
    embedding_cache, keys_cache, step_caches, combine_cache, memory = cache
    dcontext, dy, dweight = combine_backward(dattended, combine_cache)  # (B, T, H) each
    d_hidden = memory.shape[-1]
    dh, dc = np.zeros_like(dy[:, 0]), np.zeros_like(dy[:, 0])  # (B, H)
    dmemory, dprojected = np.zeros_like(memory), np.zeros_like(memory)  # (B, S, H)
    dx, grads = [], {}
    for t in reversed(range(len(step_caches))):
        compare_cache, attend_cache, lstm_cache = step_caches[t]
        dstep, dh, dc, cell_grads = lstm_backward(dy[:, t : t + 1], (dh, dc), lstm_cache)
        dx.append(dstep[..., :-d_hidden])  # (B, 1, E)
        dused = dcontext[:, t : t + 1] + dstep[..., -d_hidden:]  # (B, 1, H)
        dscores, dvalues = attend_backward(dused, attend_cache)
        dquery, dkeys, score_grads = compare_backward(dscores, compare_cache)
        dh = dh + dquery[:, 0]
        dmemory += dvalues
        dprojected += dkeys
        _add(grads, prefixed("decoder.", cell_grads) | prefixed("attention.", score_grads))
    dkeys, key_grads = project_keys_backward(dprojected, keys_cache)
    dembedding = embedding_backward(np.concatenate(dx[::-1], axis=1), embedding_cache)  # (W, E)
    grads |= {"decoder_embedding.weight": dembedding, "combine.weight": dweight}
    return (dh, dc), dmemory + dkeys, grads | prefixed("attention.", key_grads)


def _add(total: Gradients, grads: Gradients) -> None:
    """Add one step's gradients to the sum over the steps, in place."""
    for name, value in grads.items():
        if name in total:
            total[name] += value
        else:
            total[name] = value


# ---- the model ---------------------------------------------------------------------------


class AttentiveSeq2Seq:
    """Encoder, attention, decoder: `config`, and `params`, which an optimizer changes in place."""

    def __init__(
        self, config: AttentiveConfig, rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        """Weights as torch begins: normal(0, 1) embeddings, all others uniform around 0.

        Raises ValueError for an attention that is none of `KINDS`, where a width is not at least 1,
        or where start or end is no target symbol.
        """
        if config.attention not in KINDS:
            raise ValueError(f"attention is one of {', '.join(KINDS)}, not {config.attention!r}")
        self.config = config
        width, limit = config.d_hidden, 1 / math.sqrt(2 * config.d_hidden)
        self.params: Gradients = Seq2Seq(config, rng, dtype).params
        scores: Gradients = {}
        if config.attention == "bahdanau":
            cell = lstm_parameters(config.d_embedding + width, width, rng, dtype)
            self.params |= prefixed("decoder.", cell)
            scores = additive_parameters(width, width, width, rng, dtype)
        elif config.attention == "general":
            scores = general_parameters(width, width, rng, dtype)
        elif config.attention == "concat":
            scores = concat_parameters(width, width, width, rng, dtype)
        self.params |= prefixed("attention.", scores)
        self.params["combine.weight"] = rng.uniform(-limit, limit, (width, 2 * width)).astype(dtype)

    def forward(
        self,
        source: Integer[np.ndarray, "B S"],
        source_mask: Bool[np.ndarray, "B S"],
        target: Integer[np.ndarray, "B T"],
        target_mask: Bool[np.ndarray, "B T"],
        rng: np.random.Generator | None = None,
    ) -> tuple[float, Any]:
        """The mean loss in nats over all target positions that count, with teacher forcing.

        `rng` draws what is dropped; None means evaluation. Raises ValueError for an id without a
        row, and where no target position counts.
        """
        rate = self.config.dropout
        (memory, state), encoder_cache = encoder_forward(self.params, source, source_mask)
        memory, memory_cache = dropout_forward(memory, rate, rng)  # (B, S, H)
        before = self._before(target)
        (attended, _, _), decoder_cache = self._decode(
            before, state, memory, source_mask, target_mask
        )
        # Only the positions that count reach the output layer, which is most of the arithmetic.
        counted, counted_cache = dropout_forward(attended[target_mask], rate, rng)  # (n, H)
        weight, bias = self.params["output.weight"], self.params["output.bias"]
        logits, output_cache = linear_forward(counted, weight, bias)  # (n, W)
        loss, loss_cache = cross_entropy_forward(logits, target[target_mask])
        caches = (encoder_cache, memory_cache, decoder_cache, counted_cache, output_cache)
        return loss, (target_mask, *caches, loss_cache)

    def backward(self, cache: Any) -> Gradients:
        """The gradient of the loss for every parameter, under the parameters' names.

        To the encoder there are now two ways: its last state, and every one of its outputs.
        """
        (target_mask, encoder_cache, memory_cache, decoder_cache, *rest) = cache
        counted_cache, output_cache, loss_cache = rest
        dlogits = cross_entropy_backward(1.0, loss_cache)  # (n, W)
        dcounted, dweight, dbias = linear_backward(dlogits, output_cache)  # (n, H)
        dcounted = dropout_backward(dcounted, counted_cache)
        dattended = np.zeros((*target_mask.shape, dcounted.shape[1]), dcounted.dtype)  # (B, T, H)
        dattended[target_mask] = dcounted
        if self.config.attention == "bahdanau":
            dstate, dmemory, grads = bahdanau_decoder_backward(dattended, decoder_cache)
        else:
            dstate, dmemory, grads = luong_decoder_backward(dattended, decoder_cache)
        dmemory = dropout_backward(dmemory, memory_cache)
        encoder_grads = encoder_backward(dmemory, dstate, encoder_cache)
        return encoder_grads | grads | {"output.weight": dweight, "output.bias": dbias}

    def greedy(
        self,
        source: Integer[np.ndarray, "B S"],
        source_mask: Bool[np.ndarray, "B S"],
        max_length: int,
    ) -> Int64[np.ndarray, "B L"]:
        """What the model writes, at most `max_length` symbols a row: (B, L).

        It stops where every row has written the end symbol, which is part of the answer; after its
        end a row is filled up with end symbols. The weights with which it was written are those of
        `alignments` with it as the target. Raises ValueError unless max_length is at least 1.
        """
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1 symbol, got {max_length}")
        end = self.config.end_id
        weight, bias = self.params["output.weight"], self.params["output.bias"]
        (memory, state), _ = encoder_forward(self.params, source, source_mask)
        before = np.full((len(source), 1), self.config.start_id, dtype=np.int64)  # (B, 1)
        ended = np.zeros(len(source), dtype=bool)  # (B,)
        written = []
        while len(written) < max_length and not ended.all():
            (attended, _, state), _ = self._decode(before, state, memory, source_mask)
            logits, _ = linear_forward(attended[:, 0], weight, bias)  # (B, W)
            best = np.where(ended, end, np.argmax(logits, axis=-1))  # (B,)
            written.append(best)
            ended |= best == end
            before = best[:, np.newaxis]  # (B, 1)
        return np.stack(written, axis=1)  # (B, L)

    def alignments(
        self,
        source: Integer[np.ndarray, "B S"],
        source_mask: Bool[np.ndarray, "B S"],
        target: Integer[np.ndarray, "B T"],
        target_mask: Bool[np.ndarray, "B T"],
    ) -> Float[np.ndarray, "B T S"]:
        """The weights over the source with which each target symbol is predicted, (B, T, S).

        The symbols before it are the target's. A row sums to 1 where the target position counts,
        and is 0 where it does not.
        """
        (memory, state), _ = encoder_forward(self.params, source, source_mask)
        before = self._before(target)
        (_, scores, _), _ = self._decode(before, state, memory, source_mask, target_mask)
        pairs = source_mask[:, np.newaxis, :] & target_mask[:, :, np.newaxis]  # (B, T, S)
        weights, _ = masked_softmax_forward(scores, pairs)
        return weights

    def _before(self, target: Integer[np.ndarray, "B T"]) -> Integer[np.ndarray, "B T"]:
        """The decoder's inputs: the start symbol, and the target without its last position."""
        start = np.full((len(target), 1), self.config.start_id, dtype=target.dtype)  # (B, 1)
        return np.concatenate([start, target[:, :-1]], axis=1)  # (B, T)

    def _decode(self, before, state, memory, source_mask, target_mask=None) -> tuple[Decoded, Any]:
        """One of the two decoders, as the config says."""
        if self.config.attention == "bahdanau":
            return bahdanau_decoder_forward(
                self.params, before, state, memory, source_mask, target_mask
            )
        kind = self.config.attention
        return luong_decoder_forward(
            self.params, kind, before, state, memory, source_mask, target_mask
        )
