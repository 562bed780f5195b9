"""Luong's scores (Luong, Pham and Manning 2015): dot, general and concat.

    dot        s_t^T h_i                     no parameters; queries and keys have one width
    general    s_t^T W h_i                   a matrix between the two: it may turn and stretch
    concat     v^T tanh(W [s_t; h_i])        a small network, as in Bahdanau's

s_t is the decoder's *current* state, after the step. Nothing of the attention goes into the
recurrence, so all states are there before the first score, and the scores of all steps are one
matrix product. That is what they add to `phase04.bahdanau`: dot and general need no tanh for every
pair, and hold T*S numbers where the network holds T*S*A.

A matrix times two stacked vectors is the sum of two products: W [s; h] = W_s s + W_h h, where W_s
is the left part of W. So concat is Bahdanau's score with other names, and it is computed so.

Paper and our code: the scores are those of section 3.1 (global attention), which have no number, in
its order of the factors; the weights made of them are equation 7. In concat the paper kept a part
of W at the identity (footnote 15); here all of it is learned. Left out: the `location` score of
equation 8, which does not look at the source, and local attention (section 3.2).

The parameters have the names of torch.nn.Linear without bias; general's matrix turns keys into the
width of the queries.

    dot: none      general: key.weight (Q, K)      concat: concat.weight (A, Q + K)
                                                           score.weight (1, A)

All three have one interface, that of `additive_scores_forward`.

Shapes: B batch, T steps that ask, S positions of the source, Q and K widths of queries and keys,
A width of the comparison.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from phase02.recurrent import Gradients, Parameters
from phase04.bahdanau import (
    additive_scores_backward,
    additive_scores_forward,
    project_keys_backward,
    project_keys_forward,
)


def general_parameters(
    d_query: int, d_key: int, rng: np.random.Generator, dtype: Any = np.float32
) -> Gradients:
    """The matrix of `general`, uniform within 1/sqrt(K) of 0, as torch begins a linear layer.

    Raises ValueError where a width is not at least 1.
    """
    _check_widths(d_query, d_key)
    limit = 1 / math.sqrt(d_key)
    return {"key.weight": rng.uniform(-limit, limit, (d_query, d_key)).astype(dtype)}


def concat_parameters(
    d_query: int, d_key: int, d_attention: int, rng: np.random.Generator, dtype: Any = np.float32
) -> Gradients:
    """The matrix and the vector of `concat`, uniform within 1/sqrt(inputs) of 0.

    Raises ValueError where a width is not at least 1.
    """
    _check_widths(d_query, d_key, d_attention)
    limit, score_limit = 1 / math.sqrt(d_query + d_key), 1 / math.sqrt(d_attention)
    shape = (d_attention, d_query + d_key)
    return {
        "concat.weight": rng.uniform(-limit, limit, shape).astype(dtype),
        "score.weight": rng.uniform(-score_limit, score_limit, (1, d_attention)).astype(dtype),
    }


# ---- dot ---------------------------------------------------------------------------------


def dot_scores_forward(
    params: Parameters, query: Float[np.ndarray, "B T Q"], keys: Float[np.ndarray, "B S K"]
) -> tuple[Float[np.ndarray, "B T S"], Any]:
    """The scores s_t^T h_i of all pairs: one matrix product for each row. `params` has no part.

    Raises ValueError, naming both, where queries and keys differ in width, Q and K.
    """
    if query.shape[-1] != keys.shape[-1]:
        raise ValueError(
            f"the dot product needs queries and keys of one width, got {query.shape[-1]} and "
            f"{keys.shape[-1]}; `general` takes two"
        )
    return query @ np.swapaxes(keys, 1, 2), (query, keys)  # (B, T, Q) @ (B, Q, S)


def dot_scores_backward(
    dscores: Float[np.ndarray, "B T S"], cache: Any
) -> tuple[Float[np.ndarray, "B T Q"], Float[np.ndarray, "B S Q"], Gradients]:
    """The gradients (dquery, dkeys, {}): ds_t = sum_i de_ti h_i, and dh_i = sum_t de_ti s_t."""
    query, keys = cache
    dquery = dscores @ keys  # (B, T, S) @ (B, S, Q) -> (B, T, Q)
    dkeys = np.swapaxes(dscores, 1, 2) @ query  # (B, S, T) @ (B, T, Q) -> (B, S, Q)
    return dquery, dkeys, {}


# ---- general -----------------------------------------------------------------------------


def general_scores_forward(
    params: Parameters, query: Float[np.ndarray, "B T Q"], keys: Float[np.ndarray, "B S K"]
) -> tuple[Float[np.ndarray, "B T S"], Any]:
    """The scores s_t^T (W h_i): the keys brought to the queries' width, then the dot product."""
    projected, keys_cache = project_keys_forward(params, keys)  # (B, S, Q)
    scores, dot_cache = dot_scores_forward({}, query, projected)
    return scores, (keys_cache, dot_cache)  # (B, T, S)


def general_scores_backward(
    dscores: Float[np.ndarray, "B T S"], cache: Any
) -> tuple[Float[np.ndarray, "B T Q"], Float[np.ndarray, "B S K"], Gradients]:
    """The gradients (dquery, dkeys, grads): the two steps of forward, read upwards."""
    keys_cache, dot_cache = cache
    dquery, dprojected, _ = dot_scores_backward(dscores, dot_cache)
    dkeys, grads = project_keys_backward(dprojected, keys_cache)
    return dquery, dkeys, grads


# ---- concat ------------------------------------------------------------------------------


def concat_scores_forward(
    params: Parameters, query: Float[np.ndarray, "B T Q"], keys: Float[np.ndarray, "B S K"]
) -> tuple[Float[np.ndarray, "B T S"], Any]:
    """The scores v^T tanh(W [s_t; h_i]), as v^T tanh(W_s s_t + W_h h_i)."""
    weight, d_query = params["concat.weight"], query.shape[-1]
    halves = {
        "query.weight": weight[:, :d_query],  # (A, Q)
        "key.weight": weight[:, d_query:],  # (A, K)
        "score.weight": params["score.weight"],
    }
    return additive_scores_forward(halves, query, keys)  # (B, T, S)


def concat_scores_backward(
    dscores: Float[np.ndarray, "B T S"], cache: Any
) -> tuple[Float[np.ndarray, "B T Q"], Float[np.ndarray, "B S K"], Gradients]:
    """The gradients (dquery, dkeys, grads); the two parts of the matrix side by side again."""
    dquery, dkeys, halves = additive_scores_backward(dscores, cache)
    dweight = np.concatenate([halves["query.weight"], halves["key.weight"]], axis=1)  # (A, Q + K)
    return dquery, dkeys, {"concat.weight": dweight, "score.weight": halves["score.weight"]}


def _check_widths(*widths: int) -> None:
    if min(widths) < 1:
        raise ValueError(f"widths must be at least 1, got {', '.join(map(str, widths))}")
