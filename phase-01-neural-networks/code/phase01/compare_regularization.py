"""A run that overfits, and the same run with each regularization; and where the two decays differ.

    uv run journal run phase01.compare_regularization

A network of two hidden layers learns a thousand images of MNIST by heart with Adam. The same run
follows with dropout, with L2 in the loss, with decoupled decay (AdamW), with batch norm, and
stopped early. Each is repeated on several seeds, which choose the images, the start and the order,
and each is compared with the plain run of its seed. All images are from MNIST's training set: some
to train on, some to validate (to draw, and to stop by), and others held out, which decide nothing
and are measured once, at the end. The test set is not touched.

How to read the table. Two numbers say two things: the loss counts how sure the network is where it
is wrong, the accuracy does not. "Better in 5 of 6" counts the seeds. The strengths in the config
were chosen on the validation images of two other seeds, 100 and 101, by the loss at the end; as all
are drawn from the same 60,000, these are some 3 % of the held-out images of each seed.

Last, both decays under Adam on two weights with no task, whose gradients have one size each and
change their sign at every step, so that nothing but decay moves them for long (beta1 is 0, since a
running mean would leave a rest of the first steps). In the loss, the decay d w is part of the
gradient, and Adam divides all of it by the gradient's size s:

    in the loss    w falls like exp(-a d t / s)    the weight with the small gradient falls fast
    decoupled      w falls like (1 - a d)^t        all alike

(a is the learning rate, t counts steps; Loshchilov and Hutter 2019, section 2.) Left out: the
augmentation of images, ensembles, and all of them combined.
"""

import math
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script
from phase01.idx import labeled_images
from phase01.images import channel_statistics, standardized
from phase01.mlp import MLP, MLPConfig
from phase01.optimizers import Adam, AdamW
from phase01.regularization import weight_penalty_backward, weight_penalty_forward

N_CLASS = 10
FILES = ("mnist/train-images-idx3-ubyte.gz", "mnist/train-labels-idx1-ubyte.gz")
PLAIN, STOPPED = "plain", "early stopping"

Arrays = dict[str, np.ndarray]
Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Config:
    n_train: int = 1000
    n_validation: int = 1000
    n_held_out: int = 4000
    width: int = 128
    """units of each of the two hidden layers"""
    n_epoch: int = 30
    batch_size: int = 50
    learning_rate: float = 1e-3
    dropout: float = 0.5
    l2: float = 0.01
    """weight decay in the loss"""
    decay: float = 3.0
    """AdamW's weight decay, which is multiplied by the learning rate"""
    patience: int = 5
    """epochs without a better validation loss after which a run is stopped early"""
    n_seed: int = 6
    n_decay_step: int = 5000
    """steps of the two weights without a task"""
    seed: int = 0
    """the first seed; the others follow it"""
    record: bool = False


@dataclass(frozen=True)
class Method:
    """What a run has besides Adam."""

    dropout: float = 0.0
    l2: float = 0.0
    decay: float = 0.0
    batch_norm: bool = False


@dataclass
class Run:
    """What a run did: losses by epoch, and its end on the held-out images."""

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    loss: float = math.nan
    accuracy: float = math.nan
    epochs: int = 0


def main(config: Config) -> dict[str, Any]:
    """Train every method on every seed, and decay two weights; returns the table."""
    check(config)
    started = time.perf_counter()
    images, labels = labeled_images(*map(data.read_bytes, FILES), "MNIST")
    if config.n_train + config.n_validation + config.n_held_out > len(images):
        raise ValueError(f"there are {len(images)} images to share: ask for fewer")
    runs: dict[str, list[Run]] = {name: [] for name in (*methods(config), STOPPED)}
    for seed in range(config.seed, config.seed + config.n_seed):
        parts = split(images, labels, seed, config)
        for name, method in methods(config).items():
            run, stopped = train(method, parts, seed, config)
            runs[name].append(run)
            if name == PLAIN:
                runs[STOPPED].append(stopped)
        print(f"seed {seed}: {', '.join(f'{n} {r[-1].accuracy:.1%}' for n, r in runs.items())}")
    table = {name: summary(found, runs[PLAIN]) for name, found in runs.items()}
    tell(table, config.n_seed)
    weights = decay_two_weights(config.n_decay_step)
    metrics = {"methods": table, "decay": {name: row["end"] for name, row in weights.items()}}
    curves = {name: mean_curves(found) for name, found in runs.items() if name != STOPPED}
    stops = [(run.epochs, float(f"{min(run.validation):.4g}")) for run in runs[STOPPED]]
    seeds = {
        name: {"loss": [run.loss for run in found], "accuracy": [run.accuracy for run in found]}
        for name, found in runs.items()
    }
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves, "stops": stops, "seeds": seeds, "weights": weights},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("curves", draw_curves(curves, stops)),
        ("differences", draw_differences(seeds)),
        ("decay", draw_decay(weights)),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    return metrics


def check(config: Config) -> None:
    """ValueError for numbers with which nothing could be trained or compared."""
    sizes = (config.n_train, config.n_validation, config.n_held_out, config.width)
    counts = (config.n_epoch, config.n_seed, config.patience, config.n_decay_step)
    if min(sizes) < 1 or min(counts) < 1:
        raise ValueError("the numbers of images, units, epochs, seeds and steps must be 1 or more")
    if config.batch_size < 2 or config.n_train % config.batch_size:
        raise ValueError(
            f"batch_size must be 2 or more and divide n_train, not {config.batch_size} and "
            f"{config.n_train}: batch norm needs every batch to be a real one"
        )


def methods(config: Config) -> dict[str, Method]:
    """Every run but the one that is stopped early, which is the plain one."""
    return {
        PLAIN: Method(),
        "dropout": Method(dropout=config.dropout),
        "L2 in the loss": Method(l2=config.l2),
        "AdamW": Method(decay=config.decay),
        "batch norm": Method(batch_norm=True),
    }


# ---- training ----------------------------------------------------------------------------


def split(images: np.ndarray, labels: np.ndarray, seed: int, config: Config) -> list[Part]:
    """Images to train on, to validate and held out, drawn anew for each seed; (N, 784) and (N,)."""
    ends = np.cumsum([config.n_train, config.n_validation, config.n_held_out])
    order = np.random.default_rng([seed, 1]).permutation(len(images))[: ends[-1]]
    chosen = np.split(order, ends[:-1])
    statistics_of_train = channel_statistics(images[chosen[0]][:, np.newaxis])
    parts = []
    for part in chosen:
        x = standardized(images[part][:, np.newaxis], *statistics_of_train)  # (N, 1, 28, 28)
        parts.append((x.reshape(len(part), -1), labels[part].astype(np.int64)))  # (N, 784), (N,)
    return parts


def train(method: Method, parts: list[Part], seed: int, config: Config) -> tuple[Run, Run]:
    """The whole run, and the same run as early stopping would have ended it."""
    (x, targets), validation, held_out = parts
    rng = np.random.default_rng(seed)
    widths = (x.shape[1], config.width, config.width, N_CLASS)
    model = MLP(MLPConfig(widths, "relu", method.dropout, method.batch_norm), rng)
    weights = {name: w for name, w in model.params.items() if name.endswith("weight")}
    weights = {name: w for name, w in weights.items() if name.startswith("layers")}
    others = {name: w for name, w in model.params.items() if name not in weights}
    optimizers = (
        AdamW(weights, config.learning_rate, weight_decay=method.decay),  # with 0 this is Adam
        Adam(others, config.learning_rate),
    )
    run, best, kept = Run(epochs=config.n_epoch), 0, arrays_of(model)
    for epoch in range(1, config.n_epoch + 1):
        order = rng.permutation(len(x))
        for batch in order.reshape(-1, config.batch_size):  # (batches, batch_size)
            _, cache = model.forward(x[batch], targets[batch], rng)
            grads = model.backward(cache)
            if method.l2:
                _, penalty = weight_penalty_forward(weights, method.l2)
                for name, dweight in weight_penalty_backward(1.0, penalty).items():
                    grads[name] = grads[name] + dweight
            for optimizer in optimizers:
                optimizer.step({name: grads[name] for name in optimizer.params})
        run.train.append(model.forward(x, targets)[0])
        run.validation.append(finite(model.forward(*validation)[0], epoch))
        lowest = run.validation[-1] == min(run.validation)
        if lowest and epoch - best <= config.patience:
            best, kept = epoch, arrays_of(model)
    measure(model, held_out, run)
    stopped = Run(run.train[:best], run.validation[:best], epochs=best)
    for name, array in {**model.params, **model.buffers}.items():
        array[...] = kept[name]
    measure(model, held_out, stopped)
    return run, stopped


def finite(loss: float, epoch: int) -> float:
    """The loss; ValueError where it is no number any more, for then no epoch is the best."""
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss} after {epoch} epochs: lower learning_rate")
    return loss


def arrays_of(model: MLP) -> Arrays:
    """A copy of all that a model has learned."""
    return {name: array.copy() for name, array in {**model.params, **model.buffers}.items()}


def measure(model: MLP, part: Part, run: Run) -> None:
    x, targets = part
    run.loss = float(f"{model.forward(x, targets)[0]:.5g}")
    run.accuracy = float(np.mean(model.predict(x) == targets))


# ---- what came out -----------------------------------------------------------------------


def summary(runs: list[Run], plain: list[Run]) -> dict[str, Any]:
    """Means and standard deviations over the seeds, and in how many it beat the plain run."""
    pairs = list(zip(runs, plain, strict=True))
    return {
        "train_loss": mean_of([run.train[-1] for run in runs]),
        "loss": mean_of([run.loss for run in runs]),
        "loss_std": spread_of([run.loss for run in runs]),
        "loss_change": mean_of([run.loss - other.loss for run, other in pairs]),
        "lower_loss_in": sum(run.loss < other.loss for run, other in pairs),
        "accuracy": mean_of([run.accuracy for run in runs]),
        "accuracy_std": spread_of([run.accuracy for run in runs]),
        "accuracy_change": mean_of([run.accuracy - other.accuracy for run, other in pairs]),
        "higher_accuracy_in": sum(run.accuracy > other.accuracy for run, other in pairs),
        "epochs": mean_of([run.epochs for run in runs]),
    }


def mean_of(values: list[float] | list[int]) -> float:
    return float(f"{statistics.fmean(values):.5g}")


def spread_of(values: list[float]) -> float:
    return float(f"{statistics.stdev(values):.3g}") if len(values) > 1 else 0.0


def mean_curves(runs: list[Run]) -> dict[str, list[float]]:
    """Mean, lowest and highest loss of the seeds by epoch."""
    found = {}
    for kind in ("train", "validation"):
        losses = np.array([getattr(run, kind) for run in runs])  # (seeds, epochs)
        for name, values in (
            ("mean", losses.mean(0)),
            ("low", losses.min(0)),
            ("high", losses.max(0)),
        ):
            found[f"{kind}_{name}"] = [float(f"{value:.4g}") for value in values]
    return found


def tell(table: dict[str, Any], n_seed: int) -> None:
    print(f"\nheld-out images, mean ± deviation of {n_seed} seeds, and how many are better")
    print(f"{'':15}{'train loss':>11}{'loss':>16}{'better':>8}{'accuracy':>18}{'better':>8}")
    for name, row in table.items():
        lower, higher = row["lower_loss_in"], row["higher_accuracy_in"]
        print(
            f"{name:15}{row['train_loss']:11.4f}{row['loss']:8.3f} ± {row['loss_std']:.3f}{lower:8}"
            f"{row['accuracy']:10.2%} ± {row['accuracy_std']:.2%}{higher:8}"
        )


# ---- the two decays ----------------------------------------------------------------------

SIZES = {"large": 0.5, "small": 0.05}  # of the two weights' gradients
DEMO_RATE, DEMO_DECAY = 0.01, 0.002
DEMO_BETAS = (0.0, 0.999)  # no running mean of gradients: two steps of unlike sign then cancel
N_DRAWN = 20


def decay_two_weights(n_step: int) -> dict[str, Any]:
    """Two weights from 1 under Adam with L2 and under AdamW: their values, and what is foretold."""
    found: dict[str, Any] = {}
    steps = sorted({round(n_step * part / N_DRAWN / 2) * 2 for part in range(N_DRAWN + 1)})
    for kind, optimizer_of in (("L2 in the loss", Adam), ("AdamW", AdamW)):
        params = {name: np.ones(1) for name in SIZES}
        optimizer = optimizer_of(params, DEMO_RATE, DEMO_BETAS, weight_decay=DEMO_DECAY)
        paths: dict[str, list[float]] = {name: [1.0] for name in SIZES}
        for step in range(n_step):
            sign = 1 if step % 2 == 0 else -1
            optimizer.step({name: np.array([sign * size]) for name, size in SIZES.items()})
            for name, w in params.items():
                paths[name].append(float(w[0]))
        for name, size in SIZES.items():
            measured = [round(paths[name][step], 5) for step in steps]
            foretold = [round(foretold_weight(kind, size, step), 5) for step in steps]
            found[f"{kind}, {name} gradient"] = {
                "end": {"measured": measured[-1], "foretold": foretold[-1]},
                "steps": steps,
                "measured": measured,
                "foretold": foretold,
            }
    return found


def foretold_weight(kind: str, size: float, step: int) -> float:
    """The formulas of the module; `size` is that of the weight's gradient."""
    if kind == "AdamW":
        return (1 - DEMO_RATE * DEMO_DECAY) ** step
    return math.exp(-DEMO_RATE * DEMO_DECAY * step / size)


# ---- how it is drawn ---------------------------------------------------------------------


def draw_curves(curves: dict[str, Any], stops: list[tuple[int, float]]) -> Figure:
    """A panel for each method: training and validation loss, and the plain run's for comparison."""
    figure, axes = plotting.figure(8.0, 5.6, rows=2, columns=3)
    figure.suptitle("The same run with each regularization (mean, lowest and highest of the seeds)")
    panels = [*curves, STOPPED]
    for ax, name in zip(axes.flat, panels, strict=True):
        shown = curves[PLAIN] if name == STOPPED else curves[name]
        epochs = range(1, len(shown["train_mean"]) + 1)
        for kind, colour in (("train", plotting.PALETTE[0]), ("validation", plotting.PALETTE[1])):
            ax.plot(epochs, shown[f"{kind}_mean"], color=colour, label=kind)
            low, high = shown[f"{kind}_low"], shown[f"{kind}_high"]
            ax.fill_between(epochs, low, high, color=colour, alpha=0.25, linewidth=0)
        plain = curves[PLAIN]["validation_mean"]
        if name == STOPPED:
            ax.plot(*zip(*stops, strict=True), "o", color=plotting.PALETTE[2], label="stopped")
            ax.legend(loc="upper right")
        elif name != PLAIN:
            style = {"color": plotting.INK, "linewidth": 1, "linestyle": ":"}
            ax.plot(epochs, plain, label="validation, plain", **style)
        ax.set(title=name, ylim=(0, 1.0))
    axes[0, 0].legend(loc="upper right")
    axes[0, 1].legend(loc="upper right")
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    for ax in axes[:, 0]:
        ax.set_ylabel("loss in nats")
    return figure


def draw_differences(seeds: dict[str, Any]) -> Figure:
    """For each method the change against the plain run: a dot for each seed, a bar at the mean."""
    figure, axes = plotting.figure(8.0, 3.6, columns=2)
    figure.suptitle("Held-out images: what each changes against the plain run of its seed")
    names = [name for name in seeds if name != PLAIN]
    kinds = (("loss", 1, "change in nats"), ("accuracy", 100, "change in percentage points"))
    for ax, (kind, scale, label) in zip(axes, kinds, strict=True):
        for place, name in enumerate(names):
            changes = scale * (np.array(seeds[name][kind]) - np.array(seeds[PLAIN][kind]))
            ax.plot(changes, [place] * len(changes), "o", color=plotting.PALETTE[0], alpha=0.6)
            ax.plot(changes.mean(), place, "|", color=plotting.PALETTE[1], markersize=18, mew=3)
        ax.axvline(0, color=plotting.INK, linewidth=1)
        better = "left" if kind == "loss" else "right"
        ax.set(xlabel=label, title=f"{kind} (better is {better})", ylim=(len(names) - 0.5, -0.5))
        ax.set_yticks(range(len(names)), names if kind == "loss" else [""] * len(names))
    return figure


def draw_decay(weights: dict[str, Any]) -> Figure:
    """Four weights against the steps, dots on the foretold lines; AdamW's two are one."""
    figure, ax = plotting.figure(6.8, 4.0)
    styles = (("o", 5, "full"), ("o", 5, "full"), ("s", 9, "none"), ("o", 4, "full"))
    rows = zip(weights.items(), plotting.PALETTE, styles, strict=False)
    for (name, found), colour, (marker, markersize, fillstyle) in rows:
        ax.plot(found["steps"], found["foretold"], color=colour, linewidth=1)
        size = SIZES["large" if "large" in name else "small"]
        style = {"color": colour, "markersize": markersize, "fillstyle": fillstyle}
        ax.plot(found["steps"], found["measured"], marker, label=f"{name} ({size:g})", **style)
    ax.set(
        title="L2 in the loss, under Adam: a weight's decay depends on its gradient",
        xlabel="step",
        ylabel="weight (dots: measured, lines: foretold)",
        ylim=(0, 1.05),
    )
    ax.legend(loc="lower left")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
