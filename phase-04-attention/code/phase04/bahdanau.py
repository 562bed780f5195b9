"""Additive attention (Bahdanau et al. 2015): a small network scores every pair of states.

    e_ti = v^T tanh(W s_t + U h_i)            how well source position i fits what s_t looks for
    a_t  = softmax(e_t)                       weights over the source, which sum to 1
    c_t  = sum_i a_ti h_i                     the context: a weighted average of the h_i

s_t is what asks (the *query*): here, the decoder's state before step t, the paper's s_(i-1). The
h_i are what it looks at: the encoder's outputs, as *keys* in the score and as *values* in the
average. U h_i is the same at every step, so it is projected once for all of them, as the paper does
too (appendix A.1.2); that is why the score comes in two halves here:

    project_keys      U h_i for the whole source, once
    compare           v^T tanh(W s_t + U h_i), for one step or for all

`additive_scores_forward` is the one after the other. `attend_forward` makes the weights and the
context of any scores, and serves Luong's (`phase04.luong`) as well.

Paper and our code: the context and the weights are equations 5 and 6 of section 3.1, the score is
that of appendix A.1.2, which has no number. The paper leaves biases out of its equations, for
readability; here the score has none. It begins v at zero, so that the first contexts are plain
means, and W and U near zero; here all three begin as torch's linear layers. What asks and what is
read is for the model to decide: `phase04.attentive_seq2seq`.

The parameters have the names of three torch.nn.Linear without bias:

    query.weight (A, Q)      key.weight (A, K)      score.weight (1, A)

Shapes: B batch, T steps that ask, S positions of the source, Q and K widths of queries and keys,
A width of the comparison, D width of the values.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from phase02.recurrent import Gradients, Parameters
from phase04.masks import masked_softmax_backward, masked_softmax_forward


def additive_parameters(
    d_query: int, d_key: int, d_attention: int, rng: np.random.Generator, dtype: Any = np.float32
) -> Gradients:
    """The three matrices, uniform within 1/sqrt(inputs) of 0, as torch begins a linear layer.

    Raises ValueError where a width is not at least 1.
    """
    if min(d_query, d_key, d_attention) < 1:
        raise ValueError(
            f"widths must be at least 1, got {d_query} of queries, {d_key} of keys and "
            f"{d_attention} of the comparison"
        )
    shapes = {
        "query.weight": (d_attention, d_query),
        "key.weight": (d_attention, d_key),
        "score.weight": (1, d_attention),
    }
    return {
        name: rng.uniform(-1 / math.sqrt(d_in), 1 / math.sqrt(d_in), (d_out, d_in)).astype(dtype)
        for name, (d_out, d_in) in shapes.items()
    }


# ---- the score ---------------------------------------------------------------------------


def project_keys_forward(
    params: Parameters, keys: Float[np.ndarray, "B S K"]
) -> tuple[Float[np.ndarray, "B S A"], Any]:
    """U h_i for every position of the source: what no step changes. Uses `key.weight` alone."""
    weight = params["key.weight"]
    return _matmul(keys, weight.T), (keys, weight)  # (B, S, A)


def project_keys_backward(
    dprojected: Float[np.ndarray, "B S A"], cache: Any
) -> tuple[Float[np.ndarray, "B S K"], Gradients]:
    """The gradients of the keys and, under its name, of `key.weight`."""
    keys, weight = cache
    dweight = _flat(dprojected).T @ _flat(keys)  # (A, B*S) @ (B*S, K) -> (A, K)
    return _matmul(dprojected, weight), {"key.weight": dweight}  # (B, S, K)


def compare_forward(
    params: Parameters,
    query: Float[np.ndarray, "B T Q"],
    projected: Float[np.ndarray, "B S A"],
) -> tuple[Float[np.ndarray, "B T S"], Any]:
    """v^T tanh(W s_t + U h_i) for each pair of t and i, from keys that are projected already.

    Uses `query.weight` and `score.weight`. The tanh holds B*T*S*A numbers: one step at a time, or
    all of them at once.
    """
    weight, vector = params["query.weight"], params["score.weight"]
    asked = _matmul(query, weight.T)  # (B, T, A)
    inner = asked[:, :, np.newaxis, :] + projected[:, np.newaxis, :, :]  # (B, T, S, A)
    np.tanh(inner, out=inner)
    return inner @ vector[0], (query, inner, weight, vector)  # (B, T, S)


def compare_backward(
    dscores: Float[np.ndarray, "B T S"], cache: Any
) -> tuple[Float[np.ndarray, "B T Q"], Float[np.ndarray, "B S A"], Gradients]:
    """The gradients (dquery, dprojected, grads) of the comparison.

    With r = tanh(W s_t + U h_i) and e = v^T r, the gradient of what stands inside the tanh is
    de v (1 - r^2). It goes to W s_t, summed over the positions i, and to U h_i, summed over the
    steps t; dv is the sum of de r over all pairs.
    """
    query, inner, weight, vector = cache
    dvector = dscores.reshape(1, -1) @ inner.reshape(-1, inner.shape[-1])  # (1, B*T*S) -> (1, A)
    dinner = np.multiply(inner, inner)  # (B, T, S, A)
    np.subtract(1, dinner, out=dinner)
    dinner *= vector[0]
    dinner *= dscores[..., np.newaxis]
    dasked = dinner.sum(axis=2)  # (B, T, A)
    dprojected = dinner.sum(axis=1)  # (B, S, A)
    dweight = _flat(dasked).T @ _flat(query)  # (A, B*T) @ (B*T, Q) -> (A, Q)
    grads = {"query.weight": dweight, "score.weight": dvector}
    return _matmul(dasked, weight), dprojected, grads  # (B, T, Q)


def additive_scores_forward(
    params: Parameters, query: Float[np.ndarray, "B T Q"], keys: Float[np.ndarray, "B S K"]
) -> tuple[Float[np.ndarray, "B T S"], Any]:
    """The scores v^T tanh(W s_t + U h_i) of all steps and positions at once, (B, T, S)."""
    projected, keys_cache = project_keys_forward(params, keys)  # (B, S, A)
    scores, compare_cache = compare_forward(params, query, projected)
    return scores, (keys_cache, compare_cache)  # (B, T, S)


def additive_scores_backward(
    dscores: Float[np.ndarray, "B T S"], cache: Any
) -> tuple[Float[np.ndarray, "B T Q"], Float[np.ndarray, "B S K"], Gradients]:
    """The gradients (dquery, dkeys, grads), grads under the names of the three parameters."""
    keys_cache, compare_cache = cache
    dquery, dprojected, grads = compare_backward(dscores, compare_cache)
    dkeys, key_grads = project_keys_backward(dprojected, keys_cache)
    return dquery, dkeys, grads | key_grads


# ---- what is read with it ----------------------------------------------------------------


def attend_forward(
    scores: Float[np.ndarray, "B T S"],
    values: Float[np.ndarray, "B S D"],
    mask: Bool[np.ndarray, "B S"] | None = None,
) -> tuple[Float[np.ndarray, "B T D"], Any]:
    """The contexts c_t = sum_i softmax(e_t)_i h_i, one for each step.

    `mask` is True at the positions that may be attended to; the others get the weight 0. Where a
    row has none, its contexts are 0. With mask None all positions count.
    """
    allowed = None if mask is None else mask[:, np.newaxis, :]  # (B, 1, S)
    weights, softmax_cache = masked_softmax_forward(scores, allowed)  # (B, T, S)
    return weights @ values, (weights, values, softmax_cache)  # (B, T, D)


def attend_backward(
    dcontext: Float[np.ndarray, "B T D"], cache: Any
) -> tuple[Float[np.ndarray, "B T S"], Float[np.ndarray, "B S D"]]:
    """The gradients (dscores, dvalues): da_ti = dc_t . h_i, and dh_i = sum_t a_ti dc_t."""
    weights, values, softmax_cache = cache
    dweights = dcontext @ np.swapaxes(values, 1, 2)  # (B, T, D) @ (B, D, S) -> (B, T, S)
    dvalues = np.swapaxes(weights, 1, 2) @ dcontext  # (B, S, T) @ (B, T, D) -> (B, S, D)
    return masked_softmax_backward(dweights, softmax_cache), dvalues


def _flat(x: np.ndarray) -> np.ndarray:
    """All examples in one row: (n, width)."""
    return x.reshape(-1, x.shape[-1])


def _matmul(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x times a matrix as one product over all examples, not one for each row of the batch."""
    return (_flat(x) @ weight).reshape(*x.shape[:-1], weight.shape[1])  # (..., d_out)
