"""Scaled dot-product attention: a weighted mean of values, weighted by how well keys fit a query.

    w = softmax(q k^T / sqrt(D)),  y = w v          Vaswani et al. (2017), section 3.2.1, equation 1

Against the scores before it, `phase04.bahdanau` and `phase04.luong`, it has no parameters: what is
learned is in the projections that make queries, keys and values (`phase04.self_attention`). The
scale is its one addition to Luong's dot product. If the D components of q and k are independent
with mean 0 and variance 1, the variance of q k^T is D; divided by sqrt(D) it is 1 at any width.

Equal to torch.nn.functional.scaled_dot_product_attention, whose boolean masks mean the same. Left
out: dropout of the weights, and the block-wise form that never holds all T x S of them.

Shapes: ... any leading axes (batch; batch and heads), T queries, S keys and values, D width of
queries and keys, E width of the values.
"""

import math

import numpy as np
from jaxtyping import Bool, Float

from phase04.masks import masked_softmax_backward, masked_softmax_forward


def attention_weights(
    query: Float[np.ndarray, "*batch T D"],
    key: Float[np.ndarray, "*batch S D"],
    mask: Bool[np.ndarray, "..."] | None = None,
) -> Float[np.ndarray, "*batch T S"]:
    """How much each query takes from each position: w = softmax(q k^T / sqrt(D)), (..., T, S).

    Each row sums to 1, or to 0 where the mask hides everything. Raises ValueError, naming the
    shapes, where query, key and mask do not fit.
    """
    _check_shapes(query, key, key)
    return _weights(query, key, mask)[0]


def scaled_dot_product_forward(
    query: Float[np.ndarray, "*batch T D"],
    key: Float[np.ndarray, "*batch S D"],
    value: Float[np.ndarray, "*batch S E"],
    mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch T E"], tuple]:
    """What each query gathers, y = softmax(q k^T / sqrt(D)) v, (..., T, E), and the cache.

    `mask` is True where a query may attend to a key, broadcastable to (..., T, S); where it hides
    everything, y is 0. Raises ValueError, naming the shapes, where the arrays do not fit.
    """
    _check_shapes(query, key, value)
    weights, scaled, softmax_cache = _weights(query, key, mask)
    y = _like(query, value.shape[-1])  # (..., T, E)
    np.matmul(weights, value, out=y)  # (..., T, S) @ (..., S, E)
    return y, (scaled, key, value, weights, softmax_cache)


def scaled_dot_product_backward(
    dy: Float[np.ndarray, "*batch T E"], cache: tuple
) -> tuple[
    Float[np.ndarray, "*batch T D"],
    Float[np.ndarray, "*batch S D"],
    Float[np.ndarray, "*batch S E"],
]:
    """The gradients (dquery, dkey, dvalue), of the shapes of query, key and value.

    Each product a b has the gradients dc b^T and a^T dc. With z = (q / sqrt(D)) k^T and y = w v:

        dv = w^T dy     dw = dy v^T     dz = softmax's     dq = dz k / sqrt(D)
                                                           dk = dz^T q / sqrt(D)
    """
    scaled, key, value, weights, softmax_cache = cache
    dvalue, dkey, dquery = (_like(x, x.shape[-1]) for x in (value, key, scaled))
    np.matmul(weights.swapaxes(-1, -2), dy, out=dvalue)  # (..., S, T) @ (..., T, E)
    dweights = dy @ value.swapaxes(-1, -2)  # (..., T, E) @ (..., E, S)
    dscores = masked_softmax_backward(dweights, softmax_cache, out=dweights)  # (..., T, S)
    np.matmul(dscores, key, out=dquery)  # (..., T, S) @ (..., S, D)
    dquery *= 1 / math.sqrt(key.shape[-1])
    np.matmul(dscores.swapaxes(-1, -2), scaled, out=dkey)  # (..., S, T) @ (..., T, D)
    return dquery, dkey, dvalue


def _weights(
    query: np.ndarray, key: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, tuple]:
    """The weights, which are written over their scores; the scaled query; the softmax's cache."""
    scaled = query * (1 / math.sqrt(query.shape[-1]))  # (..., T, D): fewer numbers than scores
    scores = scaled @ key.swapaxes(-1, -2)  # (..., T, D) @ (..., D, S)
    weights, softmax_cache = masked_softmax_forward(scores, mask, out=scores)  # (..., T, S)
    return weights, scaled, softmax_cache


def _like(x: np.ndarray, width: int) -> np.ndarray:
    """An array of this width that lies in memory as x does: heads need no copy to be merged."""
    return np.empty_like(x, shape=(*x.shape[:-1], width))


def _check_shapes(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> None:
    """ValueError, naming the three shapes, unless they are those of one attention."""
    *batch, _, width = query.shape if query.ndim > 1 else (0, 0, 0)
    fits = (
        min(query.ndim, key.ndim, value.ndim) > 1
        and width > 0
        and [*key.shape[:-2], key.shape[-1]] == [*batch, width]
        and key.shape[:-1] == value.shape[:-1]
    )
    if not fits:
        raise ValueError(
            "attention needs a query (..., T, D), a key (..., S, D) and a value (..., S, E) with "
            f"the same leading axes, not {query.shape}, {key.shape} and {value.shape}"
        )
