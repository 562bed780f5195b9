"""Draw two problems on which Adam does not win, small enough for the reason to be seen.

    uv run journal run phase01.plot_adam_limits

First a ravine, the quadratic of curvatures 1 and 1000 of phase 0. Adam divides each coordinate of
the gradient by that coordinate's own size. Where the ravine lies along an axis, this undoes the
ratio of the curvatures. Turned by 45 degrees, both coordinates see the steep wall alike, and
dividing by their sizes undoes nothing. SGD and momentum have no axes of their own: turn the problem
and their path turns with it. Each optimizer is tried at many rates, at every angle, and the fewest
steps are kept after which the value stays below a ten thousandth of what it was at the start.

Then the example with which Reddi, Kale and Kumar (2018) showed that Adam need not converge: x in
[-1, 1], and a gradient that is large once in a period and small with the other sign in between. Its
mean is positive, so x = -1 is best. Where the mean square forgets within a period, the one large
gradient is divided by a large root and the many small ones by a small root, and x drifts to +1, the
worst point. The rates fall as 1 / sqrt(t). On the left is the sequence of period 3 with betas of 0
and 1 / (1 + 3^2), on the right one of period 101 with ordinary betas.

Left out: AMSGrad, the repair that the same paper proposes; noise; more than two dimensions.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase00.optimization import largest_stable_rate, quadratic, quadratic_gradient
from phase01.optimizers import SGD, Adam, Optimizer

TOLERANCE = 1e-4  # of the value at the start
N_DRAWN = 80  # points of a curve

Make = Callable[[dict[str, np.ndarray]], Optimizer]
OPTIMIZERS: dict[str, Make] = {  # the rate is set when a run begins
    "SGD": lambda params: SGD(params, 0.0),
    "momentum": lambda params: SGD(params, 0.0, momentum=0.9),
    "Adam": lambda params: Adam(params),
}
SEQUENCES: dict[str, dict[str, Any]] = {  # gradients, and the optimizers with their rates
    "period 3: gradients 3, -1, -1": {
        "period": 3,
        "gradients": (3.0, -1.0),  # once, and in all other steps
        "runs": {
            "SGD": (lambda params: SGD(params, 0.0), 0.1),
            "Adam, betas 0 and 0.1": (lambda params: Adam(params, betas=(0.0, 0.1)), 0.1),
            "Adam, betas 0.9 and 0.999": (lambda params: Adam(params), 0.1),
        },
    },
    "period 101: gradients 1010, then -10": {
        "period": 101,
        "gradients": (1010.0, -10.0),
        "runs": {
            "SGD": (lambda params: SGD(params, 0.0), 0.001),
            "Adam, betas 0.9 and 0.99": (lambda params: Adam(params, betas=(0.9, 0.99)), 0.5),
        },
    },
}


@dataclass(frozen=True)
class Config:
    ratio: float = 1000.0
    """of the two curvatures of the ravine"""
    angles: tuple[int, ...] = (0, 5, 10, 15, 30, 45, 60, 75, 80, 85, 90)
    """by which the ravine is turned, in degrees; the first and 45 are drawn as curves"""
    n_rates: int = 13
    """rates that are tried for each optimizer at each angle"""
    n_steps: int = 1000
    """longest run in the ravine"""
    drift_steps: int = 20_000
    """length of the second problem's runs"""
    record: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.ratio < math.inf:
            raise ValueError(f"ratio must be finite and 1 or more, not {self.ratio}")
        if 45 not in self.angles:
            raise ValueError(f"angles must have 45 among them, not only {self.angles}")
        if min(self.n_rates, self.n_steps, self.drift_steps) < 2:
            raise ValueError(
                "n_rates, n_steps and drift_steps must be 2 or more, not "
                f"{self.n_rates}, {self.n_steps} and {self.drift_steps}"
            )


def main(config: Config) -> dict[str, Any]:
    """Turn the ravine, and follow the drift; returns steps by angle, and where x ends."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {"angles": list(config.angles), "ravine": {}, "drift": {}}
    curves: dict[str, Any] = {"ravine": {}, "drift": {}}
    for name in OPTIMIZERS:
        found = {angle: search(name, angle, config) for angle in config.angles}
        metrics["ravine"][name] = {
            key: [best[key] for best in found.values()] for key in ("steps", "rate")
        }
        curves["ravine"][name] = {
            str(angle): found[angle]["values"] for angle in (config.angles[0], 45)
        }
        print(f"{name:<9} steps at each angle: {metrics['ravine'][name]['steps']}")
    for sequence, about in SEQUENCES.items():
        paths = {
            name: drift(make, rate, about["period"], about["gradients"], config.drift_steps)
            for name, (make, rate) in about["runs"].items()
        }
        metrics["drift"][sequence] = {name: round(path[-1], 4) for name, path in paths.items()}
        curves["drift"][sequence] = {name: thinned(path) for name, path in paths.items()}
        print(f"{sequence}: x ends at {metrics['drift'][sequence]}")
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("ravine", draw_ravine(metrics, curves["ravine"], config)),
        ("drift", draw_drift(curves["drift"])),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    return metrics


# ---- the ravine --------------------------------------------------------------------------


def rates_of(name: str, config: Config) -> np.ndarray:
    """The rates to try: up to the largest stable one, or for Adam from 0.01 to 30."""
    if name == "Adam":
        return np.geomspace(0.01, 30, config.n_rates)
    # Momentum is stable up to (1 + 0.9) times the rate at which plain descent is.
    largest = largest_stable_rate(np.array([1.0, config.ratio]))
    return np.geomspace(0.05, 0.99 if name == "SGD" else 1.89, config.n_rates) * largest


def search(name: str, angle: int, config: Config) -> dict[str, Any]:
    """The fewest steps over all rates, and that rate with its values; steps None if none arrives.

    Where no rate arrives, rate and values are those of the lowest last value.
    """
    runs = []
    for rate in rates_of(name, config):
        values = descend_ravine(OPTIMIZERS[name], float(rate), angle, config)
        late = np.flatnonzero(~(values <= TOLERANCE * values[0]))  # nan is late too
        steps = int(late[-1]) + 1
        arrived = steps <= config.n_steps
        runs.append((steps if arrived else math.inf, values[-1], float(rate), values))
    steps, _, rate, values = min(runs, key=lambda run: run[:3])
    return {
        "steps": steps if math.isfinite(steps) else None,
        "rate": float(f"{rate:.4g}"),
        "values": [float(f"{value:.3g}") for value in values[:: max(1, len(values) // N_DRAWN)]],
    }


def descend_ravine(make: Make, rate: float, angle: int, config: Config) -> np.ndarray:
    """The value before the first step and after each; from (1, 1) in the ravine's own axes."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])  # (2, 2)
    curvatures = np.array([1.0, config.ratio])
    params = {"x": turn @ np.ones(2)}
    optimizer = make(params)
    optimizer.learning_rate = rate
    values = [float(quadratic(np.ones(2), curvatures))]
    for _ in range(config.n_steps):
        own = turn.T @ params["x"]  # (2,): the point in the ravine's axes
        optimizer.step({"x": turn @ quadratic_gradient(own, curvatures)})
        values.append(float(quadratic(turn.T @ params["x"], curvatures)))
    return np.array(values)


# ---- the drift ---------------------------------------------------------------------------


def drift(
    make: Make, rate: float, period: int, gradients: tuple[float, float], n_steps: int
) -> list[float]:
    """x after every step, from 0, put back to -1 or 1 where a step leaves the interval."""
    params = {"x": np.zeros(1)}
    optimizer = make(params)
    once, otherwise = gradients
    path = []
    for t in range(1, n_steps + 1):
        optimizer.learning_rate = rate / math.sqrt(t)
        optimizer.step({"x": np.array([once if t % period == 1 else otherwise])})
        np.clip(params["x"], -1, 1, out=params["x"])
        path.append(float(params["x"][0]))
    return path


def thinned(path: list[float]) -> list[tuple[int, float]]:
    """(step, x) at so many steps that a logarithmic axis is evenly filled."""
    steps = np.unique(np.geomspace(1, len(path), N_DRAWN).round().astype(int))
    return [(int(step), round(path[step - 1], 4)) for step in steps]


# ---- how it is drawn ---------------------------------------------------------------------


def draw_ravine(metrics: dict[str, Any], curves: dict[str, Any], config: Config) -> Figure:
    """The value along an axis and turned, and the steps against the angle."""
    figure, axes = plotting.figure(8.0, 4.0, columns=2)
    figure.suptitle(f"A ravine of curvatures 1 and {config.ratio:g}, each at its best rate")
    every = max(1, (config.n_steps + 1) // N_DRAWN)
    for name, colour, marker in zip(OPTIMIZERS, plotting.PALETTE, "osD", strict=False):
        alike = len({tuple(values) for values in curves[name].values()}) == 1
        for (angle, values), dash in zip(curves[name].items(), plotting.DASHES, strict=False):
            label = f"{name}, either way" if alike else f"{name}, turned by {angle}°"
            axes[0].plot(
                every * np.arange(len(values)), values, color=colour, linestyle=dash, label=label
            )
            if alike:  # the second would lie on the first
                break
        steps = [math.nan if s is None else s for s in metrics["ravine"][name]["steps"]]
        axes[1].plot(
            metrics["angles"], steps, color=colour, linestyle="-", marker=marker, label=name
        )
    axes[0].set(title="Value", xlabel="step", yscale="log", ylim=(1e-6, 3e3), ylabel="f(x)")
    axes[0].legend(loc="upper right")
    axes[1].set(
        title="Steps to 0.0001 of the start",
        xlabel="angle of the ravine, degrees",
        ylabel="steps",
        ylim=(0, None),
        xticks=range(0, 91, 15),
    )
    axes[1].legend(loc="center right")
    return figure


def draw_drift(curves: dict[str, dict[str, list[tuple[int, float]]]]) -> Figure:
    """x against the step, for each sequence and optimizer."""
    figure, axes = plotting.figure(8.0, 3.8, columns=2)
    figure.suptitle("Best is x = -1: where Adam goes when it forgets too fast")
    for ax, (sequence, paths) in zip(axes, curves.items(), strict=True):
        for name, path in paths.items():
            kind = 0 if name == "SGD" else 2 if name.endswith("0.999") else 1
            steps, x = zip(*path, strict=True)
            ax.plot(steps, x, color=plotting.PALETTE[kind], linestyle="-", label=name)
        ax.set(title=sequence, xlabel="step", xscale="log", ylim=(-1.1, 1.9))
        ax.legend(loc="upper left")
        ax.set_yticks((-1, -0.5, 0, 0.5, 1))
    axes[0].set_ylabel("x")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
