"""Draw which position attends to which: one head of self-attention, before and after training.

    uv run journal run phase04.plot_self_attention

The task is one look-up of `phase04.lookup_task`: each position of the second half asks for the
digit of the position before it, or for the digit of the other position with its letter. The same
three matrices learn either: one model is trained on each, and its weights are drawn on one unseen
sequence, beside those that it began with.

Left out: both look-ups at once, for which one head is not enough (`phase04.plot_heads`).
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
    LookupBatch,
    answer_backward,
    answer_forward,
    answer_parameters,
    earlier_only,
    lookup_batch,
)
from phase04.self_attention import (
    self_attention_backward,
    self_attention_forward,
    self_attention_parameters,
    self_attention_weights,
)

N_UNSEEN = 1000  # sequences for the accuracies
LOOKUPS = {"previous": PREVIOUS, "matching": MATCHING}


@dataclass(frozen=True)
class Config:
    n_letters: int = 4
    """a sequence is twice as long"""
    n_digits: int = 10
    d_head: int = 16
    n_steps: int = 400
    batch_size: int = 64
    learning_rate: float = 0.01
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_letters", "n_digits", "d_head", "n_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def main(config: Config) -> dict[str, Any]:
    """Train one head on each look-up; returns accuracies and the weight on the place asked for."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {}
    drawn = []
    for name, place in LOOKUPS.items():
        begun, params = train(config, place)
        metrics[name] = judged(config, params, place)
        metrics[name]["weight_before_training"] = judged(config, begun, place)["weight"]
        drawn.append((name, begun, params))
        print(f"{name}: {metrics[name]}", flush=True)
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    record.write_picture(__file__, "weights", draw(config, drawn), record=config.record)
    return metrics


def train(config: Config, place: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The parameters before and after training, each step on new sequences."""
    rng = np.random.default_rng([config.seed, 1])
    d_model = 3 * config.n_letters + config.n_digits
    params = self_attention_parameters(d_model, config.d_head, rng)
    params |= answer_parameters(config.d_head, config.n_digits, rng)
    begun = {name: param.copy() for name, param in params.items()}
    optimizer, mask = Adam(params, config.learning_rate), earlier_only(config.n_letters)
    for _ in range(config.n_steps):
        batch = lookup_batch(rng, config.batch_size, config.n_letters, config.n_digits)
        y, attention_cache = self_attention_forward(params, batch.x, mask)
        _, answer_cache = answer_forward(params, y, batch.answers[..., [place]])
        dy, grads = answer_backward(answer_cache)
        optimizer.step(self_attention_backward(dy, attention_cache)[1] | grads)
    return begun, params


def judged(config: Config, params: dict[str, np.ndarray], place: int) -> dict[str, float]:
    """The share of right digits on unseen sequences, and the mean weight on where they stand."""
    rng = np.random.default_rng([config.seed, 2])
    batch = lookup_batch(rng, N_UNSEEN, config.n_letters, config.n_digits)
    mask, answers = earlier_only(config.n_letters), batch.answers[..., [place]]
    y, _ = self_attention_forward(params, batch.x, mask)
    (_, guesses), _ = answer_forward(params, y, answers)
    weights = self_attention_weights(params, batch.x, mask)[:, config.n_letters :]  # (B, K, T)
    taken = np.take_along_axis(weights, batch.places[..., [place]], axis=-1)  # (B, K, 1)
    return {
        "right": round(float((guesses == answers).mean()), 4),
        "weight": round(float(taken.mean()), 4),
    }


# ---- the picture -------------------------------------------------------------------------


def draw(config: Config, models: list[tuple[str, Any, Any]]) -> Figure:
    """Before training, and after it on either look-up: queries down, keys across."""
    rng = np.random.default_rng([config.seed, 3])
    batch = lookup_batch(rng, 1, config.n_letters, config.n_digits)
    (_, begun, one), (_, _, other) = models
    panels = (
        ("Before training", begun),
        ("Trained: digit before", one),
        ("Trained: same letter", other),
    )
    figure, axes = plotting.figure(7.4, 3.1, columns=len(panels))
    for ax, (title, params) in zip(axes, panels, strict=True):
        draw_weights(
            ax,
            title,
            self_attention_weights(params, batch.x, earlier_only(config.n_letters))[0],
            batch,
        )
    axes[0].set_ylabel("query")
    figure.colorbar(axes[0].get_images()[0], ax=axes, label="weight", shrink=0.7)
    return figure


def draw_weights(ax: Axes, title: str, weights: np.ndarray, batch: LookupBatch) -> None:
    """One heat map (T, T); the line parts the positions that are asked from the others."""
    labels = [
        f"{chr(ord('a') + letter)}{digit}"
        for letter, digit in zip(batch.letters[0], batch.digits[0], strict=True)
    ]
    plotting.draw_weights(ax, weights, labels, labels, size=7)
    ax.axhline(len(weights) / 2 - 0.5, color="#D55E00", linewidth=1.2)
    ax.set(title=title, xlabel="key")


if __name__ == "__main__":
    script.run(main, Config)
