"""Draw the error of the central difference against epsilon: too large truncates, too small rounds.

    uv run journal run phase00.plot_gradient_error

Three functions whose derivative is known, in float64, on steps from 1e-13 to 1. One point alone
gives a jagged line, since rounding is luck; so the error is the root mean square over many points
between 0.5 and 1.5. Beside the curves stand what theory says for numbers of order one: the
truncation epsilon^2 / 6, and the rounding u / epsilon with u = 2.2e-16, the spacing of float64.
The two steps of this journal are marked: 1e-7, the default of `numerical_gradient`, and 1e-5, that
of `gradcheck.check_backward`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from journal import plotting, record, script
from phase00.calculus import derivative_errors, sin_of_square, sin_of_square_derivative

Function = Callable[[float], float]
FUNCTIONS: dict[str, tuple[Function, Function]] = {
    "sin(x²)": (lambda x: float(sin_of_square(x)), lambda x: float(sin_of_square_derivative(x))),
    "exp(x)": (math.exp, math.exp),
    "tanh(x)": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
}
SPACING = float(np.finfo(np.float64).eps)
MARKS = {"1e-7": ("numerical_gradient", "right"), "1e-5": ("check_backward", "left")}


@dataclass(frozen=True)
class Config:
    n_points: int = 200
    """over which the errors are averaged"""
    per_decade: int = 8
    """steps between 1e-13 and 1 for each factor of ten"""
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """Measure the errors, print the best step of each function, write numbers and picture."""
    if config.n_points < 1 or config.per_decade < 1:
        raise ValueError("n_points and per_decade must be 1 or more")
    started = time.perf_counter()
    epsilons = 10.0 ** (-np.arange(13 * config.per_decade + 1) / config.per_decade)
    points = np.linspace(0.5, 1.5, config.n_points)
    measured = {
        name: mean_errors(f, derivative, points, epsilons)
        for name, (f, derivative) in FUNCTIONS.items()
    }
    metrics = {
        "epsilons": epsilons.tolist(),
        "functions": {
            name: {"errors": errors.tolist(), **summary(epsilons, errors)}
            for name, errors in measured.items()
        },
    }
    for name, found in metrics["functions"].items():
        print(
            f"{name:<8} best step {found['best_epsilon']:.1e}, error {found['best_error']:.1e}; "
            f"at 1e-5 {found['error_at_1e-5']:.1e}, at 1e-7 {found['error_at_1e-7']:.1e}"
        )
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    picture = record.write_picture(__file__, "epsilon", draw(metrics), record=config.record)
    print(f"drawn to {picture}")
    return metrics


def mean_errors(
    f: Function, derivative: Function, points: np.ndarray, epsilons: np.ndarray
) -> np.ndarray:
    """The root mean square of the error over the points, for each epsilon."""
    errors = [derivative_errors(f, derivative, float(x), epsilons) for x in points]
    return np.sqrt(np.mean(np.square(errors), axis=0))  # (epsilons,)


def summary(epsilons: np.ndarray, errors: np.ndarray) -> dict[str, float]:
    """The step with the smallest error, and the errors there and at the two marked steps."""
    best = int(np.argmin(errors))
    found = {"best_epsilon": float(epsilons[best]), "best_error": float(errors[best])}
    for mark in MARKS:
        nearest = int(np.argmin(np.abs(np.log(epsilons / float(mark)))))
        found[f"error_at_{mark}"] = float(errors[nearest])
    return found


def draw(metrics: dict[str, Any]) -> Any:
    """The curves on two logarithmic axes, the two lines of theory, the two steps."""
    epsilons = np.array(metrics["epsilons"])
    figure, axes = plotting.figure(height=4.3)
    for name, found in metrics["functions"].items():
        axes.plot(epsilons, found["errors"], label=name)
    theory = {"color": plotting.INK, "linewidth": 1, "linestyle": "--"}
    axes.plot(epsilons, epsilons**2 / 6, **theory)
    axes.plot(epsilons, SPACING / epsilons, **theory)
    axes.text(3e-4, 2.5e-9, "truncation ε²/6", ha="left", va="top")
    axes.text(1e-10, 3e-6, "rounding u/ε", ha="left", va="bottom")
    for mark, (user, side) in MARKS.items():
        axes.axvline(float(mark), color=plotting.INK, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"{mark}\n{user}",
            (float(mark), 1.0),
            xytext=(5 if side == "left" else -5, -4),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=9,
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(1e-13, 1),
        ylim=(1e-13, 1),
        xlabel="step ε",
        ylabel="error of the derivative",
        title="A step too large truncates, a step too small rounds",
    )
    axes.legend(loc="lower left")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
