"""Draw the activation functions with their derivatives, and measure where gradients are lost.

    uv run journal run phase01.plot_activations

Two pictures. Every activation beside its derivative: the step, the sigmoid, tanh, ReLU and the two
forms of GELU. And the difference of the two forms, which is too small to be seen in the first.

Four measurements. How far the two GELUs lie apart. What is left of each derivative at x = 5 and
x = 10, where the functions with an S have gone flat. What ten layers do to a gradient that meets
the largest derivative in each of them (the best case), or the derivative at x = 2. And what the
sigmoid's formula does at x = -1000 when it is typed as it stands, beside ours.

Left out: the weights between the layers, which multiply the gradient as well (the initialization
of item 1.7 is about them), and any training.
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.activations import ACTIVATIONS, sigmoid_forward

TITLES = {
    "step": "Step",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "ReLU",
    "gelu": "GELU, exact",
    "gelu_tanh": "GELU, by tanh",
}
FAR = (5.0, 10.0)  # where saturation is measured
TYPICAL = 2.0  # an input that is neither at the peak nor far out
HUGE = 1000.0  # exp of it is beyond float64


@dataclass(frozen=True)
class Config:
    x_max: float = 6.0
    """the pictures go from -x_max to x_max"""
    n_points: int = 120_001
    """where the functions are evaluated, at equal distances"""
    n_layers: int = 10
    """layers that a gradient passes"""
    record: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.x_max < math.inf:
            raise ValueError(f"x_max must be positive and finite, not {self.x_max}")
        if self.n_points < 2 or self.n_layers < 1:
            raise ValueError(
                f"there must be 2 points and 1 layer or more, not {self.n_points} points and "
                f"{self.n_layers} layers"
            )


def main(config: Config) -> dict[str, Any]:
    """Draw each activation and its derivative; returns slopes, differences and overflows."""
    started = time.perf_counter()
    x = np.linspace(-config.x_max, config.x_max, config.n_points)  # (n,)
    curves = {name: (values(name, x), slopes(name, x)) for name in ACTIVATIONS}
    metrics = {
        "gelu": compare_gelus(x),
        "slopes": {name: measure_slopes(name, x, config.n_layers) for name in ACTIVATIONS},
        "overflow": overflows(),
    }
    print_table(metrics["slopes"], config.n_layers)
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "functions", draw_functions(x, curves), record=config.record)
    difference = curves["gelu_tanh"][0] - curves["gelu"][0]  # (n,)
    record.write_picture(__file__, "gelus", draw_gelus(x, difference), record=config.record)
    return metrics


# ---- what is measured --------------------------------------------------------------------


def values(name: str, x: np.ndarray) -> np.ndarray:
    """The activation at every x."""
    forward, _ = ACTIVATIONS[name]
    return forward(x)[0]


def slopes(name: str, x: np.ndarray) -> np.ndarray:
    """The derivative at every x: what backward makes of a gradient of 1 that arrives there."""
    forward, backward = ACTIVATIONS[name]
    _, cache = forward(x)
    return backward(np.ones_like(x), cache)


def compare_gelus(x: np.ndarray) -> dict[str, float]:
    """The largest differences of value and slope between the two GELUs, and where they are."""
    apart = np.abs(values("gelu_tanh", x) - values("gelu", x))  # (n,)
    slopes_apart = np.abs(slopes("gelu_tanh", x) - slopes("gelu", x))  # (n,)
    return {
        "largest_difference": float(apart.max()),
        "at_distance_from_0": abs(float(x[apart.argmax()])),  # both sides have it, up to rounding
        "largest_slope_difference": float(slopes_apart.max()),
    }


def measure_slopes(name: str, x: np.ndarray, n_layers: int) -> dict[str, float]:
    """The largest slope and those further out, and their powers: a gradient after some layers."""
    peak = float(slopes(name, x).max())
    typical, *far = slopes(name, np.array([TYPICAL, *FAR])).tolist()
    return {
        "largest": peak,
        **{f"at_{place:g}": slope for place, slope in zip(FAR, far, strict=True)},
        "after_layers_at_largest": peak**n_layers,
        f"after_layers_at_{TYPICAL:g}": typical**n_layers,
    }


def overflows() -> dict[str, dict[str, Any]]:
    """Three ways to write the sigmoid, far out: what comes back, and what NumPy has to say."""
    return {
        "1 / (1 + exp(-x)) at -1000": watch(lambda x: 1 / (1 + np.exp(-x)), -HUGE),
        "exp(x) / (1 + exp(x)) at 1000": watch(lambda x: np.exp(x) / (1 + np.exp(x)), HUGE),
        "ours at -1000": watch(lambda x: sigmoid_forward(x)[0], -HUGE),
        "ours at 1000": watch(lambda x: sigmoid_forward(x)[0], HUGE),
    }


def watch(function: Callable[[np.ndarray], np.ndarray], x: float) -> dict[str, Any]:
    """The function's value (None for nan) and its warnings, each once."""
    with np.errstate(over="warn", invalid="warn"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = float(function(np.array([x]))[0])
    said = sorted({str(warning.message) for warning in caught})
    return {"value": None if math.isnan(value) else value, "warnings": said}


def print_table(measured: dict[str, dict[str, float]], n_layers: int) -> None:
    layers = f"{n_layers} layers"
    print(f"{'slope':<14}{'largest':>9}{'at 5':>10}{'at 10':>10}{layers + ', largest':>21}")
    for name, slope in measured.items():
        far = "".join(f"{slope[f'at_{place:g}']:>10.2g}" for place in FAR)
        print(
            f"{TITLES[name]:<14}{slope['largest']:>9.4f}{far}"
            f"{slope['after_layers_at_largest']:>21.2g}"
        )


# ---- how it is drawn ---------------------------------------------------------------------


def draw_functions(x: np.ndarray, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """A panel for each activation, with its derivative."""
    figure, axes = plotting.figure(8.0, 5.2, rows=2, columns=3)
    figure.suptitle("Activation functions and their derivatives")
    every = max(1, len(x) // 240)  # a picture needs no more points
    for ax, (name, (value, slope)) in zip(axes.flat, curves.items(), strict=True):
        ax.plot(x[::every], broken(value[::every], name == "step"), label="$f(x)$")
        flat = broken(slope[::every], name == "relu")
        ax.plot(x[::every], flat, label="$f'(x)$", linestyle="--")
        low, high = {"step": (-0.3, 1.3), "sigmoid": (-0.3, 1.3), "tanh": (-1.15, 1.15)}.get(
            name, (-0.5, 2.5)
        )
        ticks = np.linspace(x[0], x[-1], 5)  # (5,)
        ax.set(title=TITLES[name], ylim=(low, high), xlim=(x[0], x[-1]), xticks=ticks)
    for ax in axes[1]:
        ax.set_xlabel("x")
    axes[0, 0].legend(loc="upper left", bbox_to_anchor=(0, 0.95))
    return figure


def broken(curve: np.ndarray, jumps: bool) -> np.ndarray:
    """The curve with a gap where it jumps, since a jump is no steep line."""
    drawn = curve.copy()
    if jumps:
        drawn[np.flatnonzero(np.diff(drawn))] = math.nan
    return drawn


def draw_gelus(x: np.ndarray, difference: np.ndarray) -> Figure:
    """The form with tanh minus the exact one."""
    figure, ax = plotting.figure(7.0, 3.2)
    every = max(1, len(x) // 600)
    ax.plot(x[::every], 1e4 * difference[::every])
    ax.set(
        title="GELU by tanh minus exact GELU",
        xlabel="x",
        ylabel="difference, in units of 0.0001",
        xlim=(x[0], x[-1]),
    )
    return figure


if __name__ == "__main__":
    script.run(main, Config)
