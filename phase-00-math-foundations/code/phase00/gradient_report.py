"""What the gradient checker says, and what it refuses: the words around `phase00.gradcheck`.

The measuring and judging is there. Here are the report that it returns or raises, the mistakes that
a wrong gradient looks like, and the checks of everything that a forward and a backward hand over,
each of which ends in a sentence that says what to do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class InputReport:
    """What was found out about the gradient of one input."""

    name: str
    shape: tuple[int, ...]
    relative_error: float
    """the largest that was found"""
    index: tuple[int, ...] | None
    """the element with the largest relative error; None where that is a random direction"""
    analytic: float
    """backward's value there"""
    numeric: float
    """the measured value there"""
    passed: bool
    detail: str
    """what was compared and what seems to be wrong, in words"""

    def __str__(self) -> str:
        """`right  x (2, 3): relative error 3e-11; each of 6 elements`, and for a wrong one

        `WRONG  weight (4, 3): relative error 0.5 at weight[2, 1], backward 1.2, measured 0.6; ...`,
        or `at one direction` where no single element is known to be wrong.
        """
        what = f"{'right' if self.passed else 'WRONG'}  {self.name} {self.shape}: "
        what += f"relative error {self.relative_error:.2g}"
        if not self.passed:
            where = self.name + (str(list(self.index)) if self.index else "")
            where = "one direction" if self.index is None else where
            what += f" at {where}, backward {self.analytic:.6g}, measured {self.numeric:.6g}"
        return f"{what}; {self.detail}"


@dataclass(frozen=True)
class Report:
    """The outcome for all inputs that have gradients, by name; as a string, a line for each."""

    inputs: dict[str, InputReport]
    tolerance: float

    @property
    def wrong(self) -> list[str]:
        """The names of the inputs with a wrong gradient."""
        return [name for name, found in self.inputs.items() if not found.passed]

    @property
    def relative_error(self) -> float:
        """The largest relative error of all inputs."""
        return max(found.relative_error for found in self.inputs.values())

    def __str__(self) -> str:
        """`1 of 3 gradients wrong (relative error above 1e-06):`, then the inputs, wrong first."""
        count = f"{len(self.wrong)} of {len(self.inputs)} gradients wrong"
        lines = sorted(self.inputs.values(), key=lambda found: found.passed)  # the wrong ones first
        head = f"{count} (relative error above {self.tolerance:g}):"
        return "\n  ".join([head, *map(str, lines)])


class GradientError(AssertionError):
    """A backward that is not the derivative of its forward."""


def likely_cause(analytic: np.ndarray, numeric: np.ndarray, smallest: float) -> str:
    """The mistake that the wrong values look like, after a colon; "" where they look like none.

    In this order: all zeros; forward does not depend on the input; a square matrix transposed; the
    sign; "2 times what it should", with the factor in four digits. A derivative up to `smallest` is
    taken for rounding.
    """
    shape = analytic.shape
    if not analytic.any():
        return ": backward gives zeros"
    if not np.any(np.abs(numeric) > smallest):
        return ": forward does not depend on it"
    if len(shape) == 2 and shape[0] == shape[1] and _alike(analytic, numeric.T):
        return ": it is transposed"
    factor = float(np.sum(analytic * numeric) / np.sum(numeric**2))
    if abs(factor - 1) < 1e-3 or not _alike(analytic, factor * numeric):
        return ""
    if _alike(analytic, -numeric):
        return ": its sign is the wrong way round"
    return f": backward gives {factor:.4g} times what it should, so a factor is missing or too many"


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one - other).max() <= 1e-4 * np.abs(other).max())


# --- what forward and backward hand over --------------------------------------------------------


def copy_of_input(name: str, value: np.ndarray) -> np.ndarray:
    """A copy for forward to work on; ValueError where it is nothing that can be checked."""
    if not isinstance(value, np.ndarray):
        raise ValueError(
            f"the input {name!r} is a {type(value).__name__}, expected a NumPy array; what is no "
            f"array (a config, a number of heads) belongs into a function around forward"
        )
    if value.dtype.kind in "iub":
        return value.copy()
    if value.dtype != np.float64:
        raise ValueError(
            f"the input {name!r} is {value.dtype}, expected float64: fewer digits are not enough "
            f"to measure a derivative (integers and booleans are held fixed)"
        )
    if value.size == 0:
        raise ValueError(f"the input {name!r} of shape {value.shape} is empty: nothing to check")
    if not np.isfinite(value).all():
        raise ValueError(f"the input {name!r} is not finite{_first_not_finite(value)}")
    return value.copy()


def call_forward(forward: Callable[..., tuple[Any, Any]], arrays: Arrays) -> tuple[Any, Any]:
    """`(y, cache)` with y an array or a tuple of arrays, float64 and finite, else ValueError."""
    result = forward(**arrays)
    if not (isinstance(result, tuple) and len(result) == 2):
        came = f"tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise ValueError(f"forward must return (y, cache), not a {came}")
    y, cache = result
    # Copies, since forward may write the next y into the same memory.
    y = tuple(np.array(part) for part in y) if isinstance(y, tuple) else np.array(y)
    for part in parts_of(y):
        if part.dtype != np.float64:
            raise ValueError(
                f"forward made y {part.dtype} from float64 inputs: find the place that casts"
            )
        if part.size == 0:
            raise ValueError(
                f"forward returned an empty y, of shape {part.shape}: nothing to check"
            )
        if not np.isfinite(part).all():
            raise ValueError(f"forward's y is not finite{_first_not_finite(part)}")
    return y, cache


def parts_of(y: Any) -> list[np.ndarray]:
    return list(y) if isinstance(y, tuple) else [y]


def require_same(
    before: Mapping[Any, np.ndarray],
    after: Mapping[Any, np.ndarray],
    error: type[Exception],
    complaint: str,
) -> None:
    for name, value in before.items():
        if not np.array_equal(value, after[name]):
            raise error(
                f"{complaint.format(repr(name))}: others may still need it (a residual connection "
                f"does), so work on a copy"
            )


def require_deterministic(first: Any, second: Any) -> None:
    for one, other in zip(parts_of(first), parts_of(second), strict=True):
        # Not to the last bit: some processors sum in an order that depends on where memory lies.
        if one.shape != other.shape or not np.allclose(one, other, rtol=1e-12, atol=1e-12):
            raise ValueError(
                "two calls of forward on the same inputs differ, so nothing can be measured: "
                "switch dropout off (rng=None), or make its generator anew inside forward"
            )


def gradients_by_name(returned: Any, names: list[str]) -> Arrays:
    """What backward returned as name -> array; GradientError where one is missing or too many."""
    values = returned if isinstance(returned, tuple | list) else [returned]
    given: Arrays = {}
    for mapping in (value for value in values if isinstance(value, Mapping)):
        given.update(mapping)
    extra = [str(name) for name in given if name not in names]
    if extra:
        raise GradientError(
            f"backward returned a gradient of {', '.join(extra)}: not among the inputs that have "
            f"one, which are {', '.join(names)}"
        )
    in_order = [value for value in values if not isinstance(value, Mapping)]
    waiting = [name for name in names if name not in given]
    if in_order and len(in_order) != len(waiting):
        raise GradientError(
            f"backward returned {len(in_order)} gradients in order for {len(waiting)} inputs: "
            f"{', '.join(waiting)}"
        )
    given.update(zip(waiting, in_order, strict=False))
    missing = [name for name in names if given.get(name) is None]
    if missing:
        raise GradientError(f"backward returned no gradient of {', '.join(missing)}")
    return {name: np.array(given[name]) for name in names}


def require_fitting(gradients: Arrays, arrays: Arrays) -> None:
    """GradientError, a line for each gradient whose shape or type is not its input's."""
    problems = []
    for name, x in arrays.items():
        gradient = gradients[name]
        if gradient.shape != x.shape:
            problems.append(
                f"the gradient of {name} has shape {gradient.shape}, expected {x.shape}, the shape "
                f"of {name}{_likely_shape_mistake(gradient.shape, x.shape)}"
            )
        elif gradient.dtype != np.float64:
            problems.append(
                f"the gradient of {name} is {gradient.dtype}, expected float64, the type of {name}"
            )
        elif not np.isfinite(gradient).all():
            problems.append(f"the gradient of {name} is not finite{_first_not_finite(gradient)}")
    if problems:
        raise GradientError("\n".join(problems))


def _likely_shape_mistake(came: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """After a colon: transposed, axes of length 1, a sum missing, a sum too many; else ""."""
    if came == expected[::-1]:
        return ": it is transposed"
    try:
        together = np.broadcast_shapes(came, expected)
    except ValueError:
        return ""
    if np.prod(came) == np.prod(expected):
        return ": it has axes of length 1 too many or too few"
    if together == came:
        return (
            ": a sum is missing, over the batch or whatever other axes forward broadcast it along"
        )
    if together == expected:
        return ": it was summed over an axis too many"
    return ""


def _first_not_finite(values: np.ndarray) -> str:
    """Where the first value that is not finite stands, and which it is."""
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
    return f": {values[index]} at {list(index)}" if index else f": {values[index]}"
