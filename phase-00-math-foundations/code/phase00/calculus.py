"""Derivatives by measurement, and the chain rule checked by it.

A derivative says how much the output moves if the input moves a little. So it can be measured: move
the input a little to both sides, and divide. That is the central difference

    f'(x)  is about  (f(x + epsilon) - f(x - epsilon)) / (2 epsilon)

and it needs nothing but f, which makes it the judge of every derivative that is derived by hand. It
is far too slow to train with: a gradient takes two evaluations of f for each element of x.

How large should epsilon be? Two errors pull in opposite directions. Taylor's series gives the
*truncation* error, epsilon^2 |f'''(x)| / 6: the even terms cancel between the two sides, which is
why both sides are used. Floating point gives the *rounding* error, about u |f(x)| / epsilon with
u = 2.2e-16 in float64: the two values agree in most of their digits, and what remains after the
subtraction are the last ones. For numbers of order one the sum is smallest near the cube root of u:

    epsilon      truncation    rounding
    1e-3         2e-7          2e-13
    1e-5         2e-11         2e-11       the balance: about ten correct digits
    1e-7         2e-15         2e-9        the roadmap's step: still eight, and easy to remember
    1e-12        2e-25         2e-4

Both functions here take 1e-7 where nothing else is asked for. `phase00.gradcheck` takes 1e-5: it
asks for six digits of elements that may be a thousand times smaller than y, and whose rounding is
that of y, so it cannot spare the digit or two that 1e-7 costs. Where f bends sharply (a large third
derivative) the balance lies at smaller steps. `phase00.plot_gradient_error` draws the table above.

Left out: one-sided differences (their truncation falls with epsilon, not its square), complex
steps, and automatic differentiation, which gives exact derivatives and is what backpropagation is.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float


def numerical_derivative(f: Callable[[float], float], x: float, epsilon: float = 1e-7) -> float:
    """The derivative of a function of one number at x, by the central difference.

        (f(x + epsilon) - f(x - epsilon)) / (2 epsilon)

    Raises ValueError, naming it, where epsilon is not above zero; and where f gives anything but
    one number, naming the shape of what it gave.
    """
    _require_positive(epsilon)
    return (_number(f(x + epsilon)) - _number(f(x - epsilon))) / (2 * epsilon)


def numerical_gradient(
    f: Callable[[np.ndarray], float], x: Float[np.ndarray, "..."], epsilon: float = 1e-7
) -> Float[np.ndarray, "..."]:
    """The gradient of f at x: the central difference in each element, the others held still.

        gradient[i] = (f(x + epsilon e_i) - f(x - epsilon e_i)) / (2 epsilon)

    x is an array of any shape and f gives one number for it; the gradient is float64 and has the
    shape of x. x itself is left as it is: f is called on a float64 copy, since in float32 a step of
    1e-7 is lost beside a number of order one. Raises ValueError as `numerical_derivative` does.
    """
    _require_positive(epsilon)
    moved = np.array(x, dtype=np.float64)
    gradient = np.zeros_like(moved)
    for index in np.ndindex(moved.shape):
        here = moved[index]
        moved[index] = here + epsilon
        above = _number(f(moved))
        moved[index] = here - epsilon
        below = _number(f(moved))
        moved[index] = here  # put back, not subtracted back: (x + epsilon) - epsilon rounds
        gradient[index] = (above - below) / (2 * epsilon)
    return gradient


def sin_of_square(x: float | Float[np.ndarray, "..."]) -> float | Float[np.ndarray, "..."]:
    """sin(x^2), for a number or for each element of an array: a chain of two functions."""
    return np.sin(x**2)


def sin_of_square_derivative(
    x: float | Float[np.ndarray, "..."],
) -> float | Float[np.ndarray, "..."]:
    """The derivative of sin(x^2), by the chain rule.

    With the inner function u = x^2 and the outer one sin(u), effects multiply along the chain:

        d sin(x^2)/dx = d sin(u)/du * du/dx = cos(x^2) * 2 x

    The outer derivative is taken at u = x^2, not at x.
    """
    return np.cos(x**2) * 2 * x


def derivative_errors(
    f: Callable[[float], float],
    derivative: Callable[[float], float],
    x: float,
    epsilons: Sequence[float] | Float[np.ndarray, " E"],
) -> Float[np.ndarray, " E"]:
    """By how much the measured derivative of f at x misses the true one, for each epsilon.

        errors[k] = |numerical_derivative(f, x, epsilons[k]) - derivative(x)|

    `derivative` is the true derivative of f as a function. Large epsilons show the truncation,
    small ones the rounding.
    """
    true = derivative(x)
    measured = [numerical_derivative(f, x, float(epsilon)) for epsilon in epsilons]
    return np.abs(np.array(measured) - true)  # (E,)


def _number(value: float) -> float:
    """The value as a float; ValueError where f gave an array, whose derivative is no gradient."""
    if np.ndim(value) != 0:
        raise ValueError(
            f"f must return one number, not an array of shape {np.shape(value)}: "
            f"sum it, or pick one of its elements"
        )
    return float(value)


def _require_positive(epsilon: float) -> None:
    if not epsilon > 0:
        raise ValueError(f"epsilon is the size of a step and must be above zero, not {epsilon}")
