"""Draw the gradient on its way back through time: how it fades, and what decides how fast.

    uv run journal run phase02.plot_vanishing_gradients

Four pictures, all of the norm of dL/dh_t at every step, on logarithmic axes.

*radius*: a vanilla network whose W_hh has a spectral radius from 0.5 to 1.5, on sequences of 10 to
200 steps. Theory says that the norm is multiplied by the radius at each step back; that is so where
the network is linear. With tanh its slopes come in: each component is multiplied by 1 - h^2, and
the radius times the root mean square of these foretells the factor; above a radius of 1, too much.

*reach*: after how many steps back a thousandth is left, against the radius.

*cells*: an RNN, a GRU and three LSTMs as they begin. Along the cell state of an LSTM the gradient
is multiplied by the forget gate, which begins near sigmoid(forget bias): 0.5, 0.73 and 0.95 for 0,
1 and 3. What goes round through the weights comes on top.

*training*: RNNs that learn the adding problem (`phase02.adding`) on sequences of growing length,
before and after.

The linear network is the same code with no input: where all states are 0, tanh has slope 1.

Left out: other beginnings of W_hh (orthogonal, identity), which keep the gradient longer.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.optimizers import Adam, clip_gradients
from phase02.adding import D_INPUT as D_ADDING
from phase02.adding import SequenceRegressor, adding_batch
from phase02.char_lm import CELLS
from phase02.gradient_flow import (
    factor_per_step,
    largest_factor,
    norm_per_step,
    spectral_radius,
    state_gradients,
    steps_to_vanish,
    with_spectral_radius,
)
from phase02.lstm import lstm_parameters
from phase02.recurrent import Gradients, Parameters, part_of
from phase02.rnn import rnn_forward, rnn_parameters

D_INPUT = 16
SHARE = 1e-3  # what counts as vanished
STARTS: dict[str, tuple[str, float]] = {  # a picture's name: the cell, and its forget bias
    "rnn": ("rnn", 0.0),
    "gru": ("gru", 0.0),
    "lstm": ("lstm", 0.0),
    "lstm, forget bias 1": ("lstm", 1.0),
    "lstm, forget bias 3": ("lstm", 3.0),
}


@dataclass(frozen=True)
class Config:
    radii: tuple[float, ...] = (0.5, 0.8, 1.0, 1.2, 1.5)
    """spectral radii of W_hh, at most 5"""
    reach_radii: tuple[float, ...] = (
        0.3,
        0.4,
        0.5,
        0.6,
        0.7,
        0.75,
        0.8,
        0.85,
        0.9,
        0.92,
        0.94,
        0.96,
    )
    """spectral radii below 1, at which the steps to a thousandth are counted"""
    lengths: tuple[int, ...] = (10, 20, 50, 100, 200)
    """steps of the sequences, in rising order, at most 5"""
    d_hidden: int = 64
    """units of the untrained networks"""
    n_batch: int = 32
    train_hidden: int = 32
    """units of those that are trained"""
    train_steps: int = 1200
    """optimizer steps on the adding problem at each length"""
    learning_rate: float = 0.003
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.radii) <= 5 or min(self.radii) <= 0:
            raise ValueError(f"radii must be one to five positive numbers, not {self.radii}")
        if not self.reach_radii or min(self.reach_radii) <= 0 or max(self.reach_radii) >= 1:
            raise ValueError(f"reach_radii must be between 0 and 1, not {self.reach_radii}")
        if not 1 <= len(self.lengths) <= 5 or list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"lengths must be one to five, in rising order, not {self.lengths}")
        if self.lengths[0] < 4:
            raise ValueError(f"the adding problem needs 4 steps or more, not {self.lengths[0]}")
        for name in ("d_hidden", "n_batch", "train_hidden", "train_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def main(config: Config) -> dict[str, Any]:
    """Measure all four; returns factors per step, measured and foretold, without the curves."""
    started = time.perf_counter()
    networks, network_curves = measure_radii(config)
    cells, cell_curves = measure_cells(config)
    training, training_curves = measure_training(config)
    metrics = {
        "networks": networks,
        "reach": measure_reach(config),
        "cells": cells,
        "training": training,
    }
    curves = {"networks": network_curves, "cells": cell_curves, "training": training_curves}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("radius", draw_radii(networks, network_curves)),
        ("reach", draw_reach(metrics["reach"])),
        ("cells", draw_cells(cells, cell_curves, config.lengths[-1])),
        ("training", draw_training(training, training_curves, config.train_steps)),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    return metrics


# ---- what is measured --------------------------------------------------------------------


def norms_back(
    cell: str,
    params: Parameters,
    x: np.ndarray,
    dlast: np.ndarray,
) -> np.ndarray:
    """The norm of the gradient at every state, in the order of time; of an LSTM's h and c as one.

    In float64, where 200 steps of a factor 0.5 are still a number.
    """
    wide = {name: value.astype(np.float64) for name, value in params.items()}
    zeros = np.zeros(dlast.shape)
    rest = (zeros,) * (CELLS[cell].n_states - 1)
    arrived = state_gradients(
        CELLS[cell].forward,
        CELLS[cell].backward,
        wide,
        x.astype(np.float64),
        (zeros, *rest),
        (dlast.astype(np.float64), *rest),
    )
    return norm_per_step(np.concatenate(arrived, axis=-1))  # (T + 1,)


def unit_rows(rng: np.random.Generator, n_batch: int, d_hidden: int) -> np.ndarray:
    """Random directions, of norm 1: what arrives at the last state."""
    rows = rng.normal(size=(n_batch, d_hidden))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)  # (B, H)


def network(config: Config, radius: float, linear: bool) -> tuple[Gradients, Callable]:
    """A vanilla network of this spectral radius, and a function that draws its inputs."""
    rng = np.random.default_rng(config.seed)
    params = rnn_parameters(D_INPUT, config.d_hidden, rng, np.float64)
    weight = rng.normal(size=(config.d_hidden, config.d_hidden))  # (H, H)
    params["weight_hh_l0"] = with_spectral_radius(weight, radius)
    if linear:  # no input, no bias: the states stay 0, where the slope of tanh is 1
        params["bias_ih_l0"][:] = params["bias_hh_l0"][:] = 0

    def inputs(n_steps: int) -> np.ndarray:
        drawn = np.random.default_rng(config.seed + n_steps)
        scale = 0.0 if linear else 1.0
        return scale * drawn.normal(size=(config.n_batch, n_steps, D_INPUT))

    return params, inputs


def root_mean_square_slope(params: Parameters, x: np.ndarray) -> float:
    """Of tanh over all units and steps of a run: the root of the mean of (1 - h^2)^2."""
    zeros = np.zeros((len(x), params["weight_hh_l0"].shape[1]))
    (y, _), _ = rnn_forward(params, x, zeros)
    return math.sqrt(float(np.mean((1 - y**2) ** 2)))


def measure_radii(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """For each radius the factor per step, measured and foretold, of a linear network and tanh."""
    metrics: dict[str, Any] = {"linear": {}, "tanh": {}}
    curves: dict[str, Any] = {"linear": {}, "tanh": {}}
    dlast = unit_rows(np.random.default_rng(config.seed), config.n_batch, config.d_hidden)
    print(
        "the gradient's factor per step back     measured  foretold  the bound  a thousandth left"
    )
    for kind, found in metrics.items():
        for radius in config.radii:
            params, inputs = network(config, radius, kind == "linear")
            by_length = {n: norms_back("rnn", params, inputs(n), dlast) for n in config.lengths}
            norms = by_length[config.lengths[-1]]
            slope = root_mean_square_slope(params, inputs(config.lengths[-1]))
            one: dict[str, Any] = {
                "factor": factor_per_step(norms),
                "slope": slope,
                "foretold": radius * slope,
                "ratio": factor_per_step(norms) / (radius * slope),
                "bound": largest_factor(params["weight_hh_l0"]),
                "steps_to_vanish": steps_to_vanish(norms, SHARE),
                "at_first_step": {str(n): float(each[0]) for n, each in by_length.items()},
            }
            found[f"{radius:g}"] = one
            curves[kind][f"{radius:g}"] = thinned(norms)
            print(
                f"{kind:>6} network of spectral radius {radius:<4g}{one['factor']:11.3f}"
                f"{one['foretold']:10.3f}{one['bound']:11.3f}   {after(one['steps_to_vanish'])}"
            )
    return metrics, curves


def measure_reach(config: Config) -> dict[str, Any]:
    """After how many steps a thousandth is left, for radii below 1; None if later."""
    dlast = unit_rows(np.random.default_rng(config.seed), config.n_batch, config.d_hidden)
    found: dict[str, Any] = {"radii": list(config.reach_radii), "linear": [], "tanh": []}
    for kind in ("linear", "tanh"):
        for radius in config.reach_radii:
            params, inputs = network(config, radius, kind == "linear")
            norms = norms_back("rnn", params, inputs(config.lengths[-1]), dlast)
            found[kind].append(steps_to_vanish(norms, SHARE))
    found["foretold"] = [round(math.log(SHARE) / math.log(r), 1) for r in config.reach_radii]
    return found


def measure_cells(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """The factor per step of each cell at its usual beginning, and what a thousandth takes."""
    metrics, curves = {}, {}
    n_steps, d_hidden = config.lengths[-1], config.d_hidden
    for name, (cell, forget_bias) in STARTS.items():
        rng = np.random.default_rng(config.seed)
        if cell == "lstm":
            params = lstm_parameters(D_INPUT, d_hidden, rng, np.float64, forget_bias)
        else:
            params = CELLS[cell].parameters(D_INPUT, d_hidden, rng, np.float64)
        x = rng.normal(size=(config.n_batch, n_steps, D_INPUT))
        norms = norms_back(cell, params, x, unit_rows(rng, config.n_batch, d_hidden))
        one: dict[str, Any] = {
            "factor": factor_per_step(norms),
            "steps_to_vanish": steps_to_vanish(norms, SHARE),
            "at_first_step": float(norms[0]),
        }
        if cell == "lstm":
            one["gate"] = 1 / (1 + math.exp(-forget_bias))
        metrics[name], curves[name] = one, thinned(norms)
        print(f"{name:<40}{one['factor']:8.3f}{after(one['steps_to_vanish']):>40}")
    return metrics, curves


def measure_training(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """RNNs on the adding problem at each length: gradients before and after, and the error."""
    metrics, curves = {}, {}
    for n_steps in config.lengths:
        model = SequenceRegressor(
            "rnn", D_ADDING, config.train_hidden, np.random.default_rng(config.seed)
        )
        rng = np.random.default_rng(config.seed + 1)
        seen, held_out = adding_batch(rng, 256, n_steps), adding_batch(rng, 2000, n_steps)
        before = gradients_of(model, *seen)
        optimizer = Adam(model.params, config.learning_rate)
        for _ in range(config.train_steps):
            _, cache = model.forward(*adding_batch(rng, config.n_batch, n_steps))
            grads, _ = clip_gradients(model.backward(cache), 1.0)
            optimizer.step(grads)
        trained = gradients_of(model, *seen)
        metrics[str(n_steps)] = one = {
            "error": model.forward(*held_out)[0],
            "spectral_radius": spectral_radius(model.params["rnn.weight_hh_l0"]),
            "first_to_last_before": float(before[0] / before[-1]),
            "first_to_last": float(trained[0] / trained[-1]),
        }
        curves[str(n_steps)] = {
            "before": thinned(before / before[-1]),
            "after": thinned(trained / trained[-1]),
        }
        print(
            f"adding problem over {n_steps:>3} steps: error {one['error']:.4f}, first gradient "
            f"{one['first_to_last']:.1e} of the last ({one['first_to_last_before']:.1e} untrained)"
        )
    return metrics, curves


def gradients_of(model: SequenceRegressor, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The norm of dL/dh_t at every step, of a model's own loss on these sequences."""
    _, cache = model.forward(x, target)
    return norms_back("rnn", part_of(model.params, "rnn."), x, model.last_gradient(cache))


def steps_back(n_steps: int) -> range:
    """The steps at which a curve is kept, counted from the end: about fifty."""
    return range(0, n_steps + 1, max(1, n_steps // 50))


def thinned(norms: np.ndarray) -> list[float]:
    """The norms at `steps_back`, to four digits."""
    return [float(f"{norms[-1 - k]:.4g}") for k in steps_back(len(norms) - 1)]


def after(steps: int | None) -> str:
    return "never" if steps is None else f"after {steps} steps"


# ---- the pictures ------------------------------------------------------------------------


def draw_radii(networks: dict[str, Any], curves: dict[str, Any]) -> Figure:
    """The norm against the distance from the end, and the foretold line; dots: other lengths."""
    figure, axes = plotting.figure(8.0, 4.4, columns=2)
    figure.suptitle("Norm of the gradient, by the spectral radius of $W_{hh}$")
    for ax, kind in zip(axes, networks, strict=True):
        for (radius, norms), colour in zip(curves[kind].items(), plotting.PALETTE, strict=False):
            one = networks[kind][radius]
            lengths = [int(n) for n in one["at_first_step"]]
            steps = np.array(steps_back(lengths[-1]))
            ax.plot(steps, norms, color=colour, label=radius)
            ax.plot(steps, one["foretold"] ** steps, color=colour, linewidth=0.8, linestyle="--")
            ax.plot(lengths, list(one["at_first_step"].values()), "o", color=colour, markersize=4)
        ax.set(title=f"{kind} network", xlabel="steps back from the end", yscale="log")
        ax.set_yticks([1e-60, 1e-40, 1e-20, 1, 1e20, 1e40])
        ax.minorticks_off()
    axes[0].set(ylabel="norm of $dL/dh_t$, 1 at the end")
    axes[0].legend(title="spectral radius", loc="lower left")
    axes[1].text(
        0.02,
        0.98,
        "lines: the longest sequences\ndots: the first step of each length\n"
        "dashed: foretold, radius × slope",
        transform=axes[1].transAxes,
        va="top",
        size=8,
    )
    return figure


def draw_reach(reach: dict[str, Any]) -> Figure:
    """The steps in which the gradient falls to a thousandth, against the spectral radius."""
    figure, ax = plotting.figure(6.4, 4.2)
    fine = np.linspace(min(reach["radii"]), max(reach["radii"]), 200)
    ax.plot(
        fine,
        math.log(SHARE) / np.log(fine),
        color=plotting.PALETTE[4],
        label="foretold: log 0.001 / log radius",
        linewidth=1.2,
    )
    for kind, colour, marker in (
        ("linear", plotting.PALETTE[0], "o"),
        ("tanh", plotting.PALETTE[1], "s"),
    ):
        pairs = [(r, n) for r, n in zip(reach["radii"], reach[kind], strict=True) if n is not None]
        ax.plot(*zip(*pairs, strict=True), marker, color=colour, label=kind, markersize=5)
    ax.set(
        title="Steps back until a thousandth of the gradient is left",
        xlabel="spectral radius of $W_{hh}$",
        ylabel="steps",
        yscale="log",
    )
    ax.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
    ax.legend(loc="upper left")
    return figure


def draw_cells(cells: dict[str, Any], curves: dict[str, Any], n_steps: int) -> Figure:
    """The gradient's norm of each cell as it begins, with its factor per step."""
    figure, ax = plotting.figure(7.0, 4.2)
    for name, norms in curves.items():
        label = f"{name}: × {cells[name]['factor']:.2f} a step"
        ax.plot(steps_back(n_steps), norms, label=label)
    ax.axhline(SHARE, color=plotting.INK, linewidth=0.8, linestyle=":", label="a thousandth")
    ax.set(
        title="Norm of the gradient in untrained cells",
        xlabel="steps back from the end",
        ylabel="norm at the state, 1 at the end",
        yscale="log",
    )
    ax.legend(loc="lower left")
    return figure


def draw_training(training: dict[str, Any], curves: dict[str, Any], n_steps: int) -> Figure:
    """The gradient at every time step of RNNs on the adding problem, before and after."""
    figure, ax = plotting.figure(7.0, 4.4)
    longest = list(curves)[-1]
    untrained = curves[longest]["before"]
    ax.plot(
        steps_back(int(longest)),
        untrained,
        color=plotting.INK,
        linewidth=1,
        linestyle=":",
        label="untrained",
    )
    for (length, both), colour in zip(curves.items(), plotting.PALETTE, strict=False):
        label = f"{length} steps: error {training[length]['error']:.3f}"
        ax.plot(steps_back(int(length)), both["after"], color=colour, label=label)
    ax.set(
        title=f"RNNs after {n_steps} optimizer steps on the adding problem",
        xlabel="steps back from the end",
        ylabel="norm of $dL/dh_t$, 1 at the end",
        yscale="log",
    )
    ax.legend(loc="lower left")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
