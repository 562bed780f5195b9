"""A task that one glance cannot solve: two digits to be fetched from two places, by one query.

Each position has a letter and a digit. The first half of a sequence holds every letter once, in a
random order, and so does the second half; the digits are random.

    a3 c0 b5 | b1 a4 c2         asked at a4: 1, the digit before it; and 3, the digit of the other a

Each position of the second half asks for both. The one look-up goes by place (one to the left), the
other by content (the same letter), and both from the same position. A strict causal mask lets a
position see what came before it and not itself, which carries its own letter too.

One softmax makes one mixture. If it takes from both places, their digits arrive added up, and a
linear layer cannot tell which came from where, unless the weights hint at it because they depend
on the digits themselves. Two heads keep them apart.

What a layer gets is not learned here: the letter, digit and position of a place, each as a one and
zeros elsewhere, side by side. So all that is learned is in the attention and the layer behind it.

Shapes: B batch, K letters, T = 2K positions, V digits, C = 3K + V width of a position, A answers to
each query (1 or 2), D width of what the attention gives.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from phase01.linear import linear_backward, linear_forward
from phase01.losses import cross_entropy_backward, cross_entropy_forward
from phase02.recurrent import Gradients, Parameters

PREVIOUS, MATCHING = 0, 1  # the two digits that are asked for, in this order


class LookupBatch(NamedTuple):
    """Sequences, what a layer sees of them, and where the answers stand."""

    letters: Int64[np.ndarray, "B T"]
    digits: Int64[np.ndarray, "B T"]
    x: Float32[np.ndarray, "B T C"]
    places: Int64[np.ndarray, "B K 2"]
    """for each position of the second half: that before it, that of the same letter"""
    answers: Int64[np.ndarray, "B K 2"]
    """the digits at these places"""


def lookup_batch(
    rng: np.random.Generator, n_batch: int, n_letters: int, n_digits: int
) -> LookupBatch:
    """Random sequences and their answers. Raises ValueError unless each count is at least 1."""
    if min(n_batch, n_letters, n_digits) < 1:
        raise ValueError(
            "a batch needs at least one sequence, letter and digit, got "
            f"{n_batch}, {n_letters} and {n_digits}"
        )
    order = np.tile(np.arange(n_letters), (2 * n_batch, 1))  # (2B, K)
    letters = rng.permuted(order, axis=1).reshape(n_batch, 2 * n_letters)  # (B, T)
    digits = rng.integers(0, n_digits, letters.shape)  # (B, T)
    first, second = letters[:, :n_letters], letters[:, n_letters:]  # (B, K) each
    before = np.broadcast_to(np.arange(n_letters) + n_letters - 1, second.shape)  # (B, K)
    # Where each letter stands in the first half, taken in the order of the second.
    same = np.take_along_axis(np.argsort(first, axis=1), second, axis=1)  # (B, K)
    places = np.stack([before, same], axis=-1)  # (B, K, 2)
    answers = np.take_along_axis(digits[:, :, np.newaxis], places, axis=1)  # (B, K, 2)
    positions = np.broadcast_to(np.arange(2 * n_letters), letters.shape)  # (B, T)
    parts = ((letters, n_letters), (digits, n_digits), (positions, 2 * n_letters))
    ones = [np.eye(n, dtype=np.float32)[ids] for ids, n in parts]  # (B, T, K), V, T
    return LookupBatch(letters, digits, np.concatenate(ones, axis=-1), places, answers)


def earlier_only(n_letters: int) -> Bool[np.ndarray, "T T"]:
    """True where the key stands before the query: a causal mask without the own position."""
    return np.tri(2 * n_letters, k=-1, dtype=bool)  # (T, T)


# ---- the layer behind the attention ------------------------------------------------------


def answer_parameters(d_input: int, n_scores: int, rng: np.random.Generator) -> Gradients:
    """`output.weight` (A V, D), `output.bias` (A V,): uniform between -1/sqrt(D) and 1/sqrt(D)."""
    limit = 1 / math.sqrt(d_input)
    shapes = {"output.weight": (n_scores, d_input), "output.bias": (n_scores,)}
    return {
        name: rng.uniform(-limit, limit, shape).astype(np.float32) for name, shape in shapes.items()
    }


def answer_forward(
    params: Parameters, y: Float[np.ndarray, "B T D"], answers: Int64[np.ndarray, "B K A"]
) -> tuple[tuple[float, Int64[np.ndarray, "B K A"]], Any]:
    """The mean loss in nats and the digits that score highest, ((loss, guesses), cache).

    Only the second half of the positions is asked.
    """
    n_letters = answers.shape[1]
    asked = y[:, n_letters:]  # (B, K, D)
    logits, output_cache = linear_forward(asked, params["output.weight"], params["output.bias"])
    logits = logits.reshape(*answers.shape, -1)  # (B, K, A, V)
    loss, loss_cache = cross_entropy_forward(logits, answers)
    return (loss, np.argmax(logits, axis=-1)), (output_cache, loss_cache)


def answer_backward(cache: Any) -> tuple[Float[np.ndarray, "B T D"], Gradients]:
    """The gradients (dy, grads) of the loss; dy is zero in the first half, which is not asked."""
    output_cache, loss_cache = cache
    dlogits = cross_entropy_backward(1.0, loss_cache)  # (B, K, A, V)
    flat = dlogits.reshape(*dlogits.shape[:2], -1)  # (B, K, A V)
    dasked, dweight, dbias = linear_backward(flat, output_cache)  # (B, K, D)
    dy = np.concatenate([np.zeros_like(dasked), dasked], axis=1)  # (B, T, D)
    return dy, {"output.weight": dweight, "output.bias": dbias}
