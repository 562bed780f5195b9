"""Rosenblatt's rule on AND, OR and XOR, every update printed; then the convergence theorem, seen.

    uv run journal run phase01.train_gates [--n-epoch 1000] [--record]

AND and OR are learned until a pass makes no mistake. On XOR every pass makes some. The four inputs
come in the same order in every pass, so the next pass follows from the weights at the end of this
one: once these have come back, all that follows has been seen, and the rule cycles for ever.

Then the rule learns many random sets of points that a line separates, from wide margins to narrow
ones, and the mistakes that it makes are held against the bound of the theorem, (R / gamma)^2.
Gamma is that of the line from which the set was drawn. Left out: the line of the widest margin,
which would give a smaller bound.
"""

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.perceptron import (
    GATES,
    History,
    gate,
    mistake_bound,
    predict,
    separable_points,
    train,
)

LIMITS = (-1.35, 1.65)  # of both axes in the pictures of the gates
SHOWN = 12  # vectors, from the first on, whose lines are drawn


@dataclass(frozen=True)
class Config:
    n_epoch: int = 1000
    """passes over a gate's four inputs before it is given up"""
    distances: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4)
    """of the nearest point from the line, in the sets that the theorem is held against"""
    n_set: int = 100
    """sets of points for each distance"""
    n_example: int = 100
    """points in a set"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_epoch", "n_set", "n_example"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not self.distances or not min(self.distances) > 0:
            raise ValueError(
                f"distances must be one or more numbers above 0, not {self.distances}: "
                "without a margin there is no bound"
            )


def main(config: Config) -> dict[str, Any]:
    """Train on the gates, then hold the theorem against random sets; returns what came of both."""
    started = time.perf_counter()
    histories = {name: train(*gate(name), n_epoch=config.n_epoch) for name in GATES}
    gates = {name: describe(name, history) for name, history in histories.items()}
    found = count_mistakes(config)
    metrics = {"gates": gates, "theorem": compare_with_bound(found)}
    points = {str(distance): np.round(pairs, 1).tolist() for distance, pairs in found.items()}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "bounds_and_mistakes": points},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    boundaries = draw_gates(histories, gates)
    record.write_picture(__file__, "boundaries", boundaries, record=config.record)
    record.write_picture(__file__, "theorem", draw_theorem(found), record=config.record)
    return metrics


# ---- the gates -------------------------------------------------------------------------------


def describe(name: str, history: History) -> dict[str, Any]:
    """Print a gate's updates, for one that is never learned until they repeat; returns the end."""
    ends = np.cumsum((0, *history.mistakes))  # the updates made when each epoch was over
    vectors = np.column_stack([history.weights, history.biases])
    cycle = None if history.converged else find_cycle([tuple(v) for v in vectors[ends].tolist()])
    last = ends[sum(cycle)] if cycle else ends[-1]
    print(f"\n{name}: weights 0 0, bias 0")
    print("epoch  update  input  answer  target  weights   bias")
    for update in range(1, last + 1):
        error = history.biases[update] - history.biases[update - 1]  # target - answer
        shown = error * (history.weights[update] - history.weights[update - 1])  # the example
        epoch = np.searchsorted(ends, update)
        before, target = (0, 1) if error > 0 else (1, 0)
        first, second = shown.astype(int)
        after = "{:5g}{:4g}  {:5g}".format(*vectors[update])
        print(f"{epoch:5}  {update:6}    {first} {second}  {before:6}  {target:6}  {after}")
    found: dict[str, Any] = {
        "learned": history.converged,
        "epochs": len(history.mistakes),
        "updates": len(vectors) - 1,
        "fewest_mistakes_in_an_epoch": min(history.mistakes),
    }
    if history.converged:
        print(f"{name} is learned: no mistake in epoch {found['epochs']}")
        return {**found, "weight": history.weights[-1].tolist(), "bias": history.biases[-1]}
    print(
        f"and so on: {found['epochs']} epochs, {found['updates']} updates, and never fewer than "
        f"{found['fewest_mistakes_in_an_epoch']} mistakes in an epoch"
    )
    if cycle is None:
        return {**found, "cycle": None}
    first, period = cycle
    states = vectors[ends[first] : last].tolist()
    print(f"The weights at the end of epoch {first + period} are those at the end of {first}:")
    print(" -> ".join(f"({a:g}, {b:g}; {c:g})" for a, b, c in [*states, states[0]]))
    return {**found, "cycle": {"after_epoch": first, "epochs": period, "weights_bias": states}}


def find_cycle(states: Sequence[Hashable]) -> tuple[int, int] | None:
    """Where the first state stands that comes back, and after how many it does; None if none."""
    seen: dict[Hashable, int] = {}
    for index, state in enumerate(states):
        if state in seen:
            return seen[state], index - seen[state]
        seen[state] = index
    return None


# ---- the convergence theorem -----------------------------------------------------------------


def count_mistakes(config: Config) -> dict[float, np.ndarray]:
    """For each distance an array (n_set, 2): the bound of a set, and the mistakes made on it."""
    rng = np.random.default_rng(config.seed)
    found = {}
    for distance in config.distances:
        pairs = []
        for _ in range(config.n_set):
            x, targets, weight, bias = separable_points(config.n_example, 2, distance, rng)
            bound = mistake_bound(x, targets, weight, bias)
            # Each pass but the last has a mistake: by the theorem so many passes are enough.
            history = train(x, targets, n_epoch=int(bound) + 1, rng=rng)
            pairs.append((bound, sum(history.mistakes)))
        found[distance] = np.array(pairs)
    return found


def compare_with_bound(found: dict[float, np.ndarray]) -> dict[str, Any]:
    """Print and return how near the mistakes came to their bound, by distance and in all."""
    print("\nrandom sets of points that a line separates")
    print("distance  sets  median mistakes  median bound  largest mistakes / bound")
    rows = []
    for distance, pairs in found.items():
        bound, mistakes = np.median(pairs, axis=0)
        ratio = float((pairs[:, 1] / pairs[:, 0]).max())
        print(f"{distance:8g}  {len(pairs):4}  {mistakes:15g}  {bound:12.0f}  {ratio:24.3f}")
        rows.append(
            {
                "distance": distance,
                "median_mistakes": float(mistakes),
                "median_bound": round(float(bound), 1),
                "largest_ratio": round(ratio, 4),
            }
        )
    return {
        "sets": sum(len(pairs) for pairs in found.values()),
        "above_the_bound": sum(int((m > b).sum()) for b, m in (p.T for p in found.values())),
        "largest_ratio": max(row["largest_ratio"] for row in rows),
        "by_distance": rows,
    }


# ---- how it is drawn -------------------------------------------------------------------------


def draw_gates(histories: dict[str, History], gates: dict[str, Any]) -> Figure:
    """A panel for each gate: every line that the unit went through, and what it came to."""
    figure, axes = plotting.figure(8.0, 3.5, columns=len(histories))
    figure.suptitle("The line where the answer changes, after every update")
    for ax, (name, history) in zip(axes, histories.items(), strict=True):
        cycle = None if history.converged else gates[name]["cycle"]
        if cycle:
            final = np.array(cycle["weights_bias"])
            title = f"{name}: {len(final)} updates, for ever"
        else:
            final = np.array([[*history.weights[-1], history.biases[-1]]])
            title = f"{name}: {gates[name]['updates']} updates"
            draw_side_of_one(ax, history.weights[-1], history.biases[-1])
        passed = list(zip(history.weights[:SHOWN], history.biases[:SHOWN], strict=True))
        for alpha, line in zip(np.linspace(0.2, 0.9, len(passed)), passed, strict=True):
            plotting.draw_line(ax, *line, color=plotting.PALETTE[0], linewidth=1, alpha=alpha)
        for number, (*weight, bias) in enumerate(final, start=1):
            plotting.draw_line(ax, np.array(weight), bias, color=plotting.PALETTE[1], linewidth=2)
            if cycle:
                number_line(ax, np.array(weight), bias, number)
        plotting.draw_points(ax, *gate(name), size=60)
        ax.set(title=title, xlabel="$x_1$", xlim=LIMITS, ylim=LIMITS, aspect="equal")
        ax.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
        ax.grid(visible=False)
    axes[0].set_ylabel("$x_2$")
    for colour, label in ((0, "on the way, later ones darker"), (1, "at the end, or in the cycle")):
        axes[1].plot([], [], color=plotting.PALETTE[colour], label=label)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def number_line(ax: Axes, weight: np.ndarray, bias: float, number: int) -> None:
    """A number on the line, near the place where it leaves the panel."""
    if weight.any():
        steps = np.linspace(-4, 4, 801)[:, None]  # (801, 1)
        points = (steps * [-weight[1], weight[0]] - bias * weight) / (weight @ weight)  # (801, 2)
        inside = points[(np.abs(points - np.mean(LIMITS)) < 0.43 * np.ptp(LIMITS)).all(axis=1)]
        if len(inside):
            patch = {"facecolor": plotting.CARD, "edgecolor": "none", "pad": 1.5}
            x, y = inside[0]
            middle: dict[str, Any] = {"ha": "center", "va": "center", "size": 9, "bbox": patch}
            ax.text(x, y, str(number), color=plotting.PALETTE[1], **middle)


def draw_side_of_one(ax: Axes, weight: np.ndarray, bias: float) -> None:
    """The side on which the unit answers 1, shaded, over the whole panel and beyond."""
    grid = np.stack(np.meshgrid(np.linspace(-4, 4, 81), np.linspace(-4, 4, 81)), axis=-1)
    answers = predict(grid, weight, bias)
    if 0 < answers.mean() < 1:
        scores = grid @ weight + bias  # (81, 81)
        levels = [0, float(scores.max())]
        ax.contourf(
            *np.moveaxis(grid, -1, 0), scores, levels, colors=plotting.PALETTE[1], alpha=0.15
        )


def draw_theorem(found: dict[float, np.ndarray]) -> Figure:
    """The mistakes of every set against its bound, both logarithmic, under the line of equality."""
    figure, ax = plotting.figure(6.6, 4.4)
    for (distance, pairs), marker in zip(found.items(), "osD^v" * len(found), strict=False):
        ax.loglog(
            *pairs.T, marker, markersize=4.5, markeredgewidth=0, label=f"distance {distance:g}"
        )
    ends = np.array([min(p[:, 0].min() for p in found.values()) / 2, 0.0])
    ends[1] = max(p[:, 0].max() for p in found.values()) * 2
    ax.plot(ends, ends, color=plotting.INK, linewidth=1.2, label="mistakes = bound")
    ax.set(
        title="Mistakes until a line that separates the points is found",
        xlabel="bound $(R / \\gamma)^2$",
        ylabel="mistakes",
        xlim=ends,
        ylim=(0.7, None),
    )
    ax.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
