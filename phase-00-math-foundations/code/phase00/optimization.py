"""Gradient descent on surfaces that can be watched, and how large a step may be.

Descent repeats

    x_(t+1) = x_t - learning_rate * gradient(x_t)

and nothing else: no momentum, no schedule, no noise (the optimizers of phase 1 add those). The
surfaces are three that every optimizer meets. A quadratic is a bowl where its curvatures are alike
and a ravine where they differ; Rosenbrock's function (1960) is a ravine that bends; the last has
a saddle, where the gradient is zero although no minimum is there.

On a quadratic the whole path is known beforehand. Coordinate i, of curvature c_i, is multiplied
by the same number at every step:

    x_t[i] = (1 - learning_rate * c_i)^t * x_0[i]

It shrinks while that number lies strictly between -1 and 1, so the steepest coordinate sets the
limit, learning_rate < 2 / max(c), and the flattest one the waiting time.

Shapes: d coordinates of a point, N steps. The surfaces take one point (d,) or a grid (..., d).
Everything is computed in float64, also where whole numbers come in: their powers would overflow.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "... d"]
Values = Float[np.ndarray, "..."]
Trajectory = Float[np.ndarray, "steps d"]


# ---- surfaces and their gradients --------------------------------------------------------


def quadratic(x: Points, curvatures: Float[np.ndarray, " d"]) -> Values:
    """The quadratic f(x) = 1/2 sum_i c_i x_i^2, lowest at the origin where all c_i > 0.

    `x` is one point (d,) or many (..., d); the result has the shape of `x` without its last
    axis. Raises ValueError that names both shapes where `curvatures` is not (d,).
    """
    x = _coordinates(x, curvatures)
    return 0.5 * np.sum(curvatures * x**2, axis=-1)


def quadratic_gradient(x: Points, curvatures: Float[np.ndarray, " d"]) -> Points:
    """The gradient of `quadratic`: df/dx_i = c_i x_i, in the shape of `x`.

    Raises ValueError that names both shapes where `curvatures` is not (d,).
    """
    x = _coordinates(x, curvatures)
    return curvatures * x


def rosenbrock(x: Points) -> Values:
    """Rosenbrock's valley f(x) = (1 - x_0)^2 + 100 (x_1 - x_0^2)^2, lowest at (1, 1) with f = 0.

    The floor of the valley is the parabola x_1 = x_0^2: steep across, nearly flat along. `x` is
    (2,) or (..., 2). Raises ValueError that names the shape where its last axis is not 2.
    """
    x0, x1 = _pair(x)
    return (1 - x0) ** 2 + 100 * (x1 - x0**2) ** 2


def rosenbrock_gradient(x: Points) -> Points:
    """The gradient of `rosenbrock`, in the shape of `x`.

    df/dx_0 = -2 (1 - x_0) - 400 x_0 (x_1 - x_0^2)
    df/dx_1 = 200 (x_1 - x_0^2)

    Raises ValueError that names the shape where the last axis of `x` is not 2.
    """
    x0, x1 = _pair(x)
    above = x1 - x0**2  # how far over the floor of the valley
    return np.stack([-2 * (1 - x0) - 400 * x0 * above, 200 * above], axis=-1)  # (..., 2)


def saddle(x: Points) -> Values:
    """A saddle between two minima: f(x) = 1/2 x_0^2 - 1/2 x_1^2 + 1/4 x_1^4.

    At (0, 0) the surface rises along x_0 and falls along x_1; the minima are (0, 1) and (0, -1),
    with f = -1/4. `x` is (2,) or (..., 2). Raises ValueError that names the shape where its last
    axis is not 2.
    """
    x0, x1 = _pair(x)
    return x0**2 / 2 - x1**2 / 2 + x1**4 / 4


def saddle_gradient(x: Points) -> Points:
    """The gradient of `saddle`, (x_0, x_1^3 - x_1), in the shape of `x`.

    Raises ValueError that names the shape where the last axis of `x` is not 2.
    """
    x0, x1 = _pair(x)
    return np.stack([x0, x1**3 - x1], axis=-1)  # (..., 2)


# ---- descent -----------------------------------------------------------------------------


def descend(
    gradient: Callable[[Any], Any],
    start: Float[np.ndarray, " d"],
    learning_rate: float,
    n_steps: int,
) -> Trajectory:
    """Every point that gradient descent visits, the start first: (n_steps + 1, d) in float64.

    x_(t+1) = x_t - learning_rate * gradient(x_t), where `gradient` takes a point (d,), its own to
    write into, and returns as many numbers. `start` is left as it is. A rate that is too large is
    no error: the path then grows without bound. Raises ValueError where `learning_rate` is not
    positive and finite or `n_steps` is negative, naming it; where `start` is not (d,), naming its
    shape; or where the gradient has another shape than the point, naming both.
    """
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be positive and finite, not {learning_rate}")
    if n_steps < 0:
        raise ValueError(f"n_steps must be 0 or more, not {n_steps}")
    if start.ndim != 1:
        raise ValueError(f"start must be one point of shape (d,), not of shape {start.shape}")
    path = np.empty((n_steps + 1, start.size))  # float64, also where the start is of integers
    path[0] = start
    for t in range(n_steps):
        slope = np.asarray(gradient(path[t].copy()))  # (d,)
        if slope.shape != start.shape:  # broadcasting would hide it
            raise ValueError(
                f"the gradient at a point of shape {start.shape} has the shape {slope.shape}: "
                "return one number for each coordinate"
            )
        path[t + 1] = path[t] - learning_rate * slope
    return path


def largest_stable_rate(curvatures: Float[np.ndarray, " d"]) -> float:
    """The learning rate below which descent on `quadratic` converges: 2 / max(curvatures).

    At this rate itself the steepest coordinate is multiplied by -1 and swings for ever. Raises
    ValueError where a curvature is negative (the surface has no lowest point and no rate is
    stable) or none is positive (the surface is flat and every rate is).
    """
    if not (np.all(curvatures >= 0) and np.any(curvatures > 0)):
        raise ValueError(
            f"curvatures must be 0 or more, at least one of them above 0, not {curvatures.tolist()}"
        )
    return 2 / float(np.max(curvatures))


def steps_to_reach(path: Trajectory, goal: Float[np.ndarray, " d"], tolerance: float) -> int | None:
    """The first step at which the path is within `tolerance` of `goal`, or None if it never is.

    The distance is the Euclidean one, a distance of exactly `tolerance` is near enough, and a
    path that starts there needs 0 steps. Raises ValueError that names both shapes unless `path` is
    (N + 1, d) and `goal` (d,), with one d.
    """
    if path.ndim != 2 or path.shape[1:] != goal.shape:
        raise ValueError(
            f"a path of shape (steps, d) needs a goal of shape (d,), got {path.shape} and "
            f"{goal.shape}"
        )
    distances = np.linalg.norm(path - goal, axis=1)  # (N + 1,)
    near = np.flatnonzero(distances <= tolerance)
    return int(near[0]) if near.size else None


# ---- what the surfaces take --------------------------------------------------------------


def _coordinates(x: Points, curvatures: Float[np.ndarray, " d"]) -> np.ndarray:
    """`x` in float64; ValueError unless there is one curvature for each coordinate."""
    x = np.asarray(x, dtype=np.float64)
    if x.ndim == 0 or curvatures.shape != x.shape[-1:]:
        raise ValueError(
            f"a point of shape {x.shape} needs one curvature for each coordinate on its last "
            f"axis, got curvatures of shape {curvatures.shape}"
        )
    return x


def _pair(x: Points) -> tuple[np.ndarray, np.ndarray]:
    """The two coordinates in float64; ValueError unless there are two."""
    x = np.asarray(x, dtype=np.float64)
    if x.shape[-1:] != (2,):
        raise ValueError(f"a point has two coordinates on its last axis, got the shape {x.shape}")
    return x[..., 0], x[..., 1]
