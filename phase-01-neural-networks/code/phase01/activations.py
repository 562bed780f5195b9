"""Activation functions and their derivatives: step, sigmoid, tanh, ReLU and GELU in two forms.

Between two linear layers stands a function that is not linear, applied to each number by itself;
without it the two layers would be one. Backward multiplies the gradient that arrives by the
derivative at that number: dx = dy * f'(x).

    step       1 where x >= 0, else 0             f' = 0                          all or nothing
    sigmoid    1 / (1 + exp(-x))                  f' = y (1 - y), at most 1/4
    tanh       (e^x - e^-x) / (e^x + e^-x)        f' = 1 - y^2, at most 1
    ReLU       max(x, 0)                          f' = 1 where x > 0, else 0
    GELU       x Phi(x)                           f' = Phi(x) + x phi(x)

Phi is the standard normal distribution, Phi(x) = (1 + erf(x / sqrt 2)) / 2, and phi its density
(Hendrycks and Gimpel, 2016, who also give the form with tanh, the one that GPT-2 uses).

Finite numbers of any size are taken without overflow and without a warning. NumPy has no erf, and
Python's takes one number at a time, so `erf` here is made of it: its exact values on a grid, and
between them Taylor's polynomials. Its error is that of rounding, about 1e-16 in float64.

Left out: infinite inputs (GELU of -inf is nan, as in PyTorch). For x far below 0, where 1 + erf
cancels, GELU is right to 1e-15 but not to 15 digits of its small self, also as in PyTorch.
Shapes: *shape is any, the same for x, y, dy and dx. float32 stays float32.
"""

import math
from functools import cache as remembered

import numpy as np
from jaxtyping import Float

GELU_CUBIC = 0.044715
SQRT_HALF = math.sqrt(1 / 2)
SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
FLAT_BEYOND = 40.0  # farther out every function here is flat or straight, to the last bit

# erf: how far the grid goes (erf(6) rounds to 1), points for each unit, terms after the first
ERF_LIMIT = 6
ERF_POINTS = 64
ERF_TERMS = {np.dtype(np.float32): 3, np.dtype(np.float64): 7}


# ---- the oldest and the two with an S --------------------------------------------------------


def step_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], tuple]:
    """The unit that fires or not: 1 where x >= 0 and 0 elsewhere, and an empty cache."""
    return (x >= 0).astype(x.dtype), ()


def step_backward(dy: Float[np.ndarray, "*shape"], cache: tuple) -> Float[np.ndarray, "*shape"]:
    """Zero everywhere: a step is flat on both sides, so no gradient says which way to go.

    (At 0 there is no derivative; 0 is taken.) This is why a network of such units was not trained
    by descent, and why the S-shaped functions below took its place.
    """
    return np.zeros_like(dy)


def sigmoid_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], tuple]:
    """The logistic function y = 1 / (1 + exp(-x)), between 0 and 1, and the cache.

    For x far below 0, exp(-x) is infinite and 1 / (1 + inf) is 0: what it should be, so the
    overflow is let through without a warning.
    """
    with np.errstate(over="ignore"):
        y = 1 / (1 + np.exp(-x))
    return y, (y,)


def sigmoid_backward(dy: Float[np.ndarray, "*shape"], cache: tuple) -> Float[np.ndarray, "*shape"]:
    """dx = dy y (1 - y).

    With u = exp(-x): y = 1 / (1 + u) and dy/dx = u / (1 + u)^2 = y (1 - y), as 1 - y = u / (1 + u).
    """
    (y,) = cache
    return dy * y * (1 - y)


def tanh_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], tuple]:
    """The hyperbolic tangent, an S from -1 to 1: tanh(x) = 2 sigmoid(2x) - 1, and the cache."""
    y = np.tanh(x)
    return y, (y,)


def tanh_backward(dy: Float[np.ndarray, "*shape"], cache: tuple) -> Float[np.ndarray, "*shape"]:
    """dx = dy (1 - y^2).

    tanh = sinh / cosh, so its derivative is (cosh^2 - sinh^2) / cosh^2 = 1 - tanh^2.
    """
    (y,) = cache
    return dy * (1 - y * y)


# ---- the ramp and its smooth relatives -------------------------------------------------------


def relu_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], tuple]:
    """The rectified linear unit y = max(x, 0), and the cache."""
    y = np.maximum(x, 0)
    return y, (y,)  # y and not x: the next layer keeps y anyway, so x can go


def relu_backward(dy: Float[np.ndarray, "*shape"], cache: tuple) -> Float[np.ndarray, "*shape"]:
    """dx = dy where x > 0 (which is where y > 0), else 0; at 0, the kink, 0 as in PyTorch."""
    (y,) = cache
    return dy * (y > 0)


def gelu_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], tuple]:
    """The Gaussian error linear unit, exact: y = x Phi(x) = x (1 + erf(x / sqrt 2)) / 2."""
    cdf = 0.5 * (1 + erf(x * SQRT_HALF))
    return x * cdf, (x, cdf)


def gelu_backward(dy: Float[np.ndarray, "*shape"], cache: tuple) -> Float[np.ndarray, "*shape"]:
    """dx = dy (Phi(x) + x phi(x)), the product rule, with phi(x) = exp(-x^2 / 2) / sqrt(2 pi)."""
    x, cdf = cache
    near = np.clip(x, -FLAT_BEYOND, FLAT_BEYOND)  # beyond, phi is 0; and x^2 would overflow
    density = np.exp(-0.5 * near**2) * (0.5 * SQRT_2_OVER_PI)
    return dy * (cdf + near * density)


def gelu_tanh_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], tuple]:
    """The form of GPT-2: y = x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).

    It differs from `gelu_forward` by less than 0.0005 for every x.
    """
    near = np.clip(x, -FLAT_BEYOND, FLAT_BEYOND)  # beyond, tanh u is -1 or 1; x^3 would overflow
    t = np.tanh(SQRT_2_OVER_PI * near * (1 + GELU_CUBIC * near**2))
    return 0.5 * x * (1 + t), (near, t)


def gelu_tanh_backward(
    dy: Float[np.ndarray, "*shape"], cache: tuple
) -> Float[np.ndarray, "*shape"]:
    """dx = dy ((1 + t) / 2 + x (1 - t^2) u' / 2), with t = tanh u.

    By the product rule and the chain rule; u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2).
    """
    near, t = cache
    slope = SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * near**2)
    return dy * 0.5 * (1 + t + near * (1 - t * t) * slope)


ACTIVATIONS = {
    "step": (step_forward, step_backward),
    "sigmoid": (sigmoid_forward, sigmoid_backward),
    "tanh": (tanh_forward, tanh_backward),
    "relu": (relu_forward, relu_backward),
    "gelu": (gelu_forward, gelu_backward),
    "gelu_tanh": (gelu_tanh_forward, gelu_tanh_backward),
}


# ---- the error function ----------------------------------------------------------------------


def erf(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, elementwise.

    With a the grid point next to |x| and h = |x| - a, Taylor's polynomial around a:

        erf(a + h) = c_0 + c_1 h + c_2 h^2 + ...            c_k = erf^(k)(a) / k!

    and the sign of x, since erf is odd. A step of 1/64 makes |h| at most 1/128, so that few terms
    are enough: the error is about 1e-16 in float64 and 6e-8 in float32, that is, rounding. nan
    stays nan. Raises TypeError, naming the dtype, for any but these two.
    """
    if x.dtype not in ERF_TERMS:
        raise TypeError(f"erf takes float32 or float64, not {x.dtype}: convert the array first")
    coefficients = _erf_coefficients(x.dtype)
    size = np.minimum(np.abs(x), ERF_LIMIT)
    # fmin, for the index alone, makes a number of nan; `size` keeps it.
    index = np.rint(np.fmin(size, ERF_LIMIT) * ERF_POINTS).astype(np.intp)
    h = size - index.astype(x.dtype) / ERF_POINTS
    y = coefficients[-1][index]
    for coefficient in coefficients[-2::-1]:  # Horner's rule, from the highest power down
        y = y * h + coefficient[index]
    return np.copysign(y, x)


@remembered
def _erf_coefficients(dtype: np.dtype) -> Float[np.ndarray, "terms points"]:
    """Row k holds erf^(k)(a) / k! at every grid point a; worked out at the first call.

    The first derivative is 2 / sqrt(pi) exp(-a^2). Each further one of exp(-a^2) multiplies it by
    a Hermite polynomial, the k-th by (-1)^k H_k(a), where H_(k+1) = 2 a H_k - 2 k H_(k-1).
    """
    points = np.arange(ERF_LIMIT * ERF_POINTS + 1) / ERF_POINTS
    slope = 2 / math.sqrt(math.pi) * np.exp(-(points**2))
    rows = [np.array([math.erf(point) for point in points])]
    before, hermite = np.zeros_like(points), np.ones_like(points)
    for k in range(ERF_TERMS[dtype]):
        rows.append((-1) ** k * slope * hermite / math.factorial(k + 1))
        before, hermite = hermite, 2 * points * hermite - 2 * k * before
    return np.stack(rows).astype(dtype)
