"""Milestone 1957, the problem: a perceptron that has learned nothing is right about half the time.

    uv run journal run phase01.tour_untrained_perceptron [--n-draw 2000] [--record]

Points are drawn that a line separates, and weights are drawn at random, over and over. On the
average over the draws half of the answers are right, whatever the points are: weights and their
negatives are equally likely, and where the ones are right the others are wrong.

The average hides how far the draws lie apart. With two inputs the line may by luck lie almost as
it should, or just the other way round; often it misses the points, all answers are the same, and as
many are right as there are points of that class (the two peaks of the picture). With many inputs
nearly every draw is near one half. What learning adds is shown by `train_perceptron`, on the same
points.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from journal import plotting, record, script
from phase01.perceptron import predict, separable_points

N_INPUT = (2, 100)  # in the plane, and with many inputs
SHOWN = 150  # points in the picture


@dataclass(frozen=True)
class Config:
    n_draw: int = 2000
    """draws of the weights, for each number of inputs"""
    n_example: int = 1200
    """points"""
    distance: float = 0.05
    """of the nearest point from the line that separates them"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_draw", "n_example"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not self.distance >= 0:
            raise ValueError(f"distance must be 0 or more, not {self.distance}")


def main(config: Config) -> dict[str, Any]:
    """Draw weights and count right answers; returns the average and the spread."""
    started = time.perf_counter()
    figure, axes = plotting.figure(8.0, 3.8, columns=2)
    figure.suptitle("A perceptron with random weights")
    metrics: dict[str, Any] = {"draws": config.n_draw, "inputs": []}
    print("inputs  points of class 1  right on average  least   most  draws with 95 % or more")
    for n_input in N_INPUT:
        rng = np.random.default_rng(config.seed)  # the first thing drawn is what is learned later
        x, targets, *_ = separable_points(config.n_example, n_input, config.distance, rng)
        draws = rng.normal(size=(config.n_draw, n_input + 1))
        weights, biases = draws[:, :-1], draws[:, -1]
        right = shares_right(x, targets, weights, biases)
        found = summary(right)
        shares = (float(targets.mean()), *(found[key] for key in ("mean", "least", "most")))
        print(f"{n_input:6}{shares[0]:19.1%}{shares[1]:18.1%}{shares[2]:7.1%}", end="")
        print(f"{shares[3]:7.1%}{found['share_with_95_percent']:25.1%}")
        metrics["inputs"].append({"n_input": n_input, **found})
        if n_input == 2:
            metrics["class_1"] = round(shares[0], 4)
            print_negative(x, targets, weights[0], biases[0])
            draw_lines(axes[0], x, targets, weights, biases, right)
        draw_shares(axes[1], n_input, right)
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    record.write_picture(__file__, "shares", figure, record=config.record)
    close(config, seconds)
    return metrics


# ---- what is measured ------------------------------------------------------------------------


def shares_right(
    x: np.ndarray, targets: np.ndarray, weights: np.ndarray, biases: np.ndarray
) -> np.ndarray:
    """(n_draw,): the share of the points that each draw of weights and bias answers rightly."""
    draws = zip(weights, biases, strict=True)
    return np.array([(predict(x, weight, bias) == targets).mean() for weight, bias in draws])


def summary(right: np.ndarray) -> dict[str, float]:
    """The average over the draws, how far they spread, and how many would do."""
    found = {
        "mean": right.mean(),
        "standard_deviation": right.std(),
        "least": right.min(),
        "most": right.max(),
        "share_with_95_percent": (right >= 0.95).mean(),
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def print_negative(x: np.ndarray, targets: np.ndarray, weight: np.ndarray, bias: float) -> None:
    """Why the average is one half: a draw, and the same with every sign turned."""
    for sign in (1, -1):
        w, b = sign * weight, sign * bias
        right = (predict(x, w, b) == targets).mean()
        print(f"        e.g. weights {w[0]:+.3f} {w[1]:+.3f}, bias {b:+.3f}: {right:.1%} right")


# ---- how it is drawn and closed --------------------------------------------------------------


def draw_lines(ax: Axes, x: np.ndarray, targets: np.ndarray, *draws: np.ndarray) -> None:
    """Some of the points, the first lines that cross them, and how much is right under each."""
    crossing = ((w, b, r) for w, b, r in zip(*draws, strict=True) if abs(b) < np.abs(w).sum() / 2)
    plotting.draw_points(ax, x[:SHOWN], targets[:SHOWN], size=14)
    for (weight, bias, right), colour in zip(crossing, plotting.PALETTE[:4], strict=False):
        plotting.draw_line(ax, weight, bias, color=colour, label=f"{right:.0%} right")
    ax.set(title="Random lines on one set of points", xlabel="$x_1$", ylabel="$x_2$")
    ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    ax.grid(visible=False)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))


def draw_shares(ax: Axes, n_input: int, right: np.ndarray) -> None:
    """How the draws are distributed over the share of right answers."""
    bins = np.linspace(0, 1, 41).tolist()
    each = np.full(len(right), 100 / len(right))  # in % of the draws
    ax.hist(right, bins, weights=each, histtype="step", label=f"{n_input} inputs")
    ax.set(title="Right answers of each draw", xlabel="share right", ylabel="% of the draws")
    ax.legend()


def close(config: Config, seconds: float) -> None:
    """Print the costs of a perceptron that only answers, and what to think about."""
    answers = config.n_draw * config.n_example * len(N_INPUT)
    script.close(
        [
            ("parameters", "3 for 2 inputs", "one for each input, and the bias"),
            ("memory", "24 bytes, in float64", "8 bytes for each parameter"),
            ("operations", "2 multiply-adds an answer", "one for each input"),
            ("time", f"{seconds:.1f} s for {answers:,} answers", "answers x inputs"),
        ],
        [
            "Why is the average one half even where most points are of one class?",
            "A draw is right about 3 % of the points. What would you do with it?",
            "With 2 inputs, drawing until one is good enough works. Why not with 100?",
        ],
    )


if __name__ == "__main__":
    script.run(main, Config)
