"""The gradient checker for whole models: all parameters moved at once, in a handful of forwards.

`phase00.gradcheck` puts one operation on the table and measures every element of every input. That
takes two forwards an element: a million of them for the network that reads MNIST. This module asks
a smaller question, of the whole model together. Let v be a random direction of length 1 in the
space of all parameters, and g the gradient that backward returns. Then

    g . v   must be   (L(params + epsilon v) - L(params - epsilon v)) / (2 epsilon)

which is two forwards, whatever the size of the model.

What it sees. Let the true gradient be t. The two sides differ by (g - t) . v. Over all directions
the mean of its square is |g - t|^2 / N, where N counts the parameters, and that of (t . v)^2 is
|t|^2 / N. So over a few directions the relative error says how long the mistake is, measured by the
gradient: |g - t| / |t|. Rounding leaves about 1e-8 of it. One wrong number among half a million,
if it is as large as the others, makes it 1 / sqrt(500,000) = 1e-3.

v is made of normal random numbers. Signs would do for the mean, but two mistakes of one size (two
elements that changed places) cancel in every second v of signs, and in no v of normal numbers.

Then who is it? `errors_by_parameter` moves one parameter alone, two forwards for each name, and
`likely_mistake` tries some explanations on the one that is wrong. `check_model` does all of this to
a class with `forward`, `backward` and `params`. It copes with dropout (every forward gets a new
generator of one seed) and with batch norm (the running statistics are put back), and it shakes the
parameters a little first. A fresh model is a bad place to look: biases of 0 put some inputs of ReLU
at 0 exactly, where there is no derivative, and while the weights of batch norm are 1, a backward
that forgets to multiply by them is right.

How it judges: |a - n| / max(|a|, |n|, floor), with the derivatives along all directions as two
vectors a (backward's) and n (measured), and floor = 1e-4 * max(1, |L|). The floor is for gradients
so small that the measurement is rounding: that of a bias in front of batch norm is zero. `epsilon`
is the length of the whole step, so each parameter moves by about epsilon / sqrt(N).

Two limits. Where a ReLU's input lies within the step of 0, the two sides of the kink differ and the
alarm is false: another seed moves it away. And what hardly changes the loss is hardly seen: a
gradient that is a millionth of the others may be wrong unnoticed, except by `errors_by_parameter`.

Left out: float32, which measures three digits at best, and the gradients of the inputs.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from phase00.gradient_report import (
    GradientError,
    gradients_by_name,
    likely_cause,
    require_fitting,
    require_same,
)

Arrays = dict[str, Float[np.ndarray, "..."]]
Loss = Callable[[Arrays], float]

EPSILON = 1e-5
TOLERANCE = 1e-6
N_DIRECTION = 4
FLOOR = 1e-4
SHAKE = 0.01


@runtime_checkable
class Model(Protocol):
    """What `check_model` takes: `forward(x, targets)`, or with an rng as third in training."""

    params: Arrays
    forward: Callable[..., tuple[float, Any]]
    backward: Callable[..., Arrays]


# ---- measuring ---------------------------------------------------------------------------


def random_direction(
    params: Mapping[str, Float[np.ndarray, "..."]], rng: np.random.Generator
) -> Arrays:
    """A direction of length 1 over all parameters together, every direction equally likely.

    Normal random numbers in the shapes of `params`, divided by the root of the sum of all their
    squares: the normal distribution prefers no direction.
    """
    direction = {name: rng.standard_normal(array.shape) for name, array in params.items()}
    length = math.sqrt(sum(float(np.sum(array**2)) for array in direction.values()))
    return {name: np.asarray(array / length) for name, array in direction.items()}


def directional_derivative(
    loss: Loss,
    params: Mapping[str, Float[np.ndarray, "..."]],
    direction: Mapping[str, Float[np.ndarray, "..."]],
    epsilon: float = EPSILON,
) -> float:
    """How fast the loss changes along a direction, by the central difference.

        (loss(params + epsilon v) - loss(params - epsilon v)) / (2 epsilon)

    A parameter that `direction` does not name stays where it is. `params` is left alone: `loss` is
    called with new arrays. Raises ValueError unless `epsilon` is above 0, naming it; for a
    direction of other names or shapes, with the name; for no parameters, or one that is empty or
    not float64; and where a loss is not finite.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon is the length of a step and must be above 0, not {epsilon}")
    _require_measurable(params)
    for name, array in direction.items():
        if name not in params or array.shape != params[name].shape:
            expected = params[name].shape if name in params else "no such parameter"
            raise ValueError(
                f"the direction has {name} of the shape {array.shape}, params has {expected}: take "
                "the direction's names and shapes from params"
            )

    def loss_at(distance: float) -> float:
        moved = {name: np.asarray(params[name] + distance * v) for name, v in direction.items()}
        return _finite(loss({**params, **moved}))

    return (loss_at(epsilon) - loss_at(-epsilon)) / (2 * epsilon)


def gradient_error(
    loss: Loss,
    params: Arrays,
    grads: Arrays,
    rng: np.random.Generator,
    n_direction: int = N_DIRECTION,
    epsilon: float = EPSILON,
) -> float:
    """The relative error of a gradient along random directions of all parameters at once.

    About |grads - truth| / |truth|, by the formula of the module: right gradients give 1e-8 or so,
    a factor of 2 gives 0.5, zeros give 1. It takes 2 n_direction + 2 calls of `loss`, which gets a
    dictionary like `params` and returns the loss. Raises GradientError, with the name, where names,
    shapes or types of `grads` are not those of `params`; ValueError as `directional_derivative`
    does, for no direction, and where two calls of `loss` differ.
    """
    if n_direction < 1:
        raise ValueError(f"n_direction must be 1 or more, not {n_direction}")
    _require_measurable(params)
    grads = _fitting(grads, params)
    floor = _floor(loss, params)
    directions = [random_direction(params, rng) for _ in range(n_direction)]
    measured = _measured(loss, params, directions, epsilon)
    return _relative_error(_foretold(grads, directions), measured, floor)


def errors_by_parameter(
    loss: Loss, params: Arrays, grads: Arrays, rng: np.random.Generator, epsilon: float = EPSILON
) -> dict[str, float]:
    """The relative error of each parameter's gradient, by one direction of that parameter alone.

    Two calls of `loss` for each name, and two more. Raises as `gradient_error` does.
    """
    _require_measurable(params)
    grads = _fitting(grads, params)
    floor = _floor(loss, params)
    errors = {}
    for name, array in params.items():
        directions = [random_direction({name: array}, rng)]
        measured = _measured(loss, params, directions, epsilon)
        errors[name] = _relative_error(_foretold(grads, directions), measured, floor)
    return errors


def likely_mistake(
    loss: Loss,
    params: Arrays,
    grads: Arrays,
    name: str,
    rng: np.random.Generator,
    epsilon: float = EPSILON,
) -> str:
    """What a wrong gradient of one parameter looks like, after a colon; "" where like nothing.

    Each explanation foretells the derivative along every direction, and the one that is right in
    all of them is taken: a square matrix transposed, zeros, a loss that does not depend on the
    parameter, the wrong sign, a constant factor, which is named.
    """
    smallest = TOLERANCE * _floor(loss, params)
    directions = [random_direction({name: params[name]}, rng) for _ in range(N_DIRECTION)]
    measured = _measured(loss, params, directions, epsilon)
    gradient = grads[name]
    if gradient.ndim == 2 and gradient.shape[0] == gradient.shape[1]:
        turned = _foretold({name: gradient.T}, directions)
        if _relative_error(turned, measured, smallest) < 1e-4:
            return ": it is transposed"
    return likely_cause(_foretold(grads, directions), measured, smallest)


# ---- a whole model -----------------------------------------------------------------------


def check_model(
    model: Model,
    x: Any,
    targets: Any,
    rng: np.random.Generator,
    *,
    training: bool = True,
    shake: float = SHAKE,
    n_direction: int = N_DIRECTION,
    epsilon: float = EPSILON,
    tolerance: float = TOLERANCE,
) -> float:
    """Compare the gradients of a model with measured ones, and return the relative error.

    `model` is a `Model` in float64. In training, forward gets a new generator of the same seed
    each time; otherwise x and targets alone. To each parameter a normal number of the deviation
    `shake` is added for the check. The model is left as it was, to the last bit: the arrays of
    `model.params`, and of `model.buffers` if there are any, are moved in place and put back.

    Raises GradientError where the error is above `tolerance`, with a sentence that names the
    parameter that is worst, its likely mistake, then the others that are wrong and no right one;
    where there are several it says "look first at" and the last of them. Raises it also where names
    or shapes of the gradients are wrong, and where backward changes a parameter, with the name.
    Raises ValueError as `gradient_error` does.
    """
    _require_measurable(model.params)
    before = {name: array.copy() for name, array in model.params.items()}
    params = {name: array + rng.normal(0, shake, array.shape) for name, array in before.items()}
    buffers = {name: array.copy() for name, array in getattr(model, "buffers", {}).items()}
    seed = int(rng.integers(2**32))

    def forward(at: Arrays) -> tuple[float, Any]:
        _put(at, model.params)
        _put(buffers, getattr(model, "buffers", {}))
        return model.forward(x, targets, *([np.random.default_rng(seed)] if training else []))

    def loss(at: Arrays) -> float:
        return forward(at)[0]

    try:
        grads = model.backward(forward(params)[1])
        complaint = "backward changed the parameter {} in place"
        require_same(params, model.params, GradientError, complaint)
        error = gradient_error(loss, params, grads, rng, n_direction, epsilon)
        if not error <= tolerance:
            raise GradientError(_complaint(loss, params, grads, error, rng, epsilon, tolerance))
    finally:
        _put(before, model.params)
        _put(buffers, getattr(model, "buffers", {}))
    return error


def _complaint(
    loss: Loss,
    params: Arrays,
    grads: Arrays,
    error: float,
    rng: np.random.Generator,
    epsilon: float,
    tolerance: float,
) -> str:
    """Which gradients are wrong, in a sentence or two."""
    errors = errors_by_parameter(loss, params, grads, rng, epsilon)
    wrong = [name for name, its_error in errors.items() if not its_error <= tolerance]
    if not wrong:
        return (
            f"the gradients are wrong together (relative error {error:.2g}), but none is by "
            "itself: if the model has a kink, as ReLU has at 0, try another seed"
        )
    worst = max(wrong, key=lambda name: errors[name])
    cause = likely_mistake(loss, params, grads, worst, rng, epsilon)
    said = f"the gradient of {worst} is wrong, relative error {errors[worst]:.2g}{cause}"
    if len(wrong) == 1:
        return f"{said}; the other {len(errors) - 1} are right"
    others = ", ".join(name for name in wrong if name != worst)
    return (
        f"{said}; wrong too: {others}. Backward goes from the last to the first and hands on "
        f"what is wrong, so look first at {wrong[-1]}, and at what it is handed"
    )


# ---- the parts -----------------------------------------------------------------------------


def _measured(
    loss: Loss, params: Arrays, directions: Iterable[Arrays], epsilon: float
) -> np.ndarray:
    found = [directional_derivative(loss, params, each, epsilon) for each in directions]
    return np.array(found)  # (directions,)


def _foretold(grads: Arrays, directions: Iterable[Arrays]) -> np.ndarray:
    """The derivative along each direction if `grads` were right: the inner products."""
    inner = [sum(float(np.sum(grads[name] * v)) for name, v in each.items()) for each in directions]
    return np.array(inner)  # (directions,)


def _relative_error(foretold: np.ndarray, measured: np.ndarray, floor: float) -> float:
    """|a - n| / max(|a|, |n|, floor) of two vectors, one element for each direction."""
    scale = max(float(np.linalg.norm(foretold)), float(np.linalg.norm(measured)), floor)
    return float(np.linalg.norm(foretold - measured)) / scale


def _floor(loss: Loss, params: Arrays) -> float:
    """The derivative below which an error counts as rounding; ValueError for a loss that varies."""
    one, other = _finite(loss(params)), _finite(loss(params))
    # Not to the last bit: some processors sum in an order that depends on where memory lies.
    if not math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12):
        raise ValueError(
            f"two losses of the same parameters are {one} and {other}, so nothing can be measured: "
            "what is random must come from the generator that forward is given"
        )
    return FLOOR * max(1.0, abs(one))


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss}, expected a finite number: check on smaller inputs")
    return float(loss)


def _require_measurable(params: Mapping[str, np.ndarray]) -> None:
    if not params:
        raise ValueError("there are no parameters, so there is nothing to check")
    for name, array in params.items():
        if array.dtype != np.float64 or array.size == 0:
            raise ValueError(
                f"the parameter {name} has {array.size} elements of {array.dtype}, expected one or "
                "more of float64, since in float32 a small step is lost: make the model with "
                "dtype=np.float64 for the check"
            )


def _fitting(grads: Arrays, params: Arrays) -> Arrays:
    found = gradients_by_name(grads, list(params))
    require_fitting(found, params)
    return found


def _put(values: Arrays, arrays: Arrays) -> None:
    """Write values into the arrays of the same names: whoever holds the arrays sees them."""
    for name, value in values.items():
        arrays[name][...] = value
