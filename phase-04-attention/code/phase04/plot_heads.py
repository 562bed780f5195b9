"""Draw what two heads learn on a task that needs two look-ups, and what one head makes of it.

    uv run journal run phase04.plot_heads

The task (`phase04.lookup_task`): each position of the second half asks for the digit of the
position before it, and for the digit of the other position with its letter. One layer of multi-head
attention and a linear layer behind it are trained on it, with two heads and with one. Both have as
many parameters: each of two heads is half as wide.

Written for each: how many of both digits are right on unseen sequences, and how much weight each
head puts on the two places. The picture shows the weights on one unseen sequence.

Nobody tells a head what to do. Which of the two takes which look-up depends on how they begin.

Left out: what heads of large models do, where a head's weights say less about what it computes.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.optimizers import Adam
from phase04.lookup_task import (
    MATCHING,
    PREVIOUS,
    answer_backward,
    answer_forward,
    answer_parameters,
    earlier_only,
    lookup_batch,
)
from phase04.multi_head import (
    multi_head_parameters,
    multi_head_self_backward,
    multi_head_self_forward,
    multi_head_weights,
)

N_UNSEEN = 1000  # sequences for the accuracies
HEADS = (2, 1)  # numbers of heads


@dataclass(frozen=True)
class Config:
    n_letters: int = 6
    """a sequence is twice as long"""
    n_digits: int = 10
    n_steps: int = 600
    batch_size: int = 64
    learning_rate: float = 0.01
    n_seeds: int = 3
    """trained models of each kind; the first is drawn"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_letters", "n_digits", "n_steps", "batch_size", "n_seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if (3 * self.n_letters + self.n_digits) % 2:
            raise ValueError(
                f"{self.n_letters} letters and {self.n_digits} digits make an odd width, which two "
                "heads cannot share: give an even sum"
            )


def main(config: Config) -> dict[str, Any]:
    """Train with two heads and with one; returns accuracies and the weight on both places."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {}
    drawn = {}
    for n_head in HEADS:
        rows = []
        for seed in range(config.seed, config.seed + config.n_seeds):
            params = train(config, n_head, seed)
            rows.append(judged(config, params, n_head))
            drawn.setdefault(n_head, params)
            print(f"{n_head} head(s), seed {seed}: {said(rows[-1])}", flush=True)
        metrics[f"n_head_{n_head}"] = {name: [row[name] for row in rows] for name in rows[0]}
    metrics["n_parameters"] = sum(param.size for param in drawn[1].values())
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    record.write_picture(__file__, "weights", draw(config, drawn), record=config.record)
    return metrics


# ---- training and judging ----------------------------------------------------------------


def train(config: Config, n_head: int, seed: int) -> dict[str, np.ndarray]:
    """The parameters after training, each step on new sequences."""
    rng = np.random.default_rng([seed, 1])
    d_model = 3 * config.n_letters + config.n_digits
    params = multi_head_parameters(d_model, rng)
    params |= answer_parameters(d_model, 2 * config.n_digits, rng)
    optimizer, mask = Adam(params, config.learning_rate), earlier_only(config.n_letters)
    for _ in range(config.n_steps):
        batch = lookup_batch(rng, config.batch_size, config.n_letters, config.n_digits)
        y, attention_cache = multi_head_self_forward(params, batch.x, mask, n_head)
        _, answer_cache = answer_forward(params, y, batch.answers)
        dy, grads = answer_backward(answer_cache)
        optimizer.step(multi_head_self_backward(dy, attention_cache)[1] | grads)
    return params


def judged(config: Config, params: dict[str, np.ndarray], n_head: int) -> dict[str, Any]:
    """Loss and right digits on unseen sequences; the mean weight of each head on either place."""
    rng = np.random.default_rng([config.seed, 2])
    batch = lookup_batch(rng, N_UNSEEN, config.n_letters, config.n_digits)
    mask = earlier_only(config.n_letters)
    y, _ = multi_head_self_forward(params, batch.x, mask, n_head)
    (loss, guesses), _ = answer_forward(params, y, batch.answers)
    right = guesses == batch.answers  # (B, K, 2)
    weights = multi_head_weights(params, batch.x, batch.x, mask, n_head)[:, :, config.n_letters :]
    found = {"loss": round(loss, 4), "both_right": round(float(right.all(axis=-1).mean()), 4)}
    for place, name in ((PREVIOUS, "previous"), (MATCHING, "matching")):
        found[f"{name}_right"] = round(float(right[..., place].mean()), 4)
        there = batch.places[:, np.newaxis, :, place, np.newaxis]  # (B, 1, K, 1)
        taken = np.take_along_axis(weights, there, axis=-1)  # (B, H, K, 1)
        found[f"weight_on_{name}"] = [round(float(w), 4) for w in taken.mean(axis=(0, 2, 3))]
    return found


def said(row: dict[str, Any]) -> str:
    """A line for the reader who watches."""
    return (
        f"previous {row['previous_right']:.1%}, matching {row['matching_right']:.1%}, "
        f"both {row['both_right']:.1%}; "
        f"weight on previous {row['weight_on_previous']}, on matching {row['weight_on_matching']}"
    )


# ---- the picture -------------------------------------------------------------------------


def draw(config: Config, models: dict[int, dict[str, np.ndarray]]) -> Figure:
    """The weights of each head on one unseen sequence: queries down, keys across."""
    batch = lookup_batch(
        np.random.default_rng([config.seed, 3]), 1, config.n_letters, config.n_digits
    )
    mask = earlier_only(config.n_letters)
    names = {2: ("First of two heads", "Second of two heads"), 1: ("One head alone",)}
    figure, axes = plotting.figure(7.0, 8.0, rows=3)
    rows = iter(axes)
    for n_head, params in models.items():
        weights = multi_head_weights(params, batch.x, batch.x, mask, n_head)[0]  # (H, T, T)
        for name, head in zip(names[n_head], weights, strict=True):
            draw_head(next(rows), name, head[config.n_letters :], batch)
    axes[2].set_xlabel("key: letter and digit of each position")
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0)
    image = axes[0].get_images()[0]
    figure.colorbar(image, ax=axes, label="weight", shrink=0.5)
    return figure


def draw_head(ax: Axes, title: str, weights: np.ndarray, batch: Any) -> None:
    """One heat map (K, T), with a mark at each of the two places that are asked for."""
    n_letters = len(weights)
    labels = [
        f"{chr(ord('a') + letter)}{digit}"
        for letter, digit in zip(batch.letters[0], batch.digits[0], strict=True)
    ]
    plotting.draw_weights(ax, weights, labels[n_letters:], labels)
    ax.set_aspect("auto")
    marks = ((PREVIOUS, "s", "the position before"), (MATCHING, "o", "the same letter"))
    for place, marker, name in marks:
        ax.plot(
            batch.places[0, :, place],
            range(n_letters),
            linestyle="",
            marker=marker,
            markersize=11,
            markerfacecolor="none",
            markeredgecolor="#D55E00",
            markeredgewidth=1.5,
            label=name,
        )
    ax.set(title=title, ylabel="query")


if __name__ == "__main__":
    script.run(main, Config)
