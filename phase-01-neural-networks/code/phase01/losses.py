"""Losses with their gradients: mean squared error, and cross-entropy for two and for many classes.

A loss turns a batch of outputs and the right answers into one number, the mean over the batch, and
backward starts here. Both cross-entropies take the scores (*logits*) and not probabilities: the
logarithm then never meets a rounded 0, and the gradient becomes the plainest there is,

    mean squared error        L = mean (y - t)^2                        dL/dy = 2 (y - t) / N
    binary cross-entropy      L = mean -[t log p + (1 - t) log(1 - p)]  dL/dz = (p - t) / N
    categorical               L = mean -log p_t                         dL/dz = (p - onehot(t)) / N

with p = sigmoid(z) in the second and p = softmax(z) in the third. N counts what the mean is taken
over: the elements in the first two, the examples in the third.

A loss is a Python float, in nats for the cross-entropies; gradients have the dtype of the outputs.
`dloss` is the gradient of what follows with respect to the loss: 1.0 where nothing follows.

Left out: class weights, ignored targets, label smoothing, sums instead of means.
Shapes: *shape any; *batch any leading axes (B, or B and T); V classes.
"""

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from phase00.probability import log_softmax
from phase01.activations import sigmoid_forward

Number = float | np.floating | Float[np.ndarray, ""]
Labels = Float[np.ndarray, "*shape"] | Integer[np.ndarray, "*shape"] | Bool[np.ndarray, "*shape"]


def mse_forward(
    prediction: Float[np.ndarray, "*shape"], target: Float[np.ndarray, "*shape"]
) -> tuple[float, tuple]:
    """The mean squared error over all elements, mean (y - t)^2, and the cache.

    Raises ValueError, naming both shapes, where they differ ((B, 1) minus (B,) would broadcast to
    (B, B) without a word) or where there is no element.
    """
    _check_alike(prediction, target)
    difference = prediction - np.asarray(target, prediction.dtype)
    return float(np.mean(difference**2)), (difference,)


def mse_backward(dloss: Number, cache: tuple) -> Float[np.ndarray, "..."]:
    """The gradient of the predictions, dloss * 2 (y - t) / N, in their shape."""
    (difference,) = cache
    return difference * (2 * float(dloss) / difference.size)


def binary_cross_entropy_forward(
    logits: Float[np.ndarray, "*shape"], targets: Labels
) -> tuple[float, tuple]:
    """The mean loss in nats of yes-or-no answers, from their logits, and the cache.

        L = mean of  max(z, 0) - z t + log(1 + exp(-|z|))

    This is -[t log p + (1 - t) log(1 - p)] with p = sigmoid(z), rearranged so that no exponent is
    above 0. `targets` are 0 or 1 (also as booleans), or probabilities between. Raises ValueError,
    naming both shapes, where they differ, or where there is no element; and for a target outside 0
    to 1, naming it.
    """
    _check_alike(logits, targets)
    outside = targets[~((targets >= 0) & (targets <= 1))]  # nan is outside too
    if outside.size:
        raise ValueError(
            f"a target of binary_cross_entropy lies from 0 (no) to 1 (yes), not {outside[0]}"
        )
    targets = np.asarray(targets, logits.dtype)
    losses = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return float(np.mean(losses)), (logits, targets)


def binary_cross_entropy_backward(dloss: Number, cache: tuple) -> Float[np.ndarray, "..."]:
    """The gradient of the logits, dloss * (sigmoid(z) - t) / N.

    With dp/dz = p (1 - p): dL/dz = [-t / p + (1 - t) / (1 - p)] p (1 - p) = p - t.
    """
    logits, targets = cache
    probabilities, _ = sigmoid_forward(logits)
    return (probabilities - targets) * (float(dloss) / logits.size)


def cross_entropy_forward(
    logits: Float[np.ndarray, "*batch V"], targets: Integer[np.ndarray, "*batch"]
) -> tuple[float, tuple]:
    """The mean loss in nats of a choice among V classes, from their logits, and the cache.

        L = mean of  -log softmax(z)_t

    `targets` holds the index of each example's class. A logit of -inf rules its class out. Raises
    TypeError, naming the dtype, for targets that are no integers; ValueError, naming both shapes,
    where they do not fit or are empty; for a target that is no class from 0 to V - 1, naming it;
    and where all logits of an example are -inf.
    """
    if logits.ndim == 0 or logits.shape[:-1] != targets.shape or logits.size == 0:
        raise ValueError(
            "cross_entropy takes logits of shape (..., V) and targets of shape (...), none of them "
            f"empty; got logits of shape {logits.shape} and targets of shape {targets.shape}"
        )
    if not np.issubdtype(targets.dtype, np.integer):
        raise TypeError(f"a target is the index of a class, an integer, not {targets.dtype}")
    n_classes = logits.shape[-1]
    outside = targets[(targets < 0) | (targets >= n_classes)]
    if outside.size:
        raise ValueError(f"target {outside[0]} is no class: there are {n_classes}, counted from 0")
    log_probabilities = log_softmax(logits)  # (..., V)
    right = np.take_along_axis(log_probabilities, targets[..., None], axis=-1)  # (..., 1)
    return 0.0 - float(np.mean(right)), (log_probabilities, targets)  # -x would make -0.0 of 0


def cross_entropy_backward(dloss: Number, cache: tuple) -> Float[np.ndarray, "*batch V"]:
    """The gradient of the logits, dloss * (softmax(z) - onehot(t)) / N.

    -log p_t = log sum_j exp(z_j) - z_t. The first term has the derivative p_i, the second takes 1
    away where i = t.
    """
    log_probabilities, targets = cache
    dlogits = np.exp(log_probabilities)  # (..., V)
    index = targets[..., None]  # (..., 1), one place in every row, so none is met twice
    right = np.take_along_axis(dlogits, index, axis=-1)  # (..., 1)
    np.put_along_axis(dlogits, index, right - 1, axis=-1)
    dlogits *= float(dloss) / targets.size
    return dlogits


def _check_alike(outputs: Shaped[np.ndarray, "..."], targets: Shaped[np.ndarray, "..."]) -> None:
    """ValueError unless outputs and targets have one shape, with something in it."""
    if outputs.shape != targets.shape or outputs.size == 0:
        raise ValueError(
            "outputs and targets need one shape, with at least one element, not "
            f"{outputs.shape} and {targets.shape}"
        )
