"""Draw what a start makes of ten layers: the spread of the signal, and whether training gets going.

    uv run journal run phase01.plot_initialization

Four starts, all normal: a standard deviation of 0.01, Xavier's, He's, and 1. Two pictures.

- The spread of activations and of gradients through ten layers of tanh and of ReLU, before any
  training, on random inputs (`phase01.initialization.layer_statistics`). Too small: both shrink by
  the same factor in every layer. Too large: ReLU's grow likewise; tanh's activations are all near
  -1 or 1, and the gradient that they let through grows all the same.
- What it means: the training loss of a network of ten layers on the 8 x 8 digits from each start.
  A start could fail at one learning rate and work at another, so each gets eight, and the best is
  drawn. ReLU's too large start needs such a fair trial: the size of its weights is a factor on the
  logits, so it diverges at any usual rate, and at a minute one it learns the classes while its loss
  stays in the thousands. Plain SGD, since Adam divides the size of a gradient out.

Xavier is without the gain of 5/3 that `torch.nn.init` has for tanh, as in the paper (Glorot and
Bengio 2010, equation 12). Training is one run of each kind, one seed: enough to tell whether a
network learns, not to tell Xavier from He under tanh. Left out: the uniform distributions, whose
variance is the same, and batch norm, which repairs much of a bad start.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script
from phase01.images import channel_statistics, digits_from_bytes, standardized
from phase01.initialization import Shape, he_normal, layer_statistics, xavier_normal
from phase01.mlp import MLP, MLPConfig
from phase01.optimizers import SGD

N_CLASS = 10
DIGITS = "tinydigits/train.npz"
ACTIVATIONS = {"tanh": "tanh", "relu": "ReLU"}


def normal(std: float) -> Callable[[Shape, np.random.Generator], np.ndarray]:
    """A start that does not ask how wide the layers are."""
    return lambda shape, rng: rng.normal(0, std, shape)


STARTS = {
    "too small": normal(0.01),
    "Xavier": xavier_normal,
    "He": he_normal,
    "too large": normal(1.0),
}
LABELS = {"too small": "too small, σ = 0.01", "too large": "too large, σ = 1"}


@dataclass(frozen=True)
class Config:
    n_layer: int = 10
    width: int = 256
    """units of each layer whose signal is measured"""
    n_example: int = 256
    """random inputs that are sent through"""
    train_width: int = 64
    """units of the hidden layers that are trained"""
    n_epoch: int = 25
    batch_size: int = 50
    rates: tuple[float, ...] = (1e-8, 1e-7, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """learning rates that every start is given"""
    seed: int = 0
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """Measure the spread, train from every start; returns the spread at the ends and the losses."""
    if config.n_layer < 2 or min(config.width, config.train_width, config.n_example) < 2:
        raise ValueError("n_layer, width, train_width and n_example must be 2 or more")
    if not config.rates or min(config.rates) <= 0 or config.n_epoch < 1 or config.batch_size < 1:
        raise ValueError("rates must be above 0, one or more, n_epoch and batch_size 1 or more")
    started = time.perf_counter()
    spreads = measure(config)
    x, targets = digits()
    runs = {
        activation: {
            start: [train(activation, start, rate, x, targets, config) for rate in config.rates]
            for start in STARTS
        }
        for activation in ACTIVATIONS
    }
    metrics = {"spread": ends(spreads), "training": summary(runs, config.rates)}
    tell(metrics)
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "spreads": spreads, "losses": best_curves(runs)},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "layers", draw_layers(spreads), record=config.record)
    picture = draw_training(best_curves(runs), metrics["training"], config.n_layer)
    record.write_picture(__file__, "training", picture, record=config.record)
    return metrics


# ---- the spread, before training ---------------------------------------------------------


def measure(config: Config) -> dict[str, Any]:
    """Standard deviations by layer, of activations and gradients, for each start."""
    widths = [config.width] * (config.n_layer + 1)
    spreads: dict[str, Any] = {}
    for activation in ACTIVATIONS:
        spreads[activation] = {}
        for start, initialize in STARTS.items():
            rng = np.random.default_rng(config.seed)
            found = layer_statistics(initialize, activation, widths, config.n_example, rng)
            spreads[activation][start] = {
                "activations": [float(f"{value:.4g}") for value in found.activations],
                "gradients": [float(f"{value:.4g}") for value in found.gradients],
            }
    return spreads


def ends(spreads: dict[str, Any]) -> dict[str, Any]:
    """What arrives: the activations of the last layer, and the gradient at the first."""
    return {
        activation: {
            start: {
                "last_activations": found["activations"][-1],
                "first_gradients": found["gradients"][0],
            }
            for start, found in starts.items()
        }
        for activation, starts in spreads.items()
    }


# ---- training ----------------------------------------------------------------------------


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,000 training images of 8 x 8 digits as standardized vectors, and their classes."""
    images, labels = digits_from_bytes(data.read_bytes(DIGITS), DIGITS)
    x = standardized(images, *channel_statistics(images))  # (N, 1, 8, 8)
    return x.reshape(len(x), -1), labels.astype(np.int64)  # (N, 64), (N,)


def train(
    activation: str, start: str, rate: float, x: np.ndarray, targets: np.ndarray, config: Config
) -> dict[str, Any]:
    """The loss on all images before training and after each epoch; shorter where it diverged."""
    rng = np.random.default_rng(config.seed)
    widths = (x.shape[1], *[config.train_width] * (config.n_layer - 1), N_CLASS)
    model = MLP(MLPConfig(widths, activation), rng)
    for i in range(config.n_layer):
        weight = model.params[f"layers.{i}.weight"]
        weight[...] = STARTS[start](weight.shape, rng)  # (d_out, d_in)
    optimizer = SGD(model.params, rate)
    losses = [model.forward(x, targets)[0]]
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is what is looked for
        for _ in range(config.n_epoch):
            order = rng.permutation(len(x))
            for begin in range(0, len(x), config.batch_size):
                chosen = order[begin : begin + config.batch_size]
                _, cache = model.forward(x[chosen], targets[chosen])
                optimizer.step(model.backward(cache))
            loss, _ = model.forward(x, targets)
            if not math.isfinite(loss):
                return {"losses": losses, "diverged": True, "accuracy": None}
            losses.append(loss)
        accuracy = float(np.mean(model.predict(x) == targets))
    return {"losses": losses, "diverged": False, "accuracy": round(accuracy, 4)}


def best(runs: list[dict[str, Any]]) -> int:
    """The index of the run with the lowest loss at its end; the first where all diverged."""
    ends = [math.inf if run["diverged"] else run["losses"][-1] for run in runs]
    return int(np.argmin(ends))


def summary(runs: dict[str, Any], rates: tuple[float, ...]) -> dict[str, Any]:
    """For each activation and start the best rate, what it reached, and the loss at each rate."""
    found: dict[str, Any] = {}
    for activation, starts in runs.items():
        found[activation] = {}
        for start, tried in starts.items():
            chosen = best(tried)
            run = tried[chosen]
            found[activation][start] = {
                "rate": rates[chosen],
                "loss": None if run["diverged"] else float(f"{run['losses'][-1]:.4g}"),
                "accuracy": run["accuracy"],
                "losses_by_rate": [
                    None if run["diverged"] else float(f"{run['losses'][-1]:.4g}") for run in tried
                ],
            }
    return found


def best_curves(runs: dict[str, Any]) -> dict[str, Any]:
    """The losses by epoch of the best run of each activation and start."""
    return {
        activation: {
            start: [float(f"{loss:.4g}") for loss in tried[best(tried)]["losses"]]
            for start, tried in starts.items()
        }
        for activation, starts in runs.items()
    }


def tell(metrics: dict[str, Any]) -> None:
    for activation, label in ACTIVATIONS.items():
        for start in STARTS:
            spread, run = (
                metrics["spread"][activation][start],
                metrics["training"][activation][start],
            )
            reached = "diverged at every rate"
            if run["loss"] is not None:
                reached = f"loss {run['loss']:.4g}, {run['accuracy']:.0%} right"
            print(
                f"{label:4} {start:9}  activations at the end {spread['last_activations']:8.2g}, "
                f"gradients at the start {spread['first_gradients']:8.2g};  trained: "
                f"{reached} (rate {run['rate']:g})"
            )


# ---- how it is drawn ---------------------------------------------------------------------


def draw_layers(spreads: dict[str, Any]) -> Figure:
    """Four panels: activations above, gradients below, tanh on the left and ReLU on the right."""
    figure, axes = plotting.figure(8.0, 6.2, rows=2, columns=2)
    n_layer = len(spreads["tanh"]["He"]["activations"])
    figure.suptitle(f"The signal through {n_layer} layers, before any training")
    for column, (activation, label) in enumerate(ACTIVATIONS.items()):
        for row, kind in enumerate(("activations", "gradients")):
            ax = axes[row, column]
            for start in STARTS:
                values = spreads[activation][start][kind]
                ax.plot(
                    range(1, n_layer + 1),
                    values,
                    "o-",
                    markersize=4,
                    label=LABELS.get(start, start),
                )
            ax.axhline(1, color=plotting.INK, linewidth=0.8, linestyle=":")
            ax.set(title=f"{label}: {kind}", xlabel="layer", yscale="log")
            ax.set_xticks(range(1, n_layer + 1))
        axes[1, column].set_xlabel("layer (the gradient comes from the right)")
    for row in range(2):
        axes[row, 0].set_ylabel("standard deviation")
    axes[0, 0].legend(loc="lower left")
    return figure


def draw_training(curves: dict[str, Any], training: dict[str, Any], n_layer: int) -> Figure:
    """The losses by epoch, at the best rate of each start; one panel for each activation."""
    figure, axes = plotting.figure(8.0, 4.3, columns=2)
    figure.suptitle(
        f"{n_layer} layers trained on 8 x 8 digits, each start at its best learning rate"
    )
    for ax, (activation, label) in zip(axes, ACTIVATIONS.items(), strict=True):
        for start, losses in curves[activation].items():
            rate = training[activation][start]["rate"]
            ax.plot(losses, label=f"{start}, rate {rate:g}")
        label_of_guess = f"guessing, ln {N_CLASS}" if ax is axes[0] else None
        guess = {"color": plotting.INK, "linewidth": 0.8, "linestyle": ":"}
        ax.axhline(math.log(N_CLASS), label=label_of_guess, **guess)
        highest = max(max(losses) for losses in curves[activation].values())
        ax.set(title=label, xlabel="epoch", yscale="log", ylim=(None, 20 * highest))
        ax.legend(loc="upper right")
    axes[0].set_ylabel("training loss in nats")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
