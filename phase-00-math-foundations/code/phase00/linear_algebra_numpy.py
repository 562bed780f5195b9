"""The operations of `linear_algebra` on NumPy arrays, and three that live on broadcasting.

The first six have the names, the results and the errors of the versions on lists. What an array
adds: it knows its shape, so it cannot be ragged, and an empty one has a definite shape too, so
that (2, 0) times (0, 3) is two rows of three zeros instead of an error; and the loop over the
numbers runs in compiled code (`compare_speed` measures by how much).

Broadcasting lines shapes up from the right and stretches an axis of length 1, or a missing one:

    add_bias             (n, d) + (d,)             the bias is added to every row
    standardize          (n, d) - (d,)             every column loses its own mean
    pairwise_distances   (n, 1, d) - (1, m, d)     every row of one against every row of the other

It also stretches where nobody meant it to: a bias of one number, or of one number a row, would be
added without a word. So the functions here check their shapes first, and refuse what does not fit
with a ValueError that names every shape involved.

Left out: axes beyond these (attention brings them), and distances in blocks: the differences of all
pairs are in memory at once, n m d numbers.

Shapes: m, n, p and d are any sizes.
"""

import math

import numpy as np
from jaxtyping import Float


def dot(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """The dot product of two vectors, sum over i of a[i] b[i]; 0.0 for two empty ones.

    Raises ValueError, naming both shapes, unless both are vectors of one length.
    """
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"dot needs two vectors of one length, not the shapes {a.shape} and {b.shape}"
        )
    return float(a @ b)


def norm(a: Float[np.ndarray, " n"], p: float = 2.0) -> float:
    """The p-norm of a vector, (sum over i of |a[i]|^p)^(1/p); 0.0 for an empty one.

    `math.inf` gives the largest |a[i]|. Raises ValueError, naming p, where p is below 1 (or NaN);
    and, naming the shape, for anything but a vector.
    """
    if a.ndim != 1:
        raise ValueError(f"norm needs a vector, not the shape {a.shape}")
    if not p >= 1:
        raise ValueError(f"norm needs a p of 1 or more (math.inf is one), not {p}")
    sizes = np.abs(a)
    if p == math.inf:
        return float(sizes.max(initial=0.0))
    return float((sizes**p).sum() ** (1 / p))


def cosine_similarity(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """The cosine of the angle between two vectors, dot(a, b) / (norm(a) norm(b)): from -1 to 1.

    Raises ValueError, naming both shapes, unless both are vectors of one length; and for a zero
    vector (or an empty one), where NumPy by itself would return NaN with a warning: the message
    says whether it is the first or the second.
    """
    product = dot(a, b)
    length_a, length_b = norm(a), norm(b)
    if length_a == 0 or length_b == 0:
        raise ValueError(
            "cosine_similarity needs two vectors with a direction, but "
            f"the {'first' if length_a == 0 else 'second'} is the zero vector"
        )
    return product / (length_a * length_b)


def transpose(a: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "n m"]:
    """Rows become columns: (m, n) to (n, m). No number is moved: the result is a view of `a`.

    Raises ValueError, naming the shape, for anything but a matrix: NumPy's own transpose of a
    vector is that same vector, not a column.
    """
    if a.ndim != 2:
        raise ValueError(f"transpose needs a matrix, not the shape {a.shape}")
    return a.T  # (n, m)


def matvec(a: Float[np.ndarray, "m n"], x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Matrix times vector, (m, n) and (n,) to (m,): the dot product of every row of `a` with `x`.

    Raises ValueError, naming both shapes, where they are not these.
    """
    if a.ndim != 2 or x.ndim != 1 or a.shape[1] != len(x):
        raise ValueError(f"matvec needs shapes (m, n) and (n,), not {a.shape} and {x.shape}")
    return a @ x  # (m,)


def matmul(a: Float[np.ndarray, "m n"], b: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "m p"]:
    """Matrix times matrix, (m, n) and (n, p) to (m, p): every row of `a` with every column of `b`.

    Raises ValueError, naming both shapes, where they are not these.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != len(b):
        raise ValueError(f"matmul needs shapes (m, n) and (n, p), not {a.shape} and {b.shape}")
    return a @ b  # (m, p)


def add_bias(
    x: Float[np.ndarray, "n d"], bias: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "n d"]:
    """Add the same bias to every row: y[i][j] = x[i][j] + bias[j], in a new array.

    Raises ValueError, naming both shapes, where they are not (n, d) and (d,), also where
    broadcasting alone would find a way: (1,), or (n, 1), or (n, d).
    """
    if x.ndim != 2 or bias.shape != x.shape[1:]:
        raise ValueError(f"add_bias needs shapes (n, d) and (d,), not {x.shape} and {bias.shape}")
    return x + bias  # (n, d)


def standardize(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Give every column mean 0 and variance 1: (x - mean) / sqrt(variance), in a new array.

    The variance is the mean of the squared differences, divided by n and not by n - 1. Raises
    ValueError for anything but a matrix, naming its shape; and for a column that has one value in
    every row, naming the column: its variance is 0. (So a single row, or none, is refused.)
    """
    if x.ndim != 2:
        raise ValueError(f"standardize needs a matrix (n, d), not the shape {x.shape}")
    # Compared as numbers: the variance of a constant column may come out as 1e-34 instead of 0.
    constant = (x == x[:1]).all(axis=0)  # (d,)
    if constant.any():
        raise ValueError(
            f"standardize needs columns that vary, but column {constant.argmax()} has one value in "
            f"all rows of the shape {x.shape}: leave it out"
        )
    centred = x - x.mean(axis=0)  # (n, d) - (d,)
    return centred / np.sqrt((centred**2).mean(axis=0))  # (n, d) / (d,)


def pairwise_distances(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """The distance of every row of `x` to every row of `y`: norm(x[i] - y[j]) at [i][j].

    From the differences themselves, so that equal points have the distance 0 exactly. (The shorter
    way by |x|^2 + |y|^2 - 2 x.y subtracts large numbers that are nearly equal, and loses most
    digits of a small distance.) Raises ValueError, naming both shapes, where they are not (n, d)
    and (m, d).
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"pairwise_distances needs shapes (n, d) and (m, d), not {x.shape} and {y.shape}"
        )
    differences = x[:, None, :] - y[None, :, :]  # (n, m, d)
    return np.sqrt((differences**2).sum(axis=-1))  # (n, m)
