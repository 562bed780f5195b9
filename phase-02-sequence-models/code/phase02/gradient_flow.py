"""How much gradient arrives at each earlier step, and what decides whether it vanishes.

On the way back the gradient goes through the Jacobian of each step. In a vanilla network, with D_t
the diagonal matrix of the slopes of tanh at step t,

    dh_(t-1) = W_hh^T D_t dh_t                     one step back
    dh_(T-k) = (W_hh^T D) ... (W_hh^T D) dh_T      k steps back: a product of k matrices

so its norm is about a constant to the power k. `state_gradients` measures what arrives, for any
cell; `norm_per_step`, `factor_per_step` and `steps_to_vanish` make numbers of it.

Two numbers of W_hh stand for the theory (Pascanu et al. 2013, section 2.1). Its largest singular
value, times the largest slope of the activation, bounds one step: below 1 the gradient must vanish,
and it can explode only above (`largest_factor`). Its *spectral radius*, the largest absolute
eigenvalue, says how the powers of W_hh itself grow in the end, which is the whole truth in a linear
network (`spectral_radius`, and `with_spectral_radius` to set it).

Left out: the gradients of the weights, which sum over all steps and hide the distance.

Shapes: B batch, T time, I width of the input, H width of the state.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from phase02.recurrent import Parameters

States = tuple[Float[np.ndarray, "B H"], ...]


# ---- measured ----------------------------------------------------------------------------


def state_gradients(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    params: Parameters,
    x: Float[np.ndarray, "B T I"],
    states: States,
    dlast: States,
    dy: Float[np.ndarray, "B T H"] | None = None,
    mask: Bool[np.ndarray, "B T"] | None = None,
) -> tuple[Float[np.ndarray, "B time H"], ...]:
    """What arrives, on the way back, at the state before each step and at the last one.

    `forward` and `backward` are a cell's (`lstm_forward`, `lstm_backward`), `states` the first
    states, (h0,) or (h0, c0), `dlast` the loss's gradients at the last ones and `dy` at the
    outputs. For each state (B, T + 1, H): entry t is the gradient at the state after t steps, from
    all that comes later, so entry T is `dlast` and entry 0 what the cell's backward returns.

    The cell is run step by step for it: slow, but the same for every cell.
    """
    caches = []
    n_steps = x.shape[1]
    for t in range(n_steps):
        now = slice(t, t + 1)
        (_, last), cache = forward(
            params, x[:, now], *states, mask=None if mask is None else mask[:, now]
        )
        states = last if isinstance(last, tuple) else (last,)
        caches.append(cache)
    arrived = [dlast]
    for t in reversed(range(n_steps)):
        dstate = arrived[-1] if len(arrived[-1]) > 1 else arrived[-1][0]
        _, *dbefore, _ = backward(None if dy is None else dy[:, t : t + 1], dstate, caches[t])
        arrived.append(tuple(dbefore))
    # Of each state, its T + 1 gradients in the order of time: (B, T + 1, H).
    return tuple(np.stack(series, axis=1) for series in zip(*arrived[::-1], strict=True))


def norm_per_step(gradients: Float[np.ndarray, "B time H"]) -> Float[np.ndarray, " time"]:
    """The Euclidean norm at each step, the mean over the batch, in float64."""
    return np.linalg.norm(gradients.astype(np.float64), axis=-1).mean(axis=0)  # (time,)


def factor_per_step(norms: Float[np.ndarray, " time"]) -> float:
    """By how much a norm is multiplied at each step back: that of the line through the logarithms.

    `norms` are in the order of time, as of `norm_per_step`. With norms f^(T - t) it is f; else the
    exponential that fits best, by least squares. Raises ValueError for fewer than two norms, and
    where one is not a positive number: a logarithm needs one.
    """
    if len(norms) < 2 or not np.all((norms > 0) & np.isfinite(norms)):
        raise ValueError(
            "a factor per step needs two norms or more, all positive and finite, not "
            f"{len(norms)} from {np.min(norms, initial=math.inf):g} "
            f"to {np.max(norms, initial=0):g}: leave out the steps where nothing arrived"
        )
    steps_back = np.arange(len(norms) - 1.0, -1.0, -1.0)  # (time,)
    centred = steps_back - steps_back.mean()
    return math.exp(float(centred @ np.log(norms.astype(np.float64)) / (centred @ centred)))


def steps_to_vanish(norms: Float[np.ndarray, " time"], share: float = 1e-3) -> int | None:
    """After how many steps back a norm is first below this share of the last one; None if never.

    `norms` are in the order of time, as of `norm_per_step`.
    """
    below = np.flatnonzero(norms[::-1] < share * norms[-1])
    return int(below[0]) if below.size else None


# ---- the theory --------------------------------------------------------------------------


def largest_factor(weight: Float[np.ndarray, "H H"], slope: float = 1.0) -> float:
    """The bound on one step: the largest singular value times the activation's largest slope.

    No gradient is multiplied by more at a step back, and over k steps by no more than the k-th
    power (Pascanu et al. 2013, equations 6 and 7). The largest slope is 1 for tanh, 1/4 for the
    sigmoid. Raises ValueError for a weight that is not square, or a negative slope.
    """
    _check_square(weight)
    if slope < 0:
        raise ValueError(f"slope is the largest absolute value of a slope, not {slope:g}")
    return slope * float(np.linalg.norm(weight.astype(np.float64), 2))


def spectral_radius(weight: Float[np.ndarray, "H H"]) -> float:
    """The largest absolute value of an eigenvalue: by how much repeated products grow in the end.

    Raises ValueError for a weight that is not square.
    """
    _check_square(weight)
    return float(np.abs(np.linalg.eigvals(weight.astype(np.float64))).max())


def with_spectral_radius(
    weight: Float[np.ndarray, "H H"], radius: float
) -> Float[np.ndarray, "H H"]:
    """The weight, multiplied by the number that gives it this spectral radius.

    Raises ValueError for a radius that is negative, a weight that is not square, or one whose
    eigenvalues are all 0, which no number scales.
    """
    now = spectral_radius(weight)
    if radius < 0 or now == 0:
        raise ValueError(f"a spectral radius of {now:g} cannot be made {radius:g} by scaling")
    return weight * weight.dtype.type(radius / now)


def _check_square(weight: np.ndarray) -> None:
    if weight.ndim != 2 or weight.shape[0] != weight.shape[1] or weight.size == 0:
        raise ValueError(
            f"a recurrent weight is a square matrix, (H, H), and not of shape {weight.shape}"
        )
