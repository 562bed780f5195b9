"""Writing the target: greedy decoding and beam search, with keys and values kept from step to step.

    greedy          at each step the symbol of the highest score, until the end symbol
    beam search     at each step the best `width` prefixes, of all continuations of those before

Greedy decoding cannot take back a symbol that leads nowhere. Beam search keeps several prefixes, so
that one which is behind now may win later. Prefixes are compared by their log-probability, which
falls with every symbol: longer ones would lose for being long. It is divided by the length penalty
of Wu et al. (2016), GNMT, whose other penalty, for coverage, is left out:

    score(Y) = log P(Y | X) / lp(Y)             lp(Y) = ((5 + |Y|) / 6)^alpha

|Y| counts the symbols, the end symbol too. With alpha 0 it is the log-probability itself. (A plain
mean, log P / |Y|, is another common choice; it favours long answers more.) An answer that has ended
keeps its score and competes with the prefixes that go on for a place in the beam; one that loses
its place is forgotten. The search stops where no prefix can overtake the best ended answer: log P
only falls, and no length has a larger lp than max_length.

**The cache.** A step needs the keys and values of all positions before, which have not changed:
under the causal mask nothing that comes later can reach them. So each layer keeps them, and a step
works out those of one position alone. Keys and values of the encoder's output are the same in every
step: they are worked out once. Without the cache a step computes all positions anew, for the same
scores; both ways are here, so that the one can be held against the other.

Left out: sampling (phase 7), coverage, rows that leave the batch when they have ended.
Shapes: B batch, S time of the source, T of what is written, C d_model, H heads, D width of a head,
W target symbols, N rows that are written at once (B, or B times the width of the beam).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer

from phase00.probability import log_softmax
from phase01.linear import linear_forward
from phase02.recurrent import Parameters, part_of
from phase03.embedding import unembedding_forward
from phase04.multi_head import merge_heads, split_heads
from phase04.scaled_dot_product import scaled_dot_product_forward
from phase05.encoder import LayerConfig, final_norm_forward, sublayer_forward
from phase05.feed_forward import feed_forward_forward
from phase05.transformer import TARGET, Transformer, embed_forward

Heads = Float[np.ndarray, "N H _ D"]


# ---- the cache ---------------------------------------------------------------------------


class Kept(NamedTuple):
    """What one layer of the decoder keeps: keys and values of both its attentions."""

    key: Heads
    """of what has been written: one position more with every step"""
    value: Heads
    memory_key: Heads
    """of the encoder's output: the same in every step"""
    memory_value: Heads


def keep_nothing_written(
    params: Parameters, memory: Float[np.ndarray, "N S C"], n_head: int
) -> Kept:
    """One layer's cache before the first step: the memory's keys and values, and none of its own.

    `params` are those of the layer (`self_attn.in_proj_weight` ...).
    """
    d_model = memory.shape[-1]
    weight, bias = (params[f"multihead_attn.in_proj_{name}"] for name in ("weight", "bias"))
    both, _ = linear_forward(memory, weight[d_model:], bias[d_model:])  # (N, S, 2C)
    keys, values = (split_heads(part, n_head) for part in np.split(both, 2, axis=-1))
    none = keys[:, :, :0]  # (N, H, 0, D)
    return Kept(none, none, keys, values)


def decoder_layer_step(
    params: Parameters,
    x: Float[np.ndarray, "N 1 C"],
    kept: Kept,
    memory_mask: Bool[np.ndarray, "N 1 1 S"],
    config: LayerConfig,
) -> tuple[Float[np.ndarray, "N 1 C"], Kept]:
    """One layer at one position, and the cache with that position's key and value in it.

    Equal to the last position of `phase05.decoder.decoder_layer_forward` on all of them.
    """
    d_model, n_head = x.shape[-1], config.n_head
    own, across = part_of(params, "self_attn."), part_of(params, "multihead_attn.")
    key, value = kept.key, kept.value

    def attend(x: np.ndarray) -> tuple[np.ndarray, Any]:
        nonlocal key, value
        three, _ = linear_forward(x, own["in_proj_weight"], own["in_proj_bias"])  # (N, 1, 3C)
        query, new_key, new_value = (split_heads(p, n_head) for p in np.split(three, 3, axis=-1))
        key = np.concatenate([key, new_key], axis=2)  # (N, H, t + 1, D)
        value = np.concatenate([value, new_value], axis=2)  # (N, H, t + 1, D)
        return gathered(own, query, key, value, None), None

    def look(x: np.ndarray) -> tuple[np.ndarray, Any]:
        weight, bias = across["in_proj_weight"][:d_model], across["in_proj_bias"][:d_model]
        query = split_heads(linear_forward(x, weight, bias)[0], n_head)  # (N, H, 1, D)
        return gathered(across, query, kept.memory_key, kept.memory_value, memory_mask), None

    def feed(x: np.ndarray) -> tuple[np.ndarray, Any]:
        return feed_forward_forward(params, x, config.activation)

    for name, function in (("norm1.", attend), ("norm2.", look), ("norm3.", feed)):
        x, _ = sublayer_forward(part_of(params, name), x, function, config)  # (N, 1, C)
    return x, kept._replace(key=key, value=value)


def gathered(
    params: Parameters,
    query: Heads,
    key: Heads,
    value: Heads,
    mask: Bool[np.ndarray, "N 1 1 S"] | None,
) -> Float[np.ndarray, "N 1 C"]:
    """What the heads take from these keys and values, merged and mixed by `out_proj`."""
    heads, _ = scaled_dot_product_forward(query, key, value, mask)  # (N, H, 1, D)
    merged = merge_heads(heads)  # (N, 1, C)
    return linear_forward(merged, params["out_proj.weight"], params["out_proj.bias"])[0]


# ---- one symbol after the other ----------------------------------------------------------


class Writer:
    """A decoder at work on a batch of sources, one symbol a step; with the cache or without."""

    def __init__(
        self,
        model: Transformer,
        source: Integer[np.ndarray, "B S"],
        source_mask: Bool[np.ndarray, "B S"],
        copies: int = 1,
        use_cache: bool = True,
    ) -> None:
        """The encoder reads every source once; each has `copies` rows that follow one another."""
        self.model, self.use_cache = model, use_cache
        self.memory = np.repeat(model.encode(source, source_mask), copies, axis=0)  # (N, S, C)
        self.mask = np.repeat(source_mask, copies, axis=0)  # (N, S)
        self.written = np.zeros((len(self.memory), 0), np.int64)  # (N, t), the start symbol too
        config = model.config
        self.layers = [part_of(model.params, f"decoder.layers.{i}.") for i in range(config.n_layer)]
        self.kept = [
            keep_nothing_written(layer, self.memory, config.n_head)
            for layer in (self.layers if use_cache else [])
        ]

    def step(self, symbols: Int64[np.ndarray, " N"]) -> Float[np.ndarray, "N W"]:
        """The scores of the symbol after these, which come after all of the steps before."""
        self.written = np.concatenate([self.written, symbols[:, np.newaxis]], axis=1)  # (N, t + 1)
        if not self.use_cache:
            return self.model.logits(self.memory, self.mask, self.written)[:, -1]  # (N, W)
        params, config = self.model.params, self.model.config
        newest = self.written[:, -1:]  # (N, 1)
        x, _ = embed_forward(params[TARGET], newest, first=self.written.shape[1] - 1)  # (N, 1, C)
        for i, layer in enumerate(self.layers):
            mask = self.mask[:, np.newaxis, np.newaxis]  # (N, 1, 1, S)
            x, self.kept[i] = decoder_layer_step(layer, x, self.kept[i], mask, config.layer)
        x, _ = final_norm_forward(part_of(params, "decoder."), x)  # (N, 1, C)
        return unembedding_forward(x, params[config.output_table])[0][:, 0]  # (N, W)

    def choose(self, rows: Int64[np.ndarray, " N"]) -> None:
        """Go on with these rows, each as it stands: some twice, some not at all.

        A row may only take the place of another with the same source, since the memory stays.
        """
        self.written = self.written[rows]
        self.kept = [
            kept._replace(key=kept.key[rows], value=kept.value[rows]) for kept in self.kept
        ]


def greedy(
    model: Transformer,
    source: Integer[np.ndarray, "B S"],
    source_mask: Bool[np.ndarray, "B S"],
    max_length: int,
    use_cache: bool = True,
) -> Int64[np.ndarray, "B L"]:
    """The likeliest symbol at each step, at most `max_length` symbols a row: (B, L).

    It stops where every row has written the end symbol, which is part of the answer; after its end
    a row is filled up with end symbols. Raises ValueError unless max_length is at least 1.
    """
    _check_at_least_one("max_length", max_length)
    end = model.config.end_id
    writer = Writer(model, source, source_mask, use_cache=use_cache)
    newest = np.full(len(source), model.config.start_id)  # (B,)
    ended = np.zeros(len(source), bool)  # (B,)
    written = []
    while len(written) < max_length and not ended.all():
        newest = np.where(ended, end, np.argmax(writer.step(newest), axis=-1))  # (B,)
        written.append(newest)
        ended |= newest == end
    return np.stack(written, axis=1)  # (B, L)


# ---- beam search -------------------------------------------------------------------------


class Beam(NamedTuple):
    """The prefixes of each row, the best first; those that have ended among them."""

    answers: Int64[np.ndarray, "B width t"]
    """end symbols after the first one"""
    total: Float[np.ndarray, "B width"]
    """log-probability in nats; -inf where there are fewer prefixes than places"""
    scores: Float[np.ndarray, "B width"]
    """total over the length penalty"""
    lengths: Int64[np.ndarray, "B width"]
    """symbols, the end symbol too"""
    ended: Bool[np.ndarray, "B width"]


def length_penalty(length: Any, alpha: float) -> Any:
    """((5 + length) / 6)^alpha, for a number or an array of them: 1 for a length of 1."""
    return ((5 + length) / 6) ** alpha


def beam_search(
    model: Transformer,
    source: Integer[np.ndarray, "B S"],
    source_mask: Bool[np.ndarray, "B S"],
    max_length: int,
    width: int = 4,
    alpha: float = 0.6,
    use_cache: bool = True,
) -> tuple[Int64[np.ndarray, "B L"], Float[np.ndarray, " B"]]:
    """The answer with the best score in the last beam, and that score, for each row.

    An answer ends with the end symbol, or has `max_length` symbols and no end; shorter ones are
    filled up with end symbols to the longest of them, (B, L). The score is in nats, and is the
    module's. Raises ValueError unless max_length and width are at least 1 and alpha is 0 or more.
    """
    _check_at_least_one("max_length", max_length)
    _check_at_least_one("width", width)
    if not alpha >= 0:
        raise ValueError(f"alpha must be 0 or more, got {alpha}")
    config = model.config
    writer = Writer(model, source, source_mask, width, use_cache)
    newest = np.full(len(source) * width, config.start_id)  # (N,)
    beam = first_beam(len(source), width)
    for _ in range(max_length):
        logits = writer.step(newest).reshape(len(source), width, -1)  # (B, width, W)
        beam, parents = grown(beam, logits, config.end_id, alpha)
        writer.choose((np.arange(len(source))[:, np.newaxis] * width + parents).ravel())
        newest = beam.answers[:, :, -1].ravel()  # (N,)
        if is_settled(beam, max_length, alpha):
            break
    return beam.answers[:, 0, : beam.lengths[:, 0].max()], beam.scores[:, 0]


def first_beam(n_batch: int, width: int) -> Beam:
    """One empty prefix in each row: all places hold a copy, of which only the first counts."""
    total = np.full((n_batch, width), -np.inf)  # (B, width)
    total[:, 0] = 0
    lengths = np.zeros((n_batch, width), np.int64)  # (B, width)
    return Beam(np.zeros((n_batch, width, 0), np.int64), total, total, lengths, lengths > 0)


def grown(
    beam: Beam, logits: Float[np.ndarray, "B width W"], end: int, alpha: float
) -> tuple[Beam, Int64[np.ndarray, "B width"]]:
    """The best continuations of all prefixes, and of which prefix each is one: (B, width)."""
    steps = log_softmax(logits.astype(np.float64))  # (B, width, W)
    steps[beam.ended] = -np.inf  # an answer that has ended goes on in one way: as it is
    steps[beam.ended, end] = 0
    total = beam.total[:, :, np.newaxis] + steps  # (B, width, W)
    lengths = beam.lengths + ~beam.ended  # (B, width)
    candidates = total / length_penalty(lengths, alpha)[:, :, np.newaxis]  # (B, width, W)
    n_batch, width, n_symbols = logits.shape
    scores, chosen = best_of(candidates.reshape(n_batch, -1), width)  # (B, width)
    parents, symbols = np.divmod(chosen, n_symbols)  # (B, width)
    answers = np.take_along_axis(beam.answers, parents[:, :, np.newaxis], axis=1)
    reached = np.take_along_axis(total.reshape(n_batch, -1), chosen, axis=1)  # (B, width)
    return Beam(
        answers=np.concatenate([answers, symbols[:, :, np.newaxis]], axis=2),  # (B, width, t + 1)
        total=np.where(np.isneginf(scores), -np.inf, reached),
        scores=scores,
        lengths=np.take_along_axis(lengths, parents, axis=1),
        ended=np.take_along_axis(beam.ended, parents, axis=1) | (symbols == end),
    ), parents


def is_settled(beam: Beam, max_length: int, alpha: float) -> bool:
    """Whether in each row an ended answer is at least as good as all that prefixes may become."""
    reachable = beam.total / length_penalty(max_length, alpha)  # (B, width), were no symbol to cost
    hoped = np.where(beam.ended, -np.inf, reachable).max(axis=1)  # (B,)
    return bool(np.all(hoped <= np.where(beam.ended, beam.scores, -np.inf).max(axis=1)))


def best_of(
    scores: Float[np.ndarray, "B n"], count: int
) -> tuple[Float[np.ndarray, "B count"], Int64[np.ndarray, "B count"]]:
    """The `count` highest of each row and where they stand, the highest first, of equal ones the
    first; -inf where a row has fewer numbers.

    It takes `count` rounds of argmax: for a few of many that is quicker than to sort all.
    """
    left, rows = scores.copy(), np.arange(len(scores))
    values = np.empty((len(scores), count), scores.dtype)  # (B, count)
    places = np.empty((len(scores), count), np.int64)  # (B, count)
    for i in range(count):
        best = np.argmax(left, axis=1)  # (B,)
        values[:, i], places[:, i] = left[rows, best], best
        left[rows, best] = -np.inf
    return values, places


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
