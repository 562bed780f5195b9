"""Softmax, from scores to probabilities, and cross-entropy, the loss of a classifier.

Each has a naive form, the formula as it stands in a book, and one that survives large scores. With
scores (*logits*) z, a temperature T and the right class t:

    softmax             p_i = exp(z_i / T) / sum_j exp(z_j / T)
    log-softmax         log p_i = z_i - log sum_j exp(z_j)          (T = 1)
    cross-entropy       -log p_t, in nats

The naive softmax overflows: exp(710) is beyond float64, exp(89) beyond float32, and inf / inf is
nan. Adding one number to all scores does not change p, so the stable form takes the largest away
first: every exponent is then 0 or less, and the one that is 0 keeps the sum at 1 or more. The naive
cross-entropy takes the logarithm of a probability that may have been rounded to 0, and is infinite;
from the logits, log p_t is computed without ever being a probability.

A score of -inf (a masked one) is allowed and gets the probability 0; where all scores are -inf no
outcome is left, which is a ValueError. A nan makes the probabilities beside it nan, in NumPy's way.
Arrays keep their dtype; whole numbers are taken as float64. No argument is changed, a loss of zero
is 0.0 and not -0.0, and nothing here makes NumPy warn (the tests take a warning for an error).

Left out: gradients (phase 1 derives them) and a temperature for log-softmax (divide the scores).
Shape letters: B batch, V classes (later: the vocabulary); ... any shape, also none.
"""

import math

import numpy as np
from jaxtyping import Float, Int


def softmax_naive(logits: Float[np.ndarray, "... V"]) -> Float[np.ndarray, "... V"]:
    """Probabilities over the last axis by the formula as it stands: exp(z_i) / sum_j exp(z_j).

    Its failure is the lesson, so it is let through without a warning: nan where the scores are so
    large that exp overflows (inf / inf), or all so low that every exp is 0 (0 / 0).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        exponentials = np.exp(_as_floats(logits))
        return exponentials / np.sum(exponentials, axis=-1, keepdims=True)


def softmax(
    logits: Float[np.ndarray, "..."], temperature: float = 1.0, axis: int = -1
) -> Float[np.ndarray, "..."]:
    """Probabilities along `axis`, of the logits' shape and dtype, without overflow.

        p_i = exp((z_i - max z) / T) / sum_j exp((z_j - max z) / T)

    A temperature T near 0 gives all to the largest score (equal ones share), a large one makes
    all outcomes alike. Raises ValueError for a temperature that is not above 0 and finite (in the
    logits' dtype), naming it; where a row of logits is all -inf; and where `axis` is none of the
    logits' or has no score.
    """
    logits = _as_floats(logits)
    # In the logits' dtype: dividing by a float64 scalar would turn float32 into float64.
    divisor = logits.dtype.type(temperature)
    if not 0 < divisor < math.inf:
        raise ValueError(
            f"the temperature must be above 0 and finite in {logits.dtype}, not {temperature}"
        )
    shifted = _below_the_largest(logits, axis)
    with np.errstate(over="ignore"):  # a low score over a tiny T goes to -inf: probability 0
        exponentials = np.exp(shifted / divisor)
    return exponentials / np.sum(exponentials, axis=axis, keepdims=True)


def log_softmax(logits: Float[np.ndarray, "..."], axis: int = -1) -> Float[np.ndarray, "..."]:
    """Log probabilities along `axis`, in nats, of the logits' shape and dtype.

        log p_i = (z_i - max z) - log sum_j exp(z_j - max z)

    Not log(softmax(z)), which is -inf as soon as a probability is rounded to 0. Raises ValueError
    where a row of logits is all -inf, and where `axis` has no score.
    """
    shifted = _below_the_largest(_as_floats(logits), axis)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def cross_entropy_naive(probabilities: Float[np.ndarray, " V"], target: int) -> float:
    """-log p[target] in nats, from probabilities: infinite, without a warning, where that is 0.

    `target` is the index of the right class. Raises as `cross_entropy` does.
    """
    _check_targets(probabilities, target, n_axes=1)
    with np.errstate(divide="ignore"):
        return 0.0 - float(np.log(probabilities[target]))  # -x would be -0.0 for a certain class


def cross_entropy(logits: Float[np.ndarray, " V"], target: int) -> float:
    """The loss of one example in nats, from its logits: -log softmax(logits)[target].

    Large but finite for finite logits, however wrong; infinite only where the right class has the
    logit -inf. Raises TypeError for a target that is no integer, and ValueError, naming the target
    and the number of classes, for one that is no index from 0 to V - 1 (-1 does not mean the last),
    and for logits that are not the scores of one example.
    """
    _check_targets(logits, target, n_axes=1)
    return 0.0 - float(log_softmax(logits)[target])


def cross_entropy_batch(logits: Float[np.ndarray, "B V"], targets: Int[np.ndarray, " B"]) -> float:
    """The mean of the examples' losses in nats: row b of the logits has the class targets[b].

    Raises TypeError for targets that are no integers, and ValueError as `cross_entropy` does, for
    an empty batch, and, naming both shapes, for logits and targets that do not fit.
    """
    _check_targets(logits, targets, n_axes=2)
    rows = np.arange(len(targets))  # one entry of every row: (B,)
    return 0.0 - float(np.mean(log_softmax(logits)[rows, targets]))


def _as_floats(values: np.ndarray) -> np.ndarray:
    """The array itself if its dtype is a floating one, else in float64."""
    return values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float64)


def _below_the_largest(logits: np.ndarray, axis: int) -> np.ndarray:
    """The logits less the largest along `axis`: all 0 or below, so that exp cannot overflow."""
    if not -logits.ndim <= axis < logits.ndim or logits.shape[axis] == 0:
        raise ValueError(
            f"softmax over axis {axis} needs at least one score there, and the logits have the "
            f"shape {logits.shape}"
        )
    largest = np.max(logits, axis=axis, keepdims=True)
    if np.isneginf(largest).any():
        raise ValueError(
            "every score of a row is -inf, so no outcome is left to give a probability to: "
            "leave at least one unmasked"
        )
    return logits - largest


def _check_targets(scores: np.ndarray, targets: np.ndarray | int, n_axes: int) -> None:
    """Refuse what NumPy's indexing would take in another sense: (B, 1), floats, negatives."""
    shape, targets = np.shape(scores), np.asarray(targets)
    if len(shape) != n_axes or shape[:-1] != targets.shape or 0 in shape:
        raise ValueError(
            "cross_entropy takes scores of shape (V,) and one target, cross_entropy_batch scores "
            "of shape (B, V) and targets of shape (B,), none of them empty; got scores of shape "
            f"{shape} and targets of shape {targets.shape}"
        )
    if not np.issubdtype(targets.dtype, np.integer):
        raise TypeError(f"a target is the index of a class, an integer, not {targets.dtype}")
    n_classes = shape[-1]
    outside = targets[(targets < 0) | (targets >= n_classes)]
    if outside.size:
        raise ValueError(f"target {outside[0]} is no class: there are {n_classes}, counted from 0")
