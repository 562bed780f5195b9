r"""Sinusoidal positions: where a token stands, written as the readings of many clocks.

Attention sees a set of vectors. To tell it their order, the transformer paper adds to each vector
one that depends on its position p alone. Columns come in pairs, the sine and cosine of one angle:

    PE(p, 2j)     = sin(p w_j)        w_j = 10000^(-2j / C)
    PE(p, 2j + 1) = cos(p w_j)

Each pair is the hand of a clock. The first turns by one radian a position, each further one more
slowly, the last takes almost 10000 * 2 pi positions for one round. Two properties follow:

- Going on by k positions turns each hand by k w_j, wherever it stands. With
  sin(a + b) = sin a cos b + cos a sin b and cos(a + b) = cos a cos b - sin a sin b
  that is one matrix for all positions:

      PE(p + k) = R_k PE(p),     with the blocks   [  cos k w_j   sin k w_j ]
                                                   [ -sin k w_j   cos k w_j ]

- The dot product of two positions depends on their distance alone, as sin a sin b + cos a cos b =
  cos(a - b): it is the sum over j of cos((p - q) w_j), C / 2 where p = q.

Both need whole pairs. A table of odd width has a last sine without its cosine, and neither holds.

Left out: positions that are learned (phase 5) and those that turn queries and keys (phase 9).
Shapes: T positions, N distances, C width, J pairs of columns (C / 2, rounded up).

Vaswani et al. (2017), "Attention Is All You Need", section 3.5.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

BASE = 10000.0


def frequencies(d_model: int) -> Float[np.ndarray, " J"]:
    """w_j = 10000^(-2j / C), in radians a position, for each pair of columns, from fast to slow.

    Raises ValueError where the width is below 1.
    """
    if d_model < 1:
        raise ValueError(f"d_model is 1 or more, not {d_model}")
    return BASE ** (-np.arange(0, d_model, 2) / d_model)  # (J,)


def sinusoidal(length: int, d_model: int, dtype: Any = np.float64) -> Float[np.ndarray, "T C"]:
    """The encoding of positions 0 to length - 1, a row each; no length, no rows.

    The angles are worked out in float64 and the result is cast, since a late position of a fast
    clock has no digits to lose. Raises ValueError where length is below 0 or the width below 1.
    """
    if length < 0:
        raise ValueError(f"length is 0 or more, not {length}")
    angles = np.outer(np.arange(length), frequencies(d_model))  # (T, J)
    encoding = np.empty((length, d_model), dtype)
    encoding[:, 0::2] = np.sin(angles)  # (T, J)
    encoding[:, 1::2] = np.cos(angles[:, : d_model // 2])  # (T, C // 2)
    return encoding  # (T, C)


def rotation(k: int | float, d_model: int) -> Float[np.ndarray, "C C"]:
    """The matrix R_k with R_k PE(p) = PE(p + k) for every position p; k may be negative.

    For a table with a position a row: `table @ rotation(k, d_model).T`. Raises ValueError for an
    odd width.
    """
    angles = k * frequencies(_even(d_model))  # (J,)
    sines = np.arange(0, d_model, 2)
    matrix = np.zeros((d_model, d_model))
    matrix[sines, sines] = matrix[sines + 1, sines + 1] = np.cos(angles)
    matrix[sines, sines + 1] = np.sin(angles)
    matrix[sines + 1, sines] = -np.sin(angles)
    return matrix  # (C, C)


def dot_products(distances: Float[np.ndarray, " N"], d_model: int) -> Float[np.ndarray, " N"]:
    """The dot product of two encodings that are so many positions apart: sum_j cos(distance w_j).

    Raises ValueError for an odd width.
    """
    angles = np.outer(distances, frequencies(_even(d_model)))  # (N, J)
    return np.cos(angles).sum(axis=1)  # (N,)


def _even(d_model: int) -> int:
    if d_model % 2:
        raise ValueError(
            f"d_model is {d_model}, but only pairs of columns can be turned: take an even width"
        )
    return d_model
