"""Train an RNN, two LSTMs and a GRU to add two numbers that they read long ago.

    uv run journal run phase02.train_adding

The adding problem of `phase02.adding`, at lengths of 10 to 100 steps: the two numbers that count
stand in the first half, and the answer is due at the end. A network that learns nothing of them
comes to say 1 and has a mean squared error of 1/6; all are there after a few steps, some for good.

All have the same width, see sequences of the same kind, and take the same number of optimizer
steps, or fewer where the task is solved before. One LSTM begins as torch's does, its gates half
open, so that its cell state loses half of what it holds at each step. The other begins with its
forget gates nearly open and its input gates nearly closed (`keep_bias`). The GRU begins as torch's;
its one gate both keeps and shuts out. Last, at one length, an LSTM has only its forget gates opened
and another only its input gates closed: which of the two is it that helps?

Left out: other beginnings for the RNN, generalization to other lengths, and a mean over seeds. At
the length where a cell begins to fail, another `--seed` may decide otherwise.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.optimizers import Adam, clip_gradients
from phase02.adding import BASELINE, D_INPUT, TOLERANCE, SequenceRegressor, adding_batch

CELLS = {  # a curve's name: the cell
    "rnn": "rnn",
    "lstm, as torch begins": "lstm",
    "lstm, begun to keep": "lstm",
    "gru": "gru",
}
KEEPING = "lstm, begun to keep"
HALVES = {"forget gates opened": (1, 0), "input gates closed": (0, 1)}  # of what KEEPING does


@dataclass(frozen=True)
class Config:
    lengths: tuple[int, ...] = (10, 20, 50, 100)
    """steps of a sequence"""
    d_hidden: int = 32
    """units of each cell"""
    keep_bias: float = 3.0
    """what one of the LSTMs has more in its forget gates, and less in its input gates"""
    length_of_halves: int = 50
    """steps at which an LSTM with only the one or the other is tried"""
    n_batch: int = 32
    """sequences of an optimizer step, each time new ones"""
    max_steps: int = 2500
    """optimizer steps for each cell and length, where the task is not solved before"""
    learning_rate: float = 0.01
    """of Adam"""
    max_norm: float = 1.0
    """to which longer gradients are shortened"""
    solved: float = 0.002
    """mean squared error on held-out sequences at which training ends"""
    look_every: int = 50
    """optimizer steps between two looks at the held-out sequences"""
    n_held_out: int = 1000
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if not self.lengths or min(*self.lengths, self.length_of_halves) < 4:
            raise ValueError(
                "lengths must be one or more, from 4 steps on, not "
                f"{self.lengths} and {self.length_of_halves}"
            )
        for name in ("d_hidden", "n_batch", "max_steps", "look_every", "n_held_out"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def main(config: Config) -> dict[str, Any]:
    """Train every cell at every length; returns errors, right answers and the steps they took."""
    started = time.perf_counter()
    runs: dict[str, dict[str, Any]] = {name: {} for name in CELLS}
    curves: dict[str, dict[str, Any]] = {name: {} for name in CELLS}
    for n_steps in config.lengths:
        print(
            f"\nsequences of {n_steps} steps: error (a guess of 1: {BASELINE:.4f}), right answers"
        )
        for name in CELLS:
            run, curve = train(name, n_steps, config)
            runs[name][str(n_steps)], curves[name][str(n_steps)] = run, curve
            end = f"solved after {run['steps']}" if run["solved"] else f"{run['steps']} steps"
            print(f"{name:>22}  {run['error']:.4f}  {run['right']:7.1%}  {end}", flush=True)
    halves = {half: train_half(half, config) for half in HALVES}
    metrics = {"baseline": BASELINE, "tolerance": TOLERANCE, "runs": runs, "halves": halves}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    longest = str(max(config.lengths))
    record.write_picture(__file__, "lengths", draw_lengths(runs), record=config.record)
    figure = draw_curves({name: of[longest] for name, of in curves.items()}, longest)
    record.write_picture(__file__, "curves", figure, record=config.record)
    return metrics


def train(name: str, n_steps: int, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """One cell at one length: how it ended, and its held-out error on the way."""
    rng = np.random.default_rng(config.seed)
    keep_bias = config.keep_bias if name == KEEPING else 0.0
    model = SequenceRegressor(CELLS[name], D_INPUT, config.d_hidden, rng, keep_bias=keep_bias)
    return train_model(model, n_steps, config, rng)


def train_half(half: str, config: Config) -> dict[str, Any]:
    """How an LSTM ends whose forget gates alone are opened, or whose input gates alone closed."""
    rng = np.random.default_rng(config.seed)
    model = SequenceRegressor("lstm", D_INPUT, config.d_hidden, rng)
    opened, closed = HALVES[half]
    bias = model.params["rnn.bias_ih_l0"]
    bias[: config.d_hidden] -= closed * config.keep_bias  # i
    bias[config.d_hidden : 2 * config.d_hidden] += opened * config.keep_bias  # f
    run, _ = train_model(model, config.length_of_halves, config, rng)
    print(f"lstm, {half} alone, {config.length_of_halves} steps: {run['error']:.4f}", flush=True)
    return run


def train_model(
    model: SequenceRegressor, n_steps: int, config: Config, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train until the task is solved or `max_steps` are over."""
    started = time.perf_counter()
    optimizer = Adam(model.params, config.learning_rate)
    held_out = adding_batch(np.random.default_rng(config.seed + 1), config.n_held_out, n_steps)
    error, right = judge(model, *held_out)
    curve: dict[str, Any] = {"steps": [0], "errors": [round(error, 5)]}
    for step in range(1, config.max_steps + 1):
        _, cache = model.forward(*adding_batch(rng, config.n_batch, n_steps))
        grads, _ = clip_gradients(model.backward(cache), config.max_norm)
        optimizer.step(grads)
        if step % config.look_every == 0 or step == config.max_steps:
            error, right = judge(model, *held_out)
            curve["steps"].append(step)
            curve["errors"].append(round(error, 5))
            if error < config.solved:
                break
    run = {
        "error": error,
        "right": right,
        "steps": curve["steps"][-1],
        "solved": error < config.solved,
        "seconds": round(time.perf_counter() - started, 2),
    }
    return run, curve


def judge(model: SequenceRegressor, x: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """(mean squared error, share of answers within the tolerance)."""
    off = model.predict(x) - target
    return float(np.mean(off**2)), float(np.mean(np.abs(off) < TOLERANCE))


# ---- the pictures ------------------------------------------------------------------------


def draw_lengths(runs: dict[str, dict[str, Any]]) -> Figure:
    """The error at the end against the length, a curve for each cell."""
    figure, ax = plotting.figure(7.0, 4.2)
    for (name, by_length), marker in zip(runs.items(), "osD^", strict=True):
        lengths = [int(n) for n in by_length]
        errors = [run["error"] for run in by_length.values()]
        ax.plot(lengths, errors, marker=marker, markersize=6, label=name)
    ax.axhline(BASELINE, color=plotting.INK, linewidth=0.8, linestyle=":", label="always saying 1")
    ax.set(
        title="The adding problem: held-out error at the end of training",
        xlabel="steps of the sequence",
        ylabel="mean squared error",
        xscale="log",
        yscale="log",
    )
    ax.set_xticks(lengths, [str(n) for n in lengths])
    ax.minorticks_off()
    ax.legend(loc="center right")
    return figure


def draw_curves(curves: dict[str, dict[str, Any]], n_steps: str) -> Figure:
    """The held-out error on the way, at the longest sequences."""
    figure, ax = plotting.figure(7.0, 4.2)
    for name, curve in curves.items():
        ax.plot(curve["steps"], curve["errors"], label=name)
    ax.axhline(BASELINE, color=plotting.INK, linewidth=0.8, linestyle=":", label="always saying 1")
    ax.set(
        title=f"The adding problem over {n_steps} steps: held-out error while learning",
        xlabel="optimizer steps",
        ylabel="mean squared error",
        yscale="log",
    )
    ax.legend(loc="center right")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
