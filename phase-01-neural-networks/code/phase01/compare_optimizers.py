"""SGD, momentum, Adam and AdamW on one problem, each at learning rates chosen for it.

    uv run journal run phase01.compare_optimizers

A network of two hidden layers (784-64-32-10, ReLU) learns 10,000 images of MNIST. An optimizer is
only as good as its learning rate, and the best rate depends on what is asked. So each of the four
is tried at the same number of rates, and two are kept: that of the lowest loss on the training
images after the first 50 steps (who falls fastest?), and that of the lowest validation loss after
all steps (who ends best?). For the second question schedules are tried too: a warm-up with a cosine
behind it, and one drop to a tenth at half time.

Rates are chosen with some seeds and judged with others, and the final losses are those of images
that had no part in the choice. One seed gives every optimizer the same start and the same batches.
At the end momentum runs at a rate that is too large for it, with its gradients clipped and not.

Left out: MNIST's test set, which only `phase01.train_mnist` reads; other batch sizes, momentums and
betas; weight decay for the others than AdamW (0.01). What one small network shows about optimizers
is true of that network. `phase01.plot_adam_limits` has problems where the reason can be computed.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from journal import data, plotting, record, script
from phase01.idx import labeled_images
from phase01.mlp import MLP, MLPConfig
from phase01.optimizers import SGD, Adam, AdamW, Optimizer, clip_gradients
from phase01.schedules import constant, cosine, step_decay

WIDTHS = (784, 64, 32, 10)
BLOCK = 20  # steps whose losses are drawn as one point
CLIPPED_RATE, MAX_NORM, CLIPPED_STEPS = 0.5, 0.25, 250  # of the runs with and without clipping

Arrays = dict[str, np.ndarray]
Curve = dict[str, list[float]]  # over the seeds: "mean", "low" and "high" of every block of steps
# How each optimizer is made (its rate is set before every step), and the rates that it is tried at.
OPTIMIZERS: dict[str, tuple[Callable[[Arrays], Optimizer], tuple[float, ...]]] = {
    "SGD": (lambda params: SGD(params, 0.0), (0.01, 0.03, 0.1, 0.3, 1.0)),
    "momentum": (lambda params: SGD(params, 0.0, momentum=0.9), (0.003, 0.01, 0.03, 0.1, 0.3)),
    "Adam": (lambda params: Adam(params), (0.0003, 0.001, 0.003, 0.01, 0.03)),
    "AdamW": (lambda params: AdamW(params), (0.0003, 0.001, 0.003, 0.01, 0.03)),
}
SCHEDULES: dict[str, Callable[[int, float, int], float]] = {  # of step, peak and all steps
    "constant": lambda step, peak, n: constant(step, peak),
    "cosine": lambda step, peak, n: cosine(step, peak, n, warmup_steps=n // 20),
    "step decay": lambda step, peak, n: step_decay(step, peak, every=math.ceil(n / 2)),
}
RECIPES = {
    **{name: (name, "constant") for name in OPTIMIZERS},
    "momentum, cosine": ("momentum", "cosine"),
    "momentum, step decay": ("momentum", "step decay"),
    "Adam, cosine": ("Adam", "cosine"),
}


@dataclass(frozen=True)
class Config:
    n_train: int = 10_000
    """images to learn from"""
    n_validation: int = 5_000
    """images to choose the rates with, and as many again to judge them"""
    n_steps: int = 1_000
    early_steps: int = 50
    """after how many steps the early loss is taken"""
    batch_size: int = 100
    n_tuning: int = 2
    """seeds with which rates are chosen"""
    n_seed: int = 5
    """other seeds, with which the chosen rates are judged"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_train", "n_validation", "batch_size", "n_tuning", "n_seed"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.n_train + 2 * self.n_validation > 60_000:
            raise ValueError(
                f"MNIST has 60,000 training images, too few for {self.n_train} to learn from and "
                f"twice {self.n_validation} to judge with"
            )
        if not BLOCK <= self.early_steps <= self.n_steps:
            raise ValueError(
                f"early_steps must be {BLOCK} to n_steps, not {self.early_steps} of {self.n_steps}"
            )


class Part(NamedTuple):
    images: np.ndarray  # (N, 784), from 0 to 1
    labels: np.ndarray  # (N,)


class Parts(NamedTuple):
    train: Part
    validation: Part
    held_out: Part


def main(config: Config) -> dict[str, Any]:
    """Choose rates for every optimizer, then compare them; returns the rates and the losses."""
    started = time.perf_counter()
    parts = read_parts(config)
    metrics: dict[str, Any] = {"tuning": {}, "early": {}, "end": {}}
    curves: dict[str, Any] = {"early": {}, "end": {}}
    for recipe in RECIPES:
        tuned = tune(parts, recipe, config)
        metrics["tuning"][recipe] = tuned
        if "early_loss" in tuned:
            rate = best(tuned, "early_loss")
            found, losses = judge(parts, recipe, rate, config.early_steps, config)
            metrics["early"][recipe], curves["early"][recipe] = found, band(losses, 1)
        rate = best(tuned, "validation_loss")
        found, losses = judge(parts, recipe, rate, config.n_steps, config)
        metrics["end"][recipe], curves["end"][recipe] = found, band(losses, BLOCK)
        print_findings(recipe, metrics)
    metrics["clipping"], curves["clipping"] = compare_clipping(parts, config)
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("curves", draw_curves(curves, config)),
        ("rates", draw_rates(metrics["tuning"], config)),
        ("schedules", draw_schedules(curves["end"], config)),
        ("clipping", draw_clipping(curves["clipping"])),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    return metrics


# ---- training ----------------------------------------------------------------------------


def read_parts(config: Config) -> Parts:
    """Three parts of MNIST's training set that have no image in common."""
    files = ("mnist/train-images-idx3-ubyte.gz", "mnist/train-labels-idx1-ubyte.gz")
    images, labels = labeled_images(*map(data.read_bytes, files), "MNIST")
    ends = np.cumsum([0, config.n_train, config.n_validation, config.n_validation])
    flat = images.reshape(len(images), -1)  # (N, 784)
    return Parts(
        *(
            Part(flat[a:b].astype(np.float32) / 255, labels[a:b].astype(np.int64))
            for a, b in pairwise(ends)
        )
    )


def train(
    part: Part,
    recipe: str,
    peak: float,
    n_steps: int,
    batch_size: int,
    rng: np.random.Generator,
    max_norm: float | None = None,
) -> tuple[MLP, list[float]]:
    """A new network, and its loss on each mini-batch before the step."""
    optimizer_name, schedule = RECIPES[recipe]
    model = MLP(MLPConfig(WIDTHS), rng)
    make, _ = OPTIMIZERS[optimizer_name]
    optimizer = make(model.params)
    losses = []
    for step in range(n_steps):
        chosen = rng.integers(0, len(part.labels), batch_size)  # (B,)
        loss, cache = model.forward(part.images[chosen], part.labels[chosen])
        grads = model.backward(cache)
        if max_norm is not None:
            grads, _ = clip_gradients(grads, max_norm)
        optimizer.learning_rate = SCHEDULES[schedule](step, peak, n_steps)
        optimizer.step(grads)
        losses.append(loss)
    return model, losses


def tune(parts: Parts, recipe: str, config: Config) -> dict[str, list[Any]]:
    """The mean loss of every rate: on the training images early, on the validation's at the end.

    None where it is no number any more. The first steps alone would be another schedule, so for
    schedules only the end counts.
    """
    optimizer_name, schedule = RECIPES[recipe]
    goals = {"validation_loss": (config.n_steps, parts.validation)}
    if schedule == "constant":
        goals["early_loss"] = (config.early_steps, parts.train)
    tuned: dict[str, list[Any]] = {"rates": list(OPTIMIZERS[optimizer_name][1])}
    for goal, (n_steps, part) in goals.items():
        tuned[goal] = []
        for rate in tuned["rates"]:
            rngs = [np.random.default_rng([config.seed, 0, k]) for k in range(config.n_tuning)]
            models = [
                train(parts.train, recipe, rate, n_steps, config.batch_size, rng)[0] for rng in rngs
            ]
            loss = float(np.mean([m.forward(*part)[0] for m in models]))
            tuned[goal].append(round(loss, 4) if math.isfinite(loss) else None)
    return tuned


def best(tuned: dict[str, list[Any]], goal: str) -> float:
    """The rate with the lowest loss; one that has none is never the best."""
    losses = [math.inf if loss is None else loss for loss in tuned[goal]]
    return tuned["rates"][int(np.argmin(losses))]


def judge(
    parts: Parts, recipe: str, rate: float, n_steps: int, config: Config
) -> tuple[dict[str, Any], np.ndarray]:
    """Losses at one rate over the seeds that did not choose it; and the mini-batches', by seed."""
    found: dict[str, list[float]] = {"train_loss": [], "held_out_loss": [], "held_out_accuracy": []}
    histories = []
    for k in range(config.n_seed):
        rng = np.random.default_rng([config.seed, 1, k])
        model, losses = train(parts.train, recipe, rate, n_steps, config.batch_size, rng)
        found["train_loss"].append(model.forward(*parts.train)[0])
        found["held_out_loss"].append(model.forward(*parts.held_out)[0])
        right = model.predict(parts.held_out.images) == parts.held_out.labels  # (N,)
        found["held_out_accuracy"].append(float(right.mean()))
        histories.append(losses)
    means = {name: round(float(np.mean(values)), 4) for name, values in found.items()}
    spreads = {f"{name}_std": round(float(np.std(values)), 4) for name, values in found.items()}
    return {"rate": rate, **means, **spreads}, np.array(histories)


def in_blocks(losses: np.ndarray, block: int) -> np.ndarray:
    """Means over so many steps: (seeds, steps) to (seeds, steps / block); a rest is left out."""
    whole = losses.shape[1] // block * block
    return losses[:, :whole].reshape(len(losses), -1, block).mean(axis=2)


def band(losses: np.ndarray, block: int) -> Curve:
    """The mean over the seeds, and the lowest and the highest of them, of every block of steps."""
    blocks = in_blocks(losses, block)
    found = {"mean": blocks.mean(axis=0), "low": blocks.min(axis=0), "high": blocks.max(axis=0)}
    return {name: curve.round(3).tolist() for name, curve in found.items()}


def compare_clipping(parts: Parts, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same runs at a rate that is too large, with and without clipping: numbers and losses."""
    metrics: dict[str, Any] = {"rate": CLIPPED_RATE, "max_norm": MAX_NORM}
    curves = {}
    for name, max_norm in (("not clipped", None), ("clipped", MAX_NORM)):
        histories = []
        for k in range(min(3, config.n_seed)):
            rng = np.random.default_rng([config.seed, 1, k])
            arguments = (CLIPPED_RATE, min(CLIPPED_STEPS, config.n_steps), config.batch_size, rng)
            histories.append(train(parts.train, "momentum", *arguments, max_norm)[1])
        losses = np.array(histories)  # (seeds, steps)
        metrics[name] = {
            "largest_losses": losses.max(axis=1).round(2).tolist(),  # by seed
            "last_losses": losses[:, -BLOCK:].mean(axis=1).round(3).tolist(),
        }
        curves[name] = in_blocks(losses, 5).round(3).tolist()
        print(f"momentum at a rate of {CLIPPED_RATE}, {name}: {metrics[name]}")
    return metrics, curves


def print_findings(recipe: str, metrics: dict[str, Any]) -> None:
    for when in ("early", "end"):
        if recipe in metrics[when]:
            found = metrics[when][recipe]
            print(
                f"{recipe:<21}{when:<6} rate {found['rate']:<6g} loss in training "
                f"{found['train_loss']:.3f}, held out {found['held_out_loss']:.3f} "
                f"(± {found['held_out_loss_std']:.3f}), {100 * found['held_out_accuracy']:.1f} %"
            )


# ---- how it is drawn ---------------------------------------------------------------------


def draw_band(ax: Axes, curve: Curve, block: int, label: str, style: int) -> None:
    """The mean over the seeds, and in a lighter colour all between the lowest and the highest."""
    steps = (np.arange(len(curve["mean"])) + 0.5) * block
    colour, dash = plotting.PALETTE[style], plotting.DASHES[style == 3]  # 3 lies on 2
    ax.plot(steps, curve["mean"], color=colour, linestyle=dash, label=label)
    ax.fill_between(steps, curve["low"], curve["high"], color=colour, alpha=0.2, linewidth=0)


def draw_curves(curves: dict[str, Any], config: Config) -> Figure:
    """The training loss of the four at a constant rate: the first steps, and the whole run."""
    figure, axes = plotting.figure(8.0, 4.0, columns=2)
    figure.suptitle("Training loss of four optimizers, each at its own best rate")
    panels = (
        ("early", f"The first {config.early_steps} steps", 1),
        ("end", "The whole run", BLOCK),
    )
    for ax, (goal, title, block) in zip(axes, panels, strict=True):
        for style, name in enumerate(OPTIMIZERS):
            draw_band(ax, curves[goal][name], block, name, style)
        ax.set(title=title, xlabel="step")
    axes[0].set(ylabel="loss of a mini-batch, nats", ylim=(0, 3))
    axes[1].set(yscale="log")
    axes[1].legend(loc="lower left")
    return figure


def draw_rates(tuning: dict[str, Any], config: Config) -> Figure:
    """What each optimizer reaches at each rate, early and at the end."""
    figure, axes = plotting.figure(8.0, 4.0, columns=2)
    figure.suptitle("The same optimizers at every rate that was tried")
    panels = (
        ("early_loss", f"Training loss after {config.early_steps} steps"),
        ("validation_loss", f"Validation loss after {config.n_steps:,} steps"),
    )
    for ax, (goal, title) in zip(axes, panels, strict=True):
        for name, marker in zip(OPTIMIZERS, "osD^", strict=True):
            rates = tuning[name]["rates"]
            ax.plot(rates, tuning[name][goal], marker=marker, markersize=5, label=name)
        ax.set(title=title, xlabel="learning rate", xscale="log", ylim=(0, None))
    axes[0].set_ylabel("loss, nats")
    axes[1].legend(loc="upper left")
    return figure


def draw_schedules(curves: dict[str, Curve], config: Config) -> Figure:
    """The schedules themselves, and the loss with momentum under each."""
    figure, axes = plotting.figure(8.0, 3.8, columns=2)
    figure.suptitle("Momentum under three schedules, each at its own best peak")
    for style, (name, schedule) in enumerate(SCHEDULES.items()):
        rates = [schedule(step, 1.0, config.n_steps) for step in range(config.n_steps)]
        axes[0].plot(rates, color=plotting.PALETTE[style], linestyle="-", label=name)
        recipe = "momentum" if name == "constant" else f"momentum, {name}"
        draw_band(axes[1], curves[recipe], BLOCK, name, style)
    axes[0].set(title="Learning rate", xlabel="step", ylabel="share of the peak")
    axes[1].set(title="Training loss", xlabel="step", ylabel="nats", yscale="log")
    axes[1].legend(loc="lower left")
    return figure


def draw_clipping(curves: dict[str, list[list[float]]]) -> Figure:
    """The loss of every seed at a rate that is too large, with clipping and without."""
    figure, ax = plotting.figure(7.0, 3.6)
    for (name, by_seed), colour in zip(curves.items(), plotting.PALETTE[1::-1], strict=True):
        ax.plot([], [], color=colour, linestyle="-", label=name)
        for losses in by_seed:
            steps = 5 * np.arange(len(losses)) + 2.5
            ax.plot(steps, losses, color=colour, linestyle="-", linewidth=1.2, alpha=0.8)
    title = f"Momentum at a rate of {CLIPPED_RATE}, norm clipped at {MAX_NORM} or not at all"
    ax.set(title=title, xlabel="step", ylabel="loss of 5 mini-batches, nats", yscale="log")
    ax.legend(loc="upper right")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
