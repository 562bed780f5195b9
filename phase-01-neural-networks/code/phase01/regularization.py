"""Regularization: dropout, weight decay in the loss and decoupled from it, batch normalization.

    dropout         y = x m / (1 - rate), with m 0 or 1, drawn anew for every element and step
    weight decay    L + d/2 sum w^2, in the loss; or w <- (1 - a d) w at each step, decoupled
    batch norm      y = weight (x - mean) / sqrt(var + epsilon) + bias, mean and var of the batch

Dropout (Srivastava et al. 2014) is "inverted" here, as in PyTorch: what is kept is scaled up in
training, so that the expected value of y is x and evaluation does nothing at all. The paper scales
the weights down at test time instead.

The two decays are one for plain SGD: d w joins the gradient, and the step a (g + d w) shrinks w by
a d w. For Adam they differ, since it divides all of the gradient by its own root mean square
(Loshchilov and Hutter 2019); `phase01.optimizers` has both kinds as options.

Batch norm (Ioffe and Szegedy 2015, algorithm 1) ties the examples of a batch together while
training; for evaluation it needs a mean and a variance that no batch gives it, so running ones are
kept. As in PyTorch `momentum` is the share of the *new* value, and the variance that is kept is the
unbiased one (divided by N - 1), while the one that normalizes is not (divided by N).

Left out: dropout of whole channels, early stopping (the loop of a script does it), and batch norm
without weight and bias.

Shape letters: B batch, C features or channels (`...` any places of an image after it: H W); N is
the number of values that a mean is over, B times those places.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

Cache = tuple
Arrays = dict[str, Float[np.ndarray, "..."]]

# --- dropout ------------------------------------------------------------------------------


def dropout_forward(
    x: Float[np.ndarray, "..."], rate: float, rng: np.random.Generator | None
) -> tuple[Float[np.ndarray, "..."], Cache]:
    """Zeros in place of a share `rate` of the elements, the others times 1 / (1 - rate).

    `rng` draws which; None means evaluation, where y is x. Raises ValueError, with the value,
    unless `rate` is from 0 to below 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate, the share that is dropped, must be 0 or more, below 1, not {rate}")
    if rng is None or rate == 0:
        return x, (None,)
    kept = rng.random(x.shape, dtype=np.float32) >= rate
    mask = kept * x.dtype.type(1 / (1 - rate))  # 0, or what keeps the expected value
    return x * mask, (mask,)


def dropout_backward(dy: Float[np.ndarray, "..."], cache: Cache) -> Float[np.ndarray, "..."]:
    """dx = dy m / (1 - rate): what was dropped had no part in y, and gets no gradient."""
    (mask,) = cache
    return dy if mask is None else dy * mask


# --- weight decay -------------------------------------------------------------------------


def weight_penalty_forward(
    params: Mapping[str, Float[np.ndarray, "..."]], weight_decay: float
) -> tuple[float, Cache]:
    """d/2 times the sum of the squares of all elements: what L2 regularization adds to the loss.

    Which parameters are decayed is for the caller to choose, by what is in `params`; biases mostly
    are not. Raises ValueError, with the value, for a `weight_decay` that is negative or not finite.
    """
    _check_decay(weight_decay)
    total = sum(float(np.sum(np.square(w, dtype=np.float64))) for w in params.values())
    return weight_decay / 2 * total, (params, weight_decay)


def weight_penalty_backward(dpenalty: float, cache: Cache) -> Arrays:
    """The gradient d w of each parameter, to be added to that of the loss."""
    params, weight_decay = cache
    return {name: dpenalty * weight_decay * w for name, w in params.items()}


def decay_weights(
    params: Mapping[str, Float[np.ndarray, "..."]], learning_rate: float, weight_decay: float
) -> None:
    """Decoupled decay: w <- (1 - a d) w, in place, beside the optimizer's step.

    Raises ValueError, before anything has moved, for a `weight_decay` that is negative or not
    finite, with the value, and unless a d is from 0 to 1: more would turn the sign of every weight.
    """
    _check_decay(weight_decay)
    if not 0 <= learning_rate * weight_decay <= 1:
        raise ValueError(
            f"learning_rate * weight_decay must lie between 0 and 1, got {learning_rate} * "
            f"{weight_decay}"
        )
    for w in params.values():
        w *= 1 - learning_rate * weight_decay


def _check_decay(weight_decay: float) -> None:
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must be 0 or more and finite, got {weight_decay}")


# --- batch normalization ------------------------------------------------------------------


def batch_norm_forward(
    x: Float[np.ndarray, "B C *places"],
    weight: Float[np.ndarray, " C"],
    bias: Float[np.ndarray, " C"],
    running_mean: Float[np.ndarray, " C"],
    running_var: Float[np.ndarray, " C"],
    training: bool,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[Float[np.ndarray, "B C *places"], Cache]:
    """Each feature with mean 0 and variance 1, scaled and shifted; the formula is the module's.

    In training, mean and variance are those of the batch, and `running_mean` and `running_var` are
    changed in place, each to (1 - momentum) old + momentum new. In evaluation the running ones are
    used, as they are. Raises ValueError for a batch of one value a feature in training: its
    variance is 0, and y would be the bias whatever x is.
    """
    n_value = x.size // x.shape[1]
    if training and n_value < 2:
        raise ValueError(
            f"batch norm needs 2 or more values of each feature in training, got x of the shape "
            f"{x.shape}: take a larger batch"
        )
    axes = _all_but_channels(x)
    if training:
        mean = x.mean(axis=axes)  # (C,)
        centred = x - _column(mean, x)  # (B, C, ...)
        var = np.square(centred).mean(axis=axes)  # (C,), biased
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (var * (n_value / (n_value - 1)) - running_var)
    else:
        centred = x - _column(running_mean, x)  # (B, C, ...)
        var = running_var
    inverse = 1 / np.sqrt(var + epsilon)  # (C,)
    normalized = np.multiply(centred, _column(inverse, x), out=centred)  # (B, C, ...)
    y = normalized * _column(weight, x) + _column(bias, x)  # (B, C, ...)
    return y, (normalized, inverse, weight, training)


def batch_norm_backward(
    dy: Float[np.ndarray, "B C *places"], cache: Cache
) -> tuple[Float[np.ndarray, "B C *places"], Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Gradients of x, weight and bias; the running statistics get none.

    With z the normalized x: dz = weight dy, dweight = sum(dy z), dbias = sum(dy). In evaluation
    mean and variance are constants, and dx = dz / sqrt(var + epsilon). In training both are
    functions of x, and all of dz that a shift or a scale of the batch would undo falls out:

        dx = (dz - mean(dz) - z mean(dz z)) / sqrt(var + epsilon)

    with mean(dz) = weight dbias / N and mean(dz z) = weight dweight / N.
    """
    normalized, inverse, weight, training = cache
    axes = _all_but_channels(dy)
    dweight = (dy * normalized).sum(axis=axes)  # (C,)
    dbias = dy.sum(axis=axes)  # (C,)
    scale = _column(weight * inverse, dy)
    if not training:
        return dy * scale, dweight, dbias
    n_value = dy.size // dy.shape[1]
    dx = dy - _column(dbias / n_value, dy)  # (B, C, ...)
    dx -= normalized * _column(dweight / n_value, dy)
    dx *= scale
    return dx, dweight, dbias


def _all_but_channels(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _column(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values of each channel, shaped so that they spread over the other axes of x: (C, 1, ...)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))  # (C, 1, ...)
