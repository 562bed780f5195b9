"""Compare one-hot times matrix with lookup: the same numbers, at what cost?

    uv run journal run phase03.compare_lookup

A batch of token ids goes through an embedding in two ways, forwards and backwards: as a product
with one-hot vectors, and by looking rows up and adding gradients in. For each size of the
vocabulary the two results are compared number by number, and the times are measured in turn.

The product reads all V rows for each token, so its cost grows with V; a lookup reads one row. The
backward of a lookup still writes a table of V rows, most of them zero. There `np.add.at` is
measured in two ways: on rows, and on single numbers (`embedding_backward`).

The one-hot vectors are made before the clock starts. Each time is the fastest of several calls.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase03.embedding import embedding_backward, embedding_forward, embedding_weight, one_hot

FORWARD = {"product": "one-hot times matrix", "lookup": "lookup"}
BACKWARD = {
    "product": "one-hot, transposed, times gradient",
    "rows": "np.add.at on rows",
    "lookup": "np.add.at on numbers",
}


@dataclass(frozen=True)
class Config:
    vocab_sizes: tuple[int, ...] = (64, 256, 1024, 4096, 16384)
    """V: tokens in the vocabulary"""
    n_tokens: int = 1024
    """tokens in the batch"""
    d_model: int = 128
    """width of the vectors"""
    rounds: int = 7
    """calls of each kind, of which the fastest counts"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if not self.vocab_sizes or min(self.vocab_sizes) < 1:
            raise ValueError(f"vocab_sizes must be 1 or more each, not {self.vocab_sizes}")
        for name in ("n_tokens", "d_model", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def main(config: Config) -> dict[str, Any]:
    """Run both ways at each size; returns their times, ratios and largest differences."""
    started = time.perf_counter()
    sizes = []
    print("vocabulary   product / lookup: forward   backward   largest difference")
    for vocab_size in config.vocab_sizes:
        sizes.append(found := compare(vocab_size, config))
        print(
            f"{vocab_size:>10}{found['forward_ratio']:>28.1f}{found['backward_ratio']:>11.1f}"
            f"{found['largest_difference']:>21.1e}"
        )
    metrics = {"sizes": sizes}
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "seconds", draw(sizes, config), record=config.record)
    return metrics


def compare(vocab_size: int, config: Config) -> dict[str, Any]:
    """Times in seconds and the largest difference of the results, at one size of vocabulary."""
    rng = np.random.default_rng(config.seed)
    weight = embedding_weight(vocab_size, config.d_model, rng)  # (V, C)
    ids = rng.integers(0, vocab_size, config.n_tokens)  # (N,)
    dy = rng.standard_normal((config.n_tokens, config.d_model)).astype(np.float32)  # (N, C)
    vectors = one_hot(ids, vocab_size)  # (N, V)
    y, cache = embedding_forward(ids, weight)

    def add_rows() -> np.ndarray:
        dweight = np.zeros_like(weight)
        np.add.at(dweight, ids, dy)
        return dweight

    forward = {
        "product": lambda: vectors @ weight,
        "lookup": lambda: embedding_forward(ids, weight)[0],
    }
    backward = {
        "product": lambda: vectors.T @ dy,
        "rows": add_rows,
        "lookup": lambda: embedding_backward(dy, cache),
    }
    truth = backward["lookup"]()
    differences = [np.abs(call() - y).max() for call in forward.values()]
    differences += [np.abs(call() - truth).max() for call in backward.values()]
    times = {"forward": fastest(forward, config), "backward": fastest(backward, config)}
    return {
        "vocab_size": vocab_size,
        **times,
        "forward_ratio": round(times["forward"]["product"] / times["forward"]["lookup"], 2),
        "backward_ratio": round(times["backward"]["product"] / times["backward"]["lookup"], 2),
        "largest_difference": float(max(differences)),
    }


def fastest(calls: Mapping[str, Callable[[], Any]], config: Config) -> dict[str, float]:
    """The seconds of each call's fastest round, the calls taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(config.rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: float(f"{min(found):.3g}") for name, found in seconds.items()}


def draw(sizes: list[dict[str, Any]], config: Config) -> Figure:
    """Milliseconds against the size of the vocabulary, forward and backward side by side."""
    figure, axes = plotting.figure(7.2, 3.8, columns=2)
    v = [found["vocab_size"] for found in sizes]
    for ax, direction, labels in zip(
        axes, ("forward", "backward"), (FORWARD, BACKWARD), strict=True
    ):
        for (name, label), marker in zip(labels.items(), "osD", strict=False):
            colour = dict(zip(BACKWARD, plotting.PALETTE, strict=False))[name]
            milliseconds = [1000 * found[direction][name] for found in sizes]
            ax.loglog(v, milliseconds, marker=marker, markersize=4, color=colour, label=label)
        ax.set_xscale("log", base=2)
        ax.set_xticks(v, [f"{size:,}" for size in v], rotation=30)
        ax.minorticks_off()
        ax.set(title=direction.capitalize(), xlabel="vocabulary (tokens)")
        ax.legend(loc="upper left")
    low, high = (pick(limit for ax in axes for limit in ax.get_ylim()) for pick in (min, max))
    for ax in axes:
        ax.set_ylim(low, high * 8)  # one scale for both, and room for the legends
    axes[0].set_ylabel("milliseconds")
    figure.suptitle(
        f"An embedding of {config.n_tokens:,} tokens, width {config.d_model}", fontsize=11
    )
    return figure


if __name__ == "__main__":
    script.run(main, Config)
