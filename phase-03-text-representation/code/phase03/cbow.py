"""CBOW, a continuous bag of words: the mean of the neighbours is the input, the word the output.

The counterpart of `phase03.skip_gram`, with the same two forms: a list of P words with K negatives
each, and a block of the text in which the negatives of a chunk are shared. There is one prediction
for each position and not one for each pair, so a pass over the text is cheaper.

Paper and our code. CBOW's gradient here is that of the mean: each of n neighbours gets 1/n of it.
The program word2vec.c takes the mean too, but gives the whole to each, which is n times the
gradient of the loss; so ours needs a larger learning rate to learn as fast.

Shapes: V words, C width of a vector, P words to be told, K negatives of each; in a block B chunks,
L positions of a chunk, W = L + 2 * window positions around it, S shared negatives. In a list W is
the number of places for neighbours.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from phase01.losses import Number
from phase03.negative_sampling import negative_sampling_backward, negative_sampling_forward
from phase03.skip_gram import Block, Rows, skip_gram_backward, skip_gram_forward


def cbow_forward(
    contexts: Float[np.ndarray, "P W C"],
    mask: Bool[np.ndarray, "P W"],
    centers: Float[np.ndarray, "P C"],
    negatives: Float[np.ndarray, "P K C"],
) -> tuple[float, Any]:
    """The mean loss of P words, each to be told from K negatives by the mean of its neighbours.

    `contexts` are input vectors, of which those count where the mask is True, at least one for each
    word; the two others are output vectors.
    """
    average = _averages(mask[:, np.newaxis], contexts.dtype)  # (P, 1, W)
    means = average @ contexts  # (P, 1, C)
    loss, cache = skip_gram_forward(means[:, 0], centers, negatives)
    return loss, (average, cache)


def cbow_backward(
    dloss: Number, cache: Any
) -> tuple[
    Float[np.ndarray, "P W C"],
    Float[np.ndarray, "P C"],
    Float[np.ndarray, "P K C"],
]:
    """The gradients (dcontexts, dcenters, dnegatives); dcontexts is 0 where the mask is False."""
    average, cache = cache
    dmeans, dcenters, dnegatives = skip_gram_backward(dloss, cache)
    dcontexts = average.swapaxes(-1, -2) * dmeans[:, np.newaxis]  # (P, W, C)
    return dcontexts, dcenters, dnegatives


def _averages(mask: Bool[np.ndarray, "*B L W"], dtype: Any) -> Float[np.ndarray, "*B L W"]:
    """The matrix that takes the mean over what the mask lets count; zeros where it lets nothing."""
    counts = mask.sum(axis=-1, keepdims=True, dtype=dtype)  # (..., L, 1)
    return mask / np.maximum(counts, 1)


def cbow_block(
    params: dict[str, np.ndarray], block: Block, n_negatives: int
) -> tuple[float, int, Rows]:
    """The sum of the losses of all words of a block that have neighbours, their number, and the
    gradients as in `skip_gram_block`."""
    words, mask, negatives = block
    length, n_shared = mask.shape[1], negatives.shape[1]
    window = (words.shape[1] - length) // 2
    around = words.clip(0)  # (B, W)
    others = np.concatenate([around[:, window : window + length], negatives], axis=1)  # (B, L + S)
    vectors, outputs = params["input.weight"][around], params["output.weight"][others]
    average = _averages(mask, vectors.dtype)  # (B, L, W)
    means = average @ vectors  # (B, L, C)
    asked = mask.any(axis=-1, keepdims=True)  # (B, L, 1)
    true = np.zeros((*mask.shape[:2], length + n_shared), vectors.dtype)  # (B, L, L + S)
    drawn = np.zeros_like(true)
    true[..., :length] = asked * np.eye(length)  # each mean belongs to its own word
    drawn[..., length:] = asked * (n_negatives / n_shared)
    loss, cache = negative_sampling_forward(means, outputs, true, drawn)
    dmeans, doutputs = negative_sampling_backward(1.0, cache)  # (B, L, C), (B, L + S, C)
    dvectors = average.swapaxes(-1, -2) @ dmeans  # (B, W, C)
    rows = {"input.weight": (around, dvectors), "output.weight": (others, doutputs)}
    return loss, int(asked.sum()), rows
