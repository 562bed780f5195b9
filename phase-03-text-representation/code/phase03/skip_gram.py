"""Skip-gram: a word is the input, and each of its neighbours an output, one at a time.

There are two forms of the same loss. `skip_gram_forward` takes a list of pairs, each with K
negatives of its own, as Mikolov et al. (2013b) write it. `skip_gram_block` takes a block of the
text, some chunks of L positions that follow one another, and is what `phase03.word2vec` trains
with: in a chunk all words meet all words of the chunk and of `window` positions on both sides in
one matrix product, and weights say which of the products are pairs.

Paper and our code. The negatives of a chunk are *shared*: S of them serve all its pairs, each with
a weight that makes them count as much as K for every pair would. The expected gradient is the same;
those of neighbouring pairs are no longer independent. (Ji et al. 2016, "Parallelizing Word2Vec in
Multi-Core and Many-Core Architectures", share negatives to the same end.) A negative that happens
to be the true neighbour is not drawn again.

Shapes: V words, C width of a vector, P pairs, K negatives of a pair; in a block B chunks, L
positions of a chunk, W = L + 2 * window positions around it, S shared negatives.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, Int64

from phase01.losses import Number
from phase03.negative_sampling import negative_sampling_backward, negative_sampling_forward

Rows = dict[str, tuple[np.ndarray, np.ndarray]]  # name: ids of rows, and the gradient of each


class Block(NamedTuple):
    """A block of text: B chunks of L positions, and what stands around them."""

    words: Int32[np.ndarray, "B W"]
    """ids of each chunk and of `window` positions before and after it; -1 beyond the text's ends"""
    mask: Bool[np.ndarray, "B L W"]
    """which of them are in the window of each position"""
    negatives: Int64[np.ndarray, "B S"]
    """the ids of the shared negatives"""


def skip_gram_forward(
    centers: Float[np.ndarray, "P C"],
    contexts: Float[np.ndarray, "P C"],
    negatives: Float[np.ndarray, "P K C"],
) -> tuple[float, Any]:
    """The mean loss of P pairs in nats, each with K negatives of its own.

    `centers` are input vectors, the two others output vectors.
    """
    outputs = np.concatenate([contexts[:, np.newaxis], negatives], axis=1)  # (P, 1 + K, C)
    true = np.zeros((len(centers), 1, outputs.shape[1]), centers.dtype)  # (P, 1, 1 + K)
    true[..., 0] = 1
    total, cache = negative_sampling_forward(centers[:, np.newaxis], outputs, true, 1 - true)
    return total / len(centers), cache


def skip_gram_backward(
    dloss: Number, cache: Any
) -> tuple[
    Float[np.ndarray, "P C"],
    Float[np.ndarray, "P C"],
    Float[np.ndarray, "P K C"],
]:
    """The gradients (dcenters, dcontexts, dnegatives) of a mean over P pairs."""
    n_pairs = len(cache[0])
    dinputs, doutputs = negative_sampling_backward(float(dloss) / n_pairs, cache)
    return dinputs[:, 0], doutputs[:, 0], doutputs[:, 1:]


def skip_gram_block(
    params: dict[str, np.ndarray], block: Block, n_negatives: int
) -> tuple[float, int, Rows]:
    """The sum of the losses of all skip-gram pairs of a block, their number, and the gradients.

    The gradients are (ids, rows) for each parameter: an id may come more than once.
    """
    words, mask, negatives = block
    n_window, n_shared = words.shape[1], negatives.shape[1]
    length = mask.shape[1]
    window = (n_window - length) // 2
    centers = words[:, window : window + length].clip(0)  # (B, L)
    others = np.concatenate([words.clip(0), negatives], axis=1)  # (B, W + S)
    inputs, outputs = params["input.weight"][centers], params["output.weight"][others]
    true = np.zeros((*mask.shape[:2], n_window + n_shared), inputs.dtype)  # (B, L, W + S)
    drawn = np.zeros_like(true)
    true[..., :n_window] = mask
    n_pairs = mask.sum(axis=-1, keepdims=True)  # (B, L, 1)
    drawn[..., n_window:] = n_pairs * (n_negatives / n_shared)
    loss, cache = negative_sampling_forward(inputs, outputs, true, drawn)
    dinputs, doutputs = negative_sampling_backward(1.0, cache)  # (B, L, C), (B, W + S, C)
    rows = {"input.weight": (centers, dinputs), "output.weight": (others, doutputs)}
    return loss, int(n_pairs.sum()), rows
