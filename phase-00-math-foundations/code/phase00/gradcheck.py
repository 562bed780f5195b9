"""The gradient checker: is this backward the derivative of this forward?

Every backward of phases 1 to 5 is derived by hand, and every one is put before `check_backward`. It
asks the forward alone, by central differences (`phase00.calculus`), and compares.

An operation maps arrays to an array y, and backward maps dy, the gradient of some loss with respect
to y, to the gradients of that loss with respect to the inputs. The loss used here is
L = sum(dy * y), whose gradient with respect to y is dy, with a random dy: of either sign, and
between 0.5 and 1.5 in size. With dy = 1 it would be the sum of y. Of a softmax or a normalization
that sum is constant and its derivative zero, and wrong terms of a backward vanish with it.

A leaf operation, whose backward returns one gradient for each input, in their order:

    inputs = {"x": rng.normal(size=(2, 3)), "weight": rng.normal(size=(4, 3)),
              "bias": rng.normal(size=4)}
    check_backward(linear_forward, linear_backward, inputs, rng)

A composite, whose parameters are a flat dictionary, and whose backward returns (dx, grads): what
comes in a dictionary is taken by name, the rest in order. Names with dots are fine, since they
travel as `**params`.

    def forward(x, **params):
        return encoder_layer_forward(params, x, mask, config)

    check_backward(forward, encoder_layer_backward, {"x": x, **params}, rng)

A model, whose forward ends in a loss. Its backward takes no dy, being right for dy = 1, and a
gradient is proportional to dy. (The model ends with moved parameters: make one for the check.)

    def forward(**params):
        model.params = params
        return model.forward(ids, targets)

    def backward(dy, cache):
        return {name: dy * gradient for name, gradient in model.backward(cache).items()}

    check_backward(forward, backward, model.params, rng)

How it looks. An input of fewer than 200 elements is checked in each of them. In a larger one that
would take two forwards an element, so a few random directions v of length 1 are tried instead: the
derivative along v must be the inner product of gradient and v, and any wrong element spoils that.
Where it fails, a sample of elements is measured to show where. Integer and boolean inputs (ids,
masks) are passed on and held fixed; backward returns no gradients for them.

How it judges. The relative error of backward's value a against the measured value n is

    |a - n| / max(|a|, |n|, floor)        floor = 1e-3 * max(1, largest |y|)

and must not be above `tolerance`, 1e-6. The floor is for gradients so small that the measurement
consists of rounding: a float64 y of order one and epsilon = 1e-5 measure to about 1e-11, so an
absolute difference up to floor * tolerance = 1e-9 is never a failure. A gradient that is smaller
throughout is thus not tested, and the report says so: choose inputs on which the input matters.
`epsilon` is 1e-5 and not the roadmap's 1e-7 for the reason given in `phase00.calculus`.

One false alarm is possible: where a function has a kink (ReLU at 0, a maximum between equals) and
an input lies within epsilon of it, the two sides differ. Another seed moves it away.

What it refuses, and the words of its report, are in `phase00.gradient_report`. Left out: float32
(it measures three digits at best) and second derivatives.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from phase00.calculus import numerical_derivative
from phase00.gradient_report import (
    Arrays,
    GradientError,
    InputReport,
    Report,
    call_forward,
    copy_of_input,
    gradients_by_name,
    likely_cause,
    parts_of,
    require_deterministic,
    require_fitting,
    require_same,
)

EACH_ELEMENT_BELOW = 200
N_DIRECTIONS = 8
N_SAMPLES = 100
FLOOR = 1e-3


def check_backward(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], Any],
    inputs: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    *,
    epsilon: float = 1e-5,
    tolerance: float = 1e-6,
) -> Report:
    """Compare backward's gradients with measured ones; see the module's docstring for how.

    `forward(**inputs)` gives `(y, cache)`; y is an array, a number (a loss), or a tuple of such,
    and dy is then a tuple likewise. `backward(dy, cache)` gives the gradients of the float64
    inputs: an array, or a tuple of arrays in the order of `inputs`; a dictionary, alone or in the
    tuple, gives them by name. `inputs` is left as it is. `rng` draws dy and the directions.

    Returns the report where all is right. Raises GradientError with the report as its message where
    values are wrong; with a sentence on each gradient that is missing, too many, of another shape
    (naming both, and saying where it is transposed or a sum over the batch is missing), not
    float64, not finite; and where backward changed dy or the inputs in place. Raises ValueError
    where the inputs or forward cannot be checked: not float64, not finite, empty, inputs changed in
    place, two calls that differ.
    """
    arrays = {name: copy_of_input(name, value) for name, value in inputs.items()}
    names = [name for name, value in arrays.items() if value.dtype == np.float64]
    if not names:
        raise ValueError("there is nothing to check: no input is a float64 array")
    first, _ = call_forward(forward, arrays)
    y, cache = call_forward(forward, arrays)
    require_same(inputs, arrays, ValueError, "forward changed its input {} in place")
    require_deterministic(first, y)

    dy = [_random_cotangent(part, rng) for part in parts_of(y)]
    handed = [part.copy() for part in dy]
    returned = backward(tuple(handed) if isinstance(y, tuple) else handed[0], cache)
    require_same(inputs, arrays, GradientError, "backward changed the input {} in place")
    require_same(
        dict(enumerate(dy)), dict(enumerate(handed)), GradientError, "backward changed dy in place"
    )
    gradients = gradients_by_name(returned, names)
    require_fitting(gradients, {name: arrays[name] for name in names})

    largest = max(float(np.abs(part).max()) for part in parts_of(y))
    limits = _Limits(epsilon, tolerance, floor=FLOOR * max(1.0, largest))
    found = {}
    for name in names:
        loss = _loss_of(forward, arrays, name, dy, parts_of(y))
        found[name] = _check_input(name, loss, arrays[name], gradients[name], rng, limits)
    report = Report(found, tolerance)
    if report.wrong:
        raise GradientError(str(report))
    return report


def relative_error(
    analytic: Float[np.ndarray, "..."] | float,
    numeric: Float[np.ndarray, "..."] | float,
    floor: float = FLOOR,
) -> Float[np.ndarray, "..."]:
    """|a - n| / max(|a|, |n|, floor), element by element: 0 if equal, 2 if of opposite sign."""
    scale = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    return np.abs(np.subtract(analytic, numeric)) / scale


# --- measuring and judging one input ------------------------------------------------------------


@dataclass(frozen=True)
class _Limits:
    epsilon: float
    tolerance: float
    floor: float


@dataclass(frozen=True)
class _Comparison:
    """Derivatives of one loss along some directions, by backward and measured."""

    analytic: np.ndarray
    numeric: np.ndarray
    limits: _Limits

    @property
    def errors(self) -> np.ndarray:
        return relative_error(self.analytic, self.numeric, self.limits.floor)

    @property
    def smallest(self) -> float:
        """Derivatives up to this one cannot be told from rounding."""
        return self.limits.tolerance * self.limits.floor

    @property
    def n_wrong(self) -> int:
        return int(np.sum(self.errors > self.limits.tolerance))

    @property
    def largest(self) -> float:
        return float(max(np.abs(self.analytic).max(), np.abs(self.numeric).max()))

    def report(
        self, name: str, shape: tuple[int, ...], positions: np.ndarray | None, detail: str
    ) -> InputReport:
        """The worst direction; `positions` are the elements where directions are elements."""
        worst = int(np.argmax(self.errors))
        passed = self.n_wrong == 0
        if passed and self.largest <= self.smallest:
            detail += f", all derivatives below {self.smallest:.0e}: too small to be tested"
        return InputReport(
            name=name,
            shape=shape,
            relative_error=float(self.errors[worst]),
            index=None if positions is None else _index(positions[worst], shape),
            analytic=float(self.analytic[worst]),
            numeric=float(self.numeric[worst]),
            passed=passed,
            detail=detail,
        )


def _check_input(
    name: str,
    loss: Callable[[np.ndarray], float],
    x: np.ndarray,
    gradient: np.ndarray,
    rng: np.random.Generator,
    limits: _Limits,
) -> InputReport:
    """Every element of a small input; random directions of a large one, a sample where wrong."""
    if x.size < EACH_ELEMENT_BELOW:
        positions = np.arange(x.size)
        found = _compare(loss, x, gradient, _unit_vectors(x.shape, positions), limits)
        detail = f"each of {x.size} elements"
        if found.n_wrong:
            cause = _cause(found, x.shape)
            detail = f"{found.n_wrong} of {x.size} elements wrong{cause}"
        return found.report(name, x.shape, positions, detail)

    found = _compare(loss, x, gradient, _random_directions(x.shape, rng), limits)
    if not found.n_wrong:
        return found.report(name, x.shape, None, f"along {N_DIRECTIONS} random directions")
    wrong = f"{found.n_wrong} of {N_DIRECTIONS} random directions wrong"
    positions = rng.choice(x.size, size=N_SAMPLES, replace=False)
    sample = _compare(loss, x, gradient, _unit_vectors(x.shape, positions), limits)
    if not sample.n_wrong:
        detail = f"{wrong}, but none of {N_SAMPLES} sampled elements: it is wrong in few (one row?)"
        return found.report(name, x.shape, None, detail)
    cause = _cause(sample, (N_SAMPLES,))
    detail = f"{wrong}, and {sample.n_wrong} of {N_SAMPLES} sampled elements{cause}"
    return sample.report(name, x.shape, positions, detail)


def _cause(found: _Comparison, shape: tuple[int, ...]) -> str:
    return likely_cause(found.analytic.reshape(shape), found.numeric.reshape(shape), found.smallest)


def _loss_of(
    forward: Callable[..., tuple[Any, Any]],
    arrays: Arrays,
    name: str,
    dy: list[np.ndarray],
    y: list[np.ndarray],
) -> Callable[[np.ndarray], float]:
    """L = sum(dy * (y(value) - y)) as a function of the value of one input.

    The constant y changes no derivative. It saves digits: what does not move contributes exactly
    zero instead of the rounding of a large sum.
    """

    def loss(value: np.ndarray) -> float:
        moved, _ = call_forward(forward, {**arrays, name: value})
        parts = zip(dy, parts_of(moved), y, strict=True)
        return sum(float(np.sum(part * (after - before))) for part, after, before in parts)

    return loss


def _compare(
    loss: Callable[[np.ndarray], float],
    x: np.ndarray,
    gradient: np.ndarray,
    directions: Iterable[np.ndarray],
    limits: _Limits,
) -> _Comparison:
    """The derivative along v is the inner product of gradient and v; so it must measure."""
    analytic, numeric = [], []
    for v in directions:

        def moved(t: float, v: np.ndarray = v) -> float:
            return loss(np.asarray(x + t * v))

        analytic.append(np.sum(gradient * v))
        numeric.append(numerical_derivative(moved, 0.0, limits.epsilon))
    return _Comparison(np.array(analytic), np.array(numeric), limits)


def _unit_vectors(shape: tuple[int, ...], positions: np.ndarray) -> Iterator[np.ndarray]:
    for position in positions:
        v = np.zeros(shape)
        v[_index(position, shape)] = 1.0
        yield v


def _random_directions(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[np.ndarray]:
    for _ in range(N_DIRECTIONS):
        v = rng.standard_normal(shape)
        yield v / np.linalg.norm(v)


def _index(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, shape))


def _random_cotangent(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A dy of random sign, its size between 0.5 and 1.5: no two equal, none too small to count."""
    return np.asarray(rng.choice([-1.0, 1.0], size=y.shape) * rng.uniform(0.5, 1.5, size=y.shape))
