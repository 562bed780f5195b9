"""How weights begin: Xavier's and He's initialization, and what a deep stack makes of a start.

A layer's output is a sum of `fan_in` products. With independent weights of mean 0, its variance is
fan_in * Var(w) times the mean square of the inputs; on the way back the gradient is multiplied by
fan_out * Var(w). A signal that is multiplied by 0.5 in every layer is a thousandth after ten. So
Var(w) should keep both factors near 1:

    Xavier    Var(w) = gain^2 * 2 / (fan_in + fan_out)      a mean of the two wishes
    He        Var(w) = gain^2 / fan_in                      gain^2 = 2, as ReLU halves the square

(Glorot and Bengio, 2010; He et al., 2015.) Weights are drawn from a normal distribution of that
variance, or from a uniform one on (-b, b), whose variance is b^2 / 3. Formulas, gains and the way
of counting fans are those of `torch.nn.init`, where He's goes by his first name, Kaiming.
`layer_statistics` shows whether it works, and what happens without.

Left out: orthogonal and truncated-normal starts, and biases (they begin at zero).
Shapes: a weight is (d_out, d_in), or (channels out, channels in, height, width) of a convolution.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from phase01.activations import ACTIVATIONS
from phase01.linear import linear_backward, linear_forward

Weight = Float[np.ndarray, "d_out d_in *kernel"]
Shape = tuple[int, ...]

GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2)}


def gain_of(activation: str) -> float:
    """The factor on the weights' standard deviation that makes up for what an activation takes.

    As `torch.nn.init.calculate_gain`: 1 for none ("linear") and for "sigmoid", 5/3 for "tanh",
    sqrt 2 for "relu". Raises ValueError for another, naming those that there are.
    """
    if activation not in GAINS:
        raise ValueError(f"there is no gain for {activation!r}, only for {', '.join(GAINS)}")
    return GAINS[activation]


def fans(shape: Shape) -> tuple[int, int]:
    """How many numbers a weight adds up in one output, and into how many outputs an input goes.

    (fan_in, fan_out) = (d_in, d_out), times the kernel's size in a convolution. Raises ValueError,
    naming the shape, where it has fewer than two axes or an empty one.
    """
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"a weight is (d_out, d_in), or has more axes, none empty; not {shape}")
    d_out, d_in, *kernel = shape
    return d_in * math.prod(kernel), d_out * math.prod(kernel)


def xavier_normal(
    shape: Shape, rng: np.random.Generator, gain: float = 1.0, dtype: Any = np.float32
) -> Weight:
    """Normal weights of standard deviation gain * sqrt(2 / (fan_in + fan_out)).

    Drawn in float64 and then rounded to `dtype`, so that one seed gives the same start in each.
    Raises ValueError as `fans` does.
    """
    std = gain * math.sqrt(2 / sum(fans(shape)))
    return rng.normal(0, std, shape).astype(dtype)


def xavier_uniform(
    shape: Shape, rng: np.random.Generator, gain: float = 1.0, dtype: Any = np.float32
) -> Weight:
    """Uniform weights on (-b, b), b = gain * sqrt(6 / (fan_in + fan_out)); else as the normal."""
    bound = gain * math.sqrt(6 / sum(fans(shape)))
    return rng.uniform(-bound, bound, shape).astype(dtype)


def he_normal(
    shape: Shape,
    rng: np.random.Generator,
    gain: float = math.sqrt(2),
    mode: str = "fan_in",
    dtype: Any = np.float32,
) -> Weight:
    """Normal weights of standard deviation gain / sqrt(fan), the gain being ReLU's.

    `mode` "fan_in" keeps the size of the activations, "fan_out" that of the gradients. Drawn in
    float64 and then rounded to `dtype`. Raises ValueError for another mode, with its name, and as
    `fans` does.
    """
    return rng.normal(0, gain / math.sqrt(_fan(shape, mode)), shape).astype(dtype)


def he_uniform(
    shape: Shape,
    rng: np.random.Generator,
    gain: float = math.sqrt(2),
    mode: str = "fan_in",
    dtype: Any = np.float32,
) -> Weight:
    """Uniform weights on (-b, b), b = gain * sqrt(3 / fan); else as the normal."""
    bound = gain * math.sqrt(3 / _fan(shape, mode))
    return rng.uniform(-bound, bound, shape).astype(dtype)


def _fan(shape: Shape, mode: str) -> int:
    fan_in, fan_out = fans(shape)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is 'fan_in' or 'fan_out', not {mode!r}")
    return fan_in if mode == "fan_in" else fan_out


# ---- what becomes of a signal ----------------------------------------------------------------


@dataclass(frozen=True)
class LayerStatistics:
    """Standard deviations by layer, the first layer first."""

    activations: Float[np.ndarray, " layers"]
    """of each layer's output, after its activation function"""
    gradients: Float[np.ndarray, " layers"]
    """of the loss's gradient at each layer's sum, before its activation function"""


def layer_statistics(
    initialize: Callable[[Shape, np.random.Generator], np.ndarray],
    activation: str,
    widths: Sequence[int],
    n_example: int,
    rng: np.random.Generator,
) -> LayerStatistics:
    """Send random examples through an untrained stack and a random gradient back, and measure.

    Layer l is `activation` (a name in ACTIVATIONS) of a linear layer from widths[l] to
    widths[l + 1], with the weight `initialize((d_out, d_in), rng)` and no bias. Inputs, and the
    gradient at the last output, are standard normal. Everything is computed in float64: a start
    that is too large shall be seen and not overflow. Raises ValueError for another activation, with
    its name, for fewer than two widths, and for a weight of another shape than asked for, naming
    both.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"the activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    if len(widths) < 2:
        raise ValueError(f"a stack needs an input and a layer, two widths or more, not {widths}")
    forward, backward = ACTIVATIONS[activation]
    x = rng.normal(size=(n_example, widths[0]))
    caches, activations = [], []
    for d_in, d_out in pairwise(widths):
        weight = initialize((d_out, d_in), rng)  # x is float64, and so are all products
        if weight.shape != (d_out, d_in):
            raise ValueError(f"initialize made a weight {weight.shape}, not {(d_out, d_in)}")
        z, linear_cache = linear_forward(x, weight, np.zeros(d_out))  # (n_example, d_out)
        x, activation_cache = forward(z)
        caches.append((linear_cache, activation_cache))
        activations.append(np.std(x))
    dx = rng.normal(size=x.shape)
    gradients = []
    for linear_cache, activation_cache in reversed(caches):
        dz = backward(dx, activation_cache)  # (n_example, d_out)
        gradients.append(np.std(dz))
        dx, _, _ = linear_backward(dz, linear_cache)  # (n_example, d_in)
    return LayerStatistics(np.array(activations), np.array(gradients[::-1]))
