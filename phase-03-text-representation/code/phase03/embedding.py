"""The embedding: a learned row of numbers for each token, and its use as an output layer.

A one-hot vector has a 1 at the token's place and 0 elsewhere. Times the weight, it picks one row:

    ids  2 0 2        one-hot  0 0 1        weight  w0        y  w2
                               1 0 0                w1           w0
                               0 0 1                w2           w2

So y = one_hot(ids) @ weight, and a lookup gives the same without the product. The gradient is the
one of that product, dweight = one_hot^T dy: row v is the sum of dy over all places where the id
is v. Row 2 above gets the dy of both its places, row 1 gets zero. `dweight[ids] += dy` would be
wrong: NumPy reads the old row for both places, and the second result overwrites the first.

Used the other way round, the same weight makes logits from vectors, one dot product for each token:
logits = x weight^T, a linear layer without a bias. A model that uses one weight for both is "tied",
and its gradient is the sum of both, dweight of the embedding plus dweight of the unembedding.

Left out: a row that is never trained (padding), and gradients that hold the used rows only.
Shapes: ... any leading axes (batch, time), V vocabulary, C width of the vectors.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Integer


def embedding_weight(
    vocab_size: int,
    d_model: int,
    rng: np.random.Generator,
    deviation: float = 1.0,
    dtype: Any = np.float32,
) -> Float[np.ndarray, "V C"]:
    """A random weight: normal numbers of mean 0 and this standard deviation.

    1 is what `torch.nn.Embedding` begins with; a tied weight wants d_model^-0.5, so that the first
    logits are about as large as the numbers in x. Raises ValueError where a size is below 1.
    """
    if vocab_size < 1 or d_model < 1:
        raise ValueError(f"vocab_size and d_model are 1 or more, not {vocab_size} and {d_model}")
    return (deviation * rng.standard_normal((vocab_size, d_model))).astype(dtype)  # (V, C)


def one_hot(
    ids: Integer[np.ndarray, "*batch"], vocab_size: int, dtype: Any = np.float32
) -> Float[np.ndarray, "*batch V"]:
    """A 1 at each id's place and 0 elsewhere. Raises ValueError for an id that is no place."""
    _check_ids(ids, vocab_size)
    vectors = np.zeros((ids.size, vocab_size), dtype)
    vectors[np.arange(ids.size), ids.ravel()] = 1
    return vectors.reshape(*ids.shape, vocab_size)  # (..., V)


def embedding_forward(
    ids: Integer[np.ndarray, "*batch"], weight: Float[np.ndarray, "V C"]
) -> tuple[Float[np.ndarray, "*batch C"], Any]:
    """The row of each id, y = one_hot(ids) weight, and the cache for the backward.

    Raises ValueError for an id without a row; a negative one does not count from the end.
    """
    _check_ids(ids, len(weight))
    return weight[ids], (ids, weight.shape)  # (..., C)


def embedding_backward(dy: Float[np.ndarray, "*batch C"], cache: Any) -> Float[np.ndarray, "V C"]:
    """The weight's gradient: row v is the sum of dy over the places of id v, in dy's dtype.

    `np.add.at` adds up repeated places. It is given the place of each single number in the flat
    weight, since NumPy has a fast path for numbers but none for rows (`phase03.compare_lookup`).
    """
    ids, (vocab_size, d_model) = cache
    rows = ids.astype(np.int64)[..., np.newaxis] * d_model  # (..., 1)
    places = rows + np.arange(d_model)  # (..., C)
    dweight = np.zeros(vocab_size * d_model, dy.dtype)
    np.add.at(dweight, places.ravel(), dy.ravel())
    return dweight.reshape(vocab_size, d_model)  # (V, C)


def unembedding_forward(
    x: Float[np.ndarray, "*batch C"], weight: Float[np.ndarray, "V C"]
) -> tuple[Float[np.ndarray, "*batch V"], Any]:
    """The logits x weight^T, each vector's dot product with each token's row, and the cache."""
    vocab_size, d_model = weight.shape
    logits = x.reshape(-1, d_model) @ weight.T  # (n, V)
    return logits.reshape(*x.shape[:-1], vocab_size), (x, weight)  # (..., V)


def unembedding_backward(
    dlogits: Float[np.ndarray, "*batch V"], cache: Any
) -> tuple[Float[np.ndarray, "*batch C"], Float[np.ndarray, "V C"]]:
    """The gradients (dx, dweight): those of a linear layer without a bias (`phase01.linear`)."""
    x, weight = cache
    vocab_size, d_model = weight.shape
    rows = dlogits.reshape(-1, vocab_size)  # (n, V)
    dx = rows @ weight  # (n, C)
    dweight = rows.T @ x.reshape(-1, d_model)  # (V, C)
    return dx.reshape(x.shape), dweight  # (..., C), (V, C)


def _check_ids(ids: Integer[np.ndarray, "*batch"], vocab_size: int) -> None:
    outside = ids[(ids < 0) | (ids >= vocab_size)]
    if outside.size:
        raise ValueError(
            f"id {outside.flat[0]} is no token: there are {vocab_size}, from 0 to {vocab_size - 1}"
        )
