"""The transformer of Vaswani et al., "Attention Is All You Need" (2017): forward, loss, backward.

    source -> embedding sqrt(C) + positions -> encoder -> memory
    start, target -> embedding sqrt(C) + positions -> decoder, which looks at memory -> scores

Positions are the sinusoids of section 3.5. The output matrix is the embedding of the target once
more (section 3.4): the score of a symbol is the product of its row with the decoder's output. Where
source and target have one vocabulary, the source may share that table too (`shared`), as in the
paper. A matrix that is used twice or three times gets the sum of two or three gradients.

In training the decoder gets the start symbol and the target without its last position (*teacher
forcing*, as in `phase02.seq2seq`), and the causal mask hides what comes later. Filling stands at
the ends of rows, so no position that counts can see filled ones of the target; those of the source
are masked. The loss is cross-entropy with label smoothing, the mean over all positions that count.

Parameters have the names of `torch.nn.Transformer`, and of modules for the rest:

    source_embedding.weight (V, C)     not where `shared`
    target_embedding.weight (W, C)     encoder.layers.0. ...    encoder.norm.weight, .bias
    output.weight (W, C)  if not tied  decoder.layers.0. ...    decoder.norm.weight, .bias

Paper and our code: `norm="pre"` is an option, and then each stack ends in a norm; PyTorch's stacks
end in one in any case (`final_norm=True`), the paper's in none. The paper does not say how weights
begin: embeddings are normal with deviation 1/sqrt(C) here, so that they have size 1 after
the factor sqrt(C), and the rest as `phase04.multi_head` and `phase05.feed_forward` say. The output
has no bias. Dropout is where section 5.4 names it: on sublayers' outputs and on the embeddings.

Left out: decoding (`phase05.decode`), the learning rate (`phase05.schedule`).
Shapes: B batch, S time of the source, T of the target, C = d_model, V source and W target symbols,
n positions that count, of all rows.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer

from phase01.initialization import xavier_uniform
from phase01.regularization import dropout_backward, dropout_forward
from phase02.recurrent import Gradients, Parameters, part_of, prefixed
from phase03.embedding import (
    embedding_backward,
    embedding_forward,
    embedding_weight,
    unembedding_backward,
    unembedding_forward,
)
from phase03.positional import sinusoidal
from phase04.masks import causal_mask
from phase05.decoder import (
    decoder_backward,
    decoder_forward,
    decoder_layer_forward,
    decoder_layer_weights,
    decoder_parameters,
)
from phase05.encoder import (
    LayerConfig,
    Norm,
    encoder_backward,
    encoder_forward,
    encoder_layer_forward,
    encoder_layer_weights,
    encoder_parameters,
)
from phase05.label_smoothing import (
    smoothed_cross_entropy_backward,
    smoothed_cross_entropy_forward,
)

SOURCE, TARGET, OUTPUT = "source_embedding.weight", "target_embedding.weight", "output.weight"


@dataclass(frozen=True)
class TransformerConfig:
    """What a transformer is made of. The paper's base model: d_model 512, n_head 8, d_ff 2048,
    n_layer 6, dropout 0.1, label_smoothing 0.1, tied, shared."""

    source_vocab_size: int
    target_vocab_size: int
    start_id: int
    end_id: int
    d_model: int
    n_head: int
    d_ff: int
    n_layer: int
    """of the encoder, and of the decoder"""
    dropout: float = 0.0
    label_smoothing: float = 0.0
    norm: Norm = "post"
    residual: bool = True
    activation: str = "relu"
    final_norm: bool | None = None
    """a layer norm at the end of each stack; None: where norm is "pre" """
    tied: bool = True
    """the output matrix is the target's embedding"""
    shared: bool = False
    """the source's embedding is the target's"""

    def __post_init__(self) -> None:
        n_source, n_target = self.source_vocab_size, self.target_vocab_size
        if min(n_source, n_target) < 1:
            raise ValueError(f"vocabularies need a symbol, got {n_source} and {n_target}")
        if not (0 <= self.start_id < n_target and 0 <= self.end_id < n_target):
            raise ValueError(
                f"start and end must be among {n_target} target symbols, got {self.start_id} and "
                f"{self.end_id}"
            )
        if self.shared and n_source != n_target:
            raise ValueError(f"one table cannot hold {n_source} source and {n_target} target ids")
        if not 0 <= self.label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be 0 to 1, got {self.label_smoothing}")
        _ = self.layer  # which refuses what is wrong with its own sizes

    @property
    def layer(self) -> LayerConfig:
        """What each layer of the two stacks is made of."""
        return LayerConfig(
            self.d_model,
            self.n_head,
            self.d_ff,
            self.dropout,
            self.norm,
            self.residual,
            self.activation,
        )

    @property
    def norm_at_end(self) -> bool:
        return self.norm == "pre" if self.final_norm is None else self.final_norm

    @property
    def source_table(self) -> str:
        """The name of the source's embedding."""
        return TARGET if self.shared else SOURCE

    @property
    def output_table(self) -> str:
        """The name of the output matrix."""
        return TARGET if self.tied else OUTPUT


def transformer_parameters(
    config: TransformerConfig, rng: np.random.Generator, dtype: Any = np.float32
) -> Gradients:
    """All parameters by name, as the module says that they begin."""
    width, layer, depth = config.d_model, config.layer, config.n_layer
    std, end = 1 / math.sqrt(width), config.norm_at_end
    made: Gradients = {}
    if not config.shared:
        made[SOURCE] = embedding_weight(config.source_vocab_size, width, rng, std, dtype)
    made[TARGET] = embedding_weight(config.target_vocab_size, width, rng, std, dtype)
    made |= prefixed("encoder.", encoder_parameters(depth, layer, rng, dtype, end))
    made |= prefixed("decoder.", decoder_parameters(depth, layer, rng, dtype, end))
    if not config.tied:
        made[OUTPUT] = xavier_uniform((config.target_vocab_size, width), rng, dtype=dtype)
    return made


# ---- embeddings with positions -----------------------------------------------------------


@functools.lru_cache(maxsize=64)
def _positions(first: int, length: int, d_model: int, dtype: np.dtype) -> np.ndarray:
    """The sinusoids of positions first, first + 1, ...; kept, since every step asks for them."""
    table = sinusoidal(first + length, d_model, dtype)[first:]  # (length, C)
    table.flags.writeable = False
    return table


def embed_forward(
    weight: Float[np.ndarray, "V C"],
    ids: Integer[np.ndarray, "B T"],
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
    first: int = 0,
) -> tuple[Float[np.ndarray, "B T C"], Any]:
    """Rows of the table times sqrt(C), plus the sinusoids of positions `first`, first + 1, ...

    Raises ValueError for an id without a row.
    """
    rows, cache = embedding_forward(ids, weight)  # (B, T, C)
    scale = math.sqrt(weight.shape[1])
    x = rows * scale  # (B, T, C)
    x += _positions(first, ids.shape[1], weight.shape[1], weight.dtype)
    x, dropout_cache = dropout_forward(x, dropout, rng)
    return x, (scale, cache, dropout_cache)


def embed_backward(dx: Float[np.ndarray, "B T C"], cache: Any) -> Float[np.ndarray, "V C"]:
    """The gradient of the table; the positions are constants."""
    scale, embedding_cache, dropout_cache = cache
    return embedding_backward(dropout_backward(dx, dropout_cache) * scale, embedding_cache)


# ---- the model ---------------------------------------------------------------------------


class Transformer:
    """Encoder and decoder: `config`, and `params`, which an optimizer changes in place."""

    def __init__(
        self, config: TransformerConfig, rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        self.config = config
        self.params: Gradients = transformer_parameters(config, rng, dtype)

    def forward(
        self,
        source: Integer[np.ndarray, "B S"],
        source_mask: Bool[np.ndarray, "B S"],
        target: Integer[np.ndarray, "B T"],
        target_mask: Bool[np.ndarray, "B T"],
        rng: np.random.Generator | None = None,
    ) -> tuple[float, Any]:
        """The mean loss in nats over all target positions that count, with teacher forcing.

        The masks are True where a position counts, and filling stands at the ends, as
        `phase02.seq2seq.padded` makes it. `rng` draws the dropout; None is evaluation. Raises
        ValueError for an id without a row, and where no target position counts.
        """
        if not target_mask.any():
            raise ValueError(
                "no target position counts, so there is no loss: its mask is all False"
            )
        before = shifted(target, self.config.start_id)  # (B, T)
        memory, encoder_cache = self._encoder_forward(source, source_mask, rng)
        y, decoder_cache = self._decoder_forward(memory, source_mask, before, rng)
        # Scores only where they count: (n, C) and (n, W) for n positions of all rows
        logits, output_cache = unembedding_forward(
            y[target_mask], self.params[self.config.output_table]
        )
        loss, loss_cache = smoothed_cross_entropy_forward(
            logits, target[target_mask], self.config.label_smoothing
        )
        return loss, (target_mask, encoder_cache, decoder_cache, output_cache, loss_cache)

    def backward(self, cache: Any) -> Gradients:
        """The gradient of the loss for every parameter, under the parameters' names."""
        target_mask, encoder_cache, decoder_cache, output_cache, loss_cache = cache
        dlogits = smoothed_cross_entropy_backward(1.0, loss_cache)  # (n, W)
        counted, doutput = unembedding_backward(dlogits, output_cache)  # (n, C), (W, C)
        dy = np.zeros((*target_mask.shape, counted.shape[1]), counted.dtype)  # (B, T, C)
        dy[target_mask] = counted
        embed_cache, stack_cache = decoder_cache
        dx, dmemory, decoder = decoder_backward(dy, stack_cache)
        dtarget = embed_backward(dx, embed_cache)  # (W, C)
        embed_cache, stack_cache = encoder_cache
        dx, encoder = encoder_backward(dmemory, stack_cache)
        dsource = embed_backward(dx, embed_cache)  # (V, C)
        grads = {TARGET: dtarget, **prefixed("encoder.", encoder), **prefixed("decoder.", decoder)}
        # One table may have two or three uses: their gradients are added.
        for name, another in (
            (self.config.source_table, dsource),
            (self.config.output_table, doutput),
        ):
            grads[name] = grads[name] + another if name in grads else another
        return grads

    def encode(
        self, source: Integer[np.ndarray, "B S"], source_mask: Bool[np.ndarray, "B S"]
    ) -> Float[np.ndarray, "B S C"]:
        """What the encoder makes of the source, without dropout: the memory."""
        return self._encoder_forward(source, source_mask, None)[0]

    def logits(
        self,
        memory: Float[np.ndarray, "B S C"],
        source_mask: Bool[np.ndarray, "B S"],
        before: Integer[np.ndarray, "B T"],
    ) -> Float[np.ndarray, "B T W"]:
        """The scores of the symbol after each position of `before`, without dropout.

        `memory` is that of `encode`; `before` begins with the start symbol.
        """
        y, _ = self._decoder_forward(memory, source_mask, before, None)
        return unembedding_forward(y, self.params[self.config.output_table])[0]

    def attention(
        self,
        source: Integer[np.ndarray, "B S"],
        source_mask: Bool[np.ndarray, "B S"],
        before: Integer[np.ndarray, "B T"],
    ) -> dict[str, list[Float[np.ndarray, "B H _ _"]]]:
        """The weights of every layer and head, without dropout, worked out from the parameters.

        Under "encoder" (B, H, S, S), "decoder" (B, H, T, T) and "cross" (B, H, T, S): one array for
        each layer, the first layer first. A row adds up to 1, or is 0 where nothing may be seen.
        """
        config, layer = self.config, self.config.layer
        maps: dict[str, list[np.ndarray]] = {"encoder": [], "decoder": [], "cross": []}
        source_mask_, mask = _over_heads(source_mask), causal_mask(before.shape[1])
        x, _ = embed_forward(self.params[config.source_table], source)  # (B, S, C)
        for i in range(config.n_layer):
            params = part_of(self.params, f"encoder.layers.{i}.")
            maps["encoder"].append(encoder_layer_weights(params, x, source_mask_, layer))
            x, _ = encoder_layer_forward(params, x, source_mask_, layer)  # (B, S, C)
        memory = self.encode(source, source_mask)  # (B, S, C)
        x, _ = embed_forward(self.params[TARGET], before)  # (B, T, C)
        for i in range(config.n_layer):
            params = part_of(self.params, f"decoder.layers.{i}.")
            given = (params, x, memory, mask, source_mask_, layer)
            own, across = decoder_layer_weights(*given)
            maps["decoder"].append(own)
            maps["cross"].append(across)
            x, _ = decoder_layer_forward(*given)  # (B, T, C)
        return maps

    def _encoder_forward(
        self, source: np.ndarray, source_mask: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, Any]:
        """The memory (B, S, C), and the caches of embedding and stack."""
        config = self.config
        table = self.params[config.source_table]
        x, embed_cache = embed_forward(table, source, config.dropout, rng)  # (B, S, C)
        params: Parameters = part_of(self.params, "encoder.")
        mask = _over_heads(source_mask)
        memory, cache = encoder_forward(params, x, mask, config.layer, config.n_layer, rng)
        return memory, (embed_cache, cache)

    def _decoder_forward(
        self,
        memory: np.ndarray,
        source_mask: np.ndarray,
        before: np.ndarray,
        rng: np.random.Generator | None,
    ) -> tuple[np.ndarray, Any]:
        """The decoder's output (B, T, C), and the caches of embedding and stack."""
        config = self.config
        x, embed_cache = embed_forward(self.params[TARGET], before, config.dropout, rng)
        params: Parameters = part_of(self.params, "decoder.")
        masks = (causal_mask(before.shape[1]), _over_heads(source_mask))
        y, cache = decoder_forward(params, x, memory, *masks, config.layer, config.n_layer, rng)
        return y, (embed_cache, cache)


def shifted(target: Integer[np.ndarray, "B T"], start_id: int) -> Integer[np.ndarray, "B T"]:
    """The decoder's inputs: the start symbol, and the target without its last position."""
    start = np.full((len(target), 1), start_id, dtype=target.dtype)  # (B, 1)
    return np.concatenate([start, target[:, :-1]], axis=1)  # (B, T)


def _over_heads(mask: Bool[np.ndarray, "B S"]) -> Bool[np.ndarray, "B 1 1 S"] | None:
    """The same for all heads and queries; None, which costs nothing, where nothing is filled."""
    return None if mask.all() else mask[:, np.newaxis, np.newaxis, :]
