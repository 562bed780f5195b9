"""Multi-head attention: several attentions side by side, each on its own part of the width.

    head_h = attention(x W_q,h^T, m W_k,h^T, m W_v,h^T)            h = 1 ... H, width D = C/H
    y = concat(head_1, ..., head_H) W_o^T + b_o               Vaswani et al. (2017), section 3.2.2

One softmax is one way to look: it can hardly take from two places at once and keep them apart. H of
them can, at the same cost: each is H times narrower. Queries come from x, keys and values from a
memory m; with m = x that is self-attention, with the encoder's output as m cross-attention.

There is no loop over the heads: the projections of all are one matrix product, and the heads are an
axis of the arrays, which `split_heads` shows and no copy makes.

Paper and our code: the projections have biases here, as in torch.nn.MultiheadAttention(batch_first=
True); the paper's have none. Parameters have that module's names, C = d_model:

    in_proj_weight (3C, C): rows of the queries, the keys, the values      out_proj.weight (C, C)
    in_proj_bias (3C,)                                                     out_proj.bias (C,)

Its boolean masks mean the opposite of ours. Left out: dropout of the weights, keys and values of
other widths than C, the bias that it can add to keys and values.

Shapes: B batch, T time of x, S time of the memory, C d_model, H heads, D = C/H width of a head.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from phase01.initialization import xavier_uniform
from phase01.linear import linear_backward, linear_forward
from phase02.recurrent import Gradients, Parameters
from phase04.scaled_dot_product import (
    attention_weights,
    scaled_dot_product_backward,
    scaled_dot_product_forward,
)


def multi_head_parameters(
    d_model: int, rng: np.random.Generator, dtype: Any = np.float32
) -> Gradients:
    """The four parameters as torch begins: Xavier's uniform into the heads, and biases of 0.

    The weight behind the heads is uniform on 1/sqrt(C) around 0, torch's start of a linear layer.
    Raises ValueError, naming it, unless d_model is at least 1.
    """
    if d_model < 1:
        raise ValueError(f"d_model must be at least 1, got {d_model}")
    limit = 1 / math.sqrt(d_model)
    return {
        "in_proj_weight": xavier_uniform((3 * d_model, d_model), rng, dtype=dtype),
        "in_proj_bias": np.zeros(3 * d_model, dtype),
        "out_proj.weight": rng.uniform(-limit, limit, (d_model, d_model)).astype(dtype),
        "out_proj.bias": np.zeros(d_model, dtype),
    }


def split_heads(x: Float[np.ndarray, "B T C"], n_head: int) -> Float[np.ndarray, "B H T D"]:
    """The width as heads: head h has the columns h D to (h+1) D. A view, (B, H, T, D).

    Raises ValueError, naming both, where the width is not a multiple of the number of heads.
    """
    n_batch, n_steps, d_model = x.shape
    if n_head < 1 or d_model % n_head:
        raise ValueError(f"a width of {d_model} cannot be split into {n_head} heads of one size")
    heads = x.reshape(n_batch, n_steps, n_head, d_model // n_head)  # (B, T, H, D)
    return heads.swapaxes(1, 2)  # (B, H, T, D)


def merge_heads(x: Float[np.ndarray, "B H T D"]) -> Float[np.ndarray, "B T C"]:
    """The heads side by side as one width again: `split_heads` the other way round."""
    n_batch, n_head, n_steps, d_head = x.shape
    return x.swapaxes(1, 2).reshape(n_batch, n_steps, n_head * d_head)  # (B, T, C)


# ---- queries from one sequence, keys and values from another -----------------------------


def multi_head_forward(
    params: Parameters,
    x: Float[np.ndarray, "B T C"],
    memory: Float[np.ndarray, "B S C"],
    mask: Bool[np.ndarray, "..."] | None,
    n_head: int,
) -> tuple[Float[np.ndarray, "B T C"], Any]:
    """What each position of x gathers from the memory, (B, T, C), and the cache.

    `mask` is True where a position may attend, broadcastable to (B, H, T, S): (B, 1, 1, S) hides
    padding, (T, S) is the same for all rows and heads. A position that may attend to nothing gets
    the output's bias alone. Raises ValueError where shapes, mask and number of heads do not fit.
    """
    d_model = x.shape[-1]
    weight, bias = params["in_proj_weight"], params["in_proj_bias"]
    query, query_cache = linear_forward(x, weight[:d_model], bias[:d_model])  # (B, T, C)
    both, memory_cache = linear_forward(memory, weight[d_model:], bias[d_model:])  # (B, S, 2C)
    heads = (split_heads(part, n_head) for part in (query, *_blocks(both, 2)))
    y, attention_cache = scaled_dot_product_forward(*heads, mask)  # (B, H, T, D)
    y, out_cache = _output_forward(params, y)  # (B, T, C)
    return y, (query_cache, memory_cache, attention_cache, out_cache, n_head)


def multi_head_backward(
    dy: Float[np.ndarray, "B T C"], cache: Any
) -> tuple[Float[np.ndarray, "B T C"], Float[np.ndarray, "B S C"], Gradients]:
    """The gradients (dx, dmemory, grads), the last under the parameters' names.

    The forward pass read upwards: output, attention, the two products in.
    """
    query_cache, memory_cache, attention_cache, out_cache, n_head = cache
    dheads, grads = _output_backward(dy, out_cache, n_head)  # (B, H, T, D)
    dquery, *dboth = scaled_dot_product_backward(dheads, attention_cache)
    dx, *dquery_params = linear_backward(merge_heads(dquery), query_cache)  # (B, T, C)
    dmemory, *dboth_params = linear_backward(_merged(dboth), memory_cache)  # (B, S, C)
    dweight, dbias = map(np.concatenate, zip(dquery_params, dboth_params, strict=True))
    return dx, dmemory, {"in_proj_weight": dweight, "in_proj_bias": dbias, **grads}


def multi_head_weights(
    params: Parameters,
    x: Float[np.ndarray, "B T C"],
    memory: Float[np.ndarray, "B S C"],
    mask: Bool[np.ndarray, "..."] | None,
    n_head: int,
) -> Float[np.ndarray, "B H T S"]:
    """How much each position of x takes from each of the memory, in each head: (B, H, T, S)."""
    (query, key, _), (query_bias, key_bias, _) = (
        np.split(params[name], 3) for name in ("in_proj_weight", "in_proj_bias")
    )
    asked, _ = linear_forward(x, query, query_bias)  # (B, T, C)
    found, _ = linear_forward(memory, key, key_bias)  # (B, S, C)
    return attention_weights(split_heads(asked, n_head), split_heads(found, n_head), mask)


# ---- both from the same ------------------------------------------------------------------


def multi_head_self_forward(
    params: Parameters,
    x: Float[np.ndarray, "B T C"],
    mask: Bool[np.ndarray, "..."] | None,
    n_head: int,
) -> tuple[Float[np.ndarray, "B T C"], Any]:
    """`multi_head_forward` with x as its own memory, its three projections as one product."""
    three, in_cache = linear_forward(x, params["in_proj_weight"], params["in_proj_bias"])
    heads = (split_heads(part, n_head) for part in _blocks(three, 3))  # (B, H, T, D) each
    y, attention_cache = scaled_dot_product_forward(*heads, mask)  # (B, H, T, D)
    y, out_cache = _output_forward(params, y)  # (B, T, C)
    return y, (in_cache, attention_cache, out_cache, n_head)


def multi_head_self_backward(
    dy: Float[np.ndarray, "B T C"], cache: Any
) -> tuple[Float[np.ndarray, "B T C"], Gradients]:
    """The gradients (dx, grads); dx is the sum over the three ways on which x is used."""
    in_cache, attention_cache, out_cache, n_head = cache
    dheads, grads = _output_backward(dy, out_cache, n_head)  # (B, H, T, D)
    three = scaled_dot_product_backward(dheads, attention_cache)  # (B, H, T, D) each
    dx, dweight, dbias = linear_backward(_merged(three), in_cache)  # (B, T, 3C) inside
    return dx, {"in_proj_weight": dweight, "in_proj_bias": dbias, **grads}


# ---- what both need ----------------------------------------------------------------------


def _blocks(x: np.ndarray, n: int) -> list[np.ndarray]:
    """The last axis in n equal parts, as views."""
    return np.split(x, n, axis=-1)


def _merged(blocks: Any) -> np.ndarray:
    """The heads of n arrays (B, H, T, D) side by side: (B, T, n C)."""
    return np.concatenate([merge_heads(block) for block in blocks], axis=-1)


def _output_forward(params: Parameters, heads: np.ndarray) -> tuple[np.ndarray, Any]:
    """The heads merged and mixed: (B, T, C)."""
    return linear_forward(merge_heads(heads), params["out_proj.weight"], params["out_proj.bias"])


def _output_backward(dy: np.ndarray, cache: Any, n_head: int) -> tuple[np.ndarray, Gradients]:
    """The gradient of each head, (B, H, T, D), and those of the output's parameters."""
    dmerged, dweight, dbias = linear_backward(dy, cache)  # (B, T, C)
    return split_heads(dmerged, n_head), {"out_proj.weight": dweight, "out_proj.bias": dbias}
