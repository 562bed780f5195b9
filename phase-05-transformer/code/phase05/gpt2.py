"""GPT-2's forward pass in NumPy, put together from the parts of phases 3 to 5 alone.

GPT-2 (Radford et al., 2019) keeps of the transformer what writes, and of that what does not look at
a source. A block is then this phase's *encoder* layer with a causal mask:

    x = wte[ids] + wpe[0 ... T - 1]                          phase03.embedding, twice; no sqrt(C)
    x = x + attention(LN_1(x), causal)   }  n_layer times    phase05.encoder, norm="pre",
    x = x + W2 gelu_tanh(W1 LN_2(x))     }                   activation="gelu_tanh"
    logits = LN_f(x) wte^T                                   phase05.layer_norm, phase03.embedding

Against the paper of 2017: the layer norm stands before each sublayer and once more at the end,
positions are learned, ReLU became GELU in its tanh form, and there is no encoder to look at.

Parameters have the names of Hugging Face's GPT-2, as in `phase07.gpt`. Four matrices of each block
are stored there as (d_in, d_out), for x @ W; ours are (d_out, d_in). `turned` goes both ways.

    transformer.wte.weight (V, C)             transformer.h.0.attn.c_attn.weight (3C, C) ...
    transformer.wpe.weight (positions, C)     transformer.ln_f.weight (C,), transformer.ln_f.bias

Left out: backward, dropout, generation, other widths of the feed-forward network than its weights
say; `phase07` has GPT-2 in PyTorch, to be trained.
Shapes: B batch, T time, C = d_model, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from phase02.recurrent import Gradients, Parameters
from phase03.embedding import embedding_forward, unembedding_forward
from phase04.masks import causal_mask
from phase05.encoder import LayerConfig, encoder_layer_forward
from phase05.layer_norm import layer_norm_forward

BLOCK_NAMES = {  # Hugging Face's name of a part of a block: that of an encoder layer
    "ln_1.weight": "norm1.weight",
    "ln_1.bias": "norm1.bias",
    "attn.c_attn.weight": "self_attn.in_proj_weight",
    "attn.c_attn.bias": "self_attn.in_proj_bias",
    "attn.c_proj.weight": "self_attn.out_proj.weight",
    "attn.c_proj.bias": "self_attn.out_proj.bias",
    "ln_2.weight": "norm2.weight",
    "ln_2.bias": "norm2.bias",
    "mlp.c_fc.weight": "linear1.weight",
    "mlp.c_fc.bias": "linear1.bias",
    "mlp.c_proj.weight": "linear2.weight",
    "mlp.c_proj.bias": "linear2.bias",
}
TURNED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


@dataclass(frozen=True)
class GPT2Config:
    """What the shapes of the parameters do not say."""

    n_layer: int
    n_head: int

    def __post_init__(self) -> None:
        if min(self.n_layer, self.n_head) < 1:
            raise ValueError(
                f"n_layer and n_head must be at least 1, got {self.n_layer} and {self.n_head}"
            )


def turned(tensors: Mapping[str, np.ndarray]) -> Gradients:
    """Our layout from Hugging Face's, or the other way round: four matrices of a block transposed.

    They are views: no number is copied.
    """
    return {name: value.T if name.endswith(TURNED) else value for name, value in tensors.items()}


def block_parameters(params: Parameters, i: int) -> Gradients:
    """The parameters of block i, in our layout, under the names of an encoder layer.

    Raises KeyError, with the full name, for one that is missing.
    """
    start = f"transformer.h.{i}."
    return {ours: params[start + theirs] for theirs, ours in BLOCK_NAMES.items()}


def gpt2_hidden(
    params: Parameters, ids: Integer[np.ndarray, "B T"], config: GPT2Config
) -> Float[np.ndarray, "B T C"]:
    """The last block's output after the final layer norm, from parameters in our layout.

    Raises ValueError where the sequence is empty or longer than the table of positions, and for an
    id without a row.
    """
    positions = params["transformer.wpe.weight"]  # (positions, C)
    if not 1 <= ids.shape[1] <= len(positions):
        raise ValueError(f"a sequence has 1 to {len(positions)} tokens here, not {ids.shape[1]}")
    tokens, _ = embedding_forward(ids, params["transformer.wte.weight"])  # (B, T, C)
    places, _ = embedding_forward(np.arange(ids.shape[1]), positions)  # (T, C)
    x = tokens + places  # (B, T, C)
    d_ff = len(params["transformer.h.0.mlp.c_fc.weight"])
    kind = LayerConfig(x.shape[2], config.n_head, d_ff, norm="pre", activation="gelu_tanh")
    mask = causal_mask(ids.shape[1])  # (T, T)
    for i in range(config.n_layer):
        x, _ = encoder_layer_forward(block_parameters(params, i), x, mask, kind)  # (B, T, C)
    weight, bias = (params[f"transformer.ln_f.{name}"] for name in ("weight", "bias"))
    return layer_norm_forward(x, weight, bias)[0]  # (B, T, C)


def gpt2_logits(
    params: Parameters, ids: Integer[np.ndarray, "B T"], config: GPT2Config
) -> Float[np.ndarray, "B T V"]:
    """The scores of the token after each position; raises as `gpt2_hidden` does."""
    hidden = gpt2_hidden(params, ids, config)  # (B, T, C)
    return unembedding_forward(hidden, params["transformer.wte.weight"])[0]  # the tied matrix
