"""Cross-entropy with label smoothing: the target is not quite certain.

    q_j = (1 - s) [j = t] + s / V               a share s is spread evenly over all V classes
    L   = mean of  - sum_j q_j log softmax(z)_j

(Szegedy et al., 2016, section 7.) The right class is one of the V, so it keeps 1 - s + s / V.
That is also how `torch.nn.functional.cross_entropy(label_smoothing=s)` counts; spreading s over the
V - 1 others is another loss. Vaswani et al. (2017, section 5.4) train with s = 0.1 and cite that
paper; they note that perplexity gets worse by it while accuracy and BLEU get better. With s = 0 it
is `phase01.losses.cross_entropy_forward`.

The loss cannot become 0: at best softmax(z) = q, and the entropy of q remains (`least_loss`).

Left out: positions that do not count (the transformer takes them out before), class weights.
Shapes: *batch any leading axes, V classes, N examples.
"""

import math

import numpy as np
from jaxtyping import Float, Integer

Number = float | np.floating | Float[np.ndarray, ""]


def smoothed_cross_entropy_forward(
    logits: Float[np.ndarray, "*batch V"],
    targets: Integer[np.ndarray, "*batch"],
    smoothing: float = 0.0,
) -> tuple[float, tuple]:
    """The mean loss in nats over all examples, and the cache.

    With log softmax(z)_j = z_j - m - log sum exp(z - m), m the largest, it is a sum of two terms:
    (1 - s) times that of the right class, and s times the mean of all. Logits are finite numbers.

    Raises ValueError unless 0 <= smoothing <= 1, with the value; naming both shapes, where they do
    not fit or are empty; and for a target that is no class from 0 to V - 1, naming it.
    """
    _check(logits, targets, smoothing)
    exps = logits - logits.max(axis=-1, keepdims=True)  # (..., V)
    right = np.take_along_axis(exps, targets[..., np.newaxis], axis=-1)[..., 0]  # (...)
    wanted = (1 - smoothing) * right  # (...), sum_j q_j z_j
    if smoothing:
        wanted += smoothing * exps.mean(axis=-1)
    np.exp(exps, out=exps)  # one array of this size, and no other
    total = exps.sum(axis=-1)  # (...)
    loss = float(np.mean(np.log(total) - wanted))
    exps /= total[..., np.newaxis]  # (..., V), now probabilities
    return loss, (exps, targets, smoothing)


def smoothed_cross_entropy_backward(dloss: Number, cache: tuple) -> Float[np.ndarray, "*batch V"]:
    """The gradient of the logits, dloss (softmax(z) - q) / N.

    L = log sum_j exp(z_j) - sum_j q_j z_j, since the q_j add up to 1. The derivative of the first
    term is softmax(z)_i, that of the second q_i.
    """
    probabilities, targets, smoothing = cache
    n_classes = probabilities.shape[-1]
    share = float(dloss) / targets.size
    dlogits = probabilities * share  # (..., V)
    if smoothing:
        dlogits -= share * smoothing / n_classes
    rows = dlogits.reshape(-1, n_classes)  # (N, V), a view
    # One place in every row, so none is met twice.
    rows[np.arange(len(rows)), targets.reshape(-1)] -= share * (1 - smoothing)
    return dlogits


def least_loss(n_classes: int, smoothing: float) -> float:
    """The least loss that there can be, in nats: the entropy of the smoothed target.

    Raises ValueError for fewer than one class, and unless 0 <= smoothing <= 1.
    """
    if n_classes < 1 or not 0 <= smoothing <= 1:
        raise ValueError(
            f"expected 1 class or more and a smoothing from 0 to 1, got {n_classes} and {smoothing}"
        )
    other = smoothing / n_classes
    right = 1 - smoothing + other
    counts = ((right, 1), (other, n_classes - 1))
    return sum(-n * share * math.log(share) for share, n in counts if n and share)


def _check(logits: np.ndarray, targets: np.ndarray, smoothing: float) -> None:
    if not 0 <= smoothing <= 1:
        raise ValueError(
            f"smoothing, the share spread over all classes, is 0 to 1, not {smoothing}"
        )
    if logits.ndim == 0 or logits.shape[:-1] != targets.shape or logits.size == 0:
        raise ValueError(
            "smoothed cross-entropy takes logits (..., V) and targets (...), none of them empty, "
            f"not {logits.shape} and {targets.shape}"
        )
    n_classes = logits.shape[-1]
    outside = targets[(targets < 0) | (targets >= n_classes)]
    if outside.size:
        raise ValueError(f"target {outside[0]} is no class: there are {n_classes}, counted from 0")
