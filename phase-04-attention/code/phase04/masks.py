"""Masks, and the softmax that obeys them: who may look at whom.

A mask is boolean and **true means "may attend"**, as in torch's scaled_dot_product_attention
(nn.MultiheadAttention means the opposite by its boolean masks). It is broadcast to the scores: what
it hides gets a score of minus infinity, so a weight of exactly 0 and no gradient.

    lengths 3 and 2, S = 4       causal, T = 4       both, for the second row
    padding  1 1 1 0             1 0 0 0             1 0 0 0
             1 1 0 0             1 1 0 0             1 1 0 0
                                 1 1 1 0             1 1 0 0
                                 1 1 1 1             1 1 0 0

A row in which nothing may be attended to has no softmax: 0 / 0. Its weights are zeros here, and so
are its gradients, as torch's scaled_dot_product_attention answers. Such a row adds nothing, where a
NaN would spread over the whole model.

Left out: masks that are numbers added to the scores, which can do more (a bias by distance).

Shapes: B batch, T time of the queries, S time of keys and values, ... any leading axes.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer


def padding_mask(
    lengths: Integer[np.ndarray, " B"] | Sequence[int], size: int
) -> Bool[np.ndarray, "B S"]:
    """True for the first `lengths[b]` of `size` positions; the rest only fills the batch up.

    Raises ValueError, naming `size`, where a length is below 0 or above it.
    """
    ends = np.asarray(lengths)[:, np.newaxis]  # (B, 1)
    if np.any((ends < 0) | (ends > size)):
        raise ValueError(f"lengths must be from 0 to {size} positions, got {ends[:, 0].tolist()}")
    return np.arange(size) < ends  # (B, S)


def causal_mask(n_queries: int, n_keys: int | None = None) -> Bool[np.ndarray, "T S"]:
    """True where a query may see a key: at its own position and at earlier ones.

    With more keys than queries, the queries are the *last* T of the S positions: so it is where a
    decoder keeps the keys of what it has written. (torch's is_causal takes the first T.) Raises
    ValueError, naming both numbers, for fewer keys than queries.
    """
    n_keys = n_queries if n_keys is None else n_keys
    if not 0 <= n_queries <= n_keys:
        raise ValueError(f"{n_queries} queries cannot be the last of {n_keys} keys: give as many")
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)  # (T, S)


def combined(
    padding: Bool[np.ndarray, "B S"], between: Bool[np.ndarray, "T S"] | None = None
) -> Bool[np.ndarray, "B 1 T_or_1 S"]:
    """A padding mask for all heads, (B, 1, 1, S); together with a causal one, (B, 1, T, S).

    Both must allow a position. Raises ValueError, naming both shapes, where their keys are not as
    many.
    """
    mask = padding[:, np.newaxis, np.newaxis, :]  # (B, 1, 1, S)
    if between is None:
        return mask
    if between.shape[-1:] != padding.shape[-1:]:
        raise ValueError(
            f"two masks of the same keys end in the same size, got {padding.shape} and "
            f"{between.shape}"
        )
    return mask & between  # (B, 1, T, S)


def masked_softmax_forward(
    scores: Float[np.ndarray, "*batch T S"],
    mask: Bool[np.ndarray, "..."] | None = None,
    out: np.ndarray | None = None,
) -> tuple[Float[np.ndarray, "*batch T S"], tuple]:
    """Weights over the last axis that sum to 1 in each row (to 0 where all is hidden), and a cache.

        w_s = exp(z_s - m) / sum over the allowed r of exp(z_r - m),    m the largest allowed score

    `out` is the array to write them into, which may be `scores` itself; without it they are a new
    one. Backward needs them: they are not to be changed. Raises ValueError where the mask is not
    boolean, naming its type, and where it cannot be broadcast to the scores, naming both shapes.
    """
    if mask is None:
        largest = _largest(scores)  # (..., T, 1)
    else:
        _check_mask(mask, scores.shape)
        out = _hidden(scores, mask, out)
        scores, largest = out, _largest(out)  # (..., T, 1)
    weights = np.subtract(scores, largest, out=out)  # (..., T, S)
    np.exp(weights, out=weights)
    total = np.einsum("...s->...", weights)[..., np.newaxis]  # (..., T, 1)
    total[total == 0] = 1  # a row with nothing allowed: 0 / 1 and not 0 / 0
    weights /= total
    return weights, (weights,)


def masked_softmax_backward(
    dweights: Float[np.ndarray, "*batch T S"], cache: tuple, out: np.ndarray | None = None
) -> Float[np.ndarray, "*batch T S"]:
    """dz_s = w_s (dw_s - sum_r dw_r w_r), as dw_r/dz_s = w_r ([r = s] - w_s); 0 where w_s is.

    `out` is the array to write it into, which may be `dweights` itself.
    """
    (weights,) = cache
    inner = np.einsum("...s,...s->...", dweights, weights)[..., np.newaxis]  # (..., T, 1)
    dscores = np.subtract(dweights, inner, out=out)  # (..., T, S)
    dscores *= weights
    return dscores


def _largest(scores: np.ndarray) -> np.ndarray:
    """The largest score of each row, and 0 for a row of minus infinity: (..., T, 1)."""
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    largest[np.isneginf(largest)] = 0
    return largest


def _hidden(scores: np.ndarray, mask: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """The scores, with minus infinity where the mask hides them, in `out` or a new array."""
    if out is None:
        out = scores.copy()
    elif out is not scores:
        np.copyto(out, scores)
    np.copyto(out, -np.inf, where=~mask)
    return out


def _check_mask(mask: np.ndarray, shape: tuple[int, ...]) -> None:
    """ValueError unless the mask is boolean and can be broadcast to the scores."""
    if mask.dtype != np.bool_:
        raise ValueError(f"a mask is boolean, True for what may be attended to, not {mask.dtype}")
    fits = mask.ndim <= len(shape) and all(
        m in (1, n) for m, n in zip(mask.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"a mask of shape {mask.shape} cannot be broadcast to scores of {shape}")
