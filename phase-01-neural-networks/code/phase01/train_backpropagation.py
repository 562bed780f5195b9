"""Exhibit 02, backpropagation (1986): assign the error to every weight by the chain rule.

    uv run journal run phase01.train_backpropagation

The first example of Rumelhart, Hinton and Williams (1986): six inputs of 0 or 1, two hidden units,
one output that says whether the inputs are their own mirror image. No input alone says anything
about it, so the hidden units have to find out what to compute. What they find can be read: weights
at mirrored places are equal with opposite signs, their sizes are as 1:2:4, and the two units have
opposite signs. A symmetric input adds up to 0 in both, every other one turns one of them on.

As in the paper (equations 1 to 9 and figure 1): the network, the logistic function, the error
E = 1/2 sum (y - d)^2 over all cases, derivatives summed over all 64 patterns before each step, a
learning rate of 0.1, momentum 0.9, weights and biases from -0.3 to 0.3 at the start, 1,425 sweeps.

Different here. Many starts are trained and not one, side by side as one wide network, whose second
layer has a mask so that each output sees only the two hidden units of its own. We do not know by
which measure the paper's run had learned after its 1,425 sweeps, so every start gets them all.
A second, lower learning rate is tried, since at 0.1 many of our starts still say "not symmetric"
to everything after 1,425 sweeps: the first steps are so large that the output is pushed down to 0
for every pattern, where its slope y (1 - y) lets hardly any gradient through. And the sizes are not
always as 1:2:4: some starts find 2:3:4, which does as well, since no choice of signs makes three
such weights, or two of them, add up to 0.

Left out: the paper's other examples, the family trees and the recurrent network.
Shape letters: P patterns (64), N starts, of which each has 2 hidden units.
"""

import time
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.activations import sigmoid_backward, sigmoid_forward
from phase01.linear import linear_backward, linear_backward_parameters, linear_forward
from phase01.losses import mse_backward, mse_forward
from phase01.optimizers import SGD

N_INPUT, N_HIDDEN = 6, 2
PATTERNS = np.array(list(product((0.0, 1.0), repeat=N_INPUT)))  # (P, 6)
SYMMETRIC = (PATTERNS[:, ::-1] == PATTERNS).all(axis=1)  # (P,)
RATIOS = {"1:2:4": (1, 2, 4), "2:3:4": (1, 1.5, 2)}  # three sizes that no signs add up to 0
ALIKE = 0.1  # a ratio counts as found where each of its numbers is within a tenth
SHOWN_SWEEPS = 30  # between two recorded errors

EARLY = 25  # sweeps after which the output's slope is reported

Arrays = dict[str, np.ndarray]


class Run(NamedTuple):
    """What a learning rate made of all starts, and their history, a row for each sweep."""

    params: Arrays
    errors: np.ndarray  # (sweeps, N): E before the step
    right: np.ndarray  # (sweeps, N): how many of the patterns were on the right side of 1/2
    slopes: np.ndarray  # (sweeps, N): the mean of y (1 - y) over the patterns

    @property
    def learned(self) -> np.ndarray:
        """Which starts know every pattern at the end, (N,)."""
        return self.right[-1] == len(PATTERNS)

    @property
    def hidden_weights(self) -> np.ndarray:
        """The weights of each start's own two units, (N, 2, 6)."""
        return self.params["hidden.weight"].reshape(-1, N_HIDDEN, N_INPUT)


@dataclass(frozen=True)
class Config:
    n_sweeps: int = 1425
    """passes through all 64 patterns, each followed by one step"""
    learning_rates: tuple[float, ...] = (0.1, 0.03)
    """the paper's, and a lower one"""
    momentum: float = 0.9
    weight_range: float = 0.3
    """weights and biases are drawn from -weight_range to weight_range"""
    n_start: int = 20
    """networks that are trained from different starts, side by side"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if self.n_sweeps < 1 or self.n_start < 1:
            raise ValueError(
                f"n_sweeps and n_start must be 1 or more, not {self.n_sweeps} and {self.n_start}"
            )
        if not self.learning_rates or not self.weight_range > 0:
            raise ValueError(
                "there must be a learning rate and a positive weight_range, not "
                f"{self.learning_rates} and {self.weight_range}"
            )


def main(config: Config) -> dict[str, Any]:
    """Train all starts at each learning rate; returns how many learned, and what one looks like."""
    started = time.perf_counter()
    runs = {}
    cpu_started = time.process_time()
    for rate in config.learning_rates:
        runs[f"{rate:g}"] = train(config, rate)
    cpu_seconds = time.process_time() - cpu_started  # of all starts at all rates
    metrics: dict[str, Any] = {
        "n_start": config.n_start,
        "cpu_seconds": round(cpu_seconds, 3),
        "rates": {rate: summary(run) for rate, run in runs.items()},
        "networks": {name: describe(runs, name) for name in RATIOS},
    }
    print_findings(metrics)
    errors = {rate: short(run.errors[::SHOWN_SWEEPS].T) for rate, run in runs.items()}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "errors": errors},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "errors", draw_errors(runs), record=config.record)
    for name, network in metrics["networks"].items():
        if network:
            figure = draw_network(network, name)
            picture = f"weights-{name.replace(':', '-')}"
            record.write_picture(__file__, picture, figure, record=config.record)
    return metrics


# ---- the network and how it learns -------------------------------------------------------


def start(config: Config) -> tuple[Arrays, np.ndarray]:
    """The starts as one wide network, and the mask (N, 2 N) that keeps their outputs apart."""
    rng = np.random.default_rng(config.seed)
    n, wide, limit = config.n_start, N_HIDDEN * config.n_start, config.weight_range
    mask = np.kron(np.eye(n), np.ones((1, N_HIDDEN)))  # (N, 2 N): output k has units 2 k, 2 k + 1
    params = {
        "hidden.weight": rng.uniform(-limit, limit, (wide, N_INPUT)),
        "hidden.bias": rng.uniform(-limit, limit, wide),
        "output.weight": rng.uniform(-limit, limit, (n, wide)) * mask,
        "output.bias": rng.uniform(-limit, limit, n),
    }
    return params, mask


def train(config: Config, learning_rate: float) -> Run:
    """All starts trained at one learning rate: forward, backward, update."""
    params, mask = start(config)
    targets = np.repeat(SYMMETRIC[:, np.newaxis].astype(float), config.n_start, axis=1)  # (P, N)
    optimizer = SGD(params, learning_rate, config.momentum)  # equation 9, while the rate is fixed
    errors, right, slopes = [], [], []
    for _ in range(config.n_sweeps):
        # forward: what each unit says about each pattern
        x, hidden_cache = linear_forward(PATTERNS, params["hidden.weight"], params["hidden.bias"])
        hidden, hidden_sigmoid = sigmoid_forward(x)  # (P, 2 N), equations 1 and 2
        x, output_cache = linear_forward(hidden, params["output.weight"], params["output.bias"])
        y, output_sigmoid = sigmoid_forward(x)  # (P, N)
        _, loss_cache = mse_forward(y, targets)

        # backward: how the error changes with each sum, then with each weight
        dy = mse_backward(y.size / 2, loss_cache)  # (P, N): y - d; E is the mean times this
        dx = sigmoid_backward(dy, output_sigmoid)  # (P, N): times y (1 - y), equation 5
        dhidden, dweight_output, dbias_output = linear_backward(dx, output_cache)  # 6 and 7
        dx = sigmoid_backward(dhidden, hidden_sigmoid)  # (P, 2 N), equation 5 again
        dweight_hidden, dbias_hidden = linear_backward_parameters(dx, hidden_cache)  # 6 again

        # update: every weight a little against its share of the error
        optimizer.step(
            {
                "hidden.weight": dweight_hidden,
                "hidden.bias": dbias_hidden,
                "output.weight": dweight_output * mask,  # no start hears of another's units
                "output.bias": dbias_output,
            }
        )
        errors.append(((y - targets) ** 2).sum(axis=0) / 2)
        right.append(((y > 0.5) == (targets > 0.5)).sum(axis=0))
        slopes.append((y * (1 - y)).mean(axis=0))
    return Run(params, np.array(errors), np.array(right), np.array(slopes))


# ---- what was found ----------------------------------------------------------------------


def have_ratio(weights: np.ndarray, name: str) -> np.ndarray:
    """Which starts have weights (N, 2, 6) whose sizes are in a ratio of `RATIOS`."""
    return np.all(np.abs(sizes(weights) / RATIOS[name] - 1) < ALIKE, axis=1)  # (N,)


def sizes(weights: np.ndarray) -> np.ndarray:
    """The three sizes of mirrored weights, ascending, the least as 1: (N, 2, 6) to (N, 3)."""
    pairs = (np.abs(weights) + np.abs(weights[..., ::-1]))[..., : N_INPUT // 2]  # (N, 2, 3)
    ascending = np.sort(pairs.mean(axis=1), axis=1)  # (N, 3)
    return ascending / ascending[:, :1]


def summary(run: Run) -> dict[str, Any]:
    """How many starts know all patterns at the end, since when, and with which weights."""
    since = run.right.argmax(axis=0)[run.learned]  # the first sweep that has all right
    counts = {
        name: int((have_ratio(run.hidden_weights, name) & run.learned).sum()) for name in RATIOS
    }
    return {
        "learned": int(run.learned.sum()),
        "sweeps_to_learn": sorted(since.tolist()),
        "ratios": {**counts, "other": int(run.learned.sum()) - sum(counts.values())},
        "call_none_symmetric": int((run.right[-1] == (~SYMMETRIC).sum()).sum()),
        "largest_error": float(f"{run.errors[-1].max():.4g}"),
        "median_slope_at_start": float(f"{np.median(run.slopes[0]):.3g}"),
        f"median_slope_after_{EARLY}": float(f"{np.median(run.slopes[: EARLY + 1][-1]):.3g}"),
    }


def describe(runs: dict[str, Run], ratio: str) -> dict[str, Any]:
    """The first start that learned with weights of this ratio; nothing where none did."""
    for rate, run in runs.items():
        for k in np.flatnonzero(run.learned & have_ratio(run.hidden_weights, ratio))[:1]:
            units = slice(N_HIDDEN * k, N_HIDDEN * (k + 1))
            weights = run.hidden_weights[k]  # (2, 6)
            largest = np.abs(weights).max()
            return {
                "learning_rate": float(rate),
                "start": int(k),
                "patterns_right": int(run.right[-1, k]),
                "sweeps_to_learn": int(run.right[:, k].argmax()),
                "error": float(f"{run.errors[-1, k]:.4g}"),
                "hidden_weights": weights.round(3).tolist(),
                "hidden_biases": run.params["hidden.bias"][units].round(3).tolist(),
                "output_weights": run.params["output.weight"][k, units].round(3).tolist(),
                "output_bias": round(float(run.params["output.bias"][k]), 3),
                "sizes": sizes(weights[np.newaxis])[0].round(3).tolist(),
                "mirror_mismatch": float(np.abs(weights + weights[:, ::-1]).max() / largest),
                "unit_mismatch": float(np.abs(weights[0] + weights[1]).max() / largest),
            }
    return {}


def short(curves: np.ndarray) -> list[list[float]]:
    return [[float(f"{error:.3g}") for error in curve] for curve in curves]


def print_findings(metrics: dict[str, Any]) -> None:
    for rate, found in metrics["rates"].items():
        print(
            f"learning rate {rate}: {found['learned']} of {metrics['n_start']} starts know all "
            f"{len(PATTERNS)} patterns, {found['call_none_symmetric']} call none symmetric"
        )
    for network in filter(None, metrics["networks"].values()):
        print(f"start {network['start']} at learning rate {network['learning_rate']}:")
        for unit, weights in enumerate(network["hidden_weights"], start=1):
            print(f"  hidden unit {unit}: " + " ".join(f"{weight:8.2f}" for weight in weights))
        print("  sizes of the mirrored pairs: " + " : ".join(f"{s:.2f}" for s in network["sizes"]))
    print(f"CPU seconds of all the training: {metrics['cpu_seconds']}")


# ---- how it is drawn ---------------------------------------------------------------------


def draw_errors(runs: dict[str, Run]) -> Figure:
    """The error of every start, a panel for each learning rate."""
    figure, axes = plotting.figure(8.0, 3.8, columns=len(runs))
    figure.suptitle("The error of each start as it learns")
    for ax, (rate, run) in zip(np.atleast_1d(axes), runs.items(), strict=True):
        sweeps = np.arange(0, len(run.errors), SHOWN_SWEEPS)
        kinds = (("all 64 right at the end", run.learned), ("not yet", ~run.learned))
        for (kind, chosen), colour in zip(kinds, plotting.PALETTE, strict=False):
            ax.plot([], [], color=colour, linestyle="-", label=f"{kind}: {chosen.sum()} starts")
            found = run.errors[sweeps][:, chosen]  # (some sweeps, some starts)
            ax.plot(sweeps, found, color=colour, linestyle="-", linewidth=1, alpha=0.7)
        ax.set(title=f"learning rate {rate}", xlabel="sweep", yscale="log", ylim=(1e-3, 30))
        ax.legend(loc="lower left")
    np.atleast_1d(axes)[0].set_ylabel("error E, summed over 64 patterns")
    return figure


def draw_network(network: dict[str, Any], ratio: str) -> Figure:
    """The inputs in a row, one hidden unit above and one below, the output to the right."""
    figure, ax = plotting.figure(7.0, 4.4)
    ax.axis("off")
    title = f"A detector of symmetry, sizes {ratio} (weights on the lines, biases in the units)"
    ax.set(title=title, aspect="equal")
    ax.axvline(2.5, color=plotting.FAINT, linewidth=6, zorder=0)  # the mirror
    units, output = ((2.5, 2.2), (2.5, -2.2)), (7.6, 0.0)
    for unit, place in enumerate(units):
        for i, weight in enumerate(network["hidden_weights"][unit]):
            draw_weight(ax, (float(i), 0.0), place, weight, 0.32)
        draw_weight(ax, place, output, network["output_weights"][unit], 0.5)
        draw_unit(ax, place, f"{network['hidden_biases'][unit]:.1f}")
    for i in range(N_INPUT):
        draw_unit(ax, (float(i), 0.0), "")
    draw_unit(ax, output, f"{network['output_bias']:.1f}")
    for text, place in (
        ("input", (-0.5, 0.0)),
        ("hidden unit 1", (2.0, 2.3)),
        ("hidden unit 2", (2.0, -2.3)),
    ):
        ax.text(*place, text, ha="right", va="center", size=10)
    ax.text(output[0], 0.6, "output", ha="center", size=10)
    ax.set(xlim=(-1.6, 8.2), ylim=(-2.8, 2.8))
    return figure


def draw_unit(ax: Axes, place: tuple[float, float], bias: str) -> None:
    ax.plot(*place, "o", markersize=24 if bias else 13, markerfacecolor=plotting.CARD, zorder=3)
    ax.lines[-1].set(color=plotting.INK, markeredgewidth=1.2)
    ax.text(*place, bias, ha="center", va="center", size=9, zorder=4)


def draw_weight(
    ax: Axes, a: tuple[float, float], b: tuple[float, float], weight: float, share: float
) -> None:
    """A line from a to b, blue for positive, orange for negative; the number `share` of the way."""
    colour = plotting.PALETTE[0] if weight > 0 else plotting.PALETTE[1]
    width = 0.6 + abs(weight) / 5
    ax.plot((a[0], b[0]), (a[1], b[1]), color=colour, linestyle="-", linewidth=width, zorder=1)
    place = (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]))
    patch = {"facecolor": plotting.CARD, "edgecolor": "none", "pad": 1}
    ax.text(*place, f"{weight:+.1f}", ha="center", va="center", size=9, bbox=patch, zorder=2)


if __name__ == "__main__":
    script.run(main, Config)
