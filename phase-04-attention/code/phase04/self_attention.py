"""Self-attention with one head: each position of a sequence gathers from all others in one step.

    q = x W_q^T    k = x W_k^T    v = x W_v^T        y = softmax(q k^T / sqrt(D)) v

What it adds to `phase04.scaled_dot_product`: the three matrices, learned, by which a position is
one thing when it asks, another when it is found, and a third when it gives. With queries and keys
from one matrix the scores would be symmetric, and a position would mostly find itself.

The order of the sequence is nowhere in these equations: where the positions of x change places, so
do those of y. Order has to be in x itself (`phase03.positional`), or in the mask.

Left out: biases, and the matrix W_o behind the heads (`phase04.multi_head`).

Parameters, the weights of three torch.nn.Linear(C, D, bias=False):

    query.weight (D, C)    key.weight (D, C)    value.weight (D, C)

Shapes: ... any leading axes (batch), T time, C d_model, D width of the head, n positions in all.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from phase02.recurrent import Gradients, Parameters
from phase04.scaled_dot_product import (
    attention_weights,
    scaled_dot_product_backward,
    scaled_dot_product_forward,
)

NAMES = ("query.weight", "key.weight", "value.weight")


def self_attention_parameters(
    d_model: int, d_head: int, rng: np.random.Generator, dtype: Any = np.float32
) -> Gradients:
    """The three weights, uniform between -1/sqrt(C) and 1/sqrt(C), as torch begins.

    Raises ValueError, naming both widths, where one is not at least 1.
    """
    if min(d_model, d_head) < 1:
        raise ValueError(f"widths must be at least 1, got d_model {d_model}, d_head {d_head}")
    limit = 1 / math.sqrt(d_model)
    return {name: rng.uniform(-limit, limit, (d_head, d_model)).astype(dtype) for name in NAMES}


def self_attention_forward(
    params: Parameters,
    x: Float[np.ndarray, "*batch T C"],
    mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch T D"], Any]:
    """What each position gathers from the whole sequence, (..., T, D), and the cache.

    `mask` is True where a position may attend to another, broadcastable to (..., T, T). Raises
    ValueError, naming both shapes, where x and the weights or the mask do not fit.
    """
    query, key, value = (_projected(params[name], x) for name in NAMES)  # (..., T, D) each
    y, attention_cache = scaled_dot_product_forward(query, key, value, mask)  # (..., T, D)
    return y, (x, [params[name] for name in NAMES], attention_cache)


def self_attention_backward(
    dy: Float[np.ndarray, "*batch T D"], cache: Any
) -> tuple[Float[np.ndarray, "*batch T C"], Gradients]:
    """The gradients (dx, grads), the last under the parameters' names.

    x is used three times, so its gradient is the sum of three: dx = dq W_q + dk W_k + dv W_v.
    """
    x, weights, attention_cache = cache
    rows = x.reshape(-1, x.shape[-1])  # (n, C)
    dx, grads = np.zeros_like(rows), {}
    dprojected = scaled_dot_product_backward(dy, attention_cache)  # (..., T, D) each
    for name, weight, gradient in zip(NAMES, weights, dprojected, strict=True):
        drows = gradient.reshape(-1, len(weight))  # (n, D)
        grads[name] = drows.T @ rows  # (D, C)
        dx += drows @ weight  # (n, C)
    return dx.reshape(x.shape), grads


def self_attention_weights(
    params: Parameters,
    x: Float[np.ndarray, "*batch T C"],
    mask: Bool[np.ndarray, "..."] | None = None,
) -> Float[np.ndarray, "*batch T T"]:
    """How much each position takes from each: row t sums to 1. For pictures."""
    query, key = (_projected(params[name], x) for name in NAMES[:2])  # (..., T, D) each
    return attention_weights(query, key, mask)


def _projected(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x W^T: (..., T, D). Raises ValueError where their widths differ."""
    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x of shape {x.shape} and a weight (D, C) of {weight.shape} do not fit")
    y = x.reshape(-1, x.shape[-1]) @ weight.T  # (n, D)
    return y.reshape(*x.shape[:-1], len(weight))  # (..., T, D)
