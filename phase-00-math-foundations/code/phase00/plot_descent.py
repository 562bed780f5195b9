"""Draw gradient descent: its paths, the rates at which it works, and what a long valley costs.

    uv run journal run phase00.plot_descent

Three pictures. The paths over the contours of a bowl, a ravine, Rosenbrock's bent valley and a
saddle. The distance to the minimum of the ravine at rates that crawl, converge and diverge, and at
1 % below and above the largest stable one. The number of steps against the ratio of the curvatures
(the condition number), at half the largest stable rate, 1 / max(c), and at the fastest rate of
all, 2 / (min(c) + max(c)), each beside what the closed form foretells.

Left out: momentum and adaptive rates, which were invented for these ravines (phase 1), and noise.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase00.optimization import (
    descend,
    largest_stable_rate,
    quadratic,
    quadratic_gradient,
    rosenbrock,
    rosenbrock_gradient,
    saddle,
    saddle_gradient,
    steps_to_reach,
)

BOWL = np.array([1.0, 1.0])
RAVINE = np.array([1.0, 20.0])
RAVINE_START = np.array([-2.4, 1.0])
TOLERANCE = 1e-3  # how near counts as arrived
SHARES = {  # of the largest stable rate: how the ravine answers
    "crawls": 0.02,
    "converges": 0.5,
    "fastest": 20 / 21,  # 2 / (min(c) + max(c)) on curvatures 1 and 20
    "just below": 0.99,
    "exactly": 1.0,
    "just above": 1.01,
    "diverges": 1.2,
}


@dataclass(frozen=True)
class Config:
    n_steps: int = 200
    """steps on the ravine at each rate"""
    rosenbrock_steps: int = 20_000
    """steps in Rosenbrock's valley"""
    ratios: tuple[float, ...] = (1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
    """condition numbers at which the steps are counted"""
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """Descend on every surface; returns where each path ended and how many steps it took."""
    started = time.perf_counter()
    if config.n_steps < 1 or config.rosenbrock_steps < 1:
        raise ValueError(
            f"n_steps and rosenbrock_steps must be 1 or more, not {config.n_steps} and "
            f"{config.rosenbrock_steps}"
        )
    if not config.ratios or min(config.ratios) < 1:
        raise ValueError(f"ratios must be one or more numbers from 1 up, not {config.ratios}")
    paths = descend_on_surfaces(config.rosenbrock_steps)
    rates = descend_at_rates(config.n_steps)
    condition = count_steps(config.ratios)
    metrics = {
        "surfaces": {name: summary(name, path) for name, path in paths.items()},
        "rates": {name: rate_summary(name, distances) for name, distances in rates.items()},
        "condition": condition,
    }
    drawn = {name: thinned(path).round(6) for name, path in paths.items()}
    distances = {name: [float(f"{d:.6g}") for d in found] for name, found in rates.items()}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "paths": drawn, "distances": distances},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("paths", draw_paths(drawn, metrics["surfaces"])),
        ("rates", draw_rates(distances)),
        ("condition", draw_condition(condition)),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    return metrics


# ---- what is measured --------------------------------------------------------------------


def bowl_gradient(x: np.ndarray) -> np.ndarray:
    return quadratic_gradient(x, BOWL)


def ravine_gradient(x: np.ndarray) -> np.ndarray:
    return quadratic_gradient(x, RAVINE)


def descend_on_surfaces(rosenbrock_steps: int) -> dict[str, np.ndarray]:
    """The paths that the first picture shows, by name."""
    limit = largest_stable_rate(RAVINE)
    on_axis, nudged = np.array([-1.8, 0.0]), np.array([-1.8, 1e-6])
    return {
        "bowl": descend(bowl_gradient, np.array([-2.0, 1.6]), 0.15, 60),
        "ravine": descend(ravine_gradient, RAVINE_START, 0.95 * limit, 90),
        "rosenbrock": descend(rosenbrock_gradient, np.array([-1.2, 1.0]), 1e-3, rosenbrock_steps),
        "saddle, on the axis": descend(saddle_gradient, on_axis, 0.1, 250),
        "saddle, nudged": descend(saddle_gradient, nudged, 0.1, 250),
    }


def summary(name: str, path: np.ndarray) -> dict[str, Any]:
    """Where a path ended, and its first step within the tolerance of the nearest minimum."""
    surface = name.partition(",")[0]
    goal = {"rosenbrock": np.ones(2), "saddle": np.array([0.0, 1.0])}.get(surface, np.zeros(2))
    return {
        "steps": len(path) - 1,
        "end": path[-1].tolist(),
        "value": float(SURFACES[surface](path[-1])),
        "steps_to_minimum": steps_to_reach(path, goal, TOLERANCE),
    }


SURFACES = {
    "bowl": lambda x: quadratic(x, BOWL),
    "ravine": lambda x: quadratic(x, RAVINE),
    "rosenbrock": rosenbrock,
    "saddle": saddle,
}


def thinned(path: np.ndarray, n_points: int = 80) -> np.ndarray:
    """At most this many points of a path, dense at its start, where it moves fast."""
    if len(path) <= n_points:
        return path
    steps = np.geomspace(1, len(path), n_points).round().astype(int) - 1
    return path[np.unique(steps)]


def descend_at_rates(n_steps: int) -> dict[str, list[float]]:
    """The distance to the ravine's minimum after each step, at each share of the stable rate."""
    limit = largest_stable_rate(RAVINE)
    paths = {
        name: descend(ravine_gradient, RAVINE_START, share * limit, n_steps)
        for name, share in SHARES.items()
    }
    return {name: np.linalg.norm(path, axis=1).tolist() for name, path in paths.items()}


def rate_summary(name: str, distances: list[float]) -> dict[str, Any]:
    near = [step for step, distance in enumerate(distances) if distance <= TOLERANCE]
    return {
        "share_of_largest_stable_rate": SHARES[name],
        "learning_rate": SHARES[name] * largest_stable_rate(RAVINE),
        "end_distance": distances[-1],
        "steps_to_minimum": near[0] if near else None,
    }


def count_steps(ratios: tuple[float, ...]) -> dict[str, Any]:
    """Steps from (1, 1) to within the tolerance of the origin, for curvatures 1 and `ratio`.

    At 1 / max(c) the flat coordinate shrinks by 1 - 1 / ratio at every step; at the fastest rate
    both shrink by (ratio - 1) / (ratio + 1), the steep one with its sign turning.
    """
    found: dict[str, Any] = {"ratios": list(ratios)}
    for name in ("half_the_largest_rate", "fastest_rate"):
        measured, foretold = [], []
        for ratio in ratios:
            curvatures = np.array([1.0, ratio])
            if name == "fastest_rate":
                rate, factor, length = 2 / (1 + ratio), (ratio - 1) / (ratio + 1), math.sqrt(2)
            else:
                rate, factor, length = largest_stable_rate(curvatures) / 2, 1 - 1 / ratio, 1.0
            steps = math.log(TOLERANCE / length) / math.log(factor) if factor > 0 else 1.0
            path = descend(
                lambda x, c=curvatures: quadratic_gradient(x, c),
                np.ones(2),
                rate,
                math.ceil(steps) + 5,
            )
            measured.append(steps_to_reach(path, np.zeros(2), TOLERANCE))
            foretold.append(steps)
        found[name] = {"steps": measured, "foretold": foretold}
    return found


# ---- how it is drawn ---------------------------------------------------------------------


def draw_paths(paths: dict[str, np.ndarray], surfaces: dict[str, Any]) -> Figure:
    """Four surfaces from above, each with the paths over its contours and what they took."""
    figure, axes = plotting.figure(8.0, 6.4, rows=2, columns=2)
    figure.suptitle("Gradient descent seen from above")
    panels = (
        ("bowl", "A round bowl: straight to the minimum", (-2.6, 1.4), (-0.97, 1.8)),
        ("ravine", "A ravine, 20 times steeper across: zigzag", (-2.8, 1.2), (-1.6, 1.6)),
        ("rosenbrock", "Rosenbrock's valley: slow along its floor", (-1.6, 1.6), (-0.7, 1.7)),
        ("saddle", "A saddle: stuck on it, or past it", (-2.1, 1.7), (-1.28, 1.28)),
    )
    for ax, (surface, title, x_range, y_range) in zip(axes.flat, panels, strict=True):
        draw_contours(ax, surface, x_range, y_range)
        ax.set(title=title, xlabel="$x_0$", ylabel="$x_1$", xlim=x_range, ylim=y_range)
        if surface != "saddle":
            draw_path(ax, paths[surface], plotting.PALETTE[1])
            took = surfaces[surface]["steps_to_minimum"]
            note(
                ax,
                f"{took:,} steps to within {TOLERANCE}" if took else "not there yet",
                (0.03, 0.04),
            )
    ax, names = axes.flat[3], ("saddle, on the axis", "saddle, nudged")
    draw_path(ax, paths[names[0]], plotting.PALETTE[0], width=5)  # under the other until they part
    draw_path(ax, paths[names[1]], plotting.PALETTE[1])
    took = surfaces[names[1]]["steps_to_minimum"]
    note(ax, "from $x_1 = 0$:\nstays on the saddle", (0.59, 0.39), plotting.PALETTE[0])
    past = f"from $x_1 = 10^{{-6}}$:\n{took} steps to\nthe minimum"
    note(ax, past, (0.03, 0.72), plotting.PALETTE[1])
    return figure


def note(ax: Axes, text: str, place: tuple[float, float], colour: str = plotting.INK) -> None:
    """A few words inside a panel, on a patch of the card so that the contours do not cross them."""
    patch = {"facecolor": plotting.CARD, "edgecolor": "none", "pad": 2}
    ax.text(*place, text, transform=ax.transAxes, color=colour, size=9, bbox=patch, zorder=3)


def draw_contours(
    ax: Axes, surface: str, x_range: tuple[float, float], y_range: tuple[float, float]
) -> None:
    """Level lines, closer together where the surface is low, so that its floor shows."""
    grid = np.stack(np.meshgrid(np.linspace(*x_range, 121), np.linspace(*y_range, 121)), axis=-1)
    heights = SURFACES[surface](grid)
    low, high = float(heights.min()), float(heights.max())
    levels = low + (high - low) * np.linspace(0.03, 1, 14) ** 2.5
    ax.grid(visible=False)
    ax.contour(grid[..., 0], grid[..., 1], heights, levels=levels, linewidths=0.8, colors="#8c959f")


def draw_path(ax: Axes, path: np.ndarray, colour: str, width: float = 1.3) -> None:
    """A path with a dot at each recorded step, a ring at its start and a star at its end."""
    ax.plot(path[:, 0], path[:, 1], ".-", color=colour, linewidth=width, markersize=4)
    ax.plot(*path[0], "o", color=colour, markersize=9, markerfacecolor="none")
    ax.plot(*path[-1], "*", color=colour, markersize=11)


def draw_rates(distances: dict[str, list[float]]) -> Figure:
    """The distance after each step: ordinary rates on the left, the edge on the right."""
    figure, axes = plotting.figure(8.0, 4.1, columns=2)
    figure.suptitle("Descent in a ravine of curvatures 1 and 20")
    panels = (
        ("Too small, good, too large", ("crawls", "converges", "fastest", "diverges")),
        ("The edge of stability", ("just below", "exactly", "just above")),
    )
    for ax, (title, names) in zip(axes, panels, strict=True):
        for name in names:
            found = [d if d > 0 else math.nan for d in distances[name]]
            ax.plot(found, label=f"{name}: {SHARES[name]:.3g} × $2/\\lambda_{{\\max}}$")
        ax.set(title=title, xlabel="step", yscale="log")
        ax.legend(loc="best")
    axes[0].set(ylabel="distance to the minimum", ylim=(1e-9, 1e6))
    return figure


def draw_condition(condition: dict[str, Any]) -> Figure:
    """Steps against the ratio of the curvatures, with what the closed form foretells."""
    figure, ax = plotting.figure(6.4, 4.2)
    kinds = (
        ("half_the_largest_rate", r"rate $1/\lambda_{\max}$"),
        ("fastest_rate", r"rate $2/(\lambda_{\min} + \lambda_{\max})$, the fastest"),
    )
    for (name, label), colour in zip(kinds, plotting.PALETTE, strict=False):
        ax.plot(condition["ratios"], condition[name]["foretold"], color=colour, linewidth=1.2)
        ax.plot(condition["ratios"], condition[name]["steps"], "o", color=colour, label=label)
    ax.set(
        title="Steps to come within 0.001 of the minimum",
        xlabel="ratio of the largest to the smallest curvature",
        ylabel="steps (dots: counted, lines: closed form)",
        xscale="log",
        yscale="log",
    )
    ax.grid(visible=True, axis="both")
    ax.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
