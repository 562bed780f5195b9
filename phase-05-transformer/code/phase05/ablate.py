"""Take parts out of the transformer, one at a time, and see what each of them was for.

    uv run journal run phase05.ablate

All variants reverse digits (`phase05.toy_tasks`), with the same batches for the same seed, the same
optimizer and the same learning rate: a straight warm-up to a peak, where it stays. Three seeds of
each show what is the variant and what is luck.

    norms       post-norm, as in the paper, and pre-norm, each with the warm-up and without;
                post-norm without it at 0.3 of the rate; no layer norm; no residual connections
    sizes       the number of heads (the width stays the same) and the width of the feed-forward,
                all post-norm with the warm-up, at 0.3 of the rate

Besides the loss, the gradients are measured: for each layer the norm of the gradient of all its
weights, in the first step and in the last. Adam divides such sizes away (as long as they are far
above its epsilon), so they do not say how far a step goes; they say how much of the loss reaches a
layer, and how evenly.

What is measured at the end is the share of held-out sequences that greedy decoding writes whole.

The peak is high on purpose: at 0.3 of it post-norm learns without a warm-up too.

Left out: a learning rate for each variant. A part that could be missed at a lower rate still counts
as missed here.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from journal import plotting, record, script
from phase01.optimizers import Adam, gradient_norm
from phase01.schedules import linear_warmup
from phase02.recurrent import part_of
from phase02.seq2seq import END, N_DIGITS, START, exact_matches
from phase05.decode import greedy
from phase05.schedule import ADAM_BETAS, ADAM_EPSILON
from phase05.toy_tasks import task_batch
from phase05.transformer import Transformer, TransformerConfig

NORMS: dict[str, dict[str, Any]] = {
    "post-norm": {},
    "post-norm, no warm-up": {"warmup": False},
    "post-norm, no warm-up, low rate": {"warmup": False, "rate": 0.3},
    "pre-norm": {"norm": "pre"},
    "pre-norm, no warm-up": {"norm": "pre", "warmup": False},
    "no layer norm": {"norm": "none"},
    "no residuals": {"residual": False},
}
SIZES: dict[str, dict[str, Any]] = {
    "4 heads, feed-forward 128": {"rate": 0.3, "n_head": 4, "d_ff": 128},
    "1 head": {"rate": 0.3, "n_head": 1},
    "2 heads": {"rate": 0.3, "n_head": 2},
    "8 heads": {"rate": 0.3, "n_head": 8},
    "feed-forward 8": {"rate": 0.3, "d_ff": 8},
    "feed-forward 32": {"rate": 0.3, "d_ff": 32},
    "feed-forward 512": {"rate": 0.3, "d_ff": 512},
}
VARIANTS = NORMS | SIZES
OF_TRAINING = ("warmup", "rate")  # what changes the training and not the model
N_POINTS = 25  # of a curve
LOOKS: dict[str, dict[str, Any]] = {  # a colour for each model, dashes for another training of it
    name: {"color": plotting.PALETTE[colour], "linestyle": dashes, "marker": "os^D"[colour]}
    for name, colour, dashes in (
        ("post-norm", 0, "-"),
        ("post-norm, no warm-up", 0, "--"),
        ("post-norm, no warm-up, low rate", 0, ":"),
        ("pre-norm", 1, "-"),
        ("pre-norm, no warm-up", 1, "--"),
        ("no layer norm", 2, "-"),
        ("no residuals", 3, "-"),
    )
}


@dataclass(frozen=True)
class Config:
    variants: tuple[str, ...] = tuple(VARIANTS)
    """the first of the norms is what the other norms are compared with; so of the sizes"""
    n_seeds: int = 3
    n_steps: int = 300
    batch_size: int = 32
    max_length: int = 6
    """digits"""
    d_model: int = 32
    n_head: int = 4
    d_ff: int = 128
    n_layer: int = 4
    """of the encoder, and of the decoder"""
    learning_rate: float = 0.01
    """the peak"""
    warmup_steps: int = 100
    n_test: int = 300
    """held-out sequences"""
    seed: int = 0
    """the first of the seeds"""
    record: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.variants if name not in VARIANTS]
        if unknown or not self.variants:
            raise ValueError(f"variants are among {', '.join(VARIANTS)}, not {unknown}")
        if self.n_steps < N_POINTS:
            raise ValueError(f"n_steps must be {N_POINTS} or more, not {self.n_steps}")
        for name in ("n_seeds", "batch_size", "max_length", "n_test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def main(config: Config) -> dict[str, Any]:
    """Train every variant from every seed; returns the exact answers and losses of each."""
    started = time.perf_counter()
    runs: dict[str, list[dict[str, Any]]] = {}
    width = max(map(len, config.variants))
    print(f"{'':<{width}}  exact, a number for each seed; the last loss; gradients of all layers")
    for name in config.variants:
        seeds = range(config.seed, config.seed + config.n_seeds)
        runs[name] = [train(VARIANTS[name], seed, config) for seed in seeds]
        print(line(name, runs[name], width), flush=True)
    found = {name: summary(of_variant) for name, of_variant in runs.items()}
    seconds = time.perf_counter() - started
    record.write(
        __file__,
        config=config,
        metrics={"variants": found, "runs": runs},
        seconds=seconds,
        record=config.record,
    )
    for picture, title, chosen in (
        ("norms", "Reversing digits with and without norms, residuals and warm-up", NORMS),
        ("sizes", "Reversing digits with other numbers of heads and widths", SIZES),
    ):
        shown = {name: runs[name] for name in config.variants if name in chosen}
        if shown:
            figure = draw_losses(shown, title)
            record.write_picture(__file__, picture, figure, record=config.record)
        if shown and chosen is NORMS:
            figure = draw_gradients(shown, config)
            record.write_picture(__file__, "gradients", figure, record=config.record)
    return {"variants": found}


# ---- training ----------------------------------------------------------------------------


def model_of(changes: Mapping[str, Any], seed: int, config: Config) -> Transformer:
    """The model of a variant before its first step."""
    base = TransformerConfig(
        source_vocab_size=N_DIGITS,
        target_vocab_size=N_DIGITS + 2,
        start_id=START,
        end_id=END,
        d_model=config.d_model,
        n_head=config.n_head,
        d_ff=config.d_ff,
        n_layer=config.n_layer,
    )
    shape = {name: value for name, value in changes.items() if name not in OF_TRAINING}
    return Transformer(replace(base, **shape), np.random.default_rng([seed, 0]))


def train(changes: Mapping[str, Any], seed: int, config: Config) -> dict[str, Any]:
    """One run: its losses, `N_POINTS` means; its gradients first and last; its exact answers.

    A run whose loss is no longer finite stops there, its further losses are None.
    """
    model = model_of(changes, seed, config)
    optimizer = Adam(model.params, betas=ADAM_BETAS, epsilon=ADAM_EPSILON)
    warmup = config.warmup_steps if changes.get("warmup", True) else 0
    peak = config.learning_rate * changes.get("rate", 1.0)
    rng = np.random.default_rng([seed, 1])
    losses: list[float] = []
    first: list[float] = []
    last: list[float] = []
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # where a run blows up
        for step in range(config.n_steps):
            batch = task_batch("reverse", rng, config.batch_size, 1, config.max_length)
            loss, cache = model.forward(*batch)
            if not math.isfinite(loss):
                break
            losses.append(loss)
            grads = model.backward(cache)
            if step in (0, config.n_steps - 1):
                last = layer_norms(grads, config.n_layer)
                first = first or last
            optimizer.learning_rate = linear_warmup(step, peak, warmup)
            optimizer.step(grads)
    whole = len(losses) == config.n_steps and all(map(math.isfinite, last))
    return {
        "loss": means(losses, config.n_steps),
        "gradients_first": first,
        "gradients_last": last if whole else None,
        "exact": exact(model, config) if whole else 0.0,
    }


def layer_norms(grads: Mapping[str, np.ndarray], n_layer: int) -> list[float]:
    """The norm of the gradient of each layer: of the encoder, then of the decoder."""
    return [
        float(f"{gradient_norm(part_of(grads, f'{stack}.layers.{i}.')):.4g}")
        for stack in ("encoder", "decoder")
        for i in range(n_layer)
    ]


def means(losses: list[float], n_steps: int) -> list[float | None]:
    """The means of `N_POINTS` stretches of a run, None for those that it did not reach."""
    edges = [n_steps * n // N_POINTS for n in range(N_POINTS + 1)]
    parts = [losses[edges[n] : edges[n + 1]] for n in range(N_POINTS)]
    return [round(float(np.mean(part)), 3) if part else None for part in parts]


def exact(model: Transformer, config: Config) -> float:
    """The share of held-out sequences, the same for all runs, that are written whole."""
    rng = np.random.default_rng(0)
    test = task_batch("reverse", rng, config.n_test, 1, config.max_length, held_out=True)
    with np.errstate(over="ignore", invalid="ignore"):
        written = greedy(model, test.source, test.source_mask, config.max_length + 2)
    return round(float(exact_matches(written, test.target, test.target_mask).mean()), 3)


# ---- what is shown -----------------------------------------------------------------------


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A variant in a few numbers."""
    return {
        "exact": [run["exact"] for run in runs],
        "exact_mean": round(float(np.mean([run["exact"] for run in runs])), 3),
        "last_loss": [run["loss"][-1] for run in runs],
        "first_gradients": spread([run["gradients_first"] for run in runs]),
    }


def spread(gradients: list[list[float]]) -> list[float]:
    """The smallest and the largest gradient of a layer, each the mean over the seeds."""
    by_layer = np.mean(gradients, axis=0)  # (layers,)
    return [float(f"{value:.3g}") for value in (by_layer.min(), by_layer.max())]


def line(name: str, runs: list[dict[str, Any]], width: int) -> str:
    """A variant as a line of the table."""
    found = summary(runs)
    right = " ".join(f"{value:5.3f}" for value in found["exact"])
    loss = " ".join("  inf" if value is None else f"{value:5.2f}" for value in found["last_loss"])
    low, high = found["first_gradients"]
    return f"{name:<{width}}  {right}   {loss}   {low:.2g} to {high:.2g}"


def draw_losses(runs: Mapping[str, list[dict[str, Any]]], title: str) -> Any:
    """The losses of each variant, a panel each, its seeds in colour over the first variant's."""
    names = list(runs)
    compared = names[1:] or names
    columns = 3 if len(compared) > 2 else len(compared)
    rows = -(-len(compared) // columns)
    figure, axes = plotting.figure(9.0, 1.0 + 2.3 * rows, rows=rows, columns=columns)
    figure.suptitle(title)
    share = (np.arange(N_POINTS) + 0.5) / N_POINTS
    for ax in np.ravel(axes)[len(compared) :]:
        ax.set_visible(False)
    for number, (name, ax) in enumerate(zip(compared, np.ravel(axes), strict=False)):
        for other, colour in ((names[0], plotting.PALETTE[4]), (name, plotting.PALETTE[0])):
            for i, run in enumerate(runs[other]):
                values = [math.nan if value is None else value for value in run["loss"]]
                label = (other if other == names[0] else "what the panel names") if i == 0 else None
                style = "--" if other == names[0] and name != names[0] else "-"
                ax.plot(share, values, style, color=colour, linewidth=1.2, label=label)
        ax.set(title=name, ylim=(0, 3.2), xlim=(0, 1))
        if number % columns == 0:
            ax.set_ylabel("nats for each symbol")
        if number >= len(compared) - columns:
            ax.set_xlabel("share of the training")
    np.ravel(axes)[0].legend(loc="upper right", fontsize=8)
    return figure


def draw_gradients(runs: Mapping[str, list[dict[str, Any]]], config: Config) -> Any:
    """The norm of each layer's gradient in the first and the last step, means over the seeds.

    The picture on the left is that in the middle, nearer. In the first step a variant of the
    training is still the model that it is a variant of.
    """
    figure, axes = plotting.figure(9.0, 4.4, columns=3)
    figure.suptitle("How much gradient reaches each layer of the encoder (e) and the decoder (d)")
    labels = [f"{half}{i + 1}" for half in "ed" for i in range(config.n_layer)]
    models = [name for name in runs if not VARIANTS[name].keys() & set(OF_TRAINING)]
    panels = (
        ("First step, near", "gradients_first", [name for name in models if "-norm" in name]),
        ("First step", "gradients_first", models),
        ("Last step", "gradients_last", list(runs)),
    )
    for ax, (title, key, names) in zip(axes, panels, strict=True):
        for name in names:
            found = [run[key] for run in runs[name] if run[key] is not None]
            for half in (0, 1) if found else ():
                stretch = slice(half * config.n_layer, (half + 1) * config.n_layer)
                mean = np.mean(found, axis=0)[stretch]  # (n_layer,)
                ax.plot(range(2 * config.n_layer)[stretch], mean, **LOOKS[name], label=name)
        ax.set(title=title, yscale="linear" if "near" in title else "log")
        ax.set_xticks(range(2 * config.n_layer), labels)
    axes[0].set(ylabel="norm of a layer's gradient", ylim=(0, None))
    handles = {line.get_label(): line for ax in axes for line in ax.lines}
    place = {"loc": "outside lower center", "ncols": 3, "handlelength": 4}
    figure.legend(handles.values(), handles.keys(), **place)
    return figure


if __name__ == "__main__":
    script.run(main, Config)
